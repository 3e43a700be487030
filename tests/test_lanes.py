"""How many requests of a studio are under way at once, in made-up time: no more than bring answers sooner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from made_up_time import MadeUpStudio, MadeUpTime

from bookings_analytics import Studio
from bookings_analytics.demo.faults import RateLimit as StudiosLimit
from bookings_analytics.fetch import lanes
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.lanes import AT_FIRST, IN_ALL, Spare
from bookings_analytics.fetch.rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


class Counting(MadeUpStudio):
    """A studio that counts the requests under way; with `quickest`, it answers no quicker however many there are."""

    under_way = most = 0
    quickest = 0.0  # seconds between two answers
    busy_until = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await super().handle_async_request(request)
        finally:
            self.under_way -= 1

    def queue(self) -> float:
        """Return how long a message takes that waits behind all others."""
        self.busy_until = max(self.busy_until, self._loop.now) + self.quickest / 2
        return self.busy_until - self._loop.now


def fetch(
    number: int, *, studios: int = 1, limit: int = 1000, concurrency: int = 32, **studio: Callable[[], float]
) -> tuple[Counting, float]:
    """Fetch so many customers of each studio; return the studio that answered all, and how long it took."""
    with MadeUpTime() as loop:
        carrier = Counting(loop, **studio)  # type: ignore[arg-type] # its options
        if not studio:
            carrier.quickest, carrier._latency = 0.01, carrier.queue
        made = [Studio(f"s{i}", base_url=f"https://s{i}.example", api_key="made-up") for i in range(studios)]
        limits = {each: RateLimit(limit, clock=loop.time) for each in made}
        job = FetchJob(
            clock=lambda: datetime.fromtimestamp(loop.now, UTC),
            concurrency=concurrency,
            rate_limit=limits.__getitem__,
            transport=carrier,
        )
        loop.run(job.run({each: range(1, number + 1) for each in made}))
        assert pl.concat(job.written.fetches)["outcome"].to_list() == ["ok"] * number * studios
        return carrier, loop.now


def test_one_studio_far_away_has_all_lanes_soon_and_is_hardly_slower_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    carrier, took = fetch(990, latency=lambda: 0.05)
    assert carrier.most == 32
    monkeypatch.setattr(lanes, "AT_FIRST", 32)
    _, at_once = fetch(990, latency=lambda: 0.05)
    assert took < at_once + 1


def test_a_studio_that_is_no_quicker_for_more_lanes_keeps_few() -> None:
    carrier, _ = fetch(900)
    assert carrier.most <= 2 * AT_FIRST


def test_where_the_limit_sets_the_pace_no_lane_is_added() -> None:
    carrier, _ = fetch(300, limit=AT_FIRST + 1, latency=lambda: 0.05)
    assert carrier.most <= AT_FIRST + 1


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_there_are_never_more_than_allowed(concurrency: int) -> None:
    carrier, _ = fetch(300, concurrency=concurrency, latency=lambda: 0.05)
    assert carrier.most == concurrency


def test_of_many_studios_all_together_have_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    assert IN_ALL == 1200
    monkeypatch.setattr(lanes, "IN_ALL", 120)
    carrier, _ = fetch(100, studios=10, latency=lambda: 0.05)
    assert 110 < carrier.most <= 120


def test_what_one_studio_leaves_another_may_open() -> None:
    spare = Spare(IN_ALL // AT_FIRST - 1)
    assert (spare.take(5), spare.take(1)) == (AT_FIRST, 0)
    spare.give_back(1)
    assert (spare.take(5), spare.take(5)) == (1, 0)
    assert Spare(IN_ALL).take(1) == 0


def test_a_chain_is_fetched_within_every_limit_and_a_wrong_key_or_a_studio_that_is_down_stops_nobody() -> None:
    """Thirty studios, thirty keys at one address each, sixty requests a minute."""
    number, limit = 100, 60
    with MadeUpTime() as loop:
        made = [
            Studio(f"s{i:02}", base_url=f"https://s{i:02}.example", api_key=f"key {i}".replace(" ", ""))
            for i in range(30)
        ]
        carriers = {each.name: MadeUpStudio(loop, StudiosLimit(limit=limit)) for each in made}
        carriers["s07"]._status = lambda _: 401
        carriers["s11"]._down = lambda _: True

        class Chain(MadeUpStudio):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                name = request.url.host.partition(".")[0]
                assert request.headers["X-API-KEY"] == f"key{int(name[1:])}"
                return await carriers[name].handle_async_request(request)

        limits = {each: RateLimit(limit, clock=loop.time) for each in made}
        job = FetchJob(
            clock=lambda: datetime.fromtimestamp(loop.now, UTC),
            concurrency=32,
            rate_limit=limits.__getitem__,
            transport=Chain(loop),
            one_for_all=False,
        )
        loop.run(job.run({each: range(1, number + 1) for each in made}))
    fetches = pl.concat(job.written.fetches)
    by_studio = {name: rows for (name,), rows in fetches.group_by("studio")}
    for name, carrier in carriers.items():
        rows, wrong = by_studio[name], name in ("s07", "s11")
        assert rows["customer_id"].sort().to_list() == [*range(1, number + 1)]
        assert rows["outcome"].unique().to_list() == ["failed" if wrong else "ok"]
        assert carrier.refused == 0
        if not wrong:
            arrived = sorted(carrier.answered)
            gaps = [later - earlier for earlier, later in zip(arrived, arrived[limit:], strict=False)]
            assert 60 / (sum(gaps) / len(gaps)) >= 0.98
    assert by_studio["s07"]["http_status"].unique().to_list() == [401]
    assert by_studio["s11"]["http_status"].unique().to_list() == [None]
    assert len(carriers["s07"].sent) == 1
