"""The client against the demo studio over real HTTP, and one hand-made server for what no HTTP library would send."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec.structs import asdict

from bookings_analytics import (
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
    Studio,
    ValidationFailedError,
    demo,
)
from bookings_analytics.errors import TypedArg
from bookings_analytics.fetch import transport
from bookings_analytics.fetch.body import MAX_BODY
from bookings_analytics.fetch.client import Answer, BookingsClient
from bookings_analytics.fetch.connection import Timeouts
from bookings_analytics.fetch.rate_limit import RateLimit
from bookings_analytics.fetch.retry import FIRST_WAIT, LONGEST_WAIT, MAX_ATTEMPTS, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_OUT = 0.3  # seconds that a 429 without Retry-After closes the gate, for a minute


def ask(studio: Studio, customer_id: int, **options: Any) -> Answer:
    async def one() -> Answer:
        async with BookingsClient(studio, **{"rate_limit": RateLimit(1000, lock_out=LOCK_OUT), **options}) as reader:
            return await reader.bookings(customer_id)

    return asyncio.run(one())


def check_key(studio: Studio) -> None:
    async def check() -> None:
        async with BookingsClient(studio, rate_limit=RateLimit(1000, lock_out=LOCK_OUT)) as reader:
            await reader.check_key()

    asyncio.run(check())


def customer(studio: demo.DemoStudio) -> int:
    """Give a customer who has bookings."""
    ids: list[int] = studio.cohorts["customer_id"].to_list()
    return next(c for c in ids if studio.world.bookings_of(c, studio.now))


def test_a_customers_bookings_are_what_the_studio_has(studio: demo.DemoStudio) -> None:
    asked = customer(studio)
    answer = ask(studio, asked)
    truth = studio.world.bookings_of(asked, studio.now)
    assert [asdict(row) for row in answer.bookings] == [asdict(booking) for booking in truth]
    assert answer.attempts == 1


def test_a_request_says_what_it_wants_and_nothing_else(studio: demo.DemoStudio) -> None:
    ask(studio, customer(studio))
    sent = studio.requests[-1]
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["accept-language"] == "en"
    assert sent.headers["user-agent"].startswith("bookings_analytics/")
    assert set(sent.headers) <= {"host", "accept", "accept-encoding", "accept-language", "user-agent"}


STATUSES = [
    (400, ValidationFailedError, 1),
    (401, AuthenticationError, 1),
    (402, ApiError, 1),
    (403, PermissionDeniedError, 1),
    (404, NotFoundError, 1),
    (409, ConflictError, MAX_ATTEMPTS),
    (418, ApiError, 1),
    (429, RateLimitError, MAX_ATTEMPTS),
    (500, ServerError, MAX_ATTEMPTS),
    (503, ServerError, MAX_ATTEMPTS),
    (599, ServerError, MAX_ATTEMPTS),
    (204, ApiError, 1),
]


@pytest.mark.parametrize(("status", "kind", "attempts"), STATUSES)
def test_every_status_has_its_error_and_only_what_can_help_is_tried_again(
    studio: demo.DemoStudio, status: int, kind: type[ApiError], attempts: int
) -> None:
    asked = customer(studio)
    studio.faults.add(customer_id=asked, status=status, times=None, headers={"retry-after": "0"})
    with pytest.raises(ApiError) as raised:
        ask(studio, asked)
    assert type(raised.value) is kind
    assert (raised.value.http_status, raised.value.attempts) == (status, attempts)
    assert len(studio.requests) == attempts
    assert f"customer {asked}" in str(raised.value)
    assert str(status) in str(raised.value)


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_what_passes_is_read_in_the_end(studio: demo.DemoStudio, status: int) -> None:
    asked = customer(studio)
    studio.faults.add(customer_id=asked, status=status, times=MAX_ATTEMPTS - 1, headers={"retry-after": "0"})
    assert ask(studio, asked).attempts == MAX_ATTEMPTS


def test_an_error_carries_all_that_the_api_says(studio: demo.DemoStudio) -> None:
    said = {
        "errorMessage": "customerId is not known",
        "errorCode": "customer.unknown",
        "traceId": "trace-17",
        "reference": "customerId",
        "args": [{"value": 17}],
        "typedArgs": [{"type": "INTEGER", "value": 17}],
    }
    studio.faults.add(status=404, body=json.dumps(said).encode())
    with pytest.raises(NotFoundError) as raised:
        ask(studio, 17)
    error = raised.value
    assert (error.message, error.error_code, error.trace_id) == (said["errorMessage"], "customer.unknown", "trace-17")
    assert (error.reference, error.args, error.typed_args) == (
        "customerId",
        ({"value": 17},),
        (TypedArg("INTEGER", 17),),
    )
    for part in ("customerId is not known", "customer.unknown", "trace-17", "INTEGER 17"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("body", "message"), [(b"", ""), (b"<html>bad gateway</html>", "<html>bad gateway</html>"), (b"[]", "[]")]
)
def test_an_error_body_may_be_empty_html_or_anything(studio: demo.DemoStudio, body: bytes, message: str) -> None:
    studio.faults.add(status=502, body=body, times=None)
    with pytest.raises(ServerError) as raised:
        ask(studio, 17)
    assert raised.value.message == message


def test_a_redirect_is_not_followed(studio: demo.DemoStudio) -> None:
    with demo.serve() as elsewhere:
        studio.faults.add(status=307, body=b"", headers={"location": elsewhere.base_url + "/v1/classes/booking"})
        with pytest.raises(ApiError) as raised:
            ask(studio, 17)
        assert raised.value.http_status == 307
        assert not elsewhere.requests


@pytest.mark.parametrize("fault", [{"drop": True}, {"cut_after": 5}, {"cut_after": 0}])
def test_a_broken_connection_is_tried_again(studio: demo.DemoStudio, fault: dict[str, Any]) -> None:
    asked = customer(studio)
    studio.faults.add(customer_id=asked, times=MAX_ATTEMPTS - 1, **fault)
    assert ask(studio, asked).attempts == len(studio.requests) == MAX_ATTEMPTS
    studio.faults.add(customer_id=asked, times=MAX_ATTEMPTS, **fault)
    with pytest.raises(ConnectionFailedError, match=f"customer {asked}: no complete answer from 127.0.0.1") as raised:
        ask(studio, asked)
    assert raised.value.attempts == MAX_ATTEMPTS


def test_an_answer_that_does_not_come_is_a_connection_failure(studio: demo.DemoStudio) -> None:
    studio.faults.add(delay=30, times=None)
    with pytest.raises(ConnectionFailedError, match="the time was up") as raised:
        ask(studio, 17, timeouts=Timeouts(read=0.05))
    assert raised.value.attempts == MAX_ATTEMPTS


def test_a_studio_that_is_not_there_is_a_connection_failure(studio: demo.DemoStudio) -> None:
    studio.close()
    with pytest.raises(ConnectionFailedError, match=r"the connection was refused .*BOOKINGS_BASE_URL"):
        ask(studio, 17)
    with pytest.raises(ConnectionFailedError, match="the key check"):
        check_key(studio)


@pytest.mark.parametrize("body", [b"[", b"{}", b"<html>", b'[{"bookingId": 1}]'])
def test_a_malformed_body_is_refused_at_once(studio: demo.DemoStudio, body: bytes) -> None:
    studio.faults.add(body=body, times=None)
    with pytest.raises(InvalidResponseError) as raised:
        ask(studio, 17)
    assert (raised.value.customer_id, raised.value.attempts, len(studio.requests)) == (17, 1, 1)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_while_it_streams(studio: demo.DemoStudio, chunked: bool) -> None:  # noqa: FBT001 - pytest passes it
    studio.faults.add(body=b"[" + b" " * (MAX_BODY + 1_000_000) + b"]", chunked=chunked)
    with pytest.raises(InvalidResponseError, match=f"larger than {MAX_BODY} bytes"):
        ask(studio, 17)
    studio.faults.add(body=b"[" + b" " * (MAX_BODY - 2) + b"]", chunked=chunked)
    assert ask(studio, 17).bookings == []


def test_a_small_body_that_unpacks_to_a_large_one_is_refused(studio: demo.DemoStudio) -> None:
    bomb = gzip.compress(b" " * (MAX_BODY * 4))
    assert len(bomb) < 100_000
    studio.faults.add(body=bomb, headers={"content-encoding": "gzip"})
    with pytest.raises(InvalidResponseError, match="larger than"):
        ask(studio, 17)


def test_a_packed_body_is_read_and_a_broken_one_refused(studio: demo.DemoStudio) -> None:
    studio.faults.add(body=gzip.compress(b"[]"), headers={"content-encoding": "gzip"})
    assert ask(studio, 17).bookings == []
    studio.faults.add(body=b"[]", headers={"content-encoding": "gzip"})
    with pytest.raises(InvalidResponseError, match="compression is broken"):
        ask(studio, 17)


class _RawAnswer(BaseHTTPRequestHandler):
    answer: bytes

    def do_GET(self) -> None:
        self.wfile.write(self.answer)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        pass


@contextmanager
def raw_server(answer: bytes) -> Iterator[Studio]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answer", (_RawAnswer,), {"answer": answer}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Studio("raw", base_url=f"http://127.0.0.1:{server.server_port}", api_key="made-up")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "answer",
    [b"", b"what is this?\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]", b"HTTP/1.1 abc OK\r\n\r\n"],
)
def test_what_is_no_http_or_shorter_than_announced_is_a_connection_failure(answer: bytes) -> None:
    with raw_server(answer) as studio, pytest.raises(ConnectionFailedError) as raised:
        ask(studio, 17)
    assert raised.value.attempts == MAX_ATTEMPTS


def test_the_key_is_checked_by_head(studio: demo.DemoStudio) -> None:
    check_key(studio)
    assert [(sent.method, sent.customer_id) for sent in studio.requests] == [("HEAD", None)]
    with pytest.raises(AuthenticationError, match=r"the key check: 401 .*BOOKINGS_API_KEY"):
        check_key(Studio("wrong", base_url=studio.base_url, api_key="wrong"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("17", 17.0),
        (" 0 ", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("", None),
    ],
)
def test_retry_after_is_read_or_not_there(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert retry_after(in_a_minute) == pytest.approx(60, abs=2)


def test_after_a_429_the_gate_is_closed_for_as_long_as_the_api_says(studio: demo.DemoStudio) -> None:
    studio.faults.add(status=429, headers={"retry-after": "1"})
    ask(studio, customer(studio))
    first, second = [sent.arrived_at for sent in studio.requests]
    assert second - first >= 1


def test_after_a_429_without_retry_after_the_gate_is_closed_for_the_lock_out(studio: demo.DemoStudio) -> None:
    studio.faults.add(status=429)
    ask(studio, customer(studio))
    first, second = [sent.arrived_at for sent in studio.requests]
    assert second - first >= LOCK_OUT


def test_an_injected_transport_carries_the_requests_and_stays_open() -> None:
    class Transport(httpx.AsyncBaseTransport):
        closed = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert str(request.url) == "https://acme.example/v1/classes/booking?customerId=17"
            assert request.headers["X-API-KEY"] == "made-up"
            return httpx.Response(200, json=[])

        async def aclose(self) -> None:
            self.closed = True

    carrier = Transport()
    studio = Studio("acme", base_url="https://acme.example", api_key="made-up")
    assert ask(studio, 17, transport=carrier) == Answer([], 1)
    assert not carrier.closed


@pytest.mark.parametrize(
    ("base_url", "environment", "proxy"),
    [
        ("https://acme.example", {"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ("https://acme.example", {}, None),
        ("https://acme.example", {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "acme.example"}, None),
        ("http://127.0.0.1:80", {"HTTP_PROXY": "http://proxy.example:3128", "ALL_PROXY": "http://p.example"}, None),
    ],
)
def test_the_proxy_of_the_environment_is_used_but_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, base_url: str, environment: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen = transport.connect(httpx.URL(base_url), 1, transport.certificates()).proxy
    assert (str(chosen.url) if chosen else None) == proxy


def test_waiting_between_attempts_grows() -> None:
    """Six attempts within half a minute or so: long enough for a loaded database, short enough for one customer."""
    waits = [min(LONGEST_WAIT, FIRST_WAIT * 2**n) for n in range(MAX_ATTEMPTS - 1)]
    assert waits == sorted(waits)
    assert 10 < sum(waits) < 40


def test_every_error_of_a_request_is_of_one_tree() -> None:
    for kind in (ApiError, ConnectionFailedError, InvalidResponseError):
        assert issubclass(kind, BookingsError)


def test_reading_is_quick_after_an_error(studio: demo.DemoStudio) -> None:
    """A refused customer keeps no slot and no gate."""
    studio.faults.add(status=404)
    started = time.monotonic()
    with pytest.raises(NotFoundError):
        ask(studio, 17)
    ask(studio, customer(studio))
    assert time.monotonic() - started < 5
