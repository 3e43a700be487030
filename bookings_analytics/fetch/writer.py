"""What was read, in chunks: turned into frames and, where there is an archive, written while the fetch goes on."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from bookings_analytics import schema
from bookings_analytics.fetch.rows import bookings_frame
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bookings_analytics.fetch.rows import FetchRow
    from bookings_analytics.fetch.wire import Booking

CHUNK: Final = 300  # customers of a studio whose rows are turned into frames, and written to the archive, at once
LARGEST_CHUNK: Final = 3_000
_CHUNKS: Final = 100  # that a large studio is written in; each is one commit of the archive
UNWRITTEN: Final = 2  # chunks that may wait to be written while the next customers are asked for


class SnapshotArchive(Protocol):
    """What a fetch needs of an archive."""

    def add(self, result: FetchResult) -> object:
        """Keep what a fetch brought."""

    def latest_fetches(self) -> pl.LazyFrame:
        """Return the latest kept fetch of every customer, as `schema.FETCHES`."""


class ChunkWriter:
    """The rows of a fetch on their way into frames and into the archive.

    Each studio's rows are written by themselves: its customers are neighbors in the archive, other studios' are not.

    Args:
        archive: Where the bookings are kept; None keeps them in `bookings`.
        chunk: Customers of a studio whose rows are turned into frames, and written, at once, at least.

    Attributes:
        done: How many customers of each studio have their outcome.
        bookings: What was read and is in no archive, in frames of `schema.BOOKINGS`; complete after `finish`.
        fetches: What became of the customers asked, in frames of `schema.FETCHES`; complete after `finish`.
    """

    def __init__(self, archive: SnapshotArchive | None, *, chunk: int = CHUNK) -> None:
        self.done: Counter[str] = Counter()
        self.bookings: list[pl.DataFrame] = []
        self.fetches: list[pl.DataFrame] = []
        self._archive = archive
        self._chunk = chunk
        self._writing = asyncio.Lock()
        self._writes: list[asyncio.Task[None]] = []
        self._chunks: dict[str, int] = {}
        self._rows: defaultdict[str, list[tuple[FetchRow, Sequence[Booking]]]] = defaultdict(list)
        self._full: list[str] = []

    def expect(self, studio: str, customers: int) -> None:
        """Choose how many of a studio's customers are written at once, from how many will come."""
        self._chunks[studio] = max(self._chunk, min(LARGEST_CHUNK, customers // _CHUNKS))

    def add(self, row: FetchRow, bookings: Sequence[Booking]) -> None:
        """Add what became of one customer."""
        rows = self._rows[row.studio]
        rows.append((row, bookings))
        self.done[row.studio] += 1
        if len(rows) == self._chunks.get(row.studio, self._chunk):
            self._full.append(row.studio)

    async def ready(self) -> None:
        """Start writing a full chunk, and wait while the archive is slower than the API: memory must not fill up.

        Raises:
            Exception: What the archive raised when an earlier chunk was written; the fetch stops.
        """
        full, self._full = self._full, []
        for studio in full:
            self._finish_chunk(studio)
        self._check_writes()
        while len(self._writes) > UNWRITTEN:
            await asyncio.wait(self._writes, return_when=asyncio.FIRST_COMPLETED)
            self._check_writes()

    async def finish(self) -> None:
        """Write what is left, and wait until all is written.

        Raises:
            Exception: What the archive raised.
        """
        for studio in list(self._rows):
            self._finish_chunk(studio)
        await asyncio.gather(*self._writes, return_exceptions=True)
        self._check_writes()

    def _finish_chunk(self, studio: str) -> None:
        rows = self._rows.pop(studio, [])
        if not rows:
            return
        fetches = pl.DataFrame([row for row, _ in rows], schema=schema.FETCHES, orient="row")
        bookings = bookings_frame(fetches, [booking for _, read in rows for booking in read])
        self.fetches.append(fetches)
        if self._archive is None:
            self.bookings.append(bookings)
        else:
            self._writes.append(asyncio.create_task(self._write(self._archive, bookings, fetches)))

    def _check_writes(self) -> None:
        """Raise what went wrong while writing, if anything."""
        done = [write for write in self._writes if write.done()]
        self._writes = [write for write in self._writes if not write.done()]
        for write in done:
            write.result()

    async def _write(self, archive: SnapshotArchive, bookings: pl.DataFrame, fetches: pl.DataFrame) -> None:
        """Write one chunk; a stopped fetch waits for it, so that what was read is kept."""
        kept = False
        async with self._writing:
            try:
                await asyncio.to_thread(archive.add, FetchResult(bookings, fetches, schema.RESULT_COHORTS.to_frame()))
                kept = True
            finally:
                if not kept:
                    self.bookings.append(bookings)
