"""Differences of classes a week: groups that share customers, two periods of the same, against numpy."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import formulas
import numpy as np
import polars as pl
import pytest
from engines import ENGINES, Engine
from visiting import Visiting, holds_zero

from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.rates import booking_vs_participation
from bookings_analytics.metrics.visits import visits
from bookings_analytics.schema import COMPARISON

if TYPE_CHECKING:
    from collections.abc import Iterable

MONDAY = date(2026, 3, 2)
WEEKS = 8
CHANGE = MONDAY + timedelta(weeks=3, days=2)  # a Wednesday: periods need not begin on Mondays
HELD = {"booked_per_week": ("attended", "no_show", "unrecorded"), "attended_per_week": ("attended",)}
CUSTOMERS = range(45)  # of whom the last five have no booking
COHORTS = pl.DataFrame(
    [("mitte", number, "early") for number in range(30)] + [("mitte", number, "late") for number in range(10, 45)],
    schema={"studio": pl.String, "customer_id": pl.Int64, "cohort": pl.String},
    orient="row",
)


def drawn(seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    often = np.where(np.arange(45) < 40, random.exponential(0.3, 45), 0)
    seats = random.poisson(np.outer(often, np.ones(7 * WEEKS)) * 0.8)
    customer, day = (np.repeat(each, seats.ravel()) for each in np.indices(seats.shape).reshape(2, -1))
    days = [MONDAY + timedelta(int(number)) for number in day]
    return pl.DataFrame(
        {
            "studio": "mitte",
            "customer_id": customer,
            "class_id": random.integers(0, 2, customer.size),
            "class_slot_id": np.arange(customer.size),
            "class_day": days,
            "week": [each - timedelta(each.weekday()) for each in days],
            "week_complete": True,
            "outcome": random.choice(["attended", "no_show", "unrecorded", "canceled"], customer.size),
        }
    )


OUTCOMES = drawn(1)


class Visits(NamedTuple):
    """One group's seats and weeks, one entry a customer."""

    y: np.ndarray
    n: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.y.sum() / self.n.sum())

    @property
    def phi(self) -> float:
        m = self.y.size
        return max(1.0, float(m / (m - 1) * np.sum((self.y - self.mean * self.n) ** 2) / self.y.sum()))

    @property
    def spread(self) -> float:
        return self.phi * float(self.y.sum()) * (self.y.size - 1) / self.y.size

    def interval(self, confidence: float) -> tuple[float, float]:
        x, t = self.y.sum() / self.phi, formulas.t_of(confidence, self.y.sum() ** 2 / np.sum(self.y**2) + 1)
        low = max(0, 1 - 1 / (9 * x) - t / (3 * sqrt(x))) ** 3 * x
        high = (x + 1) * (1 - 1 / (9 * (x + 1)) + t / (3 * sqrt(x + 1))) ** 3
        scale = self.phi / float(self.n.sum())
        return scale * float(low), scale * float(high)


def visits_of(rows: pl.DataFrame, rate: str, customers: Iterable[int], weeks: int) -> Visits:
    held = rows.filter(pl.col("outcome").is_in(HELD[rate]))["customer_id"].to_list()
    y = np.array([held.count(customer) for customer in customers], float)
    return Visits(y, np.full(y.size, float(weeks)))


def interval(one: Visits, two: Visits, covariance: float, confidence: float) -> tuple[float, float]:
    r = max(-1.0, min(1.0, covariance / sqrt(one.spread * two.spread)))
    (l1, u1), (l2, u2) = one.interval(confidence), two.interval(confidence)
    a, b, c, d = one.mean - l1, u2 - two.mean, u1 - one.mean, two.mean - l2
    difference = one.mean - two.mean
    return difference - sqrt(a * a + b * b - 2 * r * a * b), difference + sqrt(c * c + d * d - 2 * r * c * d)


