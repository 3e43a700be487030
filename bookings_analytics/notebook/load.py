"""Reading all that a notebook looks at in one call: a list, and what a studio or an archive knows about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive import Archive
from bookings_analytics.cohorts import read_cohorts, read_titles
from bookings_analytics.errors import ConfigurationError
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.notebook.renderer import setup
from bookings_analytics.studios import API_KEY_VARIABLE, Studio
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bookings_analytics.cohorts import CohortsSource
    from bookings_analytics.results import FetchResult

_GROUPS: Final = (2, 12)  # different values of a column that a notebook groups by unasked


@dataclass(frozen=True, repr=False)
class Loaded:
    """What a notebook looks at; shown, it says how much that is and of which days.

    Attributes:
        cohorts: The list, with the studio and the ``fetch_outcome`` of every customer: `schema.RESULT_COHORTS`.
        outcomes: What became of each place that was asked for: `schema.OUTCOMES`. From an archive read with a time
            zone, also its ``class_day``, and that day's ``week`` (its Monday), ``weekday`` and ``month``.
        fetches: When each customer was asked for: `schema.FETCHES`.
        titles: Class id → title, as the archive keeps them and a file of titles corrects them.
        result: What the studio answered; None where an archive was read.
        archive: The archive that was read; None where the studio was asked.
        days: The days of the classes: `schema.CLASS_DAYS`; None without an archive or a time zone.
        n_undated: How many places ``since`` and ``until`` left out because the day of their class is not known.
    """

    cohorts: pl.DataFrame
    outcomes: pl.DataFrame
    fetches: pl.DataFrame
    titles: Mapping[int, str]
    result: FetchResult | None = None
    archive: Archive | None = None
    days: pl.DataFrame | None = None
    n_undated: int = 0

    def __repr__(self) -> str:
        asked = self.cohorts.select(*schema.CUSTOMER_KEY, "fetch_outcome").unique(list(schema.CUSTOMER_KEY))
        read = asked.filter(pl.col("fetch_outcome") == "ok").height
        asked_for = self.outcomes.join(asked, on=list(schema.CUSTOMER_KEY), how="semi")
        listed = f"{counted(asked.height, 'customer')} on the list, {read:,} of them fetched"
        text = f"{listed}; {asked_for.height:,} places in classes asked for"
        if self.days is None:
            return f"{text}."
        class_day = asked_for["class_day"]
        dated, undated = class_day.drop_nulls(), self.n_undated or class_day.null_count()
        first, last = (f"{day.day} {day:%b %Y}" if isinstance(day, date) else "—" for day in (dated.min(), dated.max()))
        left = "left out" if self.n_undated else "counted where no day is needed"
        return f"{text}, {first} to {last} by class day. {undated:,} more whose day is not known are {left}."

    def _repr_markdown_(self) -> str:
        return repr(self)

    @property
    def own_columns(self) -> list[str]:
        """The list's own columns that make two to twelve groups."""
        fewest, most = _GROUPS
        own = self.cohorts.drop(schema.RESULT_COHORTS)
        return [column.name for column in own if fewest <= column.n_unique() <= most]


def load(
    cohort_file: CohortsSource,
    *,
    base_url: str | None = None,
    studio_name: str | None = None,
    archive_path: str | Path | None = None,
    storage_options: Mapping[str, str] | None = None,
    timezone: str | None = None,
    opens: str = "05:00",
    closes: str = "24:00",
    since: str | None = None,
    until: str | None = None,
    class_file: str | Path | None = None,
) -> Loaded:
    """Read a list of customers and what is known about their bookings, and show charts well in this notebook.

    Args:
        cohort_file: The list of customers: what `read_cohorts` takes.
        base_url: Where the studio's API is, its key being in the variable BOOKINGS_API_KEY; None: the made-up studio.
        studio_name: What the studio is called in all frames.
        archive_path: An archive to read instead of asking the studio: a directory, or the URL of an object store.
        storage_options: What the object store of the archive needs, such as ``{"AWS_REGION": …}``.
        timezone: The studio's time zone, such as "Europe/Berlin"; None: classes of an archive have no days.
        opens: Local time before which no class begins.
        closes: Local time after which no class ends.
        since: Of an archive, the first class day to look at, such as "2026-05-01"; None: the first known.
        until: The last class day to look at; None: the last known.
        class_file: The titles of the classes: a list with ``class_id`` and ``title``; None: as the archive keeps them.

    Raises:
        BookingsError: The list, the studio or the archive can't be read, or there is nothing in the period; the
            message says what to do.

    Example:
        >>> import bookings_analytics as ba
        >>> data = ba.notebook.load([14925548])  # nobody of the made-up studio, which says so
        Traceback (most recent call last):
        bookings_analytics.errors.ConfigurationError: Studio 'demo' answered 404 for every customer...
    """
    setup()
    titles = read_titles(class_file) if class_file else {}
    first, last = _day("since", since), _day("until", until)
    if not archive_path:
        if first or last:
            raise ConfigurationError("since and until choose class days of an archive: set archive_path as well.")
        from bookings_analytics.demo import serve  # noqa: PLC0415 - a server and a client: slow, no archive needs them
        from bookings_analytics.fetch import fetch_bookings  # noqa: PLC0415 - likewise

        studio = (
            Studio(studio_name, base_url=base_url, api_key=os.environ.get(API_KEY_VARIABLE)) if base_url else serve()
        )
        result = fetch_bookings(read_cohorts(cohort_file), studios=studio)
        return Loaded(result.cohorts, classify(result.bookings), result.fetches, titles, result=result)
    archive = Archive(archive_path, storage_options=dict(storage_options) if storage_options else None)
    titles = archive.titles() | titles
    cohorts, fetches = archive.cohorts(cohort_file).collect(), archive.fetches().collect()
    if timezone is None:
        if first or last:
            raise ConfigurationError("since and until are days in the studio's time: set timezone as well.")
        return Loaded(cohorts, archive.outcomes().frame(), fetches, titles, archive=archive)
    days = archive.class_days(timezone=timezone, opens=opens, closes=closes, known=archive.slots())
    dated = archive.outcomes(class_days=days).frame()
    chosen = dated.filter(pl.lit(True), *_within(first, last))  # noqa: FBT003 - keeps all rows without a period
    if chosen.is_empty() and (first or last):
        known = dated["class_day"].drop_nulls().sort()
        days_known = f"they go from {known[0]} to {known[-1]}" if len(known) else "no class has a day yet"
        raise ConfigurationError(
            f"no class day of the archive lies in since={since} to until={until}: {days_known}. Choose other days."
        )
    n_undated = dated["class_day"].null_count() if first or last else 0
    return Loaded(cohorts, chosen, fetches, titles, archive=archive, days=days, n_undated=n_undated)


def _day(name: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is {text!r}, which is not a day. Write it as 2026-05-01.") from error


def _within(first: date | None, last: date | None) -> list[pl.Expr]:
    """Build the conditions for a class day in a period; a class without a day is in none."""
    bounds = [pl.col("class_day") >= first] if first else []
    return bounds + ([pl.col("class_day") <= last] if last else [])
