"""Made-up time: an event loop whose clock leaps to the next thing to do, and a studio that answers in it."""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from bookings_analytics.demo.faults import RateLimit

_T = TypeVar("_T")


class MadeUpTime(asyncio.SelectorEventLoop):
    """A loop in which minutes take milliseconds, and the machine's speed has no part."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_LeapingSelector(self))

    def time(self) -> float:
        return self.now

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.run_until_complete(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LeapingSelector(selectors.DefaultSelector):
    def __init__(self, loop: MadeUpTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # another thread's work is all there is to wait for
            return super().select(None)
        self._loop.now += timeout
        return super().select(0)


class MadeUpStudio(httpx.AsyncBaseTransport):
    """A transport that answers every customer with no bookings, in made-up time.

    Args:
        loop: Whose time it lives in.
        limit: Its speed limit; None for none.
        latency: Returns the seconds that a message takes, each way.
        down: Whether the network is down at a time.
        status: The status of an answer at a time.
    """

    def __init__(
        self,
        loop: MadeUpTime,
        limit: RateLimit | None = None,
        *,
        latency: Callable[[], float] = lambda: 0.05,
        down: Callable[[float], bool] = lambda _: False,
        status: Callable[[float], int] = lambda _: 200,
    ) -> None:
        self.sent: list[float] = []
        self.answered: list[float] = []  # when the requests arrived that were answered
        self.refused = 0
        self._loop = loop
        self._limit = limit
        self._latency = latency
        self._down = down
        self._status = status

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(self._loop.now)
        if self._down(self._loop.now):
            raise httpx.ConnectError("the network is down")
        await asyncio.sleep(self._latency())
        arrived = self._loop.now
        left = self._limit.refuse(arrived) if self._limit is not None and request.method == "GET" else None
        await asyncio.sleep(self._latency())
        if left is not None:
            self.refused += 1
            told = {"Retry-After": str(math.ceil(left))} if self._limit and self._limit.retry_after else {}
            return httpx.Response(429, json={}, headers=told)
        if request.method == "GET":
            self.answered.append(arrived)
        return httpx.Response(self._status(arrived), json=[])
