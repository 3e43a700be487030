"""A whole cohort's bookings: who is asked where, the bar, the interrupt, and the result."""

from __future__ import annotations

import asyncio
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.cohorts import CohortsSource, read_cohorts
from bookings_analytics.errors import CohortError, ConfigurationError, FetchInterrupted
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.progress import progress_bar
from bookings_analytics.fetch.rate_limit import rate_limit_of
from bookings_analytics.fetch.stamps import forward_clock
from bookings_analytics.metrics.engines import lazy, like
from bookings_analytics.metrics.groups import fill_only_studio
from bookings_analytics.results import SETTLED, FetchResult
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.studios import Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    import httpx

    from bookings_analytics.fetch.writer import SnapshotArchive

_BAR_INTERVAL: Final = 0.2  # seconds between two looks at the run


def fetch_bookings(
    cohorts: CohortsSource,
    *,
    studios: Studio | Sequence[Studio],
    archive: SnapshotArchive | None = None,
    max_age: timedelta | None = None,
    resume: FetchResult | None = None,
    progress: bool = True,
    concurrency: int = 32,
    requests_per_minute: int = 1000,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], datetime] | None = None,
) -> FetchResult:
    """Fetch the bookings of every customer of the cohorts, each customer once per studio.

    The API shows the bookings whose class lies within two weeks of now. A customer who can't be read (unknown, opted
    out, a broken answer) is an outcome of `result.fetches` and loses no other customer.

    Args:
        cohorts: What `read_cohorts` takes.
        studios: One studio, or several: they are fetched at the same time, each within its own limit. Of several,
            one that can't be read loses its own customers only: they are failed, and the summary names it.
        archive: Where the bookings are kept, an `Archive`: they are written every few hundred customers, and the
            result's `bookings` stay empty.
        max_age: With an archive: skip customers fetched less than this ago, so that the same call goes on where an
            earlier one stopped.
        resume: An earlier result for these cohorts; only customers it has no final answer for are asked.
        progress: Whether to show a bar while it runs, and counts afterwards.
        concurrency: Requests under way at once, per studio.
        requests_per_minute: The API's limit, per studio.
        transport: What carries the requests, for tests and proxies.
        clock: Returns the time (aware) that ``observed_at`` and ``fetched_at`` are stamped with; None:
            `clock.current_time`. Times never go back, whatever the clock does.

    Returns:
        Bookings, fetches and cohorts: `schema.BOOKINGS`, `schema.FETCHES` and `schema.RESULT_COHORTS`.

    Raises:
        ConfigurationError: A setting is wrong; also when a studio answers 404 for every customer, or of a longer list
            could read none of fifty customers spread over it.
        CohortError: The list can't be used as it stands, or names a studio that was not passed.
        AuthenticationError: The key is not accepted.
        PermissionDeniedError: The key may not read bookings.
        ConnectionFailedError: The studio can't be reached, or answered a hundred customers in a row no more.
        ArchiveError: The archive can't be written; what it does not hold is in `.result`.
        FetchInterrupted: The analyst stopped it.

        Whatever ends a fetch, also an error of another kind, carries everything read until then in `.result`.

    Warns:
        FutureWarning: The API announces the end of the endpoint; once a fetch, with the dates it names.

    Examples:
        >>> import bookings_analytics as ba
        >>> with ba.demo.serve() as studio:
        ...     result = ba.fetch_bookings(studio.cohorts.head(3), studios=studio, progress=False)
        >>> result.fetches["outcome"].to_list()
        ['ok', 'ok', 'ok']
    """
    by_name = _by_name([studios] if isinstance(studios, Studio) else studios)
    _check_settings(concurrency, requests_per_minute, archive, max_age, resume)
    stamps = forward_clock(clock)
    now = stamps.begin()
    if now.tzinfo is None:
        raise ConfigurationError(f"clock returns {now} without a time zone: let it return aware times, such as UTC.")
    members = _with_studio(read_cohorts(cohorts), by_name)
    kept = _kept_since(archive, None if max_age is None else now - max_age, members)
    bookings, fetches = resume.settled(members) if resume else (schema.BOOKINGS.to_frame(), schema.FETCHES.to_frame())
    customers = members.select(CUSTOMER_KEY).unique(maintain_order=True)
    asked = customers.join(pl.concat([fetches, kept]), on=CUSTOMER_KEY, how="anti", maintain_order="left")
    job = FetchJob(
        clock=stamps,
        concurrency=min(concurrency, requests_per_minute),
        rate_limit=partial(rate_limit_of, requests_per_minute=requests_per_minute),
        transport=transport,
        archive=archive,
        one_for_all=len(by_name) == 1,
    )

    def result() -> FetchResult:
        written = job.written
        return FetchResult.assemble(members, [bookings, *written.bookings], [fetches, *written.fetches], kept)

    read_before = pl.concat([fetches, kept]).filter(outcome="ok")["studio"].unique().to_list()
    try:
        _run_in_thread(job, asked, by_name, read_before, shown=progress)
        complete = result()
        if len(by_name) == 1:
            _check_address(complete)
        if job.announced:
            _warn(job.announced)
        if progress:
            print(complete.summary(between=";\n"))  # noqa: T201 - what a notebook keeps; one line would break in a word
    except KeyboardInterrupt:
        ended_by: BaseException = _interrupted(job, asked)
    except BaseException as error:  # noqa: BLE001 - the one net: also what nobody foresaw carries what was read
        ended_by = error
    else:
        return complete
    _clear_frames(ended_by)
    ended_by.result = result()  # type: ignore[attr-defined]  # as every BookingsError has
    raise ended_by


