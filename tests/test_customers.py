"""Customers one by one: what became of their places, and a no-show rate that brands nobody by one miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

import bookings_analytics as ba
from bookings_analytics.schema import CUSTOMERS

if TYPE_CHECKING:
    from datetime import date

SEATS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=12)


def outcomes_of(seats: list[tuple[int, int, int]]) -> pl.DataFrame:
    """One row a place: of each customer so many attended, missed and not recorded; whoever has none asked for one."""
    kinds = ("attended", "no_show", "unrecorded")
    rows = [
        ("mitte", customer, kind)
        for customer, counts in enumerate(seats, 1)
        for kind, n in (*zip(kinds, counts, strict=True), ("canceled", int(not any(counts))))
        for _ in range(n)
    ]
    return pl.DataFrame(rows, schema=["studio", "customer_id", "outcome"], orient="row")


def estimates(seats: list[tuple[int, int, int]], confidence: float) -> list[tuple[float | None, ...]]:
    """Write the formulas anew, in numpy."""
    y = np.array([missed for _, missed, _ in seats], dtype=float)
    n = np.array([attended + missed for attended, missed, _ in seats], dtype=float)
    if not n.sum():
        return [(None, None, None)] * len(seats)
    p, m = y.sum() / n.sum(), (n > 0).sum()
    b, spread = (n * n).sum() / n.sum(), n.sum() * p * (1 - p)
    rho = 0.0
    if b > 1 and spread > 0 and m > 1:
        rho = max(0.0, (m / (m - 1) * ((y - p * n) ** 2).sum() / spread - 1) / (b - 1))
    rho = min(rho, 1.0)
    found: list[tuple[float | None, ...]] = []
    for missed, seated in zip(y, n, strict=True):
        if rho == 0:
            found.append((p, p, p))
        elif seated == 0 and rho == 1:
            found.append((None, None, None))
        else:
            strength = (1 - rho) / rho
            total = seated + strength
            rate = (missed + p * strength) / total
            low, high = proportion_confint(rate * total, total, alpha=1 - confidence, method="wilson")
            found.append((rate, low, high))
    return found


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=15)
@given(seats=SEATS, confidence=st.sampled_from([0.8, 0.95]))
def test_counts_and_estimates_are_those_written_anew(
    name: str, seats: list[tuple[int, int, int]], confidence: float
) -> None:
    engine: Engine = ENGINES[name]
    who = engine.polars(ba.customers(engine.frame(outcomes_of(seats)), confidence=confidence))
    assert who.columns == list(CUSTOMERS)
    rows = {row["customer_id"]: row for row in who.to_dicts()}
    assert len(rows) == len(seats)
    expected = estimates(seats, confidence)
    for customer, (counts, estimate) in enumerate(zip(seats, expected, strict=True), 1):
        row = rows[customer]
        assert (row["n_attended"], row["n_no_show"], row["n_unrecorded"]) == counts
        assert row["n_seats"] == sum(counts)
        given_back = [row[f"no_show_estimate{part}"] for part in ("", "_ci_low", "_ci_high")]
        assert given_back == pytest.approx(list(estimate), abs=1e-9)
    order = [(-row["n_no_show"], -row["n_seats"], row["customer_id"]) for row in who.to_dicts()]
    assert order == sorted(order)


def test_one_miss_brands_nobody_and_many_do() -> None:
    steady = [(18, 2, 0)] * 20
    who = ba.customers(outcomes_of([*steady, (0, 1, 0), (4, 16, 0)])).rows_by_key(
        "customer_id", named=True, unique=True
    )
    of_all = (20 * 2 + 1 + 16) / (20 * 20 + 1 + 20)
    once, often = who[21]["no_show_estimate"], who[22]["no_show_estimate"]
    assert of_all < once < 0.35
    assert often > 0.6
    assert who[21]["no_show_estimate_ci_low"] < of_all < who[22]["no_show_estimate_ci_low"]


def test_listed_customers_without_a_place_are_there_and_unread_ones_are_not() -> None:
    cohorts = pl.DataFrame({"customer_id": [1, 2, 3], "fetch_outcome": ["ok", "ok", "failed"], "cohort": "all"})
    who = ba.customers(outcomes_of([(1, 1, 0)]), cohorts)
    assert who.select("customer_id", "n_seats", "n_waits").rows() == [(1, 2, 0), (2, 0, 0)]


def test_without_class_days_what_needs_them_is_not_known() -> None:
    row = ba.customers(outcomes_of([(1, 0, 0)])).row(0, named=True)
    assert (row["n_late"], row["n_weeks"], row["last_class_day"]) == (None, None, None)
    with ba.demo.serve() as studio:
        result = ba.fetch_bookings(studio.cohorts.head(20), studios=studio, progress=False)
    snapshot = ba.customers(ba.classify(result.bookings), result.cohorts)
    assert snapshot.select(pl.col("n_late", "n_weeks", "last_class_day").null_count()).row(0) == (snapshot.height,) * 3


def test_weeks_late_cancellations_and_the_last_day_are_those_of_dated_places() -> None:
    archive = ba.Archive("data/archive")
    days = archive.class_days(timezone="Europe/Berlin", opens="06:00", closes="23:00")
    outcomes = archive.outcomes(class_days=days).frame()
    rows = {row["customer_id"]: row for row in ba.customers(outcomes).to_dicts()}
    held = outcomes.filter(pl.col("outcome").cast(pl.String).is_in(["attended", "no_show", "unrecorded"]))
    late = dict(ba.cancellations(outcomes, by="customer_id").select("customer_id", "n_late").iter_rows())
    for customer, places in held.group_by("customer_id"):
        row = rows[customer[0]]
        known: list[date] = places["class_day"].drop_nulls().to_list()
        assert row["n_weeks"] == places["week"].drop_nulls().n_unique()
        assert row["last_class_day"] == max(known, default=None)
        assert row["n_late"] == late[customer[0]]
        assert row["n_seats"] == places.height


def test_the_chart_says_how_concentrated_they_are_and_names_nobody() -> None:
    who = ba.customers(outcomes_of([(0, 6, 0), *[(6, 0, 0)] * 19]))
    chart = ba.charts.customers(who)
    assert "6 no-shows of 1 customer, of 20 with a recorded seat. The tenth with most made 100%" in chart.description
    spec = str(chart.to_dict(validate=False))
    assert "customer_id" not in spec
    assert "mitte" not in spec


@pytest.mark.parametrize(
    ("seats", "why"),
    [([(3, 0, 0)], "there is no no-show"), ([(0, 0, 4)], "nobody has a recorded seat")],
)
def test_without_no_shows_the_chart_says_so(seats: Any, why: str) -> None:
    assert why in ba.charts.customers(ba.customers(outcomes_of(seats))).description


def test_where_all_are_alike_the_curve_is_that_of_chance() -> None:
    random = np.random.default_rng(4)
    seats = [(10 - int(missed), int(missed), 0) for missed in random.binomial(10, 0.2, 4000)]
    description = ba.charts.customers(ba.customers(outcomes_of(seats))).description
    made, by_chance = (int(part.split("%")[0].split()[-1]) for part in description.split("The tenth")[1].split(";"))
    assert abs(made - by_chance) <= 1
