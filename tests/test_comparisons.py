from __future__ import annotations

from datetime import date, timedelta
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import formulas
import numpy as np
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep
from strategies import booking, frame

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.metrics.rates import no_shows
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
    *,
    by: Any = "cohort",
    cohorts: pl.DataFrame | None = COHORT_ROWS,
    outcomes: pl.DataFrame = OUTCOME_ROWS,
    **options: Any,
) -> pl.DataFrame:
    people = None if cohorts is None else engine.frame(cohorts)
    result = compare(engine.frame(outcomes), rate, baseline=baseline, cohorts=people, by=by, **options)
    assert isinstance(result, engine.native)
    return engine.polars(result)


def test_a_comparison_has_the_declared_columns_and_a_row_for_every_other_group(engine: Engine) -> None:
    result = compared(engine)
    assert result.columns == ["cohort", *COMPARISON]
    assert {name: result.schema[name] for name in COMPARISON} == COMPARISON
    assert result["cohort"].to_list() == [None, "trial"]


def test_the_difference_is_that_of_the_two_rates_with_movers_interval(engine: Engine) -> None:
    [row] = compared(engine).filter(cohort="trial").to_dicts()
    assert (row["rate"], row["baseline"], row["n"], row["baseline_n"]) == ("no_show_rate", "long-term", 20, 40)
    assert (row["value"], row["baseline_value"], row["difference"]) == (0.25, 0.1, 0.15)
    assert (row["n_shared_customers"], row["recorded_share"], row["baseline_recorded_share"]) == (0, 1, 1)
    assert (row["confidence"], row["simultaneous"]) == (0.95, False)
    rates = no_shows(OUTCOME_ROWS, COHORT_ROWS, by="cohort").rows_by_key("cohort", named=True, unique=True)
    (l1, u1), (l2, u2) = (
        (rates[name]["no_show_rate_ci_low"], rates[name]["no_show_rate_ci_high"]) for name in ("trial", "long-term")
    )
    low = 0.15 - sqrt((0.25 - l1) ** 2 + (u2 - 0.1) ** 2)
    high = 0.15 + sqrt((u1 - 0.25) ** 2 + (0.1 - l2) ** 2)
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((low, high), abs=1e-9)
    # one seat a customer: nearly the interval of independent seats, wider as few customers say little of their spread
    plain = confint_proportions_2indep(5, 20, 4, 40, method="newcomb", compare="diff", correction=False)
    assert (low, high) == pytest.approx(plain, abs=0.02)


def test_the_group_that_null_names_can_be_the_baseline(engine: Engine) -> None:
    result = compared(engine, baseline=(None,))
    assert result["cohort"].sort().to_list() == ["long-term", "trial"]
    assert result["baseline_n"].unique().to_list() == [5]


def test_without_a_baseline_the_group_with_the_most_trials_is_compared_with(engine: Engine) -> None:
    assert compared(engine, baseline=None)["baseline"].unique().to_list() == ["long-term"]


def test_of_equally_large_groups_the_first_is_the_baseline() -> None:
    cohorts = pl.concat([COHORT_ROWS.filter(cohort="trial").with_columns(cohort=pl.lit(name)) for name in ("b", "a")])
    assert compare(OUTCOME_ROWS, "no_show_rate", cohorts=cohorts, by="cohort")["baseline"].to_list() == ["b"]


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


