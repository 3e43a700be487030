"""A fetch that runs by itself every day: one at a time, its reasons in a file, its end told by an exit code."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import polars as pl

from bookings_analytics import (
    ApiError,
    Archive,
    ConfigurationError,
    ConnectionFailedError,
    FetchInterrupted,
    fetch_bookings,
)
from bookings_analytics.archive.changes import Added
from bookings_analytics.cli.endings import Exit, in_command_terms, is_temporary
from bookings_analytics.cli.lock import StillRunningError, alone
from bookings_analytics.cli.nights import night_lines
from bookings_analytics.cli.timetable import fetch_timetable
from bookings_analytics.schema import CUSTOMER_KEY, SETTLED
from bookings_analytics.wording import in_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from narwhals.typing import IntoFrame

    from bookings_analytics import FetchResult, Studio
    from bookings_analytics.studios import ClassHours

_SECONDS_TO_END: Final = 8.0  # after SIGTERM; whoever sends it waits ten
_REFUSED: Final = (401, 403)  # of one of several studios; that of an only studio is an error
_A_NIGHT_AGO: Final = timedelta(hours=36)


class _CountingArchive(Archive):
    """An archive that sums up what each add wrote."""

    added = Added()

    def add(
        self,
        result: FetchResult | None = None,
        *,
        bookings: IntoFrame | None = None,
        fetches: IntoFrame | None = None,
    ) -> Added:
        """Add a part of the fetch, and count it."""
        part = super().add(result, bookings=bookings, fetches=fetches)
        self.added = Added(*(a + b for a, b in zip(astuple(self.added), astuple(part), strict=True)))
        return part


def fetch_into_archive(
    cohorts: pl.DataFrame,
    archive: str,
    *,
    studios: Sequence[Studio],
    max_age: timedelta,
    failures: Path | None,
    echo: Callable[[str], object],
    hours: ClassHours,
    wait: timedelta = timedelta(hours=1),
    with_classes: bool = False,
) -> Exit:
    """Fetch a cohort list into an archive, after any other fetch into it has ended.

    Args:
        cohorts: The cohort list.
        archive: The archive's directory or URL.
        studios: The studios to fetch from, all at once.
        max_age: Skip customers fetched less than this ago.
        failures: Where to write a csv of the customers who could not be fetched, with the reasons.
        echo: Called with each line for whoever reads the log.
        hours: When the studios have classes, in this machine's time where the zone is not known. A fetch between
            opening and closing is pointed out unless the night before had one.
        wait: How long to wait, at most, for another fetch into the archive to end.
        with_classes: Whether to fetch the classes and their slots afterwards, too.

    Returns:
        How it ended.

    Raises:
        BookingsError: A setting is wrong: the list, the key, the base URL, the archive.
    """
    if failures is not None:
        _check_writable(failures)
    try:
        kept = _CountingArchive(archive)  # refuses what is not an archive before a lock file is left beside it
        with alone(archive, wait=wait, echo=echo), _terminable() as terminated:
            result, stopped_by = _fetch(cohorts, studios, kept, max_age)
            if with_classes and stopped_by is None:
                stopped_by = fetch_timetable(studios, kept, echo=echo)
    except StillRunningError as error:
        echo(str(error))
        return Exit.STILL_RUNNING
    unread = _unread(result, kept)
    if failures is not None:
        for_spreadsheets = pl.selectors.string().map_elements(in_csv, pl.String)
        unread.with_columns(for_spreadsheets).write_csv(failures, include_bom=True)
    added = kept.added
    echo(
        f"Archive: {added.new:,} new, {added.changed:,} changed, {added.gone:,} gone, {added.unchanged:,} unchanged "
        f"bookings; {added.fetches:,} fetches kept, {added.skipped:,} skipped"
        f"{' (not newer than the kept fetch)' if added.skipped else ''}."
    )
    if added.ahead:
        echo(
            f"{added.ahead:,} of these customers have a fetch in the archive that is more than 5 minutes ahead of the "
            "clock. It stays out of every number until then: check this computer's clock."
        )
    for line in (*night_lines(kept, hours, result.cohorts), *_in_opening_hours(result, kept, hours)):
        echo(line)
    listed = set(result.cohorts["studio"])
    if unlisted := [studio.name for studio in studios if studio.name not in listed]:
        echo(f"The list has no customer of {', '.join(unlisted)}.")
    if isinstance(stopped_by, FetchInterrupted):
        asked = result.fetches.filter(pl.col("outcome") != "not_fetched").height
        echo(
            f"Stopped. {asked:,} customers fetched before that are in the archive; run the command again for the rest."
        )
        return Exit.TERMINATED if terminated.is_set() else Exit.INTERRUPTED
    if stopped_by is not None:
        echo(in_command_terms(stopped_by))
    return _ending(result, unread)


def _fetch(
    cohorts: pl.DataFrame, studios: Sequence[Studio], archive: Archive, max_age: timedelta
) -> tuple[FetchResult, FetchInterrupted | ApiError | ConnectionFailedError | None]:
    """Fetch, and return what stopped it beside what it brought; a setting that is wrong is raised."""
    try:
        return fetch_bookings(cohorts, studios=studios, archive=archive, max_age=max_age), None
    except (FetchInterrupted, ApiError, ConnectionFailedError) as error:
        if error.result is None or (not isinstance(error, FetchInterrupted) and not is_temporary(error)):
            raise
        return error.result, error


def _ending(result: FetchResult, unread: pl.DataFrame) -> Exit:
    """Choose the exit code: customers who can't be fetched for good are not a failure, a whole studio of them is."""
    if unread.filter(~pl.col("outcome").is_in(SETTLED)).is_empty():
        return Exit.SOME_NOT_FETCHED if result.unread_studios else Exit.DONE
    answered = pl.col("outcome").is_in([*SETTLED, "invalid_response"]) | pl.col("http_status").is_in(_REFUSED)
    return Exit.SOME_NOT_FETCHED if result.fetches.select(answered.any()).item() else Exit.UNREACHABLE


