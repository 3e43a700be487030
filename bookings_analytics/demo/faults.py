"""What can go wrong at the demo studio's API, switched on when wanted: wrong answers, and the rate limit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Window = Literal["sliding", "fixed"]
Endpoint = Literal["bookings", "classes", "slots"]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to a request instead of the true answer; see `Faults.add`."""

    endpoint: Endpoint
    customer_id: int | None
    times: int | None
    status: int | None
    body: bytes | None
    headers: Mapping[str, str]
    chunked: bool
    delay: float
    cut_after: int | None
    drop: bool

    @property
    def answers(self) -> bool:
        """Whether it replaces the true answer."""
        return self.status is not None or self.body is not None


@dataclass(slots=True)
class Faults:
    """The faults that are switched on."""

    _planned: list[Fault] = field(default_factory=list)

    def add(
        self,
        *,
        endpoint: Endpoint = "bookings",
        customer_id: int | None = None,
        times: int | None = 1,
        status: int | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
        delay: float = 0.0,
        cut_after: int | None = None,
        drop: bool = False,
    ) -> None:
        """Plan a fault; several that match the same request are used up in the order in which they were planned.

        Args:
            endpoint: What is asked for by the requests that fail.
            customer_id: Customer whose requests fail; None for any.
            times: Number of requests that fail; None for all from now on.
            status: Status of the answer, with the specification's error body unless `body` is given.
            body: Whole body in place of the true one.
            headers: Headers to add or replace, such as content-type or location.
            chunked: Send the body in chunks, without a content-length.
            delay: Seconds to wait before answering.
            cut_after: Close the connection after this many bytes of the body, its full length announced.
            drop: Close the connection without an answer.
        """
        self._planned.append(
            Fault(
                endpoint=endpoint,
                customer_id=customer_id,
                times=times,
                status=status,
                body=body,
                headers=headers or {},
                chunked=chunked,
                delay=delay,
                cut_after=cut_after,
                drop=drop,
            )
        )

    def clear(self) -> None:
        """Switch every fault off."""
        self._planned.clear()

    def take(self, endpoint: Endpoint | None, customer_id: int | None) -> Fault | None:
        """Return the fault planned for this request, if any, and count it as used.

        Args:
            endpoint: What the request asks for.
            customer_id: Customer that the request asks for; None if it names none.
        """
        for fault in self._planned:
            if fault.endpoint == endpoint and fault.customer_id in (None, customer_id):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._planned.remove(fault)
                return fault
        return None


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """The API's rate limit: after more than `limit` requests in `period` seconds, none is answered for `lockout`."""

    limit: int = 1000
    period: float = 60.0
    lockout: float = 60.0
    window: Window = "sliding"
    retry_after: bool = False  # whether a 429 says how long to wait
    _arrivals: deque[float] = field(default_factory=deque)
    _locked_until: float = 0.0

    def unused(self) -> RateLimit:
        """Return a limit like this one that has counted nothing yet."""
        return RateLimit(
            limit=self.limit,
            period=self.period,
            lockout=self.lockout,
            window=self.window,
            retry_after=self.retry_after,
        )

    def refuse(self, now: float) -> float | None:
        """Count a request; return the seconds that the lock-out still lasts, None if the request may pass.

        Args:
            now: Time of the request, in seconds of `time.monotonic`.
        """
        if now < self._locked_until:
            return self._locked_until - now
        opened = now - self.period if self.window == "sliding" else now - now % self.period
        while self._arrivals and self._arrivals[0] < opened:
            self._arrivals.popleft()
        self._arrivals.append(now)
        if len(self._arrivals) <= self.limit:
            return None
        self._arrivals.clear()
        self._locked_until = now + self.lockout
        return self.lockout
