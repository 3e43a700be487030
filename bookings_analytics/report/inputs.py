"""What a report is asked for, checked before any notebook runs: a page about nothing would look like a finding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.archive import Archive
from bookings_analytics.cohorts import read_cohorts, read_titles
from bookings_analytics.errors import ConfigurationError
from bookings_analytics.schema import API_WINDOW

if TYPE_CHECKING:
    from datetime import date


def check_list(cohorts: Path, *, by: str | None) -> pl.DataFrame:
    """Read the list of customers, and check that it has the column to group by.

    Args:
        cohorts: The list.
        by: The column that ``--by`` names; None: not asked for.

    Raises:
        CohortError: The list can't be used.
        ConfigurationError: It has no such column.
    """
    listed = read_cohorts(cohorts)
    columns = [name for name in listed.columns if name != "customer_id"]
    if by is not None and by not in columns:
        raise ConfigurationError(f"--by {by}: {cohorts} has no such column. Choose one of {', '.join(columns)}.")
    return listed


def check_archive(
    location: str, listed: pl.DataFrame, *, since: date | None, until: date | None, classes: Path | None
) -> None:
    """Check that an archive is there and holds something to report on.

    Args:
        location: The archive's directory or URL, as ``--archive`` names it.
        listed: The list of customers.
        since: The first day that ``--since`` names; None: not asked for.
        until: The last day that ``--until`` names; None: not asked for.
        classes: The file that ``--classes`` names; None: not asked for.

    Raises:
        ArchiveError: The archive can't be read.
        ConfigurationError: There is no archive, or it holds nothing about these customers, days or classes.
    """
    if "://" not in location and not Path(location, "_delta_log").is_dir():
        raise ConfigurationError(
            f"--archive {location}: there is no archive. Check the path, or make one with: bookings-analytics fetch "
            f"--archive {location}"
        )
    archive = Archive(location)
    fetched = archive.fetches().select(first=pl.min("fetched_at"), last=pl.max("fetched_at")).collect()
    first, last = fetched.row(0)
    if last is None:
        raise ConfigurationError(
            f"--archive {location}: the archive is empty. Fill it first: bookings-analytics fetch --archive {location}"
        )
    fetched = archive.cohorts(listed).filter(pl.col("fetch_outcome") == "ok").collect()
    if fetched.is_empty():
        raise ConfigurationError(
            f"--archive {location}: it holds no successful fetch of any customer on the list. Pass the list that "
            "was fetched, with its studio if it has several."
        )
    if since is not None and last.date() < since:
        raise ConfigurationError(
            f"--since {since}: the archive's last fetch is of {last.date()}. Name an earlier day, or fetch again first."
        )
    if until is not None and until < (first - API_WINDOW).date():
        raise ConfigurationError(
            f"--until {until}: the archive's first fetch is of {first.date()} and shows two weeks before it. "
            "Name a later day."
        )
    if since is not None and until is not None and until < since:
        raise ConfigurationError(f"--until {until} is before --since {since}. Swap them.")
    if classes is not None:
        there = archive.history().select(pl.col("class_id").unique()).collect()["class_id"]
        titles = read_titles(classes)
        if not there.is_in(list(titles)).any():
            raise ConfigurationError(
                f"--classes {classes}: none of its {len(titles):,} class ids is in the archive, which has "
                f"{', '.join(map(str, there.sort().head(3)))} and so on. Pass the titles of this studio."
            )
