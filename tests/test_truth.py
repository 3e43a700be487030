"""The conversion rate against what really happened: the demo studio knows every wait, and how it ended.

`tests/bench/coverage.py` prints the same with more seeds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from watching import DAY, ENDED, PLACE, WEEK, fetch_times, snapshots, truth, watch

import bookings_analytics as ba
from bookings_analytics import demo
from bookings_analytics.demo import World

if TYPE_CHECKING:
    from datetime import timedelta

SEEDS = range(20)
FIGURES = Path(__file__).parent.parent / "data" / "watched_studios.csv"


def waits(outcomes: pl.DataFrame) -> pl.DataFrame:
    return outcomes.filter(pl.col("wait_outcome").is_not_null()).select(*PLACE, outcome="wait_outcome").sort(PLACE)


@pytest.mark.parametrize(("every", "weeks", "new_id_share"), [(DAY, 2, 0.0), (WEEK, 8, 0.5)])
def test_fetched_over_http_the_waits_and_their_outcomes_are_those_that_happened(
    tmp_path: Path, every: timedelta, weeks: int, new_id_share: float
) -> None:
    times = fetch_times(every, span=weeks * WEEK)
    archive = ba.Archive(tmp_path / "archive")
    with demo.serve(limit=None, new_id_share=new_id_share, bookkeeping="tidy") as studio:
        happened = truth(studio.world, times)
        for studio.now in times:
            ba.fetch_bookings(
                happened["customer_id"].unique(maintain_order=True).to_list(),
                studios=studio,
                archive=archive,
                progress=False,
                requests_per_minute=1_000_000,
                clock=studio.clock,
            )
    found = ba.classify(archive.history().collect())
    outcome = pl.col("outcome").cast(found["wait_outcome"].dtype)
    assert_frame_equal(waits(found), happened.select(*PLACE, outcome))
    assert set(ENDED) < set(happened["outcome"])
    assert_frame_equal(waits(found), waits(ba.classify(snapshots(studio.world, times))))


@pytest.fixture(scope="module")
def watched() -> pl.DataFrame:
    worlds = ((seed, World(seed, bookkeeping="tidy")) for seed in SEEDS)
    return pl.DataFrame(
        [
            {"seed": seed, "every": every.days, **row}
            for seed, world in worlds
            for every in (DAY, WEEK)
            for row in watch(world, every)
        ]
    )


def share_held(watched: pl.DataFrame, true: str) -> pl.DataFrame:
    """Give the share of intervals that hold the truth: that rate of the waits in progress at a fetch, in all worlds."""
    rate = (pl.sum(true) / pl.sum("n")).over("every")
    held = rate.is_between("conversion_rate_ci_low", "conversion_rate_ci_high")
    return watched.with_columns(held=held).group_by("every").agg(pl.mean("held"), n=pl.len())


def test_of_the_waits_in_progress_at_a_fetch_none_is_lost(watched: pl.DataFrame) -> None:
    rates = watched.filter(rate="conversion_rate")
    assert rates.select(pl.sum_horizontal("n_converted", "n_lapsed", "n_withdrawn")).to_series().equals(rates["n"])
    assert rates["n_converted"].equals(rates["n_seat"])
    assert rates.select(pl.sum("n_lost")).item() == 0


def test_the_interval_holds_the_truth_as_often_as_it_says(watched: pl.DataFrame) -> None:
    shares = share_held(watched.filter(rate="conversion_rate"), "n_seat")
    assert shares.height == 2
    assert shares["held"].min() >= 0.9  # type: ignore[operator]  # polars can't know that a mean is a number


def test_every_booking_ever_seen_waiting_would_be_the_wrong_base(watched: pl.DataFrame) -> None:
    shares = share_held(watched.filter(rate="naive"), "n_seat")
    assert shares.height == 2
    assert shares["held"].max() <= 0.05  # type: ignore[operator]  # as above


def test_seats_given_up_before_any_fetch_saw_them_look_withdrawn(watched: pl.DataFrame) -> None:
    """So what got a seat at all, however short, lies between the rate and the rate with the withdrawn."""
    rates = watched.filter(rate="conversion_rate")
    got = pl.col("n_got") / pl.col("n")
    most = (pl.col("n_converted") + pl.col("n_withdrawn")) / pl.col("n")
    again = 0.01  # some asked again and then lapsed
    assert rates.select(got.is_between("conversion_rate", most + again).all()).item()


@pytest.mark.parametrize(("fetched", "every"), [("daily", 1), ("weekly", 7)])
def test_the_figures_that_notebook_4_shows_are_these(watched: pl.DataFrame, fetched: str, every: int) -> None:
    """They are of more seeds, so up to three percentage points may lie between."""
    found = watched.filter(every=every).select(
        waits_seen=pl.sum("n") / pl.sum("n_all"),
        seat_seen=pl.sum("n_seat") / pl.sum("n"),
        seat_at_all=pl.sum("n_got") / pl.sum("n"),
        seat_at_all_of_all_waits=pl.sum("n_all_got") / pl.sum("n_all"),
        conversion_rate=pl.col("conversion_rate").filter(rate="conversion_rate").mean(),
        naive_rate=pl.col("conversion_rate").filter(rate="naive").mean(),
    )
    told = pl.read_csv(FIGURES).filter(fetched=fetched).select(found.columns)
    assert told.row(0) == pytest.approx(found.row(0), abs=0.03)
