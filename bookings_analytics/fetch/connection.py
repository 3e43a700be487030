"""HTTP to one studio: the request, its limit and time, what is tried again, and an error for every other answer."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

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
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from bookings_analytics.fetch.rate_limit import RateLimit
    from bookings_analytics.studios import Studio

_T = TypeVar("_T")

_ERROR_OF_STATUS: Final[dict[int, type[ApiError]]] = {
    400: ValidationFailedError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}

_USER_AGENT: Final = f"bookings_analytics/{version('bookings-analytics')}"


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


class Asked(NamedTuple):
    """What a request asks for, as errors name it.

    Attributes:
        name: In words, such as "the key check".
        customer_id: The customer; None if it asks for none.
    """

    name: str
    customer_id: int | None = None


class ApiConnection:
    """A connection to one endpoint of one studio.

    409, 429, 5xx and connection faults are tried again, `MAX_ATTEMPTS` requests in all; redirects are not followed,
    since the key's header would travel along.

    Args:
        studio: Where to read, and with which key.
        rate_limit: The limit of the studio's endpoint, shared with every other connection to it in this process.
        transport: What carries the requests, for tests and proxies; httpx over aiohttp if None. It is not closed.
        concurrency: How many connections to keep open.
        timeouts: How long a request may take.
        certificates: What `transport.certificates` returned, where several connections share it; None reads them.

    Attributes:
        announced: What the answers said of the endpoint's end; empty if nothing.
        n_waited: How many requests had to wait for the limit.

    Raises:
        ConfigurationError: The environment names a proxy or certificates that can't be used.
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
        self._base = httpx.URL(studio.base_url)
        self._rate_limit = rate_limit
        self._queue = asyncio.Lock()  # one waits for the limit, the others behind it: no stampede for each slot
        self._timeouts = timeouts
        self._owns_transport = transport is None
        self._transport = transport or transports.connect(
            self._base, concurrency, certificates or transports.certificates()
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owns_transport:
            await self._transport.aclose()

    def _url_of(self, path: str) -> httpx.URL:
        return httpx.URL(self._studio.base_url + path)

    async def _get(
        self, url: httpx.URL, asked: Asked, decode: Callable[[bytes], _T], max_attempts: int = MAX_ATTEMPTS
    ) -> tuple[_T, int]:
        """Ask until there is an answer, and return it decoded with the number of requests it took.

        Raises:
            ApiError: The API answered with an error status; which subclass says which.
            ConnectionFailedError: No complete answer came.
            InvalidResponseError: The answer does not follow the specification, or is larger than `MAX_BODY`.
        """
        last: BookingsError = ConnectionFailedError(
            f"{asked.name}: the API's limit left no room for a request. "
            "Something else uses this key: fetch again later with resume=."
        )

        async def ask(attempt: int) -> tuple[_T, int]:
            nonlocal last
            try:
                response, body = await self._send("GET", url, asked)
                self._raise_for_status(response, body, asked)
                return decode(body), attempt
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

    async def _send(self, method: str, url: httpx.URL, asked: Asked) -> tuple[httpx.Response, bytes]:
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
            refusal: BookingsError = InvalidResponseError(
                self._mask(str(error)), customer_id=asked.customer_id, asked=asked.name
            )
        except (httpx.RequestError, aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: not even HTTP
            problem, check = transports.explain(error)
            refusal = ConnectionFailedError(
                f"{asked.name}: no complete answer from {self._base.host}: {self._mask(problem)}. "
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

    def _raise_for_status(self, response: httpx.Response, body: bytes, asked: Asked) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._rate_limit.lock_out(retry_after(response.headers.get("Retry-After")))
        kind = ServerError if response.is_server_error else _ERROR_OF_STATUS.get(status, ApiError)
        # An API that quotes the request back must not get the key into a message.
        data = wire.decode_error(body, self._mask)
        raise kind(http_status=status, customer_id=asked.customer_id, asked=asked.name, **data._asdict())
