"""Whatever one customer's answer is, it is that customer's outcome with a reason, and loses no other customer.

A fault that is found later is one more line of `ANSWERS`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import unicodedata
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hostile import KEY, VICTIM, Answer, answer, serving

from bookings_analytics.fetch.body import MAX_BODY
from bookings_analytics.fetch.connection import Timeouts
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.rate_limit import RateLimit

if TYPE_CHECKING:
    from bookings_analytics import Studio

ESCAPED = "".join(f"\\u{ord(character):04X}" for character in KEY)
ONE_ESCAPED = KEY.replace('"', "\\u0022").replace("\\w", "\\\\w")
GZIP = "Content-Encoding: gzip\r\n"
BOMB = gzip.compress(b" " * 4 * MAX_BODY)


def quoting(text: str) -> bytes:
    return f'{{"errorMessage": "no such key: {text}", "errorCode": "{text}", "traceId": "{text}"}}'.encode()


# Name: (the answer, the customer's outcome, a part of the message).
ANSWERS: dict[str, tuple[Answer, str, str]] = {
    # Not HTTP, or not all of it.
    "nothing": (Answer(b""), "failed", "closed early"),
    "not HTTP": (Answer(b"what is this?\r\n\r\n"), "failed", "not HTTP"),
    "a status of letters": (Answer(b"HTTP/1.1 abc OK\r\n\r\n"), "failed", "not HTTP"),
    "a length of letters": (Answer(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[]"), "failed", "not HTTP"),
    "shorter than announced": (answer(b"[]", length=10), "failed", "cut short"),
    "a reason that is not UTF-8": (answer(b"[]", status="200 \xff\xfe"), "failed", "not HTTP"),
    "headers without end": (Answer(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 100), "failed", ""),
    "one header of a megabyte": (answer(b"[]", headers=f"X: {'a' * 2**20}\r\n"), "failed", "not HTTP"),
    # Time without end.
    "a body that drips": (answer(b"[", length=10**6, drips=b" "), "failed", "the time was up"),
    "headers that drip": (Answer(b"HTTP/1.1 200 OK\r\nX-A: ", b"b"), "failed", "the time was up"),
    "100 Continue without end": (Answer(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "failed", "the time was up"),
    "chunks without end": (
        Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        "failed",
        "the time was up",
    ),
    # Size without end.
    "packed twice": (
        answer(gzip.compress(BOMB), headers="Content-Encoding: gzip, gzip\r\n"),
        "invalid_response",
        "gzip, gzip",
    ),
    "packed in two headers": (answer(BOMB, headers=GZIP + GZIP), "invalid_response", "only gzip"),
    "a bomb": (answer(BOMB, headers=GZIP), "invalid_response", "larger than"),
    "a bomb in two members": (answer(gzip.compress(b"[") + BOMB, headers=GZIP), "invalid_response", "larger than"),
    "packed as zlib": (
        answer(zlib.compress(b"[]"), headers="Content-Encoding: deflate\r\n"),
        "invalid_response",
        "deflate",
    ),
    "packed as brotli": (answer(b"\x0b\x02\x80[]\x03", headers="Content-Encoding: br\r\n"), "invalid_response", "'br'"),
    "packed badly": (answer(b"[]", headers=GZIP), "invalid_response", "compression is broken"),
    "packed and cut": (answer(gzip.compress(b"[]")[:-4], headers=GZIP), "invalid_response", "ends too early"),
    # Errors that say little, or what can't be shown.
    "204": (answer(status="204 No Content"), "failed", "204 No Content, without a message"),
    "an empty 400": (answer(status="400 Bad Request"), "rejected", "400 Bad Request, without a message"),
    "a 404 of spaces": (answer(b" \n\t ", status="404 Not Found"), "not_found", "404 Not Found, without a message"),
    "a status nobody knows": (answer(status="599 "), "failed", "599, without a message"),
    "a 503 packed badly": (answer(b"x", status="503 Busy", headers=GZIP), "failed", "without a message"),
    "a message with ESC": (
        answer(json.dumps({"errorMessage": "\x1b[31mred\x07\x9b2J\r\n\u202egone"}).encode(), status="400 No"),
        "rejected",
        "red",
    ),
    "HTML with ESC": (answer(b"<html>\x1b]0;title\x07no</html>", status="404 No"), "not_found", "<html>"),
    "a value with ESC": (answer(b'[{"bookingId": "\\u001b[31m\\u009b"}]'), "invalid_response", "$[0].bookingId"),
    # Retry-After of no calendar.
    **{
        f"Retry-After: {value}": (
            answer(status="429 Slow", headers=f"Retry-After: {value}\r\n"),
            "failed",
            "429",
        )
        for value in (
            "Wed, 21 Oct 99999 07:28:00 GMT",
            "Wed, 21 Oct 9999 23:59:59 -2359",
            "Wed, 21 Oct 1 00:00:00 +9999",
            "Wed, 99 Foo 2026",
            "-1",
        )
    },
    # The key, quoted back.
    "the key": (answer(quoting(json.dumps(KEY)[1:-1]), status="404 No"), "not_found", "***"),
    "the key, escaped": (answer(quoting(ESCAPED), status="404 No"), "not_found", "***"),
    "the key, partly escaped": (answer(quoting(ONE_ESCAPED), status="404 No"), "not_found", "***"),
    "the key in HTML": (
        answer(f"<p>{KEY.replace('&', '&amp;').replace(chr(34), '&quot;')}</p>".encode(), status="404 No"),
        "not_found",
        "***",
    ),
    "the key in a URL": (
        answer(b"https://x?k=made-up%22key%5Cwith%2Fevery%26kind", status="404 No"),
        "not_found",
        "***",
    ),
    "the key as a status": (
        answer(json.dumps([{"bookingId": 1, "bookingStatus": KEY}]).encode()),
        "invalid_response",
        "***",
    ),
    "the key where the value is cut": (
        answer(json.dumps([{"bookingId": "x" * 190 + KEY}]).encode()),
        "invalid_response",
        "xxx",
    ),
    "the key in a broken body": (answer(f"[{ESCAPED}".encode()), "invalid_response", "***"),
    "the key as a reason": (answer(status=f"404 {KEY}"), "not_found", "without a message"),
    # A body that is no answer.
    "a page for logging in": (answer(b"<html>log in</html>"), "invalid_response", "<html>log in"),
    "nested without end": (answer(b"[" * 100_000), "invalid_response", "customer 2"),
    "an empty body": (answer(b""), "invalid_response", "customer 2"),
}


def fetched(studio: Studio) -> pl.DataFrame:
    job = FetchJob(
        clock=lambda: datetime.now(UTC),
        concurrency=3,
        rate_limit=lambda _: RateLimit(1000, lock_out=0.01, longest_lock_out=0.01),
        timeouts=Timeouts(request=0.1, customer=5),
    )
    asyncio.run(job.run({studio: [1, VICTIM, 3]}))
    return pl.concat(job.written.fetches).sort("customer_id")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_one_customers_outcome(name: str) -> None:
    hostile, outcome, says = ANSWERS[name]
    with serving(hostile) as (studio, lines):
        rows = {row["customer_id"]: row for row in fetched(studio).iter_rows(named=True)}
        victim = rows[VICTIM]
        end = time.monotonic() + 10
        while sum(b"customerId=2" in line for line in lines) < victim["attempts"] and time.monotonic() < end:
            time.sleep(0.01)  # a busy machine's server reads what was sent after the client has gone
    assert (rows[1]["outcome"], rows[3]["outcome"]) == ("ok", "ok")
    assert victim["outcome"] == outcome
    assert says in victim["message"]
    assert victim["attempts"] == sum(b"customerId=2" in line for line in lines)
    assert_fit_to_be_shown(victim)


def assert_fit_to_be_shown(row: dict[str, Any]) -> None:
    """Hold that no text of a row has control characters, is empty, or shows the key or a larger part of it."""
    for name in ("message", "error_code", "trace_id"):
        text = row[name]
        if text is not None:
            assert text.strip()
            assert not [character for character in text if unicodedata.category(character) == "Cc"]
            assert KEY[:8] not in text
            assert ESCAPED[:24].lower() not in text.lower()


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(b"[]"), gzip.compress(b"[") + gzip.compress(b"]"), gzip.compress(b"") * 3 + gzip.compress(b"[]")],
    ids=["one member", "two members", "empty members"],  # the bytes hold the time
)
def test_what_gzip_allows_is_read(packed: bytes) -> None:
    with serving(answer(packed, headers=GZIP)) as (studio, _):
        assert fetched(studio)["outcome"].to_list() == ["ok"] * 3
