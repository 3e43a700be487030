"""The rate limit against the demo studio's, mostly in made-up time, and once over HTTP with a quick period."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import UTC, datetime
from random import Random
from statistics import mean
from typing import TYPE_CHECKING, get_args

import polars as pl
import pytest
from made_up_time import MadeUpStudio, MadeUpTime

from bookings_analytics import Studio, demo, fetch_bookings
from bookings_analytics.demo.faults import RateLimit as StudiosLimit
from bookings_analytics.demo.faults import Window
from bookings_analytics.fetch import rate_limit
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.rate_limit import RateLimit, rate_limit_of

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS = get_args(Window)
QUICK = 0.5  # seconds, for a minute, over HTTP


def quick(studio: Studio, requests: int) -> RateLimit:
    """Give the studio a limit with a quick period, before anything asks for its own."""
    digest = hashlib.sha256(studio.api_key.reveal().encode()).digest()
    limit = RateLimit(requests, period=QUICK * 1.02, lock_out=QUICK)
    return rate_limit._of_this_process.setdefault((studio.base_url, digest, "bookings"), limit)


def studio_called(name: str) -> Studio:
    return Studio(name, base_url=f"https://{name}.example", api_key="made-up")


def job(
    loop: MadeUpTime, studio: MadeUpStudio, limits: Callable[[Studio], RateLimit], concurrency: int = 32
) -> FetchJob:
    return FetchJob(
        clock=lambda: datetime.fromtimestamp(loop.now, UTC),
        concurrency=concurrency,
        rate_limit=limits,
        transport=studio,
    )


def latency_of(random: Random, kind: str) -> float:
    match kind:
        case "loopback":
            return 0.001
        case "internet":
            return random.uniform(0.01, 0.1)
    return random.uniform(0.05, 0.2) if random.random() < 0.95 else 2.0


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("latency", ["loopback", "internet", "a loaded database"])
def test_the_whole_limit_is_used_without_one_429(window: Window, latency: str) -> None:
    random = Random(1)
    with MadeUpTime() as loop:
        studio = MadeUpStudio(loop, StudiosLimit(window=window), latency=lambda: latency_of(random, latency))
        limit = RateLimit(1000, clock=loop.time)
        fetch = job(loop, studio, lambda _: limit)
        loop.run(fetch.run({studio_called("mitte"): range(1, 2501)}))
    assert studio.refused == 0
    fetches = pl.concat(fetch.written.fetches)
    assert (fetches.height, fetches["attempts"].sum()) == (2500, 2500)
    # However long a burst takes, each request should come one period after the one a thousand before it.
    arrived = sorted(studio.answered)
    gaps = [later - earlier for earlier, later in zip(arrived, arrived[1000:], strict=False)]
    assert 60 / mean(gaps) >= 0.98


@pytest.mark.parametrize("retry_after", [True, False])
def test_with_the_limit_hit_on_purpose_every_customer_is_fetched_in_the_end(retry_after: bool) -> None:  # noqa: FBT001 - pytest passes it
    with MadeUpTime() as loop:
        studio = MadeUpStudio(loop, StudiosLimit(limit=300, retry_after=retry_after))
        limit = RateLimit(1000, clock=loop.time)
        fetch = job(loop, studio, lambda _: limit)
        loop.run(fetch.run({studio_called("mitte"): range(1, 701)}))
    assert pl.concat(fetch.written.fetches)["outcome"].to_list() == ["ok"] * 700
    # The workers under way when the gate closed, not one refusal a customer.
    assert 0 < studio.refused < 2 * 40


@pytest.mark.parametrize("window", WINDOWS)
def test_a_long_fetch_over_http_draws_no_429(window: Window) -> None:
    with demo.serve(limit=200, period=QUICK, lockout=QUICK, window=window) as studio:
        quick(studio, 200)
        ids = studio.cohorts["customer_id"].to_list()
        result = fetch_bookings(ids, studios=studio, progress=False, requests_per_minute=200)
        sent = [request for request in studio.requests if request.method == "GET"]
    assert result.fetches["attempts"].sum() == len(sent) == 600
    assert 429 not in {request.status for request in sent}


def test_two_fetches_in_a_row_share_one_limit() -> None:
    with demo.serve(limit=100, period=QUICK, lockout=QUICK) as studio:
        quick(studio, 100)
        for part in (slice(0, 80), slice(80, 160)):
            ids = studio.cohorts["customer_id"].to_list()[part]
            fetch_bookings(ids, studios=studio, progress=False, requests_per_minute=100)
        assert not [request for request in studio.requests if request.status == 429]


def test_two_fetches_at_once_share_one_limit() -> None:
    with demo.serve(limit=100, period=QUICK, lockout=QUICK) as studio:
        quick(studio, 100)
        ids = studio.cohorts["customer_id"].to_list()

        def fetch(part: slice) -> None:
            fetch_bookings(ids[part], studios=studio, progress=False, requests_per_minute=100)

        threads = [threading.Thread(target=fetch, args=(part,)) for part in (slice(0, 80), slice(80, 160))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not [request for request in studio.requests if request.status == 429]


def test_each_studio_has_a_limit_of_its_own() -> None:
    customers = {studio_called(name): range(1, 91) for name in ("mitte", "nord")}
    with MadeUpTime() as loop:
        limits = {studio: RateLimit(100, clock=loop.time) for studio in customers}
        fetch = job(loop, MadeUpStudio(loop), limits.__getitem__)
        loop.run(fetch.run(customers))
        assert loop.now < 60
    assert pl.concat(fetch.written.fetches).height == 180


def waited(limit: RateLimit, loop: MadeUpTime) -> float:
    """Take a slot; return the made-up seconds that it took."""
    began = loop.now
    loop.run(limit.take())
    return loop.now - began


def test_a_slot_is_free_one_period_after_its_response() -> None:
    with MadeUpTime() as loop:
        limit = RateLimit(2, clock=loop.time)
        assert waited(limit, loop) == waited(limit, loop) == 0
        loop.now += 20  # the answer takes its time: the period starts with it
        limit.release()
        assert waited(limit, loop) == pytest.approx(60.1)


def test_a_slot_whose_response_is_not_there_is_not_free() -> None:
    with MadeUpTime() as loop:
        limit = RateLimit(1, clock=loop.time)
        loop.run(limit.take())
        with pytest.raises(TimeoutError):
            loop.run(asyncio.wait_for(limit.take(), 500))


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 60), (90.0, 90), (0.0, 0), (10_000, 300)])
def test_the_gate_closes_for_everyone_but_not_for_ever(retry_after: float | None, seconds: float) -> None:
    with MadeUpTime() as loop:
        limit = RateLimit(10, clock=loop.time)
        limit.lock_out(retry_after)
        limit.lock_out(0.0)  # a later, shorter one does not open it
        assert waited(limit, loop) == pytest.approx(seconds)


def test_a_studio_is_its_address_and_its_key() -> None:
    def studio(address: str, key: str) -> Studio:
        return Studio("any", base_url=f"https://{address}.example", api_key=key)

    limit = rate_limit_of(studio("a", "k"), 1000)
    assert rate_limit_of(studio("a", "k"), 500) is limit
    assert limit.limit == 500
    assert rate_limit_of(studio("b", "k"), 1000) is not limit
    assert rate_limit_of(studio("a", "l"), 1000) is not limit