def _check_settings(
    concurrency: int,
    requests_per_minute: int,
    archive: SnapshotArchive | None,
    max_age: timedelta | None,
    resume: FetchResult | None,
) -> None:
    if concurrency < 1 or requests_per_minute < 1:
        raise ConfigurationError(
            f"concurrency is {concurrency} and requests_per_minute is {requests_per_minute}: pass both as 1 or more."
        )
    if max_age is not None and archive is None:
        raise ConfigurationError("max_age= says how old a kept fetch may be, so it needs archive=, which keeps them.")
    if resume is not None and archive is not None:
        raise ConfigurationError(
            "resume= is for fetches without archive=: with one, max_age= goes on where they stopped."
        )
    if resume is not None and resume.bookings.height != resume.fetches["n_bookings"].sum():
        raise ConfigurationError(
            "The bookings of the result passed as resume= are not in it, so they went into an archive: "
            "pass archive= and max_age= instead, and the fetch goes on where it stopped."
        )


def _kept_since(archive: SnapshotArchive | None, since: datetime | None, members: pl.DataFrame) -> pl.DataFrame:
    """Read the kept fetches of the members that make asking again needless."""
    if archive is None or since is None:
        return schema.FETCHES.to_frame()
    return (
        archive.latest_fetches()
        .filter(pl.col("fetched_at") > since, pl.col("outcome").is_in(SETTLED))
        .collect()
        .join(members, on=CUSTOMER_KEY, how="semi")
    )


def _by_name(studios: Sequence[Studio]) -> dict[str, Studio]:
    by_name = {studio.name: studio for studio in studios}
    if not by_name:
        raise ConfigurationError("No studio was given: pass studios=Studio(…), or a list of them.")
    if len(by_name) < len(studios):
        names = [studio.name for studio in studios]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"Two studios are called {twice!r}: give each a name of its own.")
    return by_name


def _with_studio(cohorts: pl.DataFrame, studios: Mapping[str, Studio]) -> pl.DataFrame:
    """Fill in the only studio where none is named; refuse what can't be asked anywhere."""
    cohorts = like(cohorts, fill_only_studio(lazy(cohorts), studios))
    known = ", ".join(map(repr, studios))
    for row, (customer_id, studio) in enumerate(cohorts.select("customer_id", "studio").iter_rows(), start=1):
        if studio not in studios:
            problem = "names no studio" if studio is None else f"is of studio {studio!r}, which was not given"
            raise CohortError(
                f"row {row} of the cohorts, customer {customer_id}, {problem}. "
                f"Name one of {known} in its column studio, or pass that studio in studios=."
            )
    return cohorts


def _run_in_thread(
    job: FetchJob, asked: pl.DataFrame, studios: Mapping[str, Studio], read_before: Sequence[str], *, shown: bool
) -> None:
    """Run the work in a thread with a loop of its own (a notebook's is taken), and raise what ended it, if anything."""
    customers = {
        studios[str(name)]: ids["customer_id"].to_list()
        for (name,), ids in asked.group_by("studio", maintain_order=True)
    }
    with (
        progress_bar(asked.height, shown=shown) as update,
        ThreadPoolExecutor(1, thread_name_prefix="fetch_bookings") as pool,
    ):
        work = pool.submit(asyncio.run, job.run(customers, read_before))
        try:
            while not work.done():
                wait([work], timeout=_BAR_INTERVAL)
                update(job.written.n_done)
        finally:
            if not work.done():  # Ctrl-C, or a bar that can't be shown
                job.stop()
        work.result()


def _clear_frames(error: BaseException | None) -> None:
    """Forget the variables of an error's frames, with all it came from: those of the transport hold the key."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _interrupted(job: FetchJob, asked: pl.DataFrame) -> FetchInterrupted:
    return FetchInterrupted(
        f"The fetch was stopped after {job.written.n_done:,} of {asked.height:,} customers. "
        "They are in .result of this error, or in the archive if there is one; "
        "go on with resume=error.result, or with the same call and max_age= if there is an archive."
    )


def _warn(announced: Iterable[str]) -> None:
    """Warn once a fetch of the endpoint's end, however many answers announced it."""
    warnings.warn(
        f"The API announces the end of the bookings endpoint: {'; '.join(sorted(announced))}. "
        "Update bookings_analytics; if the newest version says the same, ask the API's vendor for the successor.",
        FutureWarning,
        stacklevel=3,
    )


def _check_address(result: FetchResult) -> None:
    """Suspect the address of a studio that knows not one of its customers.

    Raises:
        ConfigurationError: Every customer is unknown.
    """
    outcomes = result.cohorts.select("studio", "fetch_outcome").unique()
    if outcomes["fetch_outcome"].to_list() == ["not_found"]:
        raise ConfigurationError(
            f"Studio {outcomes['studio'].item()!r} answered 404 for every customer, so its base_url is probably "
            "another studio's, or the ids are. Check base_url= (or BOOKINGS_BASE_URL) and the cohort list."
        )
