"""The key shows nowhere: every error is raised from real requests, and all that could be shown of it is searched."""

from __future__ import annotations

import asyncio
import logging
import pickle
import secrets
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import bookings_analytics as ba
from bookings_analytics import demo
from bookings_analytics.fetch.body import MAX_BODY
from bookings_analytics.fetch.client import BookingsClient
from bookings_analytics.fetch.rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGERS = (
    "",
    "httpx",
    "httpcore",
    "httpx_aiohttp",
    "aiohttp",
    "aiohttp.client",
    "asyncio",
    "stamina",
    "bookings_analytics",
)


class Secret:
    """Holds a key so that no variable of the tests' own frames shows it."""

    def __init__(self, value: str | None = None) -> None:
        made = value or secrets.token_urlsafe(24)
        self.reveal: Callable[[], str] = lambda: made

    def shows_in(self, text: str) -> bool:
        return self.reveal() in text


@pytest.fixture
def secret(studio: demo.DemoStudio) -> Secret:
    """The demo studio's key, which it makes when it starts."""
    return Secret(studio.api_key.reveal())


def told(error: BaseException) -> str:
    """Tell all that a traceback, with the whole chain and every frame's variables, could show."""
    parts = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        formatted = traceback.TracebackException.from_exception(each, capture_locals=True, compact=False)
        parts += [*formatted.format(), repr(each), repr(vars(each)), str(each.args)]
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return "\n".join(parts)


FAULTS: dict[str, tuple[dict[str, Any], type[BaseException]]] = {
    **{
        str(status): ({"status": status}, kind)
        for status, kind in [
            (400, ba.ValidationFailedError),
            (401, ba.AuthenticationError),
            (403, ba.PermissionDeniedError),
            (404, ba.NotFoundError),
            (409, ba.ConflictError),
            (418, ba.ApiError),
            (429, ba.RateLimitError),
            (503, ba.ServerError),
        ]
    },
    "malformed": ({"body": b"["}, ba.InvalidResponseError),
    "too large": ({"body": b" " * (MAX_BODY + 1)}, ba.InvalidResponseError),
    "badly packed": ({"body": b"[]", "headers": {"content-encoding": "gzip"}}, ba.InvalidResponseError),
    "dropped": ({"drop": True}, ba.ConnectionFailedError),
    "cut short": ({"cut_after": 3, "body": b"[         ]"}, ba.ConnectionFailedError),
    "bad header": ({"status": 200, "body": b"[]", "headers": {"content-length": "x"}}, ba.ConnectionFailedError),
    "redirect": ({"status": 307, "headers": {"location": "http://127.0.0.1:1"}}, ba.ApiError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_of_a_request_shows_it(
    secret: Secret, studio: demo.DemoStudio, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    for logger in LOGGERS:
        caplog.set_level(logging.DEBUG, logger)
    options, kind = FAULTS[fault]
    studio.faults.add(**{"times": None, "headers": {"retry-after": "0"}, **options})

    async def ask() -> None:
        async with BookingsClient(studio, rate_limit=RateLimit(1000, lock_out=0)) as reader:
            await reader.bookings(17)

    with pytest.raises(kind) as raised:
        asyncio.run(ask(), debug=True)
    assert not secret.shows_in(told(raised.value))
    assert not secret.shows_in(caplog.text)
    assert not any(secret.shows_in(repr(vars(record))) for record in caplog.records)
    assert not secret.shows_in(repr(pickle.dumps(raised.value)))


def test_an_api_that_quotes_it_back_does_not_make_it_show(secret: Secret, studio: demo.DemoStudio) -> None:
    for body in (f'{{"errorMessage": "no such key: {secret.reveal()}"}}', f"<html>{secret.reveal()}</html>"):
        studio.faults.add(status=404, body=body.encode())

        del body
        result = ba.fetch_bookings([17, known(studio)], studios=studio, progress=False, concurrency=1)
        assert not secret.shows_in(str(result.fetches["message"].to_list()))
        assert "***" in str(result.fetches["message"].to_list())


ERRORS_OF_A_FETCH: dict[str, Callable[[demo.DemoStudio], object]] = {
    "AuthenticationError": lambda studio: studio.faults.add(status=401),
    "PermissionDeniedError": lambda studio: studio.faults.add(status=403),
    "ConfigurationError": lambda studio: studio.faults.add(status=404, times=None),
    "ConnectionFailedError": lambda studio: studio.close(),
}


@pytest.mark.parametrize("kind", ERRORS_OF_A_FETCH)
def test_no_error_that_stops_a_fetch_shows_it(secret: Secret, studio: demo.DemoStudio, kind: str) -> None:
    ERRORS_OF_A_FETCH[kind](studio)
    with pytest.raises(getattr(ba, kind)) as raised:
        ba.fetch_bookings([known(studio)], studios=studio, progress=False)
    assert raised.value.result is not None
    assert not secret.shows_in(told(raised.value))
    assert not secret.shows_in(repr(pickle.dumps(raised.value)))


def test_no_interrupt_shows_it(secret: Secret, studio: demo.DemoStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bookings_analytics.fetch.threads.wait", press)
    with pytest.raises(ba.FetchInterrupted) as raised:
        ba.fetch_bookings([known(studio)], studios=studio, progress=False)
    assert not secret.shows_in(told(raised.value))


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "http://acme.example"},
        {"base_url": None},
        {"name": None},
        {"name": 7},
        {"base_url": "https://[::1"},
    ],
)
def test_no_error_of_a_setting_shows_it(changes: dict[str, Any]) -> None:
    secret = Secret()
    arguments = {"name": "mitte", "base_url": "https://acme.example", **changes}
    with pytest.raises(ba.ConfigurationError) as raised:
        make(secret, arguments)
    assert not secret.shows_in(told(raised.value))


def test_no_key_that_is_refused_shows() -> None:
    secret = Secret()
    with pytest.raises(ba.ConfigurationError) as raised:
        make(secret, {"name": "mitte", "base_url": "https://acme.example"}, suffix="\n")
    assert not secret.shows_in(told(raised.value))


def test_no_repr_shows_it(secret: Secret, studio: demo.DemoStudio) -> None:
    result = ba.fetch_bookings([known(studio)], studios=studio, progress=False)
    reader = BookingsClient(studio, rate_limit=RateLimit(1000))
    shown = [
        *(studio, vars(studio), studio.api_key, reader, vars(reader), result, result._repr_html_()),
        *(studio.requests, pickle.dumps(result)),
    ]
    assert not any(secret.shows_in(f"{each!r} {each!s}") for each in shown)
    with pytest.raises(TypeError) as raised:
        pickle.dumps(studio)
    assert not secret.shows_in(told(raised.value))


def test_the_search_would_find_it() -> None:
    secret = Secret()

    def leak() -> None:
        key = secret.reveal()
        raise ValueError(len(key))

    with pytest.raises(ValueError, match="32") as raised:
        leak()
    assert secret.shows_in(told(raised.value))


def make(secret: Secret, arguments: dict[str, Any], suffix: str = "") -> ba.Studio:
    return ba.Studio(arguments.pop("name"), api_key=secret.reveal() + suffix, **arguments)


def known(studio: demo.DemoStudio) -> int:
    """Give a customer that can be read."""
    return next(c for c, person in studio.world.people.items() if person.access == "open")
