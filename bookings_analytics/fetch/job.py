"""The work of a fetch: all studios at once, in an event loop of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bookings_analytics.errors import ApiError, ConfigurationError, ConnectionFailedError
from bookings_analytics.fetch import transport as transports
from bookings_analytics.fetch.client import BookingsClient
from bookings_analytics.fetch.connection import Timeouts
from bookings_analytics.fetch.lanes import Lanes, Spare
from bookings_analytics.fetch.studio_job import PATIENCE, StudioJob, run_all
from bookings_analytics.fetch.threads import Stoppable
from bookings_analytics.fetch.writer import CHUNK, ChunkWriter, SnapshotArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from datetime import datetime

    import httpx

    from bookings_analytics.fetch.rate_limit import RateLimit
    from bookings_analytics.studios import Studio


class FetchJob(Stoppable):
    """One fetch of the customers of one or several studios.

    Args:
        clock: Returns the time that answers are stamped with.
        concurrency: Requests under way at once, per studio, at most.
        rate_limit: Returns a studio's limit.
        transport: What carries the requests; None for the network.
        archive: Where bookings are kept; None keeps them in the job.
        one_for_all: Whether the end of one studio's fetch ends them all.
        chunk: Customers of a studio whose rows are written at once, at least.
        timeouts: How long a request may take.

    Attributes:
        written: What was read until now; complete when `run` has ended.
        announced: What the answers said of the endpoint's end; empty if nothing.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        concurrency: int,
        rate_limit: Callable[[Studio], RateLimit],
        transport: httpx.AsyncBaseTransport | None = None,
        archive: SnapshotArchive | None = None,
        one_for_all: bool = True,
        chunk: int = CHUNK,
        timeouts: Timeouts | None = None,
    ) -> None:
        super().__init__()
        self.written = ChunkWriter(archive, chunk=chunk)
        self.announced: set[str] = set()
        self._clock = clock
        self._concurrency = concurrency
        self._rate_limit = rate_limit
        self._transport = transport
        self._one_for_all = one_for_all
        self._timeouts = timeouts or Timeouts()

    async def run(self, customers: Mapping[Studio, Sequence[int]], answered_before: Container[str] = ()) -> None:
        """Ask for every studio's customers, all studios at once; end early, without an error, when stopped.

        Args:
            customers: The ids of each studio's customers.
            answered_before: The names of studios that are known to answer.

        Raises:
            AuthenticationError: A key is not accepted.
            PermissionDeniedError: A key may not read bookings.
            ConnectionFailedError: A studio can't be reached at all, or not any more.
            ConfigurationError: A studio can read none of its customers, or the environment's proxy can't be used.
            ArchiveError: The archive can't be written.
        """
        self._spare = Spare(len(customers))
        for studio, ids in customers.items():
            self.written.expect(studio.name, len(ids))
        self._certificates = transports.certificates() if self._transport is None else None
        try:
            await self.until_stopped(
                run_all(
                    self._fetch(studio, ids, answered_before=studio.name in answered_before)
                    for studio, ids in customers.items()
                )
            )
        finally:
            await self.written.finish()

    async def _fetch(self, studio: Studio, ids: Sequence[int], *, answered_before: bool) -> None:
        """Fetch one studio; of several, one that can't be read loses no other's customers."""
        client = BookingsClient(
            studio,
            rate_limit=self._rate_limit(studio),
            transport=self._transport,
            concurrency=self._concurrency,
            timeouts=self._timeouts,
            certificates=self._certificates,
        )
        lanes = Lanes(self._concurrency, self._spare, lambda: client.n_waited)
        job = StudioJob(
            studio.name,
            client,
            self.written,
            clock=self._clock,
            lanes=lanes,
            patience=max(PATIENCE, 3 * self._concurrency),
            answered_before=answered_before,
        )
        async with client:
            try:
                await job.run(ids)
            except (ApiError, ConnectionFailedError, ConfigurationError) as error:
                if self._one_for_all:
                    raise
                job.give_up(ids, error)
            finally:
                lanes.close()
                self.announced |= client.announced
