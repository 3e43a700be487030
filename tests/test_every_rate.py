"""What holds for every rate alike: its days, its groups, the frames it takes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from engines import ENGINES, Engine
from test_privacy import computable

import bookings_analytics as ba
from bookings_analytics import schema

if TYPE_CHECKING:
    from collections.abc import Callable

MONDAY = date(2026, 5, 4)
KINDS = ("attended", "no_show", "canceled", "attended", "unrecorded", "waiting")


def row(number: int, day: int | None, outcome: str, **values: Any) -> dict[str, Any]:
    """One booking; the week from 4 May is complete, the next one is not."""
    held = None if day is None else MONDAY + timedelta(days=day)
    dated = {
        "class_day": held,
        "first_day": held,
        "last_day": held,
        "week": held and held - timedelta(days=held.weekday()),
        "weekday": held and f"{held:%a}",
        "week_complete": None if day is None else day < 7,
        "canceled_days_before_min": 0,
        "canceled_days_before_max": 0,
        "canceled_from": "BOOKED" if outcome == "canceled" else None,
        "watched": True,
    }
    base = {"studio": "mitte", "customer_id": number, "class_id": number % 2, "class_slot_id": number, "visible": True}
    statuses = {"booking_status": "BOOKED", "class_slot_status": "COMPLETED", "wait_outcome": "converted"}
    return {**base, **statuses, "outcome": outcome, **dated} | values


ROWS = [row(number, day, kind) for number, (day, kind) in enumerate(zip((2, 3, 1, 9, None, 8), KINDS, strict=True))]
OUTCOMES = pl.DataFrame(ROWS, schema=schema.OUTCOMES).with_columns(
    pl.col("first_seen_at", "observed_at", "last_changed_at").fill_null(pl.datetime(2026, 5, 1, time_zone="UTC"))
)
COHORTS = pl.DataFrame({"studio": "mitte", "customer_id": range(7), "cohort": ["a"] * 6 + ["b"]})
RATES: dict[str, Callable[..., Any]] = {
    "booking_vs_participation": ba.booking_vs_participation,
    "no_shows": ba.no_shows,
    "outcome_counts": ba.outcome_counts,
    "no_show_funnel": ba.no_show_funnel,
    "cancellations": ba.cancellations,
    "cancellation_notice": ba.cancellation_notice,
    "waitlist_conversion": ba.waitlist_conversion,
    "seats_lost_while_waiting": ba.seats_lost_while_waiting,
    "visits": ba.visits,
}
HELD = (MONDAY + timedelta(days=2), MONDAY + timedelta(days=9))  # of seats in completed classes
SPANS = dict.fromkeys(RATES, HELD) | {
    "visits": (HELD[0], MONDAY + timedelta(days=3)),  # of complete weeks
    "outcome_counts": (MONDAY + timedelta(days=1), HELD[1]),
    "cancellations": (MONDAY + timedelta(days=1), HELD[1]),
    "cancellation_notice": (MONDAY + timedelta(days=1),) * 2,
    "waitlist_conversion": (MONDAY + timedelta(days=1), HELD[1]),
    "seats_lost_while_waiting": (MONDAY + timedelta(days=1), HELD[1]),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.mark.parametrize("name", RATES)
def test_every_rate_says_of_which_days_its_rows_are(engine: Engine, name: str) -> None:
    result = engine.polars(RATES[name](engine.frame(OUTCOMES), engine.frame(COHORTS), by="cohort"))
    assert result.columns[-2:] == ["first_day", "last_day"]
    days = {cohort: days for cohort, *days in result.select("cohort", "first_day", "last_day").rows()}
    assert days == {"a": list(SPANS[name]), "b": [None, None]}


@pytest.mark.parametrize("name", RATES)
def test_weeks_are_complete_or_not_and_what_is_not_dated_is_neither(engine: Engine, name: str) -> None:
    result = engine.polars(RATES[name](engine.frame(OUTCOMES), engine.frame(COHORTS), by="week"))
    complete = dict(result.select("week", "week_complete").rows())
    known = {MONDAY: True, MONDAY + timedelta(days=7): False, None: None}
    if name == "visits":
        del known[MONDAY + timedelta(days=7)]  # complete weeks only
    assert complete == known


@pytest.mark.parametrize("name", sorted(set(RATES) - {"visits", "cancellations", "cancellation_notice"}))
def test_where_nothing_carries_days_no_rate_does(name: str) -> None:
    result = RATES[name](OUTCOMES.drop("class_day"), COHORTS, by="cohort")
    assert not {"first_day", "last_day", "week_complete"} & set(result.columns)


def test_a_week_without_a_booking_is_complete() -> None:
    later = pl.DataFrame([row(1, 21, "attended", week_complete=True)], schema=OUTCOMES.schema)
    weekly = ba.booking_vs_participation(pl.concat([OUTCOMES.filter("week_complete"), later]), COHORTS, by="week")
    assert weekly["week_complete"].to_list() == [True] * 4
    assert weekly["first_day"].to_list() == [HELD[0], None, None, MONDAY + timedelta(days=21)]


def test_a_week_is_complete_if_it_is_in_every_studio() -> None:
    nord = OUTCOMES.with_columns(studio=pl.lit("nord"), week_complete=pl.col("week").is_null())
    weekly = ba.no_shows(pl.concat([OUTCOMES, nord]), by="week")
    assert weekly.filter(week=MONDAY)["week_complete"].to_list() == [False]


def test_two_periods_name_their_days_and_their_customers() -> None:
    first = MONDAY - timedelta(days=14)
    rows = [row(number % 6, -14 + number, KINDS[number % 2], week_complete=True) for number in range(28)]
    outcomes = pl.DataFrame(rows, schema=OUTCOMES.schema)
    changed = ba.before_after(outcomes, "no_show_rate", change=MONDAY, weeks=2)
    assert changed.select("first_day", "last_day").row(0) == (first, first + timedelta(days=27))
    assert changed.select("n_customers", "baseline_n_customers").row(0) == (6, 6)


SEVEN = pl.DataFrame({"studio": "mitte", "customer_id": range(7), "cohort": [*"aaaabbc"]})


@pytest.mark.parametrize("by", [["cohort"], ["cohort", "week"]], ids=" and ".join)
@pytest.mark.parametrize("name", sorted(set(RATES) - {"no_show_funnel"}))
def test_of_suppressed_groups_no_number_and_no_day_stays_and_all_else_does(name: str, by: list[str]) -> None:
    rates = RATES[name](OUTCOMES, SEVEN, by=by)
    shown = ba.suppress_small(rates, fewer_than=2)
    assert shown.columns == rates.columns
    assert shown.select(by).equals(rates.select(by))
    gone = pl.Series(shown["n_customers"].is_null())
    values = shown.filter(gone).drop(by)
    assert values.null_count().row(0) == (values.height,) * values.width
    assert shown.filter(~gone).equals(rates.filter(~gone))
    small = rates.select("n_customers").to_series() < 2
    assert small.any()
    assert gone.filter(small).all()
    groups = [*dict.fromkeys(rates.select(by).rows())]
    away = {group for group, hidden in zip(rates.select(by).rows(), gone, strict=True) if hidden}
    lost = {group for group, few in zip(rates.select(by).rows(), small, strict=True) if few}
    hopeless = computable(groups, set(groups), len(by))  # a week of one group is the total of that week
    assert computable(groups, away, len(by)) <= hopeless & lost


def test_where_the_size_of_groups_is_unknown_nothing_is_suppressed_and_the_way_is_told() -> None:
    trend = ba.trend(OUTCOMES, "no_show_rate", SEVEN, by="cohort")
    with pytest.raises(ValueError, match=r"a trend does not hold how many .* Pass the rates by week, such as no_shows"):
        ba.suppress_small(trend)
    fill = pl.DataFrame(schema={"cohort": pl.String, **schema.CLASS_FILL})
    with pytest.raises(ValueError, match="class_fill counts the places of classes"):
        ba.suppress_small(fill)


# Groups


@pytest.mark.parametrize("name", RATES)
def test_what_is_not_dated_is_a_group_of_its_own_and_survives_every_join(engine: Engine, name: str) -> None:
    frames = engine.frame(OUTCOMES), engine.frame(COHORTS)
    weekly = engine.polars(RATES[name](*frames, by=["cohort", "week"]))
    undated = weekly.filter(pl.col("week").is_null(), cohort="a")
    assert not undated.is_empty()
    counts = {"visits": "n_undated", "no_show_funnel": "n_customers", "outcome_counts": "n", "cancellation_notice": "n"}
    if name in {"booking_vs_participation", "no_shows", "outcome_counts", "visits", "waitlist_conversion"}:
        assert undated[counts.get(name, "n_customers")].sum() > 0


def test_what_is_not_dated_survives_a_comparison(engine: Engine) -> None:
    result = ba.compare(engine.frame(OUTCOMES), "attendance_rate", baseline=MONDAY, by="week")
    assert engine.polars(result)["week"].to_list() == [None, MONDAY + timedelta(days=7)]
    undated = ba.compare(engine.frame(OUTCOMES), "attendance_rate", baseline=(None,), by="week")
    assert engine.polars(undated)["week"].to_list() == [MONDAY, MONDAY + timedelta(days=7)]


@pytest.mark.parametrize("name", RATES)
def test_numbers_in_names_sort_as_numbers(name: str) -> None:
    cohorts = COHORTS.with_columns(group=pl.Series(["cohort 10", "cohort 2"] * 3 + ["cohort 1"]))
    groups = RATES[name](OUTCOMES, cohorts, by="group")["group"].unique(maintain_order=True).to_list()
    assert groups == [f"cohort {number}" for number in (1, 2, 10)]


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("value", [[1, 2], {"a": 1}], ids=["list", "struct"])
def test_columns_that_hold_several_values_name_no_group(name: str, value: Any) -> None:
    nested = COHORTS.with_columns(tags=pl.Series([value] * COHORTS.height))
    with pytest.raises(
        ValueError, match=r"by names 'tags', a column of type .*: a group needs one value per row\. Turn it"
    ):
        RATES[name](OUTCOMES, nested, by="tags")


# Customers without a booking


def test_customers_without_a_booking_are_in_every_base_and_in_none_of_seats() -> None:
    more = pl.concat([COHORTS, COHORTS.with_columns(pl.col("customer_id") + 100)])
    for name, rate in (("booking_vs_participation", ba.booking_vs_participation), ("visits", ba.visits)):
        few, many = (rate(OUTCOMES, listed).row(0, named=True) for listed in (COHORTS, more))
        assert many["n_customers"] == 2 * few["n_customers"], name
    assert ba.no_shows(OUTCOMES, COHORTS).equals(ba.no_shows(OUTCOMES, more))


def test_customers_without_a_booking_are_in_the_covariance_of_rates_of_customers() -> None:
    shared = pl.concat([COHORTS.with_columns(cohort=pl.lit(cohort)) for cohort in ("a", "b")])
    row = ba.compare(OUTCOMES, "booking_rate", baseline="a", cohorts=shared, by="cohort").row(0, named=True)
    alone = ba.booking_vs_participation(OUTCOMES, COHORTS).row(0, named=True)
    below = alone["booking_rate"] - alone["booking_rate_ci_low"]
    above = alone["booking_rate_ci_high"] - alone["booking_rate"]
    q = (4 + 1) / (7 + 2)  # four of seven held a seat
    r = (4 * (1 - q) ** 2 + 3 * q**2) / (9 * q * (1 - q))
    half = (below**2 + above**2 - 2 * r * below * above) ** 0.5
    assert row["n_shared_customers"] == 7
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((-half, half), abs=1e-9)


# Frames of pandas and pyarrow


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
@pytest.mark.parametrize("by", [["cohort"], ["cohort", "week"]], ids=str)
@pytest.mark.parametrize("name", RATES)
def test_frames_of_pandas_and_pyarrow_go_in_and_come_out(name: str, by: list[str], kind: str) -> None:
    def turned(frame: pl.DataFrame) -> Any:
        return frame.to_pandas() if kind == "pandas" else frame.to_arrow()

    expected = RATES[name](OUTCOMES, COHORTS, by=by)
    result = RATES[name](turned(OUTCOMES), turned(COHORTS), by=by)
    assert type(result) is type(turned(expected))
    back: Any = pl.from_pandas(result) if kind == "pandas" else pl.from_arrow(result)
    assert back.columns == expected.columns
    for column in expected.columns:
        values = back[column].cast(expected.schema[column]).to_list()
        assert values == pytest.approx(expected[column].to_list(), abs=1e-12), column
