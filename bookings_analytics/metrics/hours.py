"""When and where studios have classes: time zones, and the hours between which classes take place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

OPENS: Final = "05:00"  # where nobody says otherwise, no class begins before
CLOSES: Final = "24:00"  # and none ends after


@dataclass(frozen=True)
class Hours:
    """When and where a studio has classes.

    Attributes:
        timezone: Its time zone.
        opens: Local time before which no class begins.
        closes: Local time after which no class ends.
    """

    timezone: str
    opens: str
    closes: str

    def day_of_lower(self, time: pl.Expr) -> pl.Expr:
        """Find the first day on which a class can begin that begins after a time."""
        return (self.local(time) + (timedelta(hours=24) - clock_time(self.closes))).dt.date()

    def day_of_upper(self, time: pl.Expr) -> pl.Expr:
        """Find the last day on which a class can begin that begins before a time."""
        return (self.local(time) - clock_time(self.opens)).dt.date()

    def is_open(self, time: pl.Expr) -> pl.Expr:
        """Find whether a time lies between opening and closing."""
        of_day = self.local(time) - self.local(time).dt.truncate("1d")
        return of_day.is_between(clock_time(self.opens), clock_time(self.closes), closed="left")

    def local(self, time: pl.Expr) -> pl.Expr:
        """Convert a time to the studio's own, without a time zone."""
        return time.dt.convert_time_zone(self.timezone).dt.replace_time_zone(None)


def is_zone(name: str) -> bool:
    """Check whether a time zone of this name exists.

    Example:
        >>> is_zone("Europe/Berlin"), is_zone("Europe/Nowhere")
        (True, False)
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as Europe
        return False
    return True


def clock_time(text: str) -> timedelta:
    """Read a local time such as "05:00" or "24:00" as hours since midnight.

    Raises:
        ValueError: The text is not such a time.
    """
    read = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", text) if isinstance(text, str) else None
    if read is None:
        raise ValueError(f"{text!r} is not a time of day: write it as in '05:00' or '24:00'.")
    return timedelta(hours=int(text[:2]), minutes=int(text[3:]))


def opening_hours(
    studios: Iterable[str],
    timezone: str | Mapping[str, str],
    opens: str | Mapping[str, str],
    closes: str | Mapping[str, str],
) -> dict[str, Hours]:
    """Read each studio's time zone and hours.

    Args:
        studios: The studios that need them.
        timezone: Their time zone, or ``{studio: zone}``.
        opens: Local time before which no class begins, or ``{studio: time}``.
        closes: Local time after which no class ends, or ``{studio: time}``.

    Raises:
        ValueError: A studio has no time zone or hours, or one that does not exist.
    """
    found = {}
    for studio in studios:
        values = []
        for argument, given in (("timezone", timezone), ("opens", opens), ("closes", closes)):
            value = given if isinstance(given, str) else given.get(studio)
            if value is None:
                raise ValueError(f"{argument}= names no studio {studio!r}: add it, as in {{{studio!r}: …}}.")
            values.append(value)
        hours = Hours(*values)
        if not is_zone(hours.timezone):
            raise ValueError(
                f"timezone is {hours.timezone!r} for studio {studio!r}, which does not exist: name one such as "
                "'Europe/Berlin'."
            )
        if clock_time(hours.opens) >= clock_time(hours.closes):
            raise ValueError(f"studio {studio!r} opens at {hours.opens} and closes at {hours.closes}: swap the two.")
        found[studio] = hours
    return found
