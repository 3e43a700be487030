"""When studios have classes: by an option, by the file of studios, or by the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from bookings_analytics.metrics.hours import CLOSES, OPENS
from bookings_analytics.studios.file import tables_of
from bookings_analytics.studios.settings import HOURS, VARIABLES, check_order

_DEFAULTS: Final = {"timezone": None, "opens": OPENS, "closes": CLOSES}


class ClassHours(NamedTuple):
    """When studios have classes, as `class_days` takes it: one value for every studio, or each studio's own.

    Attributes:
        timezone: The time zone, or ``{studio: zone}``; None: not known.
        opens: Local time before which no class begins, or ``{studio: time}``.
        closes: Local time after which no class ends, or ``{studio: time}``.
    """

    timezone: str | dict[str, str] | None
    opens: str | dict[str, str]
    closes: str | dict[str, str]

    def of(self, studio: str) -> tuple[str | None, str, str]:
        """Return one studio's time zone (None: not known), when it opens and when it closes.

        Args:
            studio: The studio's name.
        """
        zone, opens, closes = (value.get(studio) if isinstance(value, dict) else value for value in self)
        return zone, opens or OPENS, closes or CLOSES


def find_hours(
    *,
    timezone: str | None = None,
    opens: str | None = None,
    closes: str | None = None,
    studios: str | Path | None = None,
    options: str = "--",
    variables_first: bool = False,
) -> ClassHours:
    """Find out when studios have classes: an option, else the file of studios, else the environment.

    Without any, the time zone is not known, and classes lie between 05:00 and 24:00. No key is read.

    Args:
        timezone: The time zone that an option names for all studios; None: none does.
        opens: The same option's local time before which no class begins.
        closes: The same option's local time after which no class ends.
        studios: The file of studios, as `read_studios` reads it; None: there is none.
        options: What stands before an option's name, for errors: ``--`` in a command, nothing in a notebook.
        variables_first: Whether the environment comes before the file: a report can so be made in another zone than
            the studios are fetched in.

    Raises:
        ConfigurationError: A time zone or a time does not exist, or the file can't be used; the message names the
            option, the variable or the file.
    """
    tables = {} if studios is None else tables_of(Path(studios))
    found: dict[str, Any] = {}
    called: dict[str, str] = {}  # where each setting came from
    for setting, option in (("timezone", timezone), ("opens", opens), ("closes", closes)):
        check, variable = HOURS[setting], VARIABLES[setting]
        called[setting] = options + setting
        found[setting] = check(option, called[setting])
        if found[setting] is None:
            called[setting] = variable
            said = check(os.environ.get(variable), variable)
            found[setting] = said or _DEFAULTS[setting]
            if said and variables_first:
                continue
            own = {name: value for name, table in tables.items() if (value := table.get(setting) or found[setting])}
            if any(table.get(setting) for table in tables.values()):
                called[setting], found[setting] = f"{studios}: {setting}", own
    hours = ClassHours(**found)
    for name in tables or [""]:
        _, first, last = hours.of(name)
        check_order(first, last, called.__getitem__)
    return hours
