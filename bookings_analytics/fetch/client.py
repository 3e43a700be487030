"""One customer's bookings over HTTP: the request, what is tried again, and an error for every other answer."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
import httpx

from bookings_analytics.errors import (
    ApiError,
    AuthenticationError,
    BookingsError,
    ConflictError,
    ConnectionFailedError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ValidationFailedError,
)
from bookings_analytics.fetch import transport as transports
from bookings_analytics.fetch import wire
from bookings_analytics.fetch.body import UnreadableBodyError, read_body
from bookings_analytics.fetch.deprecation import announcement
from bookings_analytics.fetch.mask import masker
from bookings_analytics.fetch.retry import MAX_ATTEMPTS, retried, retry_after

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from bookings_analytics.fetch.rate_limit import RateLimit
    from bookings_analytics.studios import Studio


_ERROR_OF_STATUS: Final[dict[int, type[ApiError]]] = {
    400: ValidationFailedError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}

_USER_AGENT: Final = f"bookings_analytics/{version('bookings-analytics')}"


class Answer(NamedTuple):
    """A customer's bookings, and how many requests they took."""

    bookings: list[wire.Booking]
    attempts: int


class Timeouts(NamedTuple):
    """Seconds that a part of a request may take.

    Attributes:
        connect: Until there is a connection.
        read: Without a single byte.
        request: One request, however the answer drips in.
        customer: One customer, with every attempt, wait and lock-out. A customer who failed is asked once more at the
            end, so twice this is under 20 minutes.
    """

    connect: float = 10.0
    read: float = 60.0
    request: float = 90.0
    customer: float = 580.0


_TIMEOUTS: Final = Timeouts()


class BookingsClient:
    """A reader of one studio's bookings, one customer a call.

    409, 429, 5xx and connection faults are tried again, `MAX_ATTEMPTS` requests in all; redirects are not followed,
    since the key's header would travel along.

    Args:
        studio: Where to read, and with which key.
        rate_limit: The studio's limit, shared with every other client of it in this process.
        transport: What carries the requests, for tests and proxies; httpx over aiohttp if None. It is not closed.
        concurrency: How many connections to keep open.
        timeouts: How long a request may take.
        certificates: What `transport.certificates` returned, where several clients share it; None reads them.

    Attributes:
        announced: What the answers said of the endpoint's end; empty if nothing.
        n_waited: How many requests had to wait for the limit.

    Raises:
        ConfigurationError: The environment names a proxy or certificates that can't be used.

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

    def __init__(
        self,
        studio: Studio,
        *,
        rate_limit: RateLimit,
        transport: httpx.AsyncBaseTransport | None = None,
        concurrency: int = 32,
        timeouts: Timeouts = _TIMEOUTS,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self.announced: set[str] = set()
        self.n_waited = 0
        self._studio = studio
        self._mask = masker(studio.api_key)
        self._url = httpx.URL(studio.base_url + wire.PATH)
        self._rate_limit = rate_limit
        self._queue = asyncio.Lock()  # one waits for the limit, the others behind it: no stampede for each slot
        self._timeouts = timeouts
        self._owns_transport = transport is None
        self._transport = transport or transports.connect(
            self._url, concurrency, certificates or transports.certificates()
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owns_transport:
            await self._transport.aclose()

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
        last: BookingsError = ConnectionFailedError(
            f"customer {customer_id}: the API's limit left no room for a request. "
            "Something else uses this key: fetch again later with resume=."
        )

        async def ask(attempt: int) -> Answer:
            nonlocal last
            try:
                response, body = await self._send("GET", url, customer_id)
                self._raise_for_status(response, body, customer_id)
                return Answer(wire.decode_bookings(body, customer_id, self._mask), attempt)
            except BookingsError as error:
                error.attempts = attempt
                last = error
                raise

        try:
            async with asyncio.timeout(self._timeouts.customer):
                return await retried(ask, max_attempts)
        except TimeoutError:
            pass
        raise last

    async def check_key(self) -> None:
        """Ask whether the key is accepted, without reading anything.

        Any answer but 401 says nothing against the key, nor does it say that bookings can't be read: not every
        server supports HEAD.

        Raises:
            AuthenticationError: The key is not accepted.
            ConnectionFailedError: No answer came.
            RateLimitError: The API answered 429 to `MAX_ATTEMPTS` requests.
        """

        async def ask(_: int) -> None:
            response, body = await self._send("HEAD", self._url, None)
            if response.status_code in (401, 429):
                self._raise_for_status(response, body, None)

        await retried(ask, MAX_ATTEMPTS)

    async def _send(self, method: str, url: httpx.URL, customer_id: int | None) -> tuple[httpx.Response, bytes]:
        """Send one request within the limit and read the whole answer."""
        async with self._queue:
            self.n_waited += await self._rate_limit.take()
        try:
            async with asyncio.timeout(self._timeouts.request):
                response = await self._transport.handle_async_request(self._request(method, url))
                try:
                    if (announced := announcement(response.status_code, response.headers)) is not None:
                        self.announced.add(announced)
                    return response, await read_body(response)
                finally:
                    await response.aclose()
        except UnreadableBodyError as error:
            refusal: BookingsError = InvalidResponseError(self._mask(str(error)), customer_id=customer_id)
        except (httpx.RequestError, aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: not even HTTP
            asked = "the key check" if customer_id is None else f"customer {customer_id}"
            problem, check = transports.explain(error)
            refusal = ConnectionFailedError(
                f"{asked}: no complete answer from {self._url.host}: {self._mask(problem)}. "
                f"{check}, then fetch again with resume=."
            )
        finally:
            self._rate_limit.release()
        # Raised here, not in the except blocks: the transport's error and its frames hold the request's headers.
        raise refusal

    def _request(self, method: str, url: httpx.URL) -> httpx.Request:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Accept-Language": "en",
            "User-Agent": _USER_AGENT,
            wire.KEY_HEADER: self._studio.api_key.reveal(),
        }
        timeout = {"connect": self._timeouts.connect, "read": self._timeouts.read}
        return httpx.Request(method, url, headers=headers, extensions={"timeout": timeout})

    def _raise_for_status(self, response: httpx.Response, body: bytes, customer_id: int | None) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._rate_limit.lock_out(retry_after(response.headers.get("Retry-After")))
        kind = ServerError if response.is_server_error else _ERROR_OF_STATUS.get(status, ApiError)
        # An API that quotes the request back must not get the key into a message.
        data = wire.decode_error(body, self._mask)
        raise kind(http_status=status, customer_id=customer_id, **data._asdict())