def deviations(visited: Visits) -> np.ndarray:
    deviation: np.ndarray = visited.y - visited.mean * visited.n
    return deviation


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.mark.parametrize("rate", HELD)
def test_cohorts_that_share_customers_have_the_covariance_in_their_interval(engine: Engine, rate: str) -> None:
    result = compare(
        engine.frame(OUTCOMES), rate, baseline="early", cohorts=engine.frame(COHORTS), by="cohort", confidence=0.9
    )
    table = engine.polars(result)
    assert table.columns == ["cohort", *COMPARISON, "first_day", "last_day"]
    (row,) = table.to_dicts()
    late, early = (visits_of(OUTCOMES, rate, numbers, WEEKS) for numbers in (range(10, 45), range(30)))
    covariance = float(np.sum(deviations(late)[:20] * deviations(early)[10:]))
    assert covariance > 0
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx(
        interval(late, early, covariance, 0.9), abs=1e-9
    )
    assert (row["value"], row["baseline_value"]) == pytest.approx((late.mean, early.mean))
    assert (row["n"], row["baseline_n"], row["n_shared_customers"]) == (35 * WEEKS, 30 * WEEKS, 20)


@pytest.mark.parametrize("rate", HELD)
def test_two_periods_of_the_same_customers_have_the_covariance_in_their_interval(engine: Engine, rate: str) -> None:
    changed = before_after(engine.frame(OUTCOMES), rate, engine.frame(COHORTS), change=CHANGE, weeks=3, by="cohort")
    rows = {row["cohort"]: row for row in engine.polars(changed).to_dicts()}
    for cohort, numbers in {"early": range(30), "late": range(10, 45)}.items():
        after, before = (
            visits_of(OUTCOMES.filter(pl.col("class_day").is_between(start, end, "left")), rate, numbers, 3)
            for start, end in (
                (CHANGE, CHANGE + timedelta(weeks=3)),
                (CHANGE - timedelta(weeks=3), CHANGE),
            )
        )
        low, high = interval(after, before, float(np.sum(deviations(after) * deviations(before))), 0.95)
        row = rows[cohort]
        assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((low, high), abs=1e-9)
        assert (row["n"], row["baseline_n"]) == (3 * len(numbers), 3 * len(numbers))
        assert row["n_shared_customers"] == len(numbers)  # also those without a booking


def test_the_same_customers_are_compared_more_precisely_than_others() -> None:
    outcomes = OUTCOMES.with_columns(again=pl.col("class_id"))
    same = before_after(outcomes, "booked_per_week", COHORTS, change=CHANGE, weeks=3)
    halves = [outcomes.filter(class_id=0), outcomes.filter(class_id=1).with_columns(pl.col("customer_id") + 100)]
    listed = [pl.DataFrame({"studio": "mitte", "customer_id": CUSTOMERS, "cohort": "a"})]
    listed.append(listed[0].with_columns(pl.col("customer_id") + 100, cohort=pl.lit("b")))
    others = compare(pl.concat(halves), "booked_per_week", cohorts=pl.concat(listed), by="cohort")
    width = pl.col("difference_ci_high") - pl.col("difference_ci_low")
    assert others["n_shared_customers"].to_list() == [0]
    assert same.select(width / pl.col("value")).item() < others.select(width / pl.col("value")).item()


def test_classes_and_weeks_have_every_customer_in_both_bases(engine: Engine) -> None:
    for by, weeks, values in (("class_id", WEEKS, (0, 1)), ("week", 1, (MONDAY, MONDAY + timedelta(weeks=1)))):
        result = compare(
            engine.frame(OUTCOMES), "booked_per_week", baseline=values[0], cohorts=engine.frame(COHORTS), by=by
        )
        row = engine.polars(result).filter(pl.col(by) == values[1]).row(0, named=True)
        one, two = (
            visits_of(OUTCOMES.filter(pl.col(by) == value), "booked_per_week", CUSTOMERS, weeks) for value in values
        )
        expected = interval(two, one, float(np.sum(deviations(two) * deviations(one))), 0.95)
        assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx(expected, abs=1e-9)
        assert (row["n"], row["n_shared_customers"]) == (45 * weeks, 45)


def test_values_are_those_of_visits(engine: Engine) -> None:
    frames = engine.frame(OUTCOMES), engine.frame(COHORTS)
    weekly = engine.polars(visits(*frames, by="cohort"))
    row = engine.polars(compare(frames[0], "attended_per_week", baseline="early", cohorts=frames[1], by="cohort"))
    assert row["value"].item() == weekly.filter(cohort="late")["attended_per_week"].item()
    early = weekly.filter(cohort="early")
    assert row["baseline_recorded_share"].item() == 1 - early["n_unrecorded"].item() / early["n_seats"].item()


