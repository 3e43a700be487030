from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep
from strategies import booking, frame

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.metrics.rates import booking_vs_participation, no_shows
from bookings_analytics.metrics.waitlist import waitlist_conversion
from bookings_analytics.schema import BOOKINGS, COMPARISON, NO_SHOW_FUNNEL, OUTCOMES, POSITION

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS = {"trial": range(1, 21), "long-term": range(21, 61), None: range(61, 66)}
COHORT_ROWS = pl.DataFrame(
    [(number, name, "basic" if number % 2 else "premium") for name, numbers in GROUPS.items() for number in numbers],
    schema={"customer_id": pl.Int64, "cohort": pl.String, "plan": pl.String},
    orient="row",
).with_columns(studio=pl.lit("mitte"))
OUTCOME_ROWS = COHORT_ROWS.select(
    "studio",
    "customer_id",
    # every fourth trial customer and every tenth other one does not turn up
    outcome=pl.when(pl.col("customer_id") % pl.when(cohort="trial").then(4).otherwise(10) == 0)
    .then(pl.lit("no_show"))
    .otherwise(pl.lit("attended")),
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def compared(
    engine: Engine,
    baseline: Any = "long-term",
    rate: str = "no_show_rate",
    by: Any = "cohort",
    cohorts: pl.DataFrame = COHORT_ROWS,
) -> pl.DataFrame:
    people = engine.frame(cohorts)
    rates = no_shows(engine.frame(OUTCOME_ROWS), people, by=by)
    result = compare(rates, rate, baseline=baseline, cohorts=people, by=by)
    assert isinstance(result, engine.native)
    return engine.polars(result)


def test_a_comparison_has_the_declared_columns_and_a_row_for_every_other_group(engine: Engine) -> None:
    result = compared(engine)
    assert result.columns == ["cohort", *COMPARISON]
    assert {name: result.schema[name] for name in COMPARISON} == COMPARISON
    assert result["cohort"].to_list() == [None, "trial"]


def test_the_difference_is_that_of_the_two_rates_with_newcombes_interval(engine: Engine) -> None:
    [row] = compared(engine).filter(cohort="trial").to_dicts()
    assert (row["rate"], row["baseline"], row["n"], row["baseline_n"]) == ("no_show_rate", "long-term", 20, 40)
    assert (row["value"], row["baseline_value"], row["difference"]) == (0.25, 0.1, 0.15)
    # one seat a customer: the interval is nearly that of independent seats
    low, high = confint_proportions_2indep(5, 20, 4, 40, method="newcomb", compare="diff", correction=False)
    found = row["difference_ci_low"], row["difference_ci_high"]
    assert found == pytest.approx((low, high), abs=0.01)


def test_the_group_that_null_names_can_be_the_baseline(engine: Engine) -> None:
    result = compared(engine, baseline=None)
    assert result["cohort"].to_list() == ["long-term", "trial"]
    assert result["baseline_n"].unique().to_list() == [5]


def test_groups_of_two_columns_take_a_baseline_of_two_values(engine: Engine) -> None:
    result = compared(engine, baseline=("trial", "basic"), by=["cohort", "plan"])
    assert result.height == 5
    assert result["baseline"].unique().to_list() == ["trial, basic"]
    assert result.filter(cohort="trial", plan="premium")["difference"].item() == pytest.approx(0.5)


def test_a_group_without_the_rate_has_no_difference(engine: Engine) -> None:
    quiet = pl.DataFrame({"customer_id": [99], "cohort": "quiet", "plan": "basic", "studio": "mitte"})
    result = compared(engine, cohorts=pl.concat([COHORT_ROWS, quiet]))
    [row] = result.filter(cohort="quiet").to_dicts()
    assert (row["n"], row["value"], row["difference"], row["difference_ci_low"]) == (0, None, None, None)


@pytest.mark.parametrize(
    ("rate", "trials"),
    [("booking_rate", 20), ("participation_rate", 20), ("seat_rate", 20), ("cancellation_rate", 20)],
)
def test_rates_of_bookings_compare_too(engine: Engine, rate: str, trials: int) -> None:
    people = engine.frame(COHORT_ROWS)
    rates = booking_vs_participation(engine.frame(OUTCOME_ROWS), people, by="cohort")
    result = engine.polars(compare(rates, rate, baseline="long-term", cohorts=people, by="cohort"))
    assert result.filter(cohort="trial").select("n", "baseline_n").row(0) == (trials, 40)


def test_rates_of_waits_compare_too() -> None:
    waits = [
        booking(customer_id=number, booking_id=number, booking_status=status, class_slot_status=slot, observed_at=time)
        for number in COHORT_ROWS["customer_id"]
        for time, slot, status in [
            (frame([booking()])["observed_at"][0], "PLANNED", "WAITING_LIST"),
            (
                frame([booking()])["observed_at"][0].replace(day=9),
                "COMPLETED",
                "BOOKED" if number % 2 else "WAITING_LIST",
            ),
        ]
    ]
    rates = waitlist_conversion(classify(frame(waits, BOOKINGS)), COHORT_ROWS, by="cohort")
    for rate, trials in (("conversion_rate", 20), ("clear_rate", 1)):
        result = compare(rates, rate, baseline="long-term", cohorts=COHORT_ROWS, by="cohort")
        assert result.filter(cohort="trial")["n"].item() == trials


def test_groups_that_share_customers_with_the_baseline_are_refused_with_their_number(engine: Engine) -> None:
    shared = COHORT_ROWS.filter(cohort="trial").head(3).with_columns(cohort=pl.lit("long-term"))
    with pytest.raises(CohortError, match=r"share customers with long-term: trial shares 3.*take the shared ones out"):
        compared(engine, cohorts=pl.concat([COHORT_ROWS, shared]))


@pytest.mark.parametrize("studio", [None, "mitte"])
def test_customers_listed_without_studio_are_found_shared_as_well(engine: Engine, studio: str | None) -> None:
    nameless = COHORT_ROWS.with_columns(studio=pl.lit(studio, pl.String))
    shared = (
        nameless.filter(cohort="trial").head(2).with_columns(cohort=pl.lit("long-term"), studio=pl.lit(None, pl.String))
    )
    with pytest.raises(CohortError, match="trial shares 2"):
        compared(engine, cohorts=pl.concat([nameless, shared]))
    with pytest.raises(CohortError, match="trial shares 2"):
        compared(engine, cohorts=pl.concat([nameless, shared]).drop("studio"))


def test_groups_that_share_customers_with_each_other_only_can_be_compared_with_a_third(engine: Engine) -> None:
    again = COHORT_ROWS.filter(cohort="trial").with_columns(cohort=pl.lit("twice"))
    result = compared(engine, cohorts=pl.concat([COHORT_ROWS, again]))
    assert result["cohort"].to_list() == [None, "trial", "twice"]


def test_the_same_customer_twice_in_one_group_is_not_shared(engine: Engine) -> None:
    assert compared(engine, cohorts=pl.concat([COHORT_ROWS, COHORT_ROWS])).height == 2


def test_a_rate_that_is_not_there_is_refused_with_those_there_are(engine: Engine) -> None:
    with pytest.raises(
        ValueError, match=r"'recorded_share' is no rate .* choose from: attendance_rate, no_show_rate\."
    ):
        compared(engine, rate="recorded_share")


def test_a_baseline_that_is_not_there_is_refused_with_those_there_are(engine: Engine) -> None:
    with pytest.raises(ValueError, match="baseline 'corporate' is no group of the rates: long-term, trial, None"):
        compared(engine, baseline="corporate")
    with pytest.raises(
        ValueError, match=r"baseline \('trial', 'gold'\) is no group of the rates: .*\('trial', 'basic'\)"
    ):
        compared(engine, baseline=("trial", "gold"), by=["cohort", "plan"])


def test_only_groups_of_customers_can_be_compared(engine: Engine) -> None:
    outcomes = engine.frame(OUTCOME_ROWS.with_columns(class_id=7))
    with pytest.raises(
        ValueError, match="by names class_id, which the cohorts lack: only groups of different customers"
    ):
        compare(
            no_shows(outcomes, by="class_id"),
            "no_show_rate",
            baseline=7,
            cohorts=engine.frame(COHORT_ROWS),
            by="class_id",
        )


def test_the_rates_have_to_be_grouped_by_the_same_columns(engine: Engine) -> None:
    people = engine.frame(COHORT_ROWS)
    outcomes = engine.frame(OUTCOME_ROWS)
    with pytest.raises(ValueError, match="by names plan, but the rates are not grouped by that"):
        compare(no_shows(outcomes, people, by="cohort"), "no_show_rate", baseline="basic", cohorts=people, by="plan")
    both = no_shows(outcomes, people, by=["cohort", "plan"])
    with pytest.raises(ValueError, match="several rows for one group of cohort; give compare all of its by"):
        compare(both, "no_show_rate", baseline="trial", cohorts=people, by="cohort")


def seats(counts: Sequence[Sequence[tuple[int, int]]]) -> pl.DataFrame:
    """Make outcomes: for each class, its customers' no-shows and attended seats."""
    rows = [
        booking(customer_id=customer, class_id=class_id, class_slot_id=number, outcome=outcome)
        for class_id, customers in enumerate(counts)
        for customer, (missed, came) in enumerate(customers)
        for number, outcome in enumerate(["no_show"] * missed + ["attended"] * came)
    ]
    return frame(rows, OUTCOMES)


def funnel(engine: Engine, counts: Sequence[Sequence[tuple[int, int]]]) -> pl.DataFrame:
    result = no_show_funnel(engine.frame(seats(counts)), by="class_id")
    assert isinstance(result, engine.native)
    table = engine.polars(result).cast({"position": POSITION})
    assert table.columns == ["class_id", *NO_SHOW_FUNNEL]
    assert {name: table.schema[name] for name in NO_SHOW_FUNNEL} == NO_SHOW_FUNNEL
    return table


CLASSES = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any), min_size=1, max_size=5),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40)
@given(counts=CLASSES)
def test_the_funnel_agrees_with_its_definition(counts: list[list[tuple[int, int]]]) -> None:
    missed = [sum(y for y, _ in customers) for customers in counts]
    seats_of = [sum(y + a for y, a in customers) for customers in counts]
    center = sum(missed) / sum(seats_of)
    between = binomial = 0.0
    for customers, y, n in zip(counts, missed, seats_of, strict=True):
        if (m := len(customers)) > 1:
            between += m / (m - 1) * sum((y_i - y / n * (y_i + a_i)) ** 2 for y_i, a_i in customers)
            binomial += n * y / n * (1 - y / n)
    spread = max(1.0, between / binomial) if binomial > 1e-9 else 1.0
    table = funnel(ENGINES["polars"], counts)
    for row, y, n in zip(table.to_dicts(), missed, seats_of, strict=True):
        assert (row["n_no_show"], row["n_recorded"]) == (y, n)
        assert (row["center"], row["dispersion"]) == (pytest.approx(center), pytest.approx(spread))
        for name, z in (("limit_95", 1.959964), ("limit_998", 3.090232)):
            half = z * sqrt(spread * center * (1 - center) / n)
            limits = row[f"{name}_low"], row[f"{name}_high"]
            assert limits == pytest.approx((max(0, center - half), min(1, center + half)), abs=1e-6)