def dated(days: int, customers: int, seed: int) -> pl.DataFrame:
    """Make outcomes of some weeks: three classes a day, customers and slots with moods of their own."""
    random = np.random.default_rng(seed)
    rows = 8 * days
    slot, customer = random.integers(0, 3 * days, rows), random.integers(0, customers, rows)
    mood, habit = random.normal(0, 1, 3 * days), random.normal(0, 1, customers)
    missed = random.random(rows) < 1 / (1 + np.exp(1 - mood[slot] - habit[customer]))
    outcome = np.where(random.random(rows) < 0.1, "unrecorded", np.where(missed, "no_show", "attended"))
    day = [FIRST_DAY + timedelta(int(s) // 3) for s in slot]
    table = pl.DataFrame(
        {"studio": "mitte", "customer_id": customer, "class_slot_id": slot, "class_id": slot % 3, "outcome": outcome}
    )
    return table.with_columns(
        class_day=pl.Series(day),
        weekday=pl.Series([f"{each:%a}" for each in day]),
        week=pl.Series([each - timedelta(each.weekday()) for each in day]),
        month=pl.Series([each.replace(day=1) for each in day]),
        week_complete=True,
    ).unique(["customer_id", "class_slot_id"], keep="first", maintain_order=True)


FIRST_DAY = date(2025, 3, 3)
DATED = dated(56, 50, 3)
OVERLAPPING = pl.DataFrame(
    [("mitte", number, "early") for number in range(30)] + [("mitte", number, "late") for number in range(10, 45)],
    schema={"studio": pl.String, "customer_id": pl.Int64, "cohort": pl.String},
    orient="row",
)
UNITS = (("class_id", "class_slot_id"), ("weekday", "class_day"))


def of_numpy(first: pl.DataFrame, second: pl.DataFrame, confidence: float) -> tuple[float, float, int]:
    """Compute the interval of the difference of two groups' no-show rates, and how many customers both have."""
    y, n = (pl.col("outcome") == "no_show").cast(int), pl.col("outcome").is_in(["attended", "no_show"]).cast(int)
    columns = ("customer_id", *(name for pair in UNITS for name in pair))
    one, two, all_ = (frame.select(*columns, y=y, n=n).filter(pl.col("n") > 0) for frame in (first, second, DATED))
    rho = {unit: formulas.correlation(all_[within], all_[unit], all_["y"], all_["n"]) for within, unit in UNITS}
    terms = [[formulas.shared_term(rho[unit], side[unit], side["n"]) for _, unit in UNITS] for side in (one, two)]
    rates = [
        formulas.clustered(side["customer_id"], side["y"], side["n"], max(t))
        for side, t in zip((one, two), terms, strict=True)
    ]
    sums = [side.group_by("customer_id").agg(pl.sum("y", "n")) for side in (one, two)]
    both = sums[0].join(sums[1], on="customer_id")
    y1, n1, y2, n2 = (both[name].to_numpy() for name in ("y", "n", "y_right", "n_right"))
    c = float(np.sum((y1 - rates[0].q * n1) * (y2 - rates[1].q * n2)))
    larger = [0 if slots >= days else 1 for slots, days in terms]
    if larger[0] == larger[1]:
        unit = UNITS[larger[0]][1]
        seats = [side.group_by(unit).len() for side in (one, two)]
        pairs = int(seats[0].join(seats[1], on=unit).select((pl.col("len") * pl.col("len_right")).sum()).item())
        same = one.join(two, on=["customer_id", "class_slot_id"]).height
        c += sqrt(prod(rate.q * (1 - rate.q) for rate in rates)) * rho[unit] * (pairs - same)
    r = max(-1, min(1, c / sqrt(rates[0].spread() * rates[1].spread())))
    (p1, l1, u1), (p2, l2, u2) = ((rate.y.sum() / rate.n.sum(), *rate.interval(confidence)) for rate in rates)
    low = p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2 - 2 * r * (p1 - l1) * (u2 - p2))
    high = p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2 - 2 * r * (u1 - p1) * (p2 - l2))
    return low, high, both.height


def check(row: dict[str, Any], first: pl.DataFrame, second: pl.DataFrame, confidence: float) -> None:
    low, high, shared = of_numpy(first, second, confidence)
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((low, high), abs=1e-9)
    assert row["n_shared_customers"] == shared


def test_groups_that_share_customers_and_seats_have_the_covariance_in_their_interval(engine: Engine) -> None:
    [row] = compared(engine, "early", cohorts=OVERLAPPING, outcomes=DATED, confidence=0.9).to_dicts()
    early, late = (DATED.join(OVERLAPPING.filter(cohort=name), on="customer_id") for name in ("early", "late"))
    check(row, late, early, 0.9)
    assert row["n_shared_customers"] == 20


@pytest.mark.parametrize("by", ["class_id", "week", "weekday", "month", "customer_id"])
def test_any_column_of_the_outcomes_can_be_compared(engine: Engine, by: str) -> None:
    baseline = DATED[by][0]
    result = compared(engine, baseline, by=by, cohorts=None, outcomes=DATED)
    assert result.height == DATED[by].n_unique() - 1
    for row in result.to_dicts():
        check(row, DATED.filter(pl.col(by) == row[by]), DATED.filter(pl.col(by) == baseline), 0.95)


