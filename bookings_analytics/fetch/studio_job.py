"""One studio's customers: fifty spread over the list first, then the rest, and those who failed once more."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from bookings_analytics.errors import (
    ApiError,
    BookingsError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidResponseError,
)
from bookings_analytics.fetch.deprecation import GONE
from bookings_analytics.fetch.retry import MAX_ATTEMPTS, RETRIED
from bookings_analytics.fetch.rows import FetchRow, fetched, not_read, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from datetime import datetime

    from bookings_analytics.fetch.client import BookingsClient
    from bookings_analytics.fetch.lanes import Lanes
    from bookings_analytics.fetch.wire import Booking
    from bookings_analytics.fetch.writer import ChunkWriter

ASKED_FIRST: Final = 50  # customers spread over the list; if none of them can be read, the list is not gone through
FIRST_ATTEMPTS: Final = 5  # for each of them: 300 requests at most go to an address that answers nobody
_NOT_FOUND: Final = 404
PATIENCE: Final = 100  # customers who fail in a row before a fetch stops; three for each request under way if more


class StudioJob:
    """The fetch of one studio's customers.

    Args:
        studio: The studio's name.
        client: Reads its bookings.
        writer: Takes what became of each customer.
        clock: Returns the time that an answer is stamped with.
        lanes: How many requests are under way at once.
        patience: How many customers may fail in a row before the fetch stops.
        answered_before: Whether the studio is known to answer, so that the address needs no trial.
    """

    def __init__(
        self,
        studio: str,
        client: BookingsClient,
        writer: ChunkWriter,
        *,
        clock: Callable[[], datetime],
        lanes: Lanes,
        patience: int,
        answered_before: bool,
    ) -> None:
        self._studio = studio
        self._client = client
        self._writer = writer
        self._clock = clock
        self._lanes = lanes
        self._patience = patience
        self._answered_before = answered_before
        self._failed_in_a_row = 0
        self._failed: dict[int, FetchRow] = {}  # who is asked once more at the end
        self._done: set[int] = set()
        self._outcomes: Counter[str] = Counter()
        self._example: BookingsError | None = None

    async def run(self, ids: Sequence[int]) -> None:
        """Ask for every customer.

        Raises:
            AuthenticationError: The key is not accepted.
            PermissionDeniedError: The key may not read bookings.
            ConnectionFailedError: The API can't be reached, or answers nobody any more.
            ConfigurationError: Of fifty customers spread over a longer list, none could be read.
        """
        try:
            await self._client.check_key()
            first: set[int] = set()
            if len(ids) > ASKED_FIRST and not self._answered_before:
                first = {ids[n * len(ids) // ASKED_FIRST] for n in range(ASKED_FIRST)}
                await self._ask_all(sorted(first), max_attempts=FIRST_ATTEMPTS)
                self._check_address()
            await self._ask_all(customer_id for customer_id in ids if customer_id not in first)
            await self._ask_all(list(self._failed), last_time=True)
        finally:
            for row in list(self._failed.values()):  # not asked again, since the fetch was stopped
                self._done.add(row.customer_id)
                self._writer.add(row, ())

    async def _ask_all(self, ids: Iterable[int], *, max_attempts: int = MAX_ATTEMPTS, last_time: bool = False) -> None:
        waiting = iter(ids)

        async def work() -> None:
            async with self._lanes:
                for customer_id in waiting:
                    await self._writer.ready()
                    await self._ask(customer_id, max_attempts, last_time=last_time)
                    self._lanes.answered()

        await run_all(work() for _ in range(self._lanes.most))

    async def _ask(self, customer_id: int, max_attempts: int, *, last_time: bool) -> None:
        """Ask for one customer; one who failed is held back until they were asked again."""
        try:
            answer = await self._client.bookings(customer_id, max_attempts=max_attempts)
        except (ApiError, ConnectionFailedError, InvalidResponseError) as error:
            outcome = outcome_of(error)
            if outcome is None:
                raise
            failure: BookingsError = error
        else:
            self._failed_in_a_row = 0
            self._outcomes["ok"] += 1
            row = fetched(self._studio, customer_id, self._clock(), len(answer.bookings), answer.attempts)
            self._add(row, answer.bookings)
            return
        self._outcomes[outcome] += 1
        self._example = self._example or failure
        row = not_read(self._studio, customer_id, self._clock(), outcome, failure)
        if isinstance(failure, RETRIED) and not last_time:
            self._failed[customer_id] = row
        else:
            self._add(row)
        self._check_patience(failure)

    def _add(self, row: FetchRow, bookings: Sequence[Booking] = ()) -> None:
        earlier = self._failed.pop(row.customer_id, None)
        attempts = row.attempts + (earlier.attempts if earlier else 0)
        self._done.add(row.customer_id)
        self._writer.add(row._replace(attempts=attempts), bookings)

    def give_up(self, ids: Iterable[int], error: BookingsError) -> None:
        """Count whoever was not asked when the studio's fetch ended, while other studios' go on: failed, or not found.

        Args:
            ids: The studio's customers.
            error: What ended its fetch.
        """
        # An address that knows nobody of those asked first knows none of the others either.
        unknown = isinstance(error, ConfigurationError) and set(self._outcomes) == {"not_found"}
        outcome = "not_found" if unknown else "failed"
        for customer_id in ids:
            if customer_id not in self._done:
                row = not_read(self._studio, customer_id, self._clock(), outcome, error)
                self._add(row._replace(attempts=0, http_status=_NOT_FOUND if unknown else row.http_status))

    def _check_patience(self, failure: BookingsError) -> None:
        """Stop when the API is there for nobody any more.

        Raises:
            ConnectionFailedError: Too many customers failed in a row.
        """
        if isinstance(failure, RETRIED):
            self._failed_in_a_row += 1
        elif not isinstance(failure, InvalidResponseError):  # which what stands between may send without the API
            self._failed_in_a_row = 0
        if self._failed_in_a_row >= self._patience:
            raise ConnectionFailedError(
                f"Studio {self._studio!r} answered none of the last {self._failed_in_a_row} customers, "
                f"so the others were not asked. The last one: {failure}"
            )

    def _check_address(self) -> None:
        """Stop where nobody of those asked first could be read.

        Raises:
            ConnectionFailedError: The API answered none of them.
            ConfigurationError: It answered, but as no studio does that knows these customers.
        """
        if self._outcomes["ok"] or self._outcomes["access_disabled"]:
            return
        counts = ", ".join(f"{n} {outcome}" for outcome, n in self._outcomes.most_common())
        told = (
            f"Studio {self._studio!r}: of {ASKED_FIRST} customers spread over the list none could be read ({counts}), "
            f"so the others were not asked. The first one: {self._example} "
        )
        if len(self._failed) == ASKED_FIRST:
            raise ConnectionFailedError(f"{told}Check the network, then fetch again.")
        if any(each.startswith(GONE) for each in self._client.announced):
            raise ConfigurationError(f"{told}The endpoint is gone: update bookings_analytics.")
        raise ConfigurationError(
            f"{told}The address is probably not this studio's, or the ids are another's. "
            "Check base_url= (or BOOKINGS_BASE_URL) and the cohort list."
        )


async def run_all(work: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all of them; when one fails, stop the others and raise its error as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