def test_the_funnel_says_where_each_class_lies(engine: Engine) -> None:
    def people(missed: int, came: int) -> list[tuple[int, int]]:
        return [(1, 0)] * missed + [(0, 1)] * came

    table = funnel(
        engine, [people(100, 900), people(78, 922), people(45, 955), people(123, 877), people(160, 840), people(1, 9)]
    )
    positions = ["within", "below_95", "below_998", "above_95", "above_998", "within"]
    assert table["position"].to_list() == positions
    assert table["dispersion"].unique().to_list() == pytest.approx([1], abs=0.01)


def test_seats_of_few_customers_widen_the_funnel(engine: Engine) -> None:
    """Ten customers who always or never come say less about a class than a hundred seats would."""
    faithful = [(0, 10)] * 5 + [(10, 0)] * 5
    assert funnel(engine, [faithful, faithful])["dispersion"].to_list() == pytest.approx([100 / 9, 100 / 9])


def test_a_class_of_one_customer_says_nothing_about_how_customers_differ(engine: Engine) -> None:
    mixed = [(1, 1)] * 3 + [(2, 0), (0, 2)]
    alone = funnel(engine, [mixed])["dispersion"].item()
    assert funnel(engine, [mixed, [(10, 0)]])["dispersion"].to_list() == [alone, alone]
    assert funnel(engine, [[(1, 2)]])["dispersion"].item() == 1


