"""The time at the demo studio: it stands still, or runs as fast as wanted."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from bookings_analytics.demo.timetable import FIRST_DAY, LAST_DAY
from bookings_analytics.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

NOW: Final = datetime(2026, 6, 17, 12, tzinfo=UTC)  # a Wednesday; eleven weeks into the quarter


def checked(now: datetime, *, name: str = "now") -> datetime:
    """Return a time in UTC, refused unless it lies in the studio's months.

    Args:
        now: The time, with a time zone.
        name: What to call it in the error.

    Raises:
        ConfigurationError: It has no time zone, or lies outside `FIRST_DAY` to `LAST_DAY`.
    """
    if now.tzinfo is None or not FIRST_DAY <= now <= LAST_DAY:
        raise ConfigurationError(
            f"{name}={now} is not a time of the demo studio. Pass an aware datetime from {FIRST_DAY} to {LAST_DAY}."
        )
    return now.astimezone(UTC)


class StudioClock:
    """A clock that starts at a time of the studio's months; called, it returns the time there (UTC).

    Args:
        start: The time from which it runs.
        speed: Seconds at the studio for each second here: 0 stands still, 1 is real time, 3600 an hour each second.
            On the studio's last day it stops.
        timer: Returns the seconds that pass here, for tests.

    Raises:
        ConfigurationError: `start` is not a time of the studio's months, or `speed` is negative or not finite.

    Examples:
        >>> clock = StudioClock(NOW)
        >>> clock()
        datetime.datetime(2026, 6, 17, 12, 0, tzinfo=datetime.timezone.utc)
    """

    def __init__(self, start: datetime, *, speed: float = 0.0, timer: Callable[[], float] = time.monotonic) -> None:
        if not (math.isfinite(speed) and speed >= 0):
            raise ConfigurationError(f"speed={speed} is not a pace for a clock. Pass 0 or more.")
        self._speed = speed
        self._timer = timer
        self.set(start)

    def set(self, now: datetime) -> None:
        """Set the time; from here on it runs at the same speed.

        Args:
            now: Any time of the studio's months, with a time zone.

        Raises:
            ConfigurationError: `now` is not a time of the studio's months.
        """
        self._start = checked(now)
        self._set_at = self._timer()

    @property
    def stopped(self) -> bool:
        """Whether the studio's last day is reached."""
        return self() >= LAST_DAY

    def __call__(self) -> datetime:
        """Return the time at the studio (UTC)."""
        elapsed = (self._timer() - self._set_at) * self._speed
        return self._start + timedelta(seconds=min(elapsed, (LAST_DAY - self._start).total_seconds()))
