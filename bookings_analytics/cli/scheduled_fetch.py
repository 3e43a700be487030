"""A fetch that runs by itself every day: one at a time, its reasons in a file, its end told by an exit code."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import polars as pl

from bookings_analytics.archive import Archive
from bookings_analytics.errors import ApiError, AuthenticationError, ConnectionFailedError, PermissionDeniedError
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from bookings_analytics.results import FetchResult
    from bookings_analytics.studios import Studio


class Exit(IntEnum):
    """How a command ended, for the schedule that ran it."""

    ALL_READ = 0
    WRONG_SETTING = 2  # as the command line itself says of a wrong option
    SOME_NOT_READ = 3
    INTERRUPTED = 130  # as a shell says of Ctrl-C


def fetch_into_archive(
    cohorts: Path,
    archive: str,
    *,
    studio: Studio,
    max_age: timedelta,
    failures: Path | None,
    tell: Callable[[str], None],
) -> Exit:
    """Fetch a cohort list into an archive, after any other fetch into it has ended.

    Args:
        cohorts: The cohort list.
        archive: The archive's directory or URL.
        studio: Where to read.
        max_age: Customers read less than this ago are not asked again.
        failures: Where to write a csv of the customers who could not be read, with the reasons.
        tell: Says something to whoever reads the log.

    Raises:
        BookingsError: A setting is wrong: the list, the key, the base URL, the archive.
    """
    with _alone(archive, tell):
        kept = Archive(archive)
        try:
            result = fetch_bookings(cohorts, studios=studio, archive=kept, max_age=max_age)
        except (ApiError, ConnectionFailedError) as error:
            if error.result is None or isinstance(error, (AuthenticationError, PermissionDeniedError)):
                raise
            tell(str(error))
            result = error.result
        unread = _unread(result, kept)
    if failures is not None:
        unread.write_csv(failures)
    return Exit.ALL_READ if unread.is_empty() else Exit.SOME_NOT_READ


def _unread(result: FetchResult, archive: Archive) -> pl.DataFrame:
    """Give the customers who could not be read, with the reason that this run or an earlier one found."""
    fetches = pl.concat([archive.latest_fetches().collect(), result.fetches.filter(outcome="not_fetched")])
    return (
        result.cohorts.filter(pl.col("fetch_outcome") != "ok")
        .select(*CUSTOMER_KEY, outcome="fetch_outcome")
        .unique()
        .join(fetches.drop("n_bookings"), on=[*CUSTOMER_KEY, "outcome"], how="left")
        .sort(CUSTOMER_KEY)
    )


@contextmanager
def _alone(archive: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other fetch into this archive runs on this machine: both would ask for the same customers."""
    place = archive if "://" in archive else str(Path(archive).resolve())
    name = f"bookings-analytics-{hashlib.sha256(place.encode()).hexdigest()[:16]}.lock"
    lock = filelock.FileLock(Path(tempfile.gettempdir()) / name)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        tell(f"Another fetch into {archive} is running: waiting for it to end.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
