"""The API's speed limit: one budget of requests and one lock-out gate for each studio and key.

A request takes a slot before it is sent and gives it back `PERIOD` + `MARGIN` after its *response*. The server counted
the request somewhere between the two, so no window of `PERIOD`, fixed or sliding, ever holds more requests than
there are slots. Counting from the sending would be a race with the network; a steady drip would lose what a burst
may use.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bookings_analytics.studios import Studio

PERIOD = 60.0  # seconds in which the API counts requests
MARGIN = 0.1  # seconds on top, for clocks that run unevenly
LOCK_OUT = 60.0  # seconds to wait after a 429 that names no time
LONGEST_LOCK_OUT: Final = 300.0  # seconds; no Retry-After is followed beyond
_ALL_IN_FLIGHT: Final = 0.01  # seconds until the next look when every slot waits for its response


class Budget:
    """The requests that one studio's API allows in a period, shared by every worker, call and thread of this process.

    Args:
        limit: Requests allowed in `PERIOD`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._in_flight = 0
        self._answered: deque[float] = deque()  # when the response of each slot that still counts arrived
        self._closed_until = 0.0
        self._lock = threading.Lock()

    async def take(self) -> None:
        """Wait until a request may be sent, and take its slot."""
        while (wait := self._try_to_take()) > 0:  # noqa: ASYNC110 - waits for a time, which no event announces
            await asyncio.sleep(wait)

    def give_back(self) -> None:
        """Note that the response arrived (or never will): the slot counts for one more period."""
        with self._lock:
            self._in_flight -= 1
            self._answered.append(time.monotonic())

    def lock_out(self, retry_after: float | None) -> None:
        """Close the gate for everyone after a 429: for `retry_after` seconds, or `LOCK_OUT` if it is None."""
        seconds = LOCK_OUT if retry_after is None else min(retry_after, LONGEST_LOCK_OUT)
        with self._lock:
            self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    def _try_to_take(self) -> float:
        """Take a slot and return 0, or return how many seconds to wait before the next try."""
        with self._lock:
            now = time.monotonic()
            while self._answered and self._answered[0] + PERIOD + MARGIN <= now:
                self._answered.popleft()
            if now < self._closed_until:
                return self._closed_until - now
            if self._in_flight + len(self._answered) < self.limit:
                self._in_flight += 1
                return 0.0
            return self._answered[0] + PERIOD + MARGIN - now if self._answered else _ALL_IN_FLIGHT


_budgets: dict[tuple[str, bytes], Budget] = {}
_budgets_lock = threading.Lock()


def budget_of(studio: Studio, requests_per_minute: int) -> Budget:
    """Give the studio's budget, the same one for the life of the process: two fetches in a row share the limit."""
    digest = hashlib.sha256(studio.api_key.reveal().encode()).digest()
    with _budgets_lock:
        budget = _budgets.setdefault((studio.base_url, digest), Budget(requests_per_minute))
        budget.limit = requests_per_minute
    return budget
