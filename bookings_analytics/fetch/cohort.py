"""A whole cohort's bookings: the call, the bars, the interrupt, and the result."""

from __future__ import annotations

import traceback
import warnings
from functools import partial
from typing import TYPE_CHECKING

from bookings_analytics.errors import ConfigurationError, FetchInterrupted
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.plan import Plan, check_where_it_goes_on, named
from bookings_analytics.fetch.progress import progress_bars
from bookings_analytics.fetch.rate_limit import rate_limit_of
from bookings_analytics.fetch.stamps import forward_clock
from bookings_analytics.fetch.threads import run_in_thread
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    import httpx

    from bookings_analytics.cohorts import CohortsSource
    from bookings_analytics.fetch.writer import SnapshotArchive
    from bookings_analytics.studios import Studio


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
        progress: Whether to show a bar for each studio while it runs, and counts afterwards.
        concurrency: Requests under way at once, per studio, at most: it begins with two, and more follow only while
            that is quicker and the limit leaves room. Of many studios, about 1,200 in all.
        requests_per_minute: The API's limit, per studio.
        transport: What carries the requests, for tests and proxies.
        clock: Returns the time (aware) that ``observed_at`` and ``fetched_at`` are stamped with; None: this
            machine's clock, or the demo studio's that ``BOOKINGS_CLOCK`` names. Times
            never go back, whatever the clock does.

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
    if concurrency < 1 or requests_per_minute < 1:
        raise ConfigurationError(
            f"concurrency is {concurrency} and requests_per_minute is {requests_per_minute}: pass both as 1 or more."
        )
    by_name = named(studios)
    check_where_it_goes_on(archive, max_age, resume)
    stamps = forward_clock(clock)
    plan = Plan.make(cohorts, by_name, archive=archive, max_age=max_age, resume=resume, now=stamps.begin())
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
        return FetchResult.assemble(
            plan.members, [plan.bookings, *written.bookings], [plan.fetches, *written.fetches], plan.kept
        )

    try:
        totals = {studio.name: len(ids) for studio, ids in plan.asked.items()}
        try:
            with progress_bars(totals, shown=progress) as update:
                run_in_thread(job.run(plan.asked, plan.answered_before), job, lambda: update(job.written.done))
        finally:  # an endpoint that is gone ends a fetch, too
            if job.announced:
                _warn(job.announced)
        complete = result()
        if len(by_name) == 1:
            _check_address(complete)
        if progress:
            print(complete.summary(between=";\n", each_studio=True))  # noqa: T201 - what a notebook keeps; one line would break in a word
    except KeyboardInterrupt:
        ended_by: BaseException = _interrupted(job, plan)
    except BaseException as error:  # noqa: BLE001 - the one net: also what nobody foresaw carries what was read
        ended_by = error
    else:
        return complete
    _clear_frames(ended_by)
    ended_by.result = result()  # type: ignore[attr-defined]  # as every BookingsError has
    raise ended_by


def _clear_frames(error: BaseException | None) -> None:
    """Forget the variables of an error's frames, with all it came from: those of the transport hold the key."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _interrupted(job: FetchJob, plan: Plan) -> FetchInterrupted:
    total = sum(map(len, plan.asked.values()))
    return FetchInterrupted(
        f"The fetch was stopped after {job.written.done.total():,} of {total:,} customers. "
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
    """Warn of the address of a studio that knows none of its customers.

    Raises:
        ConfigurationError: Every customer is unknown.
    """
    outcomes = result.cohorts.select("studio", "fetch_outcome").unique()
    if outcomes["fetch_outcome"].to_list() == ["not_found"]:
        raise ConfigurationError(
            f"Studio {outcomes['studio'].item()!r} answered 404 for every customer, so its address is probably "
            "another studio's, or the ids are. Check base_url= (or BOOKINGS_BASE_URL) and the cohort list."
        )