def test_a_class_whose_attendance_nobody_recorded_has_no_place_in_the_funnel(engine: Engine) -> None:
    outcomes = pl.concat([seats([[(1, 3), (0, 2)]]), frame([booking(class_id=9, outcome="unrecorded")], OUTCOMES)])
    table = engine.polars(no_show_funnel(engine.frame(outcomes), by="class_id"))
    row = table.filter(class_id=9).row(0, named=True)
    assert (row["n_customers"], row["n_recorded"], row["no_show_rate"]) == (0, 0, None)
    assert (row["limit_95_low"], row["limit_998_high"], row["position"]) == (None, None, None)
    assert row["center"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(("counts", "center"), [([[(0, 5)], [(0, 3)]], 0), ([[(5, 0)], [(3, 0)]], 1)])
def test_where_all_come_or_none_every_class_is_within(engine: Engine, counts: Any, center: float) -> None:
    table = funnel(engine, counts)
    assert table["center"].to_list() == [center, center]
    assert table["position"].to_list() == ["within", "within"]


def test_a_funnel_of_nothing_is_empty(engine: Engine) -> None:
    assert funnel(engine, []).is_empty()


def test_a_funnel_of_cohorts_takes_only_their_customers(engine: Engine) -> None:
    people = engine.frame(COHORT_ROWS.filter(cohort="trial"))
    table = engine.polars(no_show_funnel(engine.frame(OUTCOME_ROWS), people, by="cohort"))
    assert table.select("n_customers", "n_no_show", "n_recorded", "no_show_rate", "center").rows() == [
        (20, 5, 20, 0.25, 0.25)
    ]