def test_studios_share_neither_customers_nor_slots_so_theirs_is_the_plain_interval(engine: Engine) -> None:
    """Customers and slots of the same numbers in both: a number is of one studio."""
    both = pl.concat([DATED, dated(28, 40, 8).with_columns(studio=pl.lit("nord"))])
    [row] = compared(engine, "mitte", by="studio", cohorts=None, outcomes=both).to_dicts()
    (p2, l2, u2), (p1, l1, u1) = (
        no_shows(both, by="studio").select("no_show_rate", "no_show_rate_ci_low", "no_show_rate_ci_high").rows()
    )
    low, high = p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2), p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((low, high), abs=1e-9)
    assert row["n_shared_customers"] == 0


def test_cohorts_within_classes_are_compared_too(engine: Engine) -> None:
    by = ["cohort", "class_id"]
    result = compared(engine, ("early", 0), by=by, cohorts=OVERLAPPING, outcomes=DATED)
    listed = DATED.join(OVERLAPPING, on="customer_id")
    for row in result.to_dicts():
        group = listed.filter(cohort=row["cohort"], class_id=row["class_id"])
        check(row, group, listed.filter(cohort="early", class_id=0), 0.95)


def test_undated_classes_can_be_a_group_of_a_comparison(engine: Engine) -> None:
    some = DATED.with_columns(pl.when(pl.col("class_id") > 0).then(pl.col("weekday")).alias("weekday"))
    result = compared(engine, "Mon", by="weekday", cohorts=None, outcomes=some)
    assert result["weekday"].to_list()[0] is None
    assert result["difference"].null_count() == 0


def test_simultaneous_intervals_are_wider_and_hold_together(engine: Engine) -> None:
    result = compared(engine, 0, by="class_id", cohorts=None, outcomes=DATED, simultaneous=True)
    assert result.select("confidence", "simultaneous").unique().rows() == [(0.95, True)]
    for row in result.to_dicts():
        check(row, DATED.filter(class_id=row["class_id"]), DATED.filter(class_id=0), 0.95 ** (1 / 2))


def test_the_same_customers_in_two_groups_do_not_differ(engine: Engine) -> None:
    again = OVERLAPPING.with_columns(cohort=pl.lit("again"))
    everyone = pl.concat([OVERLAPPING.filter(cohort="early"), again.filter(pl.col("customer_id") < 30)])
    [row] = compared(engine, "early", cohorts=everyone.unique(), outcomes=DATED).to_dicts()
    assert row["difference"] == 0
    of_one = no_shows(DATED, OVERLAPPING, by="cohort").filter(cohort="early")
    independent = sqrt(2) * (of_one["no_show_rate_ci_high"] - of_one["no_show_rate_ci_low"]).item()
    assert row["difference_ci_high"] - row["difference_ci_low"] < independent / 2


@pytest.mark.parametrize("rate", ["booking_rate", "participation_rate"])
def test_rates_of_customers_count_everybody_in_both_bases(engine: Engine, rate: str) -> None:
    few = DATED.filter(pl.col("customer_id") % 3 > 0).head(60)
    [row] = compared(engine, "early", rate, cohorts=OVERLAPPING, outcomes=few).to_dicts()
    hits = few.filter(pl.col("outcome") == "attended") if rate == "participation_rate" else few
    came = set(hits["customer_id"])
    sides = []
    for numbers in (range(10, 45), range(30)):
        n, y = len(numbers), len(came & set(numbers))
        deff = (n + 2) / (n + 1)
        q = (y + 1) / (n + 2)
        spread = deff * (n + 1) / (n + 2) * (n + 2) * q * (1 - q)
        sides.append((y / n, *formulas.wilson(y / n, n / deff, formulas.z_of(0.95)), q, spread))
    (p1, l1, u1, q1, s1), (p2, l2, u2, q2, s2) = sides
    r = sum(((number in came) - q1) * ((number in came) - q2) for number in range(10, 30)) / sqrt(s1 * s2)
    low = p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2 - 2 * r * (p1 - l1) * (u2 - p2))
    high = p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2 - 2 * r * (u1 - p1) * (p2 - l2))
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((low, high), abs=1e-9)
    assert (row["n"], row["baseline_n"], row["n_shared_customers"]) == (35, 30, 20)


