"""The times that fetches are stamped with: the machine's clock, but never back."""

from __future__ import annotations

import math
import os
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from bookings_analytics.studios.clock import CLOCK_VARIABLE, current_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_HOLD: Final = 0.1  # seconds: a demo studio's clock answers over HTTP, which is not for every customer anew


class ForwardClock:
    """A clock whose times never go back, whatever the machine's does.

    An archive takes a fetch only if it is newer than the customer's last one. So while the clock is behind, times
    stand still, and each new fetch begins one second later than the one before ended.

    Args:
        clock: Returns the time, aware.
        hold: Seconds for which a time is returned again before the clock is asked anew; 0: it is asked every time.
    """

    def __init__(self, clock: Callable[[], datetime], *, hold: float = 0) -> None:
        self._clock = clock
        self._hold = hold
        self._asked = -math.inf
        self._last: datetime | None = None
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the time, or the latest one returned before if that is later."""
        if self._last is not None and time.monotonic() - self._asked < self._hold:
            return self._last
        return self._at_least(timedelta(0))

    def begin(self) -> datetime:
        """Return the time a new fetch begins at, later than every time returned before."""
        return self._at_least(timedelta(seconds=1))

    def _at_least(self, later: timedelta) -> datetime:
        now = self._clock()
        self._asked = time.monotonic()
        with self._lock:
            if self._last is not None and now < self._last:
                now = self._last + later
            self._last = now
        return now


_of_this_process: dict[str, ForwardClock] = {}


def forward_clock(clock: Callable[[], datetime] | None) -> ForwardClock:
    """Return the clock of a fetch: one for the life of the process, or one of its own over the clock passed.

    Args:
        clock: Returns the time, aware; None takes the machine's, or that of a demo studio.
    """
    if clock is not None:
        return ForwardClock(clock)
    address = os.environ.get(CLOCK_VARIABLE, "")
    return _of_this_process.setdefault(address, ForwardClock(current_time, hold=_HOLD if address else 0))
