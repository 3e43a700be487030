"""The API's rate limit: the requests of a period, and a gate that closes after a 429, one of both per studio and key.

A request takes a slot before it is sent and frees it one period (and a margin) after its *response*. The server counted
the request somewhere between the two, so no window of that length, fixed or sliding, ever holds more requests than
there are slots. Counting from the sending would be a race with the network; a steady drip would waste what a burst
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
    from collections.abc import Callable

    from bookings_analytics.studios import Studio

PERIOD: Final = 60.1  # seconds: the minute in which the API counts, and a margin for clocks that run unevenly
LOCK_OUT: Final = 60.0  # seconds to wait after a 429 that names no time
LONGEST_LOCK_OUT: Final = 300.0  # seconds; a longer Retry-After is not followed to its end
_ALL_IN_FLIGHT: Final = 0.01  # seconds until the next look when every slot waits for its response


class RateLimit:
    """The requests that one studio's API allows in a period, shared by every worker, call and thread of this process.

    Args:
        limit: Requests allowed in a period.
        period: Seconds from a response until its slot is free again.
        lock_out: Seconds that the gate stays closed after a 429 that names no time.
        longest_lock_out: Seconds that the gate stays closed at most, whatever a 429 names.
        clock: Returns the time in seconds; it must never go back.
    """

    def __init__(
        self,
        limit: int,
        *,
        period: float = PERIOD,
        lock_out: float = LOCK_OUT,
        longest_lock_out: float = LONGEST_LOCK_OUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self._period = period
        self._lock_out = lock_out
        self._longest_lock_out = longest_lock_out
        self._clock = clock
        self._in_flight = 0
        self._answered: deque[float] = deque()  # when the response of each slot that still counts arrived
        self._closed_until = 0.0
        self._lock = threading.Lock()

    async def take(self) -> bool:
        """Wait until a request may be sent, and take its slot.

        Returns:
            Whether it had to wait.
        """
        waited = False
        while (wait := self._try_to_take()) > 0:
            waited = True
            await asyncio.sleep(wait)
        return waited

    def release(self) -> None:
        """Note that the response arrived, or never will: the slot counts for one more period."""
        with self._lock:
            self._in_flight -= 1
            self._answered.append(self._clock())

    def lock_out(self, retry_after: float | None) -> None:
        """Close the gate for everyone after a 429.

        Args:
            retry_after: Seconds that the 429 names; None if it names none.
        """
        seconds = self._lock_out if retry_after is None else min(retry_after, self._longest_lock_out)
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    def _try_to_take(self) -> float:
        """Reserve a slot and return 0, or return how many seconds to wait before the next try."""
        with self._lock:
            now = self._clock()
            while self._answered and self._answered[0] + self._period <= now:
                self._answered.popleft()
            if now < self._closed_until:
                return self._closed_until - now
            if self._in_flight + len(self._answered) < self.limit:
                self._in_flight += 1
                return 0.0
            return self._answered[0] + self._period - now if self._answered else _ALL_IN_FLIGHT


_of_this_process: dict[tuple[str, bytes, str], RateLimit] = {}
_of_this_process_lock = threading.Lock()


def rate_limit_of(studio: Studio, requests_per_minute: int, endpoint: str = "bookings") -> RateLimit:
    """Return the limit of a studio's endpoint, the same one for the life of the process: two fetches in a row share it.

    Args:
        studio: Whose address and key the limit belongs to.
        requests_per_minute: What the API allows; it replaces what an earlier call said.
        endpoint: Which endpoint; each has a limit of its own.
    """
    digest = hashlib.sha256(studio.api_key.reveal().encode()).digest()
    with _of_this_process_lock:
        limit = _of_this_process.setdefault((studio.base_url, digest, endpoint), RateLimit(requests_per_minute))
        limit.limit = requests_per_minute
    return limit
