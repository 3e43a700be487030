"""A whole cohort's bookings: who is asked where, the bar, the interrupt, and the result."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.clock import current_time
from bookings_analytics.cohorts import CohortsSource, read_cohorts
from bookings_analytics.errors import BookingsError, CohortError, ConfigurationError, FetchInterrupted
from bookings_analytics.fetch.job import Run, SnapshotArchive
from bookings_analytics.fetch.progress import progress_bar
from bookings_analytics.results import SETTLED, FetchResult
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.studios import Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    import httpx

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
        studios: One studio, or several: they are read at the same time, each within its own limit.
        archive: Where the bookings are kept, an `Archive`: they are written every few hundred customers, and the
            result's `bookings` stay empty.
        max_age: With an archive: customers who were read less than this ago are not asked again, so that the same
            call goes on where an earlier one stopped.
        resume: An earlier result for these cohorts; only customers it has no final answer for are asked.
        progress: Show a bar while it runs, and counts afterwards.
        concurrency: Requests under way at once, per studio.
        requests_per_minute: The API's limit, per studio.
        transport: What carries the requests, for tests and proxies.
        clock: Gives the time (aware) that `observed_at` and `fetched_at` are stamped with; None: `clock.current_time`.

    Returns:
        Bookings, fetches and cohorts: `schema.BOOKINGS`, `schema.FETCHES` and `schema.RESULT_COHORTS`.

    Raises:
        ConfigurationError: A setting is wrong; also when a studio answers 404 for every customer.
        CohortError: The list can't be used as it stands, or names a studio that was not given.
        AuthenticationError: The key is not accepted.
        PermissionDeniedError: The key may not read bookings.
        ConnectionFailedError: A studio can't be reached at all.
        ArchiveError: The archive can't be written; what it does not hold is in `.result`.
        FetchInterrupted: The analyst stopped it. This and every error that stops a fetch carry `.result`.

    Examples:
        >>> import bookings_analytics as ba
        >>> with ba.demo.serve() as studio:
        ...     result = ba.fetch_bookings(studio.cohorts.head(3), studios=studio, progress=False)
        >>> result.fetches["outcome"].to_list()
        ['ok', 'ok', 'ok']
    """
    by_name = _by_name([studios] if isinstance(studios, Studio) else studios)
    if concurrency < 1 or requests_per_minute < 1:
        raise ConfigurationError(
            f"concurrency is {concurrency} and requests_per_minute is {requests_per_minute}: give both as 1 or more."
        )
    if max_age is not None and archive is None:
        raise ConfigurationError("max_age= says how old a kept fetch may be, so it needs archive=, which keeps them.")
    if resume is not None and archive is not None:
        raise ConfigurationError(
            "resume= is for fetches without archive=: with one, max_age= goes on where they stopped."
        )
    if resume is not None and resume.bookings.height != resume.fetches["n_bookings"].sum():
        raise ConfigurationError(
            "The bookings of the result given as resume= are not in it, so they went into an archive: "
            "pass archive= and max_age= instead, and the fetch goes on where it stopped."
        )
    clock = clock or current_time
    if clock().tzinfo is None:
        raise ConfigurationError(f"clock gives {clock()} without a time zone: let it give aware times, such as UTC.")
    members = _with_studio(read_cohorts(cohorts), by_name)
    kept = _kept_since(archive, max_age, clock, members)
    bookings, fetches = resume.settled(members) if resume else (schema.BOOKINGS.to_frame(), schema.FETCHES.to_frame())
    customers = members.select(CUSTOMER_KEY).unique(maintain_order=True)
    asked = customers.join(pl.concat([fetches, kept]), on=CUSTOMER_KEY, how="anti", maintain_order="left")
    run = Run(
        clock=clock,
        concurrency=min(concurrency, requests_per_minute),
        requests_per_minute=requests_per_minute,
        transport=transport,
        archive=archive,
    )
    stopped_by = _in_thread(run, asked, by_name, shown=progress)
    result = FetchResult.assemble(members, [bookings, *run.bookings], [fetches, *run.fetches], kept)
    stopped_by = stopped_by or _wrong_address(result)
    if stopped_by:
        stopped_by.result = result
        raise stopped_by
    if progress:
        print(result.summary(between=";\n"))  # noqa: T201 - what a notebook keeps; one line would break within a word
    return result


def _kept_since(
    archive: SnapshotArchive | None, max_age: timedelta | None, clock: Callable[[], datetime], members: pl.DataFrame
) -> pl.DataFrame:
    """Give the kept fetches of the members that make asking again needless."""
    if archive is None or max_age is None:
        return schema.FETCHES.to_frame()
    recent = pl.col("fetched_at") > clock() - max_age
    return (
        archive.latest_fetches()
        .filter(recent, pl.col("outcome").is_in(SETTLED))
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
    if len(studios) == 1:
        cohorts = cohorts.with_columns(pl.col("studio").fill_null(next(iter(studios))))
    known = ", ".join(map(repr, studios))
    for row, (customer_id, studio) in enumerate(cohorts.select("customer_id", "studio").iter_rows(), start=1):
        if studio not in studios:
            problem = "names no studio" if studio is None else f"is of studio {studio!r}, which was not given"
            raise CohortError(
                f"row {row} of the cohorts, customer {customer_id}, {problem}. "
                f"Name one of {known} in its column studio, or pass that studio in studios=."
            )
    return cohorts


def _in_thread(run: Run, asked: pl.DataFrame, studios: Mapping[str, Studio], *, shown: bool) -> BookingsError | None:
    """Do the work in a thread with a loop of its own (a notebook's is taken), and return what stopped it, if anything.

    The error is returned, not raised: what was read until then has to be put into it first.
    """
    jobs = {
        studios[str(name)]: ids["customer_id"].to_list()
        for (name,), ids in asked.group_by("studio", maintain_order=True)
    }
    with (
        progress_bar(asked.height, shown=shown) as update,
        ThreadPoolExecutor(1, thread_name_prefix="fetch_bookings") as pool,
    ):
        work = pool.submit(asyncio.run, run.read(jobs))
        try:
            while not work.done():
                wait([work], timeout=_BAR_INTERVAL)
                update(run.n_done)
        except KeyboardInterrupt:
            run.stop()
        else:
            error = work.exception()
            if error is None or isinstance(error, BookingsError):
                return error
            raise error
    return FetchInterrupted(
        f"The fetch was stopped after {run.n_done:,} of {asked.height:,} customers. "
        "They are in .result of this error, or in the archive if there is one; "
        "go on with resume=error.result, or with the same call and max_age= if there is an archive."
    )


def _wrong_address(result: FetchResult) -> ConfigurationError | None:
    """Suspect the address of a studio that knows not one of its customers."""
    known = result.cohorts.group_by("studio").agg((pl.col("fetch_outcome") != "not_found").any()).sort("studio")
    for studio, any_known in known.iter_rows():
        if not any_known:
            return ConfigurationError(
                f"Studio {studio!r} answered 404 for every customer, so its base_url is probably another "
                "studio's, or the ids are. Check base_url= (or BOOKINGS_BASE_URL) and the cohort list."
            )
    return None