def test_without_a_list_all_who_ever_booked_are_in_both_periods() -> None:
    changed = before_after(OUTCOMES, "booked_per_week", change=CHANGE, weeks=3)
    assert changed["n"].item() == changed["baseline_n"].item() == 3 * OUTCOMES["customer_id"].n_unique()


def test_a_group_without_seats_has_an_interval_and_one_without_weeks_has_none() -> None:
    listed = pl.concat([COHORTS, COHORTS.head(1).with_columns(pl.col("customer_id") + 900, cohort=pl.lit("never"))])
    never = compare(OUTCOMES, "booked_per_week", baseline="early", cohorts=listed, by="cohort").filter(cohort="never")
    assert never["value"].item() == 0
    assert never["difference_ci_high"].item() > 0
    incomplete = OUTCOMES.with_columns(week_complete=False)
    nothing = compare(incomplete, "booked_per_week", baseline="early", cohorts=COHORTS, by="cohort")
    assert nothing.select("value", "difference", "difference_ci_low", "n").rows() == [(None, None, None, 0)]


@pytest.mark.parametrize("by", ["week", "month", "class_day"])
def test_no_week_is_both_before_and_after(by: str) -> None:
    outcomes = OUTCOMES.with_columns(month=pl.col("class_day").dt.truncate("1mo"))
    with pytest.raises(ValueError, match=f"by names '{by}', and none is both before and after the change"):
        before_after(outcomes, "booked_per_week", COHORTS, change=CHANGE, weeks=3, by=by)


def looked_at(spans: dict[int, tuple[date, date]]) -> pl.DataFrame:
    """Two successful fetches of each customer: the first and the last."""
    ends = [(number, at) for number, span in spans.items() for at in span]
    return pl.DataFrame(
        [("mitte", number, datetime(at.year, at.month, at.day, 3, tzinfo=UTC), "ok") for number, at in ends],
        schema={
            "studio": pl.String,
            "customer_id": pl.Int64,
            "fetched_at": pl.Datetime("us", "UTC"),
            "outcome": pl.String,
        },
        orient="row",
    )


def spans_of_fetches() -> dict[int, tuple[date, date]]:
    """The first and the last fetch of each customer: a third of all weeks, a third until some day, a third between."""
    random = np.random.default_rng(5)
    spans = {}
    for number in CUSTOMERS:
        first, last = sorted(random.integers(0, 7 * WEEKS, 2).tolist())
        always = number % 3
        spans[number] = (
            MONDAY - timedelta(3) if always else MONDAY + timedelta(first),
            MONDAY + timedelta(7 * WEEKS + 1 if always == 1 else last),
        )
    return spans


def visits_of_their_own_weeks(
    rows: pl.DataFrame, rate: str, spans: dict[int, tuple[date, date]], weeks: list[tuple[date, date]]
) -> Visits:
    """Count seats and weeks of each customer, in those weeks of which all lies between both of their fetches."""
    y, n = np.zeros(45), np.zeros(45)
    for number, (since, until) in spans.items():
        for monday, end in weeks:
            if since <= monday and end <= until:
                own = rows.filter(pl.col("customer_id") == number, pl.col("class_day").is_between(monday, end, "left"))
                y[number] += own["outcome"].is_in(HELD[rate]).sum()
                n[number] += 1
    return Visits(y, n)


def with_weeks(visited: Visits) -> Visits:
    return Visits(visited.y[visited.n > 0], visited.n[visited.n > 0])


