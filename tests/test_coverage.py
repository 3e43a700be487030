"""How often the intervals hold the truth, by simulation through the public functions.

The bounds are the nominal share, less what chance allows so many cohorts. `tests/bench/coverage.py` prints the same
simulations, with more cohorts, as a table.
"""

from __future__ import annotations

from itertools import product
from math import comb

import polars as pl
import pytest
from simulation import CELLS, Cell, Mood, alike_classes, covered, noted, simulate
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
@pytest.mark.parametrize("groups", [3, 11])
def test_of_groups_that_are_alike_seldom_one_seems_to_differ(cell: Cell, groups: int) -> None:
    studios = 25
    found = 0
    for studio in range(studios):
        outcomes, cohorts = simulate([cell], groups, seed=1000 + studio)
        differences = compare(outcomes, "no_show_rate", baseline=0, cohorts=cohorts, by="cohort", simultaneous=True)
        found += differences.select(
            ((pl.col("difference_ci_low") > 0) | (pl.col("difference_ci_high") < 0)).any()
        ).item()
    assert found <= 3  # at 5 %, more than three of so few come by chance in 3 % of cases


MOODS = [
    Mood(rate, customer, slot, 0.0, customers)
    for rate, customer, slot, customers in product((0.1, 0.3), (0.0, 0.3), (0.0, 0.1, 0.3), (30, 300))
]


def held_by(mood: Mood, seed: int, *, dated: bool = False) -> tuple[float, float]:
    """Compute how often the interval holds the truth, and how often it would without slots."""
    outcomes, truth = mood.draw(200 if mood.customers < 100 else 60, seed), mood.truth(seed)
    outcomes = outcomes if dated else outcomes.drop("class_day", "weekday")
    frames = no_shows(outcomes, by="studio"), no_shows(outcomes.drop("class_slot_id"), by="studio")
    low, high = (frame.with_columns(truth=truth).select(covered("no_show_rate", "truth")).item() for frame in frames)
    return low, high


def test_where_classes_skip_together_the_interval_holds_the_truth() -> None:
    held = [held_by(mood, seed) for seed, mood in enumerate(MOODS)]
    assert sum(ours for ours, _ in held) / len(held) >= 0.95
    assert min(ours for ours, _ in held) >= 0.88  # 91 %, less chance
    alike = [without for mood, (_, without) in zip(MOODS, held, strict=True) if mood.slot == 0.3]
    assert min(alike) < 0.8


def test_where_days_are_alike_the_interval_holds_the_truth() -> None:
    mood = Mood(0.2, 0.0, 0.0, 0.1, 300)
    ours, without = held_by(mood, 7, dated=True)
    assert ours >= 0.88  # 94 %, less chance
    assert without < 0.8


@pytest.mark.parametrize("recorded", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("hidden", ["no_show", "attended"])
def test_bounds_hold_the_truth_also_where_noting_depends_on_who_came(recorded: float, hidden: str) -> None:
    mood = Mood(0.2, 0.1, 0.05, 0.0, 100)
    outcomes = noted(mood.draw(150, 11), recorded, 5, hidden=hidden)
    rates = no_shows(outcomes, by="studio").with_columns(truth=mood.truth(11))
    held = rates.select(pl.col("truth").is_between("no_show_rate_bounds_low", "no_show_rate_bounds_high").mean()).item()
    assert held >= 0.93  # 95 %, less what chance allows so many
    if recorded < 0.9:
        assert rates.select(covered("no_show_rate", "truth")).item() < 0.8


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
