"""The work of a fetch: several requests under way at once, in an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from bookings_analytics import schema
from bookings_analytics.errors import (
    ApiError,
    AuthenticationError,
    BookingsError,
    ConnectionFailedError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    ValidationFailedError,
)
from bookings_analytics.fetch.client import BookingsClient
from bookings_analytics.fetch.wire import OPTED_OUT, Booking
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import httpx

    from bookings_analytics.studios import Studio

_CHUNK = 300  # customers whose rows are turned into frames, and written to the archive, at once
_UNWRITTEN = 2  # chunks that may wait to be written while the next customers are asked for


class SnapshotArchive(Protocol):
    """What a fetch needs of an archive."""

    def add(self, result: FetchResult) -> object:
        """Keep what a fetch brought."""

    def latest_fetches(self) -> pl.LazyFrame:
        """Give the latest kept fetch of every customer, as `schema.FETCHES`."""


class _Fetch(NamedTuple):
    """One row of `schema.FETCHES`."""

    studio: str
    customer_id: int
    fetched_at: datetime
    outcome: str
    n_bookings: int | None
    http_status: int | None
    error_code: str | None
    message: str | None
    trace_id: str | None
    attempts: int


class Run:
    """One run through the customers of one or several studios.

    Attributes:
        n_done: How many customers have their outcome.
        bookings: What was read and is in no archive, in frames of `schema.BOOKINGS`; complete when `read` has ended.
        fetches: What became of the customers asked, in frames of `schema.FETCHES`.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        concurrency: int,
        requests_per_minute: int,
        transport: httpx.AsyncBaseTransport | None,
        archive: SnapshotArchive | None,
    ) -> None:
        self.n_done = 0
        self.bookings: list[pl.DataFrame] = []
        self.fetches: list[pl.DataFrame] = []
        self._clock = clock
        self._concurrency = concurrency
        self._requests_per_minute = requests_per_minute
        self._transport = transport
        self._archive = archive
        self._writing = asyncio.Lock()
        self._writes: list[asyncio.Task[None]] = []
        self._read: list[tuple[_Fetch, list[Booking]]] = []
        self._started = threading.Event()

    async def read(self, jobs: Mapping[Studio, Sequence[int]]) -> None:
        """Read every studio's customers, all studios at once; end early, without an error, when stopped.

        Raises:
            AuthenticationError: A key is not accepted.
            PermissionDeniedError: A key may not read bookings.
            ConnectionFailedError: A studio can't be reached at all.
            ArchiveError: The archive can't be written.
        """
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._started.set()
        try:
            with suppress(asyncio.CancelledError):
                await _all(self._read_studio(studio, ids) for studio, ids in jobs.items())
        finally:
            self._finish_chunk()
            await asyncio.gather(*self._writes, return_exceptions=True)
        self._check_writes()

    def stop(self) -> None:
        """Make `read` end now, from another thread."""
        self._started.wait()
        if self._task:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _read_studio(self, studio: Studio, ids: Sequence[int]) -> None:
        async with BookingsClient(
            studio,
            transport=self._transport,
            requests_per_minute=self._requests_per_minute,
            concurrency=self._concurrency,
        ) as client:
            await client.check_key()
            waiting = iter(ids)
            await _all(self._work(studio.name, client, waiting) for _ in range(self._concurrency))

    async def _work(self, studio: str, client: BookingsClient, waiting: Iterator[int]) -> None:
        """Ask for one customer after the other, until none is waiting."""
        for customer_id in waiting:
            await self._let_writes_keep_up()
            bookings: list[Booking] = []
            try:
                bookings, attempts = await client.bookings(customer_id)
            except (ApiError, ConnectionFailedError, InvalidResponseError) as error:
                if (outcome := _outcome(error)) is None:
                    raise
                fetch = _not_read(studio, customer_id, self._clock(), outcome, error)
            else:
                at = self._clock()
                fetch = _Fetch(studio, customer_id, at, "ok", len(bookings), 200, None, None, None, attempts)
            self._read.append((fetch, bookings))
            self.n_done += 1
            if len(self._read) >= _CHUNK:
                self._finish_chunk()
                self._check_writes()

    def _finish_chunk(self) -> None:
        """Turn what was read into frames, and have them written if there is an archive."""
        if not self._read:
            return
        read, self._read = self._read, []
        fetches = pl.DataFrame([fetch for fetch, _ in read], schema=schema.FETCHES, orient="row")
        bookings = _bookings_frame(fetches, [booking for _, rows in read for booking in rows])
        self.fetches.append(fetches)
        if self._archive is None:
            self.bookings.append(bookings)
        else:
            self._writes.append(asyncio.create_task(self._write(self._archive, bookings, fetches)))

    def _check_writes(self) -> None:
        """Raise what went wrong while writing, if anything: the fetch stops."""
        for write in self._writes:
            if write.done():
                write.result()
        self._writes = [write for write in self._writes if not write.done()]

    async def _let_writes_keep_up(self) -> None:
        """Wait while the archive is slower than the API, or what is not written yet would pile up in memory."""
        while len(self._writes) > _UNWRITTEN:
            await asyncio.wait(self._writes, return_when=asyncio.FIRST_COMPLETED)
            self._check_writes()

    async def _write(self, archive: SnapshotArchive, bookings: pl.DataFrame, fetches: pl.DataFrame) -> None:
        """Write one chunk; a stopped fetch waits for it, so that what was read is kept."""
        async with self._writing:
            try:
                await asyncio.to_thread(archive.add, FetchResult(bookings, fetches, schema.RESULT_COHORTS.to_frame()))
            except BookingsError:
                self.bookings.append(bookings)
                raise


def _bookings_frame(fetches: pl.DataFrame, rows: Sequence[Booking]) -> pl.DataFrame:
    """Put studio and time of its fetch beside each booking; `rows` come in the order of `fetches`."""
    read = fetches.filter(pl.col("n_bookings") > 0)
    once_each = read.select(pl.col("studio", "fetched_at").repeat_by("n_bookings").explode())
    columns = {
        "studio": once_each["studio"],
        "observed_at": once_each["fetched_at"],
        "visible": [True] * len(rows),
        **{name: [getattr(row, name) for row in rows] for name in Booking.__struct_fields__},
    }
    return pl.DataFrame({name: columns[name] for name in schema.BOOKINGS}, schema=schema.BOOKINGS)


def _outcome(error: ApiError | ConnectionFailedError | InvalidResponseError) -> str | None:
    """Say what an error means for its customer; None if it means the end of the fetch."""
    match error:
        case PermissionDeniedError(error_code=str() as code) if code.endswith(OPTED_OUT):
            return "access_disabled"
        case AuthenticationError() | PermissionDeniedError():
            return None
        case NotFoundError():
            return "not_found"
        case ValidationFailedError():
            return "rejected"
        case InvalidResponseError():
            return "invalid_response"
    return "failed"


def _not_read(
    studio: str,
    customer_id: int,
    at: datetime,
    outcome: str,
    error: ApiError | ConnectionFailedError | InvalidResponseError,
) -> _Fetch:
    status, code, message, trace = None, None, str(error), None
    if isinstance(error, ApiError):
        status, code, message, trace = error.http_status, error.error_code, error.message, error.trace_id
    return _Fetch(studio, customer_id, at, outcome, None, status, code, message, trace, error.attempts)


async def _all(work: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all of them; when one fails, stop the others and raise its error as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