@pytest.mark.parametrize("rate", HELD)
def test_with_the_fetches_a_customer_has_the_weeks_that_lie_between_their_own(engine: Engine, rate: str) -> None:
    spans = spans_of_fetches()
    frames = engine.frame(OUTCOMES), rate, engine.frame(COHORTS)
    row = engine.polars(before_after(*frames, change=CHANGE, weeks=3, fetches=engine.frame(looked_at(spans)))).row(
        0, named=True
    )
    sides = []
    for start in (CHANGE, CHANGE - timedelta(weeks=3)):
        weeks = [(start + timedelta(weeks=n), start + timedelta(weeks=n + 1)) for n in range(3)]
        sides.append(visits_of_their_own_weeks(OUTCOMES, rate, spans, weeks))
    (after, before), (now, then) = sides, (with_weeks(each) for each in sides)
    assert 0 < before.n.sum() < 3 * 45
    assert (row["n"], row["baseline_n"]) == (now.n.sum(), then.n.sum())
    assert (row["value"], row["baseline_value"]) == pytest.approx((now.mean, then.mean))
    both = (after.n > 0) & (before.n > 0)
    assert row["n_shared_customers"] == both.sum()
    covariance = float(np.sum((deviations(after) * deviations(before))[both]))
    expected = interval(now, then, covariance, 0.95)
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rate", HELD)
@pytest.mark.parametrize(
    ("by", "one", "two"),
    [("cohort", "late", "early"), ("class_id", 1, 0), ("week", MONDAY + timedelta(weeks=5), MONDAY)],
    ids=["cohort", "class_id", "week"],
)
def test_groups_are_compared_in_the_weeks_that_lie_between_each_customers_own_fetches(
    engine: Engine, rate: str, by: str, one: object, two: object
) -> None:
    spans = spans_of_fetches()
    compared = compare(
        engine.frame(OUTCOMES),
        rate,
        baseline=two,
        cohorts=engine.frame(COHORTS),
        by=by,
        fetches=engine.frame(looked_at(spans)),
    )
    row = engine.polars(compared).filter(pl.col(by) == one).row(0, named=True)
    sides = []
    for value in (one, two):
        days = [value] if isinstance(value, date) else [MONDAY + timedelta(weeks=week) for week in range(WEEKS)]
        customers = COHORTS.filter(cohort=value)["customer_id"] if by == "cohort" else CUSTOMERS
        of_group = OUTCOMES if by == "cohort" else OUTCOMES.filter(pl.col(by) == value)
        own = {number: spans[number] for number in customers}
        weeks = [(day, day + timedelta(weeks=1)) for day in days]
        sides.append(visits_of_their_own_weeks(of_group, rate, own, weeks))
    first, second = (with_weeks(each) for each in sides)
    assert 0 < second.n.sum() < len(days) * len(customers)
    assert (row["n"], row["baseline_n"]) == (first.n.sum(), second.n.sum())
    assert (row["value"], row["baseline_value"]) == pytest.approx((first.mean, second.mean))
    both = (sides[0].n > 0) & (sides[1].n > 0)
    assert row["n_shared_customers"] == both.sum()
    covariance = float(np.sum((deviations(sides[0]) * deviations(sides[1]))[both]))
    expected = interval(first, second, covariance, 0.95)
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("rate", "like"), [("booking_rate", "booked_per_week"), ("participation_rate", "attended_per_week")]
)
def test_customers_are_in_the_base_of_the_weeks_that_lie_between_their_own_fetches(
    engine: Engine, rate: str, like: str
) -> None:
    spans = spans_of_fetches()
    frames = engine.frame(OUTCOMES), engine.frame(COHORTS), engine.frame(looked_at(spans))
    compared = compare(frames[0], rate, baseline=MONDAY, cohorts=frames[1], by="week", fetches=frames[2])
    later = MONDAY + timedelta(weeks=4)
    row = engine.polars(compared).filter(week=later).row(0, named=True)
    sides = []
    for day in (later, MONDAY):
        came = visits_of_their_own_weeks(OUTCOMES, like, spans, [(day, day + timedelta(weeks=1))])
        y, m = (came.y > 0).astype(float), came.n.sum()
        q = (y.sum() + 1) / (m + 2)
        low, high = formulas.wilson(y.sum() / m, m * (m + 1) / (m + 2), formulas.z_of(0.95))
        sides.append((y.sum() / m, low, high, (y - q) * came.n, (m + 2) * q * (1 - q), m))
    (p1, l1, u1, d1, s1, m1), (p2, l2, u2, d2, s2, m2) = sides
    assert (row["n"], row["baseline_n"], row["n_shared_customers"]) == (m1, m2, np.sum((d1 != 0) & (d2 != 0)))
    r = np.sum(d1 * d2) / sqrt(s1 * s2)
    low = p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2 - 2 * r * (p1 - l1) * (u2 - p2))
    high = p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2 - 2 * r * (u1 - p1) * (p2 - l2))
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((low, high), abs=1e-9)
    weekly = engine.polars(booking_vs_participation(*frames[:2], by="week", fetches=frames[2]))
    assert row["value"] == weekly.filter(week=later)[rate].item()
    assert 0 < m2 != m1 < 45  # some of the customers, and others in the other week