def test_the_share_of_customers_who_booked_a_class_has_all_customers_in_each_base(engine: Engine) -> None:
    result = compared(
        engine, ("early", 0), "booking_rate", by=["cohort", "class_id"], cohorts=OVERLAPPING, outcomes=DATED
    )
    found = {row["cohort"]: (row["n"], row["n_shared_customers"]) for row in result.to_dicts()}
    assert found == {"early": (30, 30), "late": (35, 20)}


@pytest.mark.parametrize(("rate", "trials"), [("seat_rate", 20), ("cancellation_rate", 20), ("attendance_rate", 20)])
def test_rates_of_requests_and_seats_compare_too(engine: Engine, rate: str, trials: int) -> None:
    result = compared(engine, rate=rate)
    assert result.filter(cohort="trial").select("n", "baseline_n").row(0) == (trials, 40)


def test_the_recorded_share_stands_beside_rates_that_depend_on_it(engine: Engine) -> None:
    half = OUTCOME_ROWS.with_columns(
        outcome=pl.when(pl.col("customer_id") % 2 == 0, pl.col("customer_id") <= 20)
        .then(pl.lit("unrecorded"))
        .otherwise("outcome")
    )
    for rate, expected in (("no_show_rate", 0.5), ("participation_rate", 0.5), ("seat_rate", None)):
        row = compared(engine, rate=rate, outcomes=half).filter(cohort="trial").row(0, named=True)
        assert row["recorded_share"] == expected
        assert row["baseline_recorded_share"] == (None if expected is None else 1)


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
    outcomes = classify(frame(waits, BOOKINGS))
    for rate, trials in (("conversion_rate", 20), ("clear_rate", 1)):
        result = compare(outcomes, rate, baseline="long-term", cohorts=COHORT_ROWS, by="cohort")
        row = result.filter(cohort="trial").row(0, named=True)
        assert row["n"] == trials
        rates = waitlist_conversion(outcomes, COHORT_ROWS, by="cohort").filter(cohort="trial")
        assert row["value"] == rates[rate].item()


def test_the_same_customer_twice_in_one_group_counts_once(engine: Engine) -> None:
    assert compared(engine, cohorts=pl.concat([COHORT_ROWS, COHORT_ROWS])).equals(compared(engine))


def test_a_rate_that_is_not_there_is_refused_with_those_there_are(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"'recorded_share' is not a rate to compare\. To choose from: no_show_rate, "):
        compared(engine, rate="recorded_share")


def test_a_frame_of_rates_is_refused(engine: Engine) -> None:
    rates = no_shows(engine.frame(OUTCOME_ROWS), engine.frame(COHORT_ROWS), by="cohort")
    with pytest.raises(
        ValueError, match=r"this is a frame of rates, .* needs each customer's bookings: pass the outcomes"
    ):
        compare(rates, "no_show_rate", baseline="trial", by="cohort")


def test_rates_of_customers_need_their_list(engine: Engine) -> None:
    with pytest.raises(CohortError, match="needs cohorts=: those who booked nothing are in its base"):
        compared(engine, 0, "booking_rate", by="class_id", cohorts=None, outcomes=DATED)


def test_a_baseline_that_is_not_there_is_refused_with_those_there_are(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"baseline 'corporate' is not a group of cohort\. The groups: None, "):
        compared(engine, baseline="corporate")
    with pytest.raises(
        ValueError, match=r"baseline \('trial', 'gold'\) is not a group of cohort, plan\. .*\('trial', 'basic'\)"
    ):
        compared(engine, baseline=("trial", "gold"), by=["cohort", "plan"])


def test_a_comparison_of_nothing_is_empty(engine: Engine) -> None:
    assert compared(engine, None, by="class_id", cohorts=None, outcomes=DATED.clear()).is_empty()


CHANGE = FIRST_DAY + timedelta(days=30)  # a Wednesday


@pytest.mark.parametrize("weeks", [1, 3])
def test_two_periods_of_the_same_customers_have_the_covariance_in_their_interval(engine: Engine, weeks: int) -> None:
    result = before_after(engine.frame(DATED), "no_show_rate", change=CHANGE, weeks=weeks)
    assert isinstance(result, engine.native)
    table = engine.polars(result)
    assert table.drop("first_day", "last_day").schema == COMPARISON
    [row] = table.to_dicts()
    length = timedelta(days=7 * weeks)
    after, before = (
        DATED.filter(pl.col("class_day").is_between(start, start + length, closed="left"))
        for start in (CHANGE, CHANGE - length)
    )
    check(row, after, before, 0.95)
    assert row["baseline"] == "before"
    assert row["n"] == after.filter(pl.col("outcome") != "unrecorded").height


