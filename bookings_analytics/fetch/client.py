"""One customer's bookings over HTTP: the request, what is tried again, and an error for every other answer."""

from __future__ import annotations

import asyncio
import logging
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import aiohttp
import httpx
import stamina
from httpx_aiohttp import AiohttpTransport

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
from bookings_analytics.fetch import wire
from bookings_analytics.fetch.rate_limit import budget_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from bookings_analytics.studios import Studio

MAX_ATTEMPTS: Final = 6  # requests for one customer, the first included
FIRST_WAIT: Final = 0.5  # seconds before the second attempt; doubles with each, with up to a second of jitter
LONGEST_WAIT: Final = 30.0
MAX_BODY: Final = 16 * 2**20  # bytes
KEEP_ALIVE: Final = 20.0  # seconds an idle connection is kept
TIMEOUTS: Final = {"connect": 10.0, "read": 60.0}  # seconds

_T = TypeVar("_T")

_RETRIED: Final = (ConflictError, ConnectionFailedError, RateLimitError, ServerError)
_ERROR_OF_STATUS: Final[dict[int, type[ApiError]]] = {
    400: ValidationFailedError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}

_USER_AGENT: Final = f"bookings_analytics/{version('bookings-analytics')}"

# stamina logs each retry as a warning, which Python prints where nothing is set up: a notebook would show it.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class Answer(NamedTuple):
    """A customer's bookings, and how many requests they took."""

    bookings: list[wire.Booking]
    attempts: int


class BookingsClient:
    """Reads one studio's bookings, one customer a call.

    409, 429, 5xx and connection faults are tried again, `MAX_ATTEMPTS` requests in all; redirects are not followed,
    since the key's header would travel along.

    Args:
        studio: Where to read, and with which key.
        transport: What carries the requests, for tests and proxies; httpx over aiohttp if None. It is not closed.
        requests_per_minute: The studio's budget, shared with every other client of it in this process.
        concurrency: How many connections to keep open.

    Examples:
        >>> import asyncio
        >>> import bookings_analytics as ba
        >>> from bookings_analytics.fetch.client import BookingsClient
        >>> async def first_customer(studio: ba.Studio) -> int:
        ...     async with BookingsClient(studio) as client:
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
        transport: httpx.AsyncBaseTransport | None = None,
        requests_per_minute: int = 1000,
        concurrency: int = 32,
    ) -> None:
        self._studio = studio
        self._url = httpx.URL(studio.base_url + wire.PATH)
        self._budget = budget_of(studio, requests_per_minute)
        self._queue = asyncio.Lock()  # one waits for the budget, the others behind it: no stampede for each slot
        self._owns_transport = transport is None
        self._transport = transport or _transport(self._url, concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owns_transport:
            await self._transport.aclose()

    async def bookings(self, customer_id: int) -> Answer:
        """Read the bookings of one customer.

        Raises:
            ApiError: The API answered with an error status; which subclass says which.
            ConnectionFailedError: No complete answer came.
            InvalidResponseError: The answer does not follow the specification, or is larger than `MAX_BODY`.
        """
        url = self._url.copy_with(query=f"{wire.CUSTOMER_PARAMETER}={customer_id}".encode())

        async def ask(attempt: int) -> Answer:
            try:
                response, body = await self._send("GET", url, customer_id)
                self._raise_for_status(response, body, customer_id)
                return Answer(wire.decode_bookings(body, customer_id), attempt)
            except BookingsError as error:
                error.attempts = attempt
                raise

        return await _retried(ask)

    async def check_key(self) -> None:
        """Ask whether the key is accepted, without reading anything.

        Any answer but 401 says nothing against the key.

        Raises:
            AuthenticationError: The key is not accepted.
            ConnectionFailedError: No answer came.
            RateLimitError, ServerError: The API gave no other answer in `MAX_ATTEMPTS` attempts.
        """

        async def ask(_: int) -> None:
            response, body = await self._send("HEAD", self._url, None)
            if response.status_code in (401, 429) or response.is_server_error:
                self._raise_for_status(response, body, None)

        await _retried(ask)

    async def _send(self, method: str, url: httpx.URL, customer_id: int | None) -> tuple[httpx.Response, bytes]:
        """Send one request within the budget and read the whole answer."""
        async with self._queue:
            await self._budget.take()
        try:
            response = await self._transport.handle_async_request(self._request(method, url))
            try:
                return response, await _read(response, customer_id)
            finally:
                await response.aclose()
        except httpx.DecodingError:
            refusal: BookingsError = InvalidResponseError("its compression is broken", customer_id=customer_id)
        except (httpx.RequestError, aiohttp.ClientError, OSError) as error:
            asked = "the key check" if customer_id is None else f"customer {customer_id}"
            refusal = ConnectionFailedError(
                f"{asked}: no complete answer from {self._url.host}: "
                f"{self._without_key(f'{type(error).__name__} {error}').strip()}. "
                "Check the network and base_url, then fetch again with resume=."
            )
        finally:
            self._budget.give_back()
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
        return httpx.Request(method, url, headers=headers, extensions={"timeout": TIMEOUTS})

    def _raise_for_status(self, response: httpx.Response, body: bytes, customer_id: int | None) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self._budget.lock_out(_retry_after(response.headers.get("Retry-After")))
        kind = ServerError if response.is_server_error else _ERROR_OF_STATUS.get(status, ApiError)
        # An API that quotes the request back must not put the key into a message.
        data = wire.decode_error(self._without_key(body.decode("utf-8", "replace")).encode())
        raise kind(http_status=status, customer_id=customer_id, **data._asdict())

    def _without_key(self, text: str) -> str:
        return text.replace(self._studio.api_key.reveal(), "***")


def _transport(url: httpx.URL, concurrency: int) -> AiohttpTransport:
    """Connect as the environment says: its proxy and its certificates (SSL_CERT_FILE), never through it to oneself."""
    certificates = httpx.create_ssl_context()
    proxy = None
    if url.scheme == "https" and not urllib.request.proxy_bypass(url.host):
        proxy = urllib.request.getproxies().get("https")

    def session() -> aiohttp.ClientSession:
        made = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, ssl=certificates, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would send a request again by itself when a kept connection breaks, and the budget would not know.
        made._retry_connection = False  # noqa: SLF001 - there is no public switch; a test counts the requests
        return made

    return AiohttpTransport(verify=certificates, client=session, proxy=httpx.Proxy(proxy) if proxy else None)


async def _retried(ask: Callable[[int], Awaitable[_T]]) -> _T:
    """Ask until there is an answer, or an error that asking again can't help; `ask` takes the attempt's number."""
    try:
        return await ask(1)
    except _RETRIED as error:
        failed = error
    # Only now: stamina's bookkeeping, made for every customer, would be a third of the CPU time of a fetch.
    async for attempt in stamina.retry_context(
        on=_RETRIED, attempts=MAX_ATTEMPTS, timeout=None, wait_initial=FIRST_WAIT, wait_max=LONGEST_WAIT
    ):
        with attempt:
            if attempt.num == 1:
                raise failed
            return await ask(attempt.num)
    raise AssertionError("stamina ends with an answer or an error")


async def _read(response: httpx.Response, customer_id: int | None) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
            raise InvalidResponseError(f"it is larger than {MAX_BODY} bytes", customer_id=customer_id)
    return bytes(body)


def _retry_after(header: str | None) -> float | None:
    """Read a Retry-After of seconds or of a date; None if there is none that can be read."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