def test_whoever_joined_the_list_last_does_not_seem_to_come_less_often() -> None:
    """Everybody comes once a week; half of the new have been on the list for the second half of the weeks."""
    listed = COHORTS.head(20).with_columns(
        cohort=pl.when(pl.col("customer_id") < 10).then(pl.lit("old")).otherwise(pl.lit("new"))
    )
    joined = {number: MONDAY + timedelta(weeks=0 if number < 15 else WEEKS // 2) for number in range(20)}
    rows = [
        (number, MONDAY + timedelta(weeks=week))
        for number, since in joined.items()
        for week in range(WEEKS)
        if MONDAY + timedelta(weeks=week) >= since
    ]
    outcomes = pl.DataFrame(rows, schema=["customer_id", "week"], orient="row").with_columns(
        studio=pl.lit("mitte"),
        class_id=1,
        class_slot_id=pl.int_range(pl.len()),
        class_day=pl.col("week"),
        week_complete=True,
        outcome=pl.lit("attended"),
    )
    question: dict[str, Any] = {"baseline": "old", "cohorts": listed, "by": "cohort"}
    spans = {number: (since, MONDAY + timedelta(weeks=WEEKS)) for number, since in joined.items()}
    told = compare(outcomes, "booked_per_week", **question, fetches=looked_at(spans))
    untold = compare(outcomes, "booked_per_week", **question)
    assert told.select("value", "baseline_value", "difference", "n").row(0) == (1, 1, 0, 60)
    assert untold.select("value", "baseline_value", "n").row(0) == (0.75, 1, 80)


def test_a_list_that_grows_is_no_rise_of_visits() -> None:
    """Everybody comes twice a week from the day that they are first asked for; half of them join with the change."""
    change = MONDAY + timedelta(weeks=4)
    days = [MONDAY + timedelta(7 * week + day) for week in range(WEEKS) for day in (1, 3)]
    rows = [(number, day) for number in range(20) for day in days if number < 10 or day >= change]
    outcomes = pl.DataFrame(rows, schema=["customer_id", "class_day"], orient="row").with_columns(
        studio=pl.lit("mitte"),
        class_id=1,
        class_slot_id=pl.int_range(pl.len()),
        week=pl.col("class_day").dt.truncate("1w"),
        week_complete=True,
        outcome=pl.lit("attended"),
    )
    spans = {number: (MONDAY if number < 10 else change, MONDAY + timedelta(weeks=WEEKS)) for number in range(20)}
    listed = pl.DataFrame({"studio": "mitte", "customer_id": range(20), "cohort": "a"})
    told = before_after(outcomes, "attended_per_week", listed, change=change, weeks=4, fetches=looked_at(spans))
    assert told.select("baseline_value", "value", "difference", "baseline_n", "n").row(0) == (2, 2, 0, 40, 80)
    untold = before_after(outcomes, "attended_per_week", listed, change=change, weeks=4)
    assert untold.select("baseline_value", "value").row(0) == (1, 2)


@pytest.mark.parametrize("habit", ["all alike", "geometric", "half never come"])
def test_of_two_periods_in_which_nothing_changes_as_few_seem_to_differ_as_the_confidence_says(habit: str) -> None:
    visiting = Visiting(habit, customers=30, weeks=8)
    outcomes, listed = visiting.draw(300, seed=11)
    periods = before_after(outcomes, "booked_per_week", listed, change=visiting.change(), weeks=4, by="cohort")
    assert periods.height == 300
    assert 0.93 <= holds_zero(periods) <= 0.99


def test_of_lists_that_share_customers_as_few_seem_to_differ_as_the_confidence_says() -> None:
    """Twenty pairs of lists, of which at most two may stand out by chance."""
    pairs = [Visiting("geometric", customers=100, weeks=4).two_lists(0.9, seed) for seed in range(20)]
    compared = pl.concat(
        compare(rows, "booked_per_week", baseline="first", cohorts=lists, by="cohort") for rows, lists in pairs
    )
    assert holds_zero(compared) >= 0.9
    assert compared["n_shared_customers"].to_list() == [90] * 20
