"""How often the intervals hold the truth, by simulation through the public functions.

The bounds are the nominal share, less what chance allows so many cohorts. `tests/bench/coverage.py` prints the same
simulations, with more cohorts, as a table.
"""

from __future__ import annotations

from math import comb

import polars as pl
import pytest
from simulation import CELLS, Cell, alike_classes, covered, simulate
from statsmodels.stats.proportion import proportion_confint

from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.rates import booking_vs_participation, no_shows

COHORTS = 300
CELL = ["rate", "correlation", "customers"]


@pytest.fixture(scope="module")
def rates() -> pl.DataFrame:
    outcomes, cohorts = simulate(CELLS, COHORTS, seed=1)
    return no_shows(outcomes, cohorts, by=[*CELL, "cohort"])


def test_the_interval_holds_the_true_rate_as_often_as_it_says(rates: pl.DataFrame) -> None:
    shares = rates.group_by(CELL).agg(covered=covered("no_show_rate", "rate"))
    assert shares.height == len(CELLS)
    lowest, mean = shares.select(pl.min("covered"), mean=pl.mean("covered")).row(0)
    assert lowest >= 0.92
    assert mean >= 0.945


def test_where_customers_differ_the_interval_is_not_wider_than_it_has_to_be(rates: pl.DataFrame) -> None:
    assert rates.filter(correlation=0.3).select(covered("no_show_rate", "rate")).item() <= 0.97


def test_a_plain_wilson_interval_fails_the_same_test(rates: pl.DataFrame) -> None:
    low, high = proportion_confint(
        rates["n_no_show"].to_numpy(), (rates["n_attended"] + rates["n_no_show"]).to_numpy(), method="wilson"
    )
    plain = rates.with_columns(no_show_rate_ci_low=low, no_show_rate_ci_high=high)
    shares = plain.filter(correlation=0.3).group_by(CELL).agg(covered=covered("no_show_rate", "rate"))
    assert shares.select(pl.max("covered")).item() < 0.8


@pytest.mark.parametrize("customers", [10, 50, 200])
def test_the_share_of_customers_who_took_part_is_held_as_often_as_it_says(customers: int) -> None:
    """Exactly: each number of participants there can be, weighted by its binomial probability."""
    numbers = range(customers + 1)
    ids = pl.DataFrame({"customer_id": range(customers)})
    cohorts = (
        pl.DataFrame({"cohort": numbers})
        .join(ids, how="cross")
        .with_columns(pl.col("customer_id") + 1000 * pl.col("cohort"))
    )
    attended = cohorts.filter(pl.col("customer_id") % 1000 < pl.col("cohort"))
    outcomes = attended.select("customer_id", studio=pl.lit("mitte"), outcome=pl.lit("attended"))
    rates = booking_vs_participation(outcomes, cohorts, by="cohort")
    shares = []
    for rate in (truth / 100 for truth in range(5, 51)):
        held = rates.select(pl.lit(rate).is_between("participation_rate_ci_low", "participation_rate_ci_high"))
        chances = [comb(customers, y) * rate**y * (1 - rate) ** (customers - y) for y in numbers]
        shares.append(sum(chance for chance, (holds,) in zip(chances, held.rows(), strict=True) if holds))
    assert min(shares) >= 0.9
    assert sum(shares) / len(shares) >= 0.95


@pytest.mark.parametrize("cell", [Cell(0.2, 0.0, 100), Cell(0.2, 0.3, 30)], ids=str)
def test_cohorts_that_are_alike_seldom_seem_to_differ(cell: Cell) -> None:
    pairs = 400
    outcomes, cohorts = simulate([cell], 2 * pairs, seed=3)
    rates = no_shows(outcomes, cohorts, by="cohort")
    found = 0
    for first in range(0, 2 * pairs, 2):
        pair = pl.col("cohort").is_in([first, first + 1])
        difference = compare(
            rates.filter(pair), "no_show_rate", baseline=first, cohorts=cohorts.filter(pair), by="cohort"
        )
        found += difference.select((pl.col("difference_ci_low") > 0) | (pl.col("difference_ci_high") < 0)).item()
    assert found <= 0.07 * pairs


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_of_classes_that_are_all_alike_the_funnel_flags_as_few_as_it_says(correlation: float) -> None:
    studios = [alike_classes(Cell(0.2, correlation, 1000), 60, seed) for seed in range(30)]
    position = pl.col("position").cast(pl.String)
    funnels = pl.concat([no_show_funnel(studio, by="class_id") for studio in studios])
    outside_95, outside_998 = funnels.select(
        (position != "within").mean(), far=position.str.ends_with("_998").mean()
    ).row(0)
    assert outside_95 == pytest.approx(0.05, abs=0.015)
    assert outside_998 <= 0.01


def test_without_its_dispersion_the_funnel_would_flag_too_many() -> None:
    studios = [alike_classes(Cell(0.2, 0.3, 1000), 60, seed) for seed in range(30)]
    funnels = pl.concat([no_show_funnel(studio, by="class_id") for studio in studios])
    half = (pl.col("limit_95_high") - pl.col("center")) / pl.col("dispersion").sqrt()
    outside = (pl.col("no_show_rate") - pl.col("center")).abs() > half
    assert funnels.select(outside.mean()).item() > 0.15
