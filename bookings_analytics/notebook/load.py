"""Reading all that a notebook looks at in one call: a list, and what a studio or an archive knows about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive import Archive
from bookings_analytics.cohorts import read_cohorts
from bookings_analytics.demo import serve
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.lists import read_titles
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.notebook.renderer import setup
from bookings_analytics.studios import API_KEY_VARIABLE, Studio

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bookings_analytics.cohorts import CohortsSource
    from bookings_analytics.results import FetchResult

_GROUPS: Final = (2, 12)  # different values of a column that a notebook groups by unasked


@dataclass(frozen=True)
class Loaded:
    """What a notebook looks at.

    Attributes:
        cohorts: The list, with the studio and the ``fetch_outcome`` of every customer: `schema.RESULT_COHORTS`.
        outcomes: What became of each place that these customers asked for: `schema.OUTCOMES`.
        fetches: When each customer was asked for: `schema.FETCHES`.
        titles: Class id → title; empty without a file of titles.
        result: What the studio answered; None where an archive was read.
        archive: The archive that was read; None where the studio was asked.
    """

    cohorts: pl.DataFrame
    outcomes: pl.DataFrame
    fetches: pl.DataFrame
    titles: Mapping[int, str]
    result: FetchResult | None = None
    archive: Archive | None = None

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
    since: str | None = None,
    class_file: str | Path | None = None,
) -> Loaded:
    """Read a list of customers and what is known about their bookings, and show charts well in this notebook.

    Args:
        cohort_file: The list of customers: what `read_cohorts` takes.
        base_url: Where the studio's API is, its key being in the variable BOOKINGS_API_KEY; None: the made-up studio.
        studio_name: What the studio is called in all frames.
        archive_path: An archive to read instead of asking the studio: a directory, or the URL of an object store.
        storage_options: What the object store of the archive needs, such as ``{"AWS_REGION": …}``.
        since: Of an archive, leave out what was first seen before this day (UTC), such as "2026-05-01".
        class_file: The titles of the classes: a list with ``class_id`` and ``title``.

    Raises:
        BookingsError: The list, the studio or the archive can't be read; the message says what to do.

    Example:
        >>> import bookings_analytics as ba
        >>> data = ba.notebook.load([14925548])  # nobody of the made-up studio, which says so
        Traceback (most recent call last):
        bookings_analytics.errors.ConfigurationError: Studio 'demo' answered 404 for every customer...
    """
    setup()
    titles = read_titles(class_file) if class_file else {}
    start = pl.lit(since or "1970-01-01").str.to_datetime(time_zone="UTC")
    if archive_path:
        archive = Archive(archive_path, storage_options=dict(storage_options) if storage_options else None)
        outcomes = classify(archive.history().collect()).filter(pl.col("first_seen_at") >= start)
        fetches = archive.fetches().filter(pl.col("fetched_at") >= start).collect()
        return Loaded(archive.cohorts(cohort_file).collect(), outcomes, fetches, titles, archive=archive)
    studio = Studio(studio_name, base_url=base_url, api_key=os.environ.get(API_KEY_VARIABLE)) if base_url else serve()
    result = fetch_bookings(read_cohorts(cohort_file), studios=studio)
    return Loaded(result.cohorts, classify(result.bookings), result.fetches, titles, result=result)