def test_each_group_is_compared_with_itself(engine: Engine) -> None:
    people = engine.frame(pl.concat([OVERLAPPING, OVERLAPPING.head(2).with_columns(cohort=pl.lit(None, pl.String))]))
    options: dict[str, Any] = {"change": CHANGE, "weeks": 3, "by": ["cohort", "class_id"], "simultaneous": True}
    table = engine.polars(before_after(engine.frame(DATED), "no_show_rate", people, **options))
    listed = DATED.join(OVERLAPPING, on="customer_id")
    for row in table.drop_nulls("cohort").to_dicts():
        group = listed.filter(cohort=row["cohort"], class_id=row["class_id"])
        after = group.filter(pl.col("class_day").is_between(CHANGE, CHANGE + timedelta(20)))
        before = group.filter(pl.col("class_day").is_between(CHANGE - timedelta(21), CHANGE - timedelta(1)))
        check(row, after, before, 0.95 ** (1 / table.height))
    assert table["cohort"].null_count() > 0


def test_everybody_of_the_list_is_in_the_base_of_both_periods(engine: Engine) -> None:
    people = engine.frame(OVERLAPPING)
    result = before_after(engine.frame(DATED), "booking_rate", people, change=CHANGE, weeks=1, by="cohort")
    found = engine.polars(result).select("cohort", "n", "baseline_n", "n_shared_customers").rows()
    assert found == [("early", 30, 30, 30), ("late", 35, 35, 35)]


def test_periods_beyond_what_was_completely_fetched_are_refused_with_the_most_possible(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"complete days are 2025-03-03 to 2025-04-27: the most possible is weeks=3\."):
        before_after(engine.frame(DATED), "no_show_rate", change=CHANGE, weeks=4)
    with pytest.raises(ValueError, match="no whole week lies on both sides of it"):
        before_after(engine.frame(DATED), "no_show_rate", change=FIRST_DAY, weeks=1)
    with pytest.raises(ValueError, match="no week of the outcomes is complete"):
        before_after(engine.frame(DATED.with_columns(week_complete=False)), "no_show_rate", change=CHANGE, weeks=1)


def test_periods_of_undated_classes_are_refused(engine: Engine) -> None:
    with pytest.raises(
        ValueError, match=r"have no column class_day, week, week_complete: .* Pass class_days to classify"
    ):
        before_after(engine.frame(OUTCOME_ROWS), "no_show_rate", change=CHANGE, weeks=1)


@pytest.mark.parametrize("weeks", [0, 1.5, True])
def test_weeks_that_are_no_number_of_weeks_are_refused(weeks: Any) -> None:
    with pytest.raises(ValueError, match=r"weeks is .*: use a whole number of at least 1"):
        before_after(DATED, "no_show_rate", change=CHANGE, weeks=weeks)


def test_a_change_that_is_no_date_is_refused() -> None:
    with pytest.raises(TypeError, match=r"change is '2025-04-02': use a date, such as date\(2026, 5, 1\)"):
        before_after(DATED, "no_show_rate", change="2025-04-02", weeks=1)  # type: ignore[call-overload] # which is the point


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
    assert table.columns == ["class_id", *NO_SHOW_FUNNEL, "first_day", "last_day"]
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
    table = funnel(ENGINES["polars"], counts)
    spread = -1.0
    for cluster in ("customer_id", "class_slot_id"):
        between = binomial = 0.0
        for _, of_class in seats(counts).group_by("class_id"):
            units = of_class.group_by(cluster).agg(y=(pl.col("outcome") == "no_show").sum(), n=pl.len()).rows()
            p = sum(y for _, y, _ in units) / of_class.height
            if (m := len(units)) > 1:
                between += m / (m - 1) * sum((y - p * n) ** 2 for _, y, n in units)
                binomial += of_class.height * p * (1 - p)
        spread += max(1.0, between / binomial) if binomial > 1e-9 else 1.0
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
    one = seats([[(1, 2)]]).drop("class_slot_id")
    assert engine.polars(no_show_funnel(engine.frame(one), by="class_id"))["dispersion"].item() == 1


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
