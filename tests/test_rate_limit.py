"""The budget against the demo studio's speed limit: over HTTP, twenty times as fast, and in made-up time."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from random import Random
from statistics import mean
from typing import TYPE_CHECKING, get_args

import polars as pl
import pytest

from bookings_analytics import Studio, demo, fetch_bookings
from bookings_analytics.demo.faults import RateLimit, Window
from bookings_analytics.fetch import rate_limit
from bookings_analytics.fetch.rate_limit import Budget, budget_of

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 3.0  # seconds, for a minute
WINDOWS = get_args(Window)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything at twenty times the speed."""
    monkeypatch.setattr(rate_limit, "PERIOD", PERIOD)
    monkeypatch.setattr(rate_limit, "MARGIN", rate_limit.MARGIN * PERIOD / 60)
    monkeypatch.setattr(rate_limit, "LOCK_OUT", PERIOD)


def customers(studio: demo.DemoStudio, number: int) -> list[int]:
    """Give so many ids; those the studio does not know cost a request as well."""
    known = studio.cohorts["customer_id"].to_list()
    return [*known, *range(1, number - len(known) + 1)]


@pytest.mark.usefixtures("scaled")
@pytest.mark.parametrize("window", WINDOWS)
def test_a_long_fetch_draws_no_429(window: Window) -> None:
    with demo.serve(limit=1000, period=PERIOD, lockout=PERIOD, window=window) as studio:
        result = fetch_bookings(customers(studio, 3000), studios=studio, progress=False)
        sent = [request for request in studio.requests if request.method == "GET"]
    assert result.fetches["attempts"].sum() == len(sent) == 3000
    assert 429 not in {request.status for request in sent}


class LeapingSelector(selectors.DefaultSelector):
    """Makes a loop's time leap to the next thing to do, so that minutes take milliseconds and the machine no part."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


def arrivals(
    monkeypatch: pytest.MonkeyPatch, window: Window, *, latency: Callable[[Random], float], number: int = 5000
) -> tuple[list[float], int]:
    """Send requests at the real limit through a made-up network; give the answered ones' arrivals, and the 429s."""
    selector = LeapingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    monkeypatch.setattr(loop, "time", lambda: selector.now)
    monkeypatch.setattr("bookings_analytics.fetch.rate_limit.time.monotonic", lambda: selector.now)
    budget, queue, limit, random = Budget(1000), asyncio.Lock(), RateLimit(window=window), Random(1)
    answered: list[float] = []
    refused = 0

    async def worker() -> None:
        nonlocal refused
        while len(answered) < number:
            async with queue:
                await budget.take()
            await asyncio.sleep(latency(random))
            arrived = selector.now
            is_refused = limit.refuse(arrived) is not None
            await asyncio.sleep(latency(random))
            budget.give_back()
            if is_refused:
                refused += 1
                budget.lock_out(None)
            else:
                answered.append(arrived)

    async def everyone() -> None:
        await asyncio.gather(*(worker() for _ in range(32)))

    with contextlib.closing(loop):
        loop.run_until_complete(everyone())
    return sorted(answered), refused


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    "latency",
    [
        lambda _: 0.001,
        lambda random: random.uniform(0.01, 0.1),
        lambda random: random.uniform(0.05, 0.2) if random.random() < 0.95 else 2.0,
    ],
    ids=["loopback", "internet", "a loaded database"],
)
def test_the_whole_limit_is_used_without_one_429(
    monkeypatch: pytest.MonkeyPatch, window: Window, latency: Callable[[Random], float]
) -> None:
    arrived, refused = arrivals(monkeypatch, window, latency=latency)
    assert refused == 0
    # However long a burst takes, each request should come one period after the one a thousand before it.
    gaps = [later - earlier for earlier, later in zip(arrived, arrived[1000:], strict=False)]
    assert 60 / mean(gaps) >= 0.98


