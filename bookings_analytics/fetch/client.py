"""One customer's bookings over HTTP: the request, what is tried again, and an error for every other answer."""

from __future__ import annotations

import asyncio
import logging
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import aiohttp
import httpx
import stamina

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
from bookings_analytics.fetch.deprecation import announcement
from bookings_analytics.fetch.mask import masker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from bookings_analytics.fetch.rate_limit import RateLimit
    from bookings_analytics.studios import Studio

MAX_ATTEMPTS: Final = 6  # requests for one customer, the first included
FIRST_WAIT: Final = 0.5  # seconds before the second attempt; doubles with each, with up to a second of jitter
LONGEST_WAIT: Final = 30.0
MAX_BODY: Final = 16 * 2**20  # bytes, packed and unpacked
RETRIED: Final = (ConflictError, ConnectionFailedError, RateLimitError, ServerError)  # asking again can help

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

# stamina logs each retry as a warning, which Python prints where nothing is set up: a notebook would show it.
logging.getLogger("stamina").addHandler(logging.NullHandler())


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

    Attributes:
        announced: What the answers said of the endpoint's end; empty if nothing.

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
    ) -> None:
        self.announced: set[str] = set()
        self._studio = studio
        self._mask = masker(studio.api_key)
        self._url = httpx.URL(studio.base_url + wire.PATH)
        self._rate_limit = rate_limit
        self._queue = asyncio.Lock()  # one waits for the limit, the others behind it: no stampede for each slot
        self._timeouts = timeouts
        self._owns_transport = transport is None
        self._transport = transport or transports.connect(self._url, concurrency)

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
                return await _retried(ask, max_attempts)
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

        await _retried(ask, MAX_ATTEMPTS)

    async def _send(self, method: str, url: httpx.URL, customer_id: int | None) -> tuple[httpx.Response, bytes]:
        """Send one request within the limit and read the whole answer."""
        async with self._queue:
            await self._rate_limit.take()
        try:
            async with asyncio.timeout(self._timeouts.request):
                response = await self._transport.handle_async_request(self._request(method, url))
                try:
                    if (announced := announcement(response.status_code, response.headers)) is not None:
                        self.announced.add(announced)
                    return response, await _read(response)
                finally:
                    await response.aclose()
        except _UnreadableBodyError as error:
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
            self._rate_limit.lock_out(_retry_after(response.headers.get("Retry-After")))
        kind = ServerError if response.is_server_error else _ERROR_OF_STATUS.get(status, ApiError)
        # An API that quotes the request back must not get the key into a message.
        data = wire.decode_error(body, self._mask)
        raise kind(http_status=status, customer_id=customer_id, **data._asdict())


async def _retried(ask: Callable[[int], Awaitable[_T]], max_attempts: int) -> _T:
    """Ask until there is an answer, or an error that asking again can't help; `ask` takes the attempt's number."""
    try:
        return await ask(1)
    except RETRIED as error:
        failed = error
    # Only now: stamina's bookkeeping, made for every customer, would be a third of the CPU time of a fetch.
    async for attempt in stamina.retry_context(
        on=RETRIED, attempts=max_attempts, timeout=None, wait_initial=FIRST_WAIT, wait_max=LONGEST_WAIT
    ):
        with attempt:
            if attempt.num == 1:
                raise failed
            return await ask(attempt.num)
    raise AssertionError("stamina ends with an answer or an error")


class _UnreadableBodyError(Exception):
    """A body that is packed in another way than asked for, packed badly, or too large."""


async def _read(response: httpx.Response) -> bytes:
    """Read a body whole; of an answer with an error status, nothing if it can't be read: the status says enough.

    Unpacked here, not by httpx, which would unpack as often as the header says before any size could be looked at.
    """
    try:
        return await _unpacked(response)
    except _UnreadableBodyError:
        if response.status_code == httpx.codes.OK:
            raise
        return b""


async def _unpacked(response: httpx.Response) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise _UnreadableBodyError(f"it is packed as {encoding[:50]!r}, and only gzip was asked for")
    gunzip = _Gunzip() if encoding.endswith("gzip") else None
    body, received = bytearray(), 0
    # Not aiter_raw(), which refuses the answers of transports that have read them already.
    async for chunk in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
        received += len(chunk)
        body += chunk if gunzip is None else gunzip.unpack(chunk, MAX_BODY + 1 - len(body))
        if max(len(body), received) > MAX_BODY:
            raise _UnreadableBodyError(f"it is larger than {MAX_BODY} bytes")
    if gunzip is not None and received and not gunzip.complete:
        raise _UnreadableBodyError("its compression is broken: it ends too early")
    return bytes(body)


class _Gunzip:
    """A gzip stream of one or several members, unpacked no further than asked."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def complete(self) -> bool:
        return self._member.eof

    def unpack(self, packed: bytes, most: int) -> bytes:
        """Unpack the next bytes, to `most` bytes at most; beyond, the rest is lost."""
        unpacked = bytearray()
        while packed and len(unpacked) < most:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            try:
                unpacked += self._member.decompress(packed, most - len(unpacked))
            except zlib.error as error:
                raise _UnreadableBodyError(f"its compression is broken: {error}") from None
            packed = self._member.unconsumed_tail or self._member.unused_data
        return bytes(unpacked)


def _retry_after(header: str | None) -> float | None:
    """Read a Retry-After of seconds or of a date; None if there is none that can be read."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):  # a year or a zone that no calendar has
        return None
