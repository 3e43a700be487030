"""One customer's bookings over HTTP."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from bookings_analytics.fetch import wire
from bookings_analytics.fetch.connection import ApiConnection, Asked
from bookings_analytics.fetch.retry import MAX_ATTEMPTS, retried

if TYPE_CHECKING:
    import httpx


class Answer(NamedTuple):
    """A customer's bookings, and how many requests they took."""

    bookings: list[wire.Booking]
    attempts: int


class BookingsClient(ApiConnection):
    """A reader of one studio's bookings, one customer per call.

    What it takes is described in `ApiConnection`.

    Examples:
        >>> import asyncio
        >>> import bookings_analytics as ba
        >>> from bookings_analytics.fetch.client import BookingsClient
        >>> from bookings_analytics.fetch.rate_limit import RateLimit
        >>> async def first_customer(studio: ba.Studio) -> int:
        ...     async with BookingsClient(studio, rate_limit=RateLimit(1000)) as client:
        ...         answer = await client.bookings(studio.cohorts["customer_id"][0])
        ...     return answer.attempts
        >>> with ba.demo.serve() as studio:
        ...     asyncio.run(first_customer(studio))
        1
    """

    async def bookings(self, customer_id: int, *, max_attempts: int = MAX_ATTEMPTS) -> Answer:
        """Read the bookings of one customer.

        Args:
            customer_id: The customer.
            max_attempts: How many requests to send at most.

        Raises:
            ApiError: The API answered with an error status; which subclass says which.
            ConnectionFailedError: No complete answer came.
            InvalidResponseError: The answer does not follow the specification, or is larger than `MAX_BODY`.
        """
        url = self._url.copy_with(query=f"{wire.CUSTOMER_PARAMETER}={customer_id}".encode())
        decode = partial(wire.decode_bookings, customer_id=customer_id, mask=self._mask)
        return Answer(*await self._get(url, Asked(f"customer {customer_id}", customer_id), decode, max_attempts))

    async def check_key(self) -> None:
        """Ask whether the key is accepted, without reading anything.

        Any answer but 401 says nothing against the key, nor does it say that bookings can't be read: not every
        server supports HEAD.

        Raises:
            AuthenticationError: The key is not accepted.
            ConnectionFailedError: No answer came.
            RateLimitError: The API answered 429 to `MAX_ATTEMPTS` requests.
        """
        asked = Asked("the key check")

        async def ask(_: int) -> None:
            response, body = await self._send("HEAD", self._url, asked)
            if response.status_code in (401, 429):
                self._raise_for_status(response, body, asked)

        await retried(ask, MAX_ATTEMPTS)

    @cached_property
    def _url(self) -> httpx.URL:
        return self._url_of(wire.PATH)