@pytest.mark.usefixtures("scaled")
@pytest.mark.parametrize("retry_after", [True, False])
def test_with_the_limit_hit_on_purpose_every_customer_is_fetched_in_the_end(retry_after: bool) -> None:  # noqa: FBT001 - pytest passes it
    with demo.serve(limit=300, period=PERIOD, lockout=PERIOD, retry_after=retry_after) as studio:
        ids = customers(studio, 700)
        result = fetch_bookings(ids, studios=studio, progress=False, requests_per_minute=1000)
        refused = sum(request.status == 429 for request in studio.requests)
    assert refused > 0
    assert result.fetches.filter(outcome="failed").is_empty()
    assert result.fetches.height == len(ids)
    assert refused < 2 * 40  # the workers under way when the gate closed, not one refusal a customer


@pytest.mark.usefixtures("scaled")
def test_two_fetches_in_a_row_share_one_budget() -> None:
    with demo.serve(limit=100, period=PERIOD, lockout=PERIOD) as studio:
        for part in (slice(0, 80), slice(80, 160)):
            ids = studio.cohorts["customer_id"].to_list()[part]
            fetch_bookings(ids, studios=studio, progress=False, requests_per_minute=100)
        assert not [request for request in studio.requests if request.status == 429]


@pytest.mark.usefixtures("scaled")
def test_two_fetches_at_once_share_one_budget() -> None:
    with demo.serve(limit=100, period=PERIOD, lockout=PERIOD) as studio:
        ids = studio.cohorts["customer_id"].to_list()

        def fetch(part: slice) -> None:
            fetch_bookings(ids[part], studios=studio, progress=False, requests_per_minute=100)

        threads = [threading.Thread(target=fetch, args=(part,)) for part in (slice(0, 80), slice(80, 160))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not [request for request in studio.requests if request.status == 429]


@pytest.mark.usefixtures("scaled")
def test_each_studio_has_a_budget_of_its_own() -> None:
    with demo.serve(name="mitte", limit=100) as mitte, demo.serve(name="nord", limit=100) as nord:
        cohorts = mitte.cohorts.head(90)
        started = time.monotonic()
        both = [cohorts.with_columns(studio=pl.lit(studio.name)) for studio in (mitte, nord)]
        result = fetch_bookings(pl.concat(both), studios=[mitte, nord], progress=False, requests_per_minute=100)
        assert time.monotonic() - started < PERIOD
        assert result.fetches.height == 180


def run(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def take(budget: Budget, number: int = 1) -> None:
    async def each() -> None:
        for _ in range(number):
            await budget.take()

    asyncio.run(each())


def test_a_slot_is_free_one_period_after_its_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "PERIOD", 0.3)
    monkeypatch.setattr(rate_limit, "MARGIN", 0.05)
    budget = Budget(2)
    take(budget, 2)
    time.sleep(0.2)  # the answer takes its time: the period starts with it
    budget.give_back()
    assert 0.3 <= run(lambda: take(budget)) < 0.6


def test_a_slot_whose_response_is_not_there_is_not_free() -> None:
    budget = Budget(1)
    take(budget)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(budget.take(), 0.1))


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 0.3), (0.6, 0.6), (0.0, 0.0), (10_000, 0.8)])
def test_the_gate_closes_for_everyone_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, retry_after: float | None, seconds: float
) -> None:
    monkeypatch.setattr(rate_limit, "LOCK_OUT", 0.3)
    monkeypatch.setattr(rate_limit, "LONGEST_LOCK_OUT", 0.8)
    budget = Budget(10)
    budget.lock_out(retry_after)
    budget.lock_out(0.0)  # a later, shorter one does not open it
    assert seconds <= run(lambda: take(budget)) < seconds + 0.25


def test_a_studio_is_its_address_and_its_key() -> None:
    def studio(address: str, key: str) -> Studio:
        return Studio("any", base_url=f"https://{address}.example", api_key=key)

    budget = budget_of(studio("a", "k"), 1000)
    assert budget_of(studio("a", "k"), 500) is budget
    assert budget.limit == 500
    assert budget_of(studio("b", "k"), 1000) is not budget
    assert budget_of(studio("a", "l"), 1000) is not budget


def test_the_real_numbers_are_a_minute_and_a_little_more() -> None:
    assert (rate_limit.PERIOD + rate_limit.MARGIN, rate_limit.LOCK_OUT, rate_limit.LONGEST_LOCK_OUT) == (
        60.1,
        60.0,
        300.0,
    )