def _unread(result: FetchResult, archive: Archive) -> pl.DataFrame:
    """Return the customers who could not be fetched, with the reason that this run or an earlier one found."""
    fetches = pl.concat([archive.latest_fetches().collect(), result.fetches.filter(outcome="not_fetched")])
    return (
        result.cohorts.filter(pl.col("fetch_outcome") != "ok")
        .select(*CUSTOMER_KEY, outcome="fetch_outcome")
        .unique()
        .join(fetches.drop("n_bookings"), on=[*CUSTOMER_KEY, "outcome"], how="left")
        .sort(CUSTOMER_KEY)
    )


def _in_opening_hours(result: FetchResult, archive: Archive, hours: ClassHours) -> Iterator[str]:
    """Point out, for each studio, a fetch between opening and closing, unless a night just before had one."""
    times = result.fetches.group_by("studio").agg(first=pl.min("fetched_at"), last=pl.max("fetched_at")).drop_nulls()
    for studio, first, last in times.sort("studio").iter_rows():
        zone, opens, closes = hours.of(studio)

        def is_open(at: datetime, zone: str | None = zone, opens: str = opens, closes: str = closes) -> bool:
            return opens <= _local(at, zone) < closes

        if not (is_open(first) or is_open(last)):
            continue
        recent = archive.fetches().filter(pl.col("studio") == studio, pl.col("fetched_at") > first - _A_NIGHT_AGO)
        if not all(is_open(at) for at in recent.select(pl.col("fetched_at").unique()).collect()["fetched_at"]):
            continue
        clock = zone or "this machine's clock"
        yield (
            f"{studio}: fetched between {_local(first, zone)} and {_local(last, zone)} "
            f"({clock}), when the studio may be open ({opens} to {closes}). Class days need "
            "one fetch a night while it is closed: schedule one, or set --opens, --closes and --timezone."
        )


def _local(at: datetime, zone: str | None) -> str:
    """Write a time of day as the studio's clock shows it."""
    return f"{at.astimezone(ZoneInfo(zone) if zone else None):%H:%M}"


def _check_writable(failures: Path) -> None:
    """Refuse a path for `--failures` that can't be written, before anything is fetched."""
    folder = failures.resolve().parent
    if not folder.is_dir():
        problem = f"its folder {folder} does not exist. Create it"
    elif failures.is_dir():
        problem = "it is a folder. Name a file in it"
    elif not os.access(failures if failures.exists() else folder, os.W_OK):
        problem = "this account may not write there. Give it the right to"
    else:
        return
    raise ConfigurationError(f"--failures {failures} can't be written: {problem}, or name another file.")


@contextmanager
def _terminable() -> Iterator[threading.Event]:
    """Let SIGTERM stop a fetch as Ctrl-C does, and end the process where that takes too long."""
    terminated = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        terminated.set()
        # What was committed to the archive is whole, whenever the process ends.
        last_resort = threading.Timer(_SECONDS_TO_END, os._exit, [Exit.TERMINATED])
        last_resort.daemon = True
        last_resort.start()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield terminated  # signals reach the main thread alone
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)
