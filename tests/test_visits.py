from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import formulas
import numpy as np
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from visiting import Visiting

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.rates import booking_vs_participation
from bookings_analytics.metrics.visits import visits
from bookings_analytics.schema import BOOKING_VS_PARTICIPATION, COHORTS, FETCHES, OUTCOMES, VISITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Row = dict[str, Any]
Customer = tuple[str, int]

CUSTOMER = ("studio", "customer_id")

MONDAY = date(2026, 3, 2)
HELD = ("attended", "no_show", "unrecorded")
OUTCOME_COLUMNS = pl.Schema(
    {name: OUTCOMES[name] for name in ("studio", "customer_id", "class_id", "outcome", "week", "week_complete")}
)
COHORT_COLUMNS = pl.Schema({**COHORTS, "fetch_outcome": pl.String()})
FETCH_COLUMNS = pl.Schema({name: FETCHES[name] for name in ("studio", "customer_id", "fetched_at", "outcome")})


def week(number: int) -> date:
    return MONDAY + timedelta(weeks=number)


def seat(customer: int, number: int | None, outcome: str = "attended", **values: Any) -> Row:
    """One booking in a week; the weeks 0 to 3 are complete."""
    complete = None if number is None else number in range(4)
    monday = None if number is None else week(number)
    row = {"studio": "mitte", "customer_id": customer, "class_id": 7, "outcome": outcome}
    return row | {"week": monday, "week_complete": complete} | values


def outcomes_of(*rows: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=OUTCOME_COLUMNS)


def listed(*customers: int, cohort: str = "trial", outcome: str = "ok") -> pl.DataFrame:
    rows = [
        {"studio": "mitte", "customer_id": number, "cohort": cohort, "fetch_outcome": outcome} for number in customers
    ]
    return pl.DataFrame(rows, schema=COHORT_COLUMNS)


def fetched(customer: int, *days: date, outcome: str = "ok", studio: str = "mitte") -> list[Row]:
    return [
        {
            "studio": studio,
            "customer_id": customer,
            "outcome": outcome,
            "fetched_at": datetime(day.year, day.month, day.day, 2, 15, tzinfo=UTC),
        }
        for day in days
    ]


def fetches_of(*rows: Iterable[Row]) -> pl.DataFrame:
    return pl.DataFrame([row for part in rows for row in part], schema=FETCH_COLUMNS)


# Weeks 0 and 3 have one seat of a customer each; nobody was there in week 1 and 2. Week 4 is still going on.
FOUR_WEEKS = [seat(1, 0), seat(1, 3, "no_show"), seat(2, 3, "unrecorded"), seat(1, 4), seat(2, None)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def test_customers_without_a_booking_have_weeks_too() -> None:
    (row,) = visits(outcomes_of(*FOUR_WEEKS), listed(1, 2, 3, 4)).to_dicts()
    assert (row["n_customers"], row["n_weeks"], row["n_seats"], row["n_attended"]) == (4, 16, 3, 1)
    assert (row["n_unrecorded"], row["n_undated"]) == (1, 1)
    assert row["booked_per_week"] == 3 / 16
    assert row["attended_per_week"] == 1 / 16
    assert row["attended_per_week_max"] == 2 / 16
    assert row["booked_per_week_ci_low"] < 3 / 16 < row["booked_per_week_ci_high"]


def test_without_a_list_those_with_a_booking_are_the_base() -> None:
    (row,) = visits(outcomes_of(*FOUR_WEEKS)).to_dicts()
    assert (row["n_customers"], row["n_not_read"], row["n_weeks"], row["n_seats"]) == (2, 0, 8, 3)
    alone = visits(outcomes_of(*FOUR_WEEKS), by="customer_id")
    assert alone.select("customer_id", "n_customers", "n_weeks", "n_seats").rows() == [(1, 1, 4, 2), (2, 1, 4, 1)]


def test_customers_who_could_not_be_read_are_counted_apart() -> None:
    cohorts = pl.concat([listed(1, 3), listed(2, outcome="not_found")])
    (row,) = visits(outcomes_of(*FOUR_WEEKS), cohorts).to_dicts()
    assert (row["n_customers"], row["n_not_read"], row["n_weeks"], row["n_seats"], row["n_undated"]) == (2, 1, 8, 2, 0)


def test_every_complete_week_is_a_row_and_what_is_not_dated_one_more() -> None:
    weekly = visits(outcomes_of(*FOUR_WEEKS), listed(1, 2, 3), by="week")
    assert weekly.select("week", "n_customers", "n_weeks", "n_seats", "n_undated").rows() == [
        (None, 0, 0, 0, 1),
        (week(0), 3, 3, 1, 0),
        (week(1), 3, 3, 0, 0),
        (week(2), 3, 3, 0, 0),
        (week(3), 3, 3, 2, 0),
    ]
    assert weekly["booked_per_week"].to_list() == [None, 1 / 3, 0, 0, 2 / 3]


def test_whoever_joins_later_has_no_weeks_before(engine: Engine) -> None:
    """Fetched on Monday of week 1 for the first time: week 1 is whole, and week 3 up to the Monday after it."""
    fetches = fetches_of(
        fetched(1, week(0), week(5)),
        fetched(2, week(1), week(4)),
        fetched(3, week(1) + timedelta(days=1), week(4) - timedelta(days=1)),  # week 2 alone lies between
        fetched(4, week(0), outcome="failed"),  # never read
    )
    rows = outcomes_of(*FOUR_WEEKS, seat(2, 0), seat(3, 2), seat(3, 3))
    cohorts = listed(1, 2, 3, 4)
    frames = [engine.frame(frame) for frame in (rows, cohorts, fetches)]
    (row,) = engine.polars(visits(*frames[:2], fetches=frames[2])).to_dicts()
    assert (row["n_customers"], row["n_weeks"], row["n_seats"]) == (3, 4 + 3 + 1, 2 + 1 + 1)
    weekly = engine.polars(visits(*frames[:2], by="week", fetches=frames[2])).drop_nulls("week")
    assert weekly["n_customers"].to_list() == [1, 2, 3, 2]
    assert weekly["n_seats"].to_list() == [1, 0, 1, 2]


def test_without_complete_weeks_there_is_no_rate() -> None:
    (row,) = visits(outcomes_of(seat(1, 4), seat(1, None)), listed(1, 2)).to_dicts()
    assert (row["n_customers"], row["n_weeks"], row["n_seats"], row["n_undated"]) == (0, 0, 0, 1)
    assert [row[name] for name, kind in VISITS.items() if kind.is_float()] == [None] * 7 + [1.0]


def test_an_empty_frame_has_no_weeks(engine: Engine) -> None:
    row = engine.polars(visits(engine.frame(outcomes_of()), engine.frame(listed(1, 2)))).row(0, named=True)
    assert (row["n_customers"], row["n_weeks"], row["booked_per_week"]) == (0, 0, None)


def test_a_frame_without_complete_weeks_takes_those_between_its_first_and_last_fetch() -> None:
    seen = {
        "first_seen_at": datetime(2026, 3, 2, 2, tzinfo=UTC),  # the Monday of week 0
        "observed_at": datetime(2026, 4, 13, 2, tzinfo=UTC),  # that of week 6
    }
    rows = outcomes_of(seat(1, 0), seat(1, 3)).drop("week_complete")
    rows = rows.with_columns(**{name: pl.lit(moment) for name, moment in seen.items()})
    assert visits(rows, listed(1))["n_weeks"].to_list() == [6]
    late = rows.with_columns(week=pl.when(pl.col("week") == week(0)).then("week"))
    assert visits(late, listed(1))["n_weeks"].to_list() == [4]  # a class of the last 14 days may still get its day


def test_weeks_of_two_studios_are_their_own() -> None:
    rows = outcomes_of(seat(1, 0), seat(1, 3), seat(1, 2, studio="nord"), seat(1, 3, studio="nord"))
    weekly = visits(rows, by=["studio", "week"])
    assert weekly["week"].to_list() == [week(n) for n in (0, 1, 2, 3, 2, 3)]
    assert visits(rows, by="week")["n_customers"].to_list() == [1, 1, 2, 2]


@pytest.mark.parametrize("name", ["month", "class_day", "week_complete"])
def test_columns_that_hold_no_whole_weeks_are_refused(name: str) -> None:
    rows = outcomes_of(*FOUR_WEEKS)
    if name not in rows.columns:
        rows = rows.with_columns(pl.lit(MONDAY).alias(name))
    with pytest.raises(ValueError, match=f"by names '{name}', and classes a week are counted over complete weeks"):
        visits(rows, by=name)


def test_outcomes_without_weeks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have no column week: .* Pass classify\(history, class_days="):
        visits(outcomes_of(*FOUR_WEEKS).drop("week"))
    with pytest.raises(ValueError, match="neither week_complete nor first_seen_at, observed_at"):
        visits(outcomes_of(*FOUR_WEEKS).drop("week_complete"))
    with pytest.raises(ValueError, match="confidence is 95"):
        visits(outcomes_of(*FOUR_WEEKS), confidence=95)
    with pytest.raises(TypeError, match="the outcomes are on duckdb and the fetches on polars"):
        visits(ENGINES["DuckDB"].frame(outcomes_of(*FOUR_WEEKS)), fetches=fetches_of(fetched(1, MONDAY)))


class TestBookingRatesByWeek:
    def test_all_customers_are_in_the_base_of_every_week(self) -> None:
        weekly = booking_vs_participation(outcomes_of(*FOUR_WEEKS), listed(1, 2, 3), by=["cohort", "week"])
        assert weekly.select("week", "n_customers", "n_booked", "n_participated").rows() == [
            (None, 3, 1, 1),
            (week(0), 3, 1, 1),
            (week(1), 3, 0, 0),
            (week(2), 3, 0, 0),
            (week(3), 3, 2, 0),
            (week(4), 3, 1, 1),
        ]
        assert weekly.columns[2:] == BOOKING_VS_PARTICIPATION.names()
        empty = weekly.filter(week=week(1)).row(0, named=True)
        assert (empty["booking_rate"], empty["seat_rate"], empty["n_requests"]) == (0, None, 0)
        assert 0 < empty["booking_rate_ci_high"] < 1

    def test_a_class_without_a_booking_in_a_week_has_a_row(self) -> None:
        rows = outcomes_of(seat(1, 0), seat(1, 1, class_id=8))
        weekly = booking_vs_participation(rows, listed(1, 2), by=["class_id", "week"])
        found = weekly.select("class_id", "week", "n_customers", "n_booked").rows()
        assert found == [(7, week(0), 2, 1), (7, week(1), 2, 0), (8, week(0), 2, 0), (8, week(1), 2, 1)]

    def test_only_customers_who_were_fetched_before_and_after_a_week_are_in_it(self, engine: Engine) -> None:
        fetches = fetches_of(fetched(1, week(0), week(5)), fetched(2, week(1) + timedelta(days=1), week(4)))
        rows = outcomes_of(*FOUR_WEEKS, seat(2, 1))  # which customer 2 had, though not all of the week was fetched
        frames = [engine.frame(frame) for frame in (rows, listed(1, 2, 3), fetches)]
        weekly = engine.polars(booking_vs_participation(*frames[:2], by="week", fetches=frames[2]))
        assert weekly.select("week", "n_customers", "n_booked").rows() == [
            (None, 3, 1),
            (week(0), 1, 1),
            (week(1), 1, 0),
            (week(2), 2, 0),
            (week(3), 2, 2),
            (week(4), 2, 1),  # not complete: all who were fetched in it
        ]

    def test_without_a_list_there_is_no_base(self) -> None:
        with pytest.raises(CohortError, match="needs cohorts="):
            booking_vs_participation(outcomes_of(*FOUR_WEEKS), by="week")


def limits(y: np.ndarray, n: np.ndarray, confidence: float) -> tuple[float, float]:
    """The gamma limits, written anew."""
    weeks, seats, m = n.sum(), y.sum(), n.size
    phi = 1.0
    if seats and m > 1:
        phi = max(1.0, m / (m - 1) * np.sum((y - seats / weeks * n) ** 2) / seats)
    effective = seats**2 / np.sum(y**2) if seats else 1.0
    t, x = formulas.t_of(confidence, effective + 1), seats / phi
    low = x * max(0.0, 1 - 1 / (9 * x) - t / (3 * np.sqrt(x))) ** 3 if x else 0.0
    high = (x + 1) * (1 - 1 / (9 * (x + 1)) + t / (3 * np.sqrt(x + 1))) ** 3
    return float(phi / weeks * low), float(phi / weeks * high)


class Plainly:
    """A plain reading of the definition."""

    def __init__(self, outcomes: list[Row], cohorts: list[Row] | None, fetches: list[Row] | None) -> None:
        self.outcomes, self.fetches = outcomes, fetches
        self.people = outcomes if cohorts is None else cohorts
        self.of_people = CUSTOMER if cohorts is None else (*CUSTOMER, "cohort")

    def weeks_of(self, who: Customer) -> set[date]:
        complete = [row["week"] for row in self.outcomes if row["studio"] == who[0] and row["week_complete"]]
        weeks = {week(n) for n in range(-1, 9) if complete and min(complete) <= week(n) <= max(complete)}
        if self.fetches is None:
            return weeks
        mine = [row for row in self.fetches if of(row, *CUSTOMER) == who and row["outcome"] == "ok"]
        days = [row["fetched_at"].date() for row in mine]
        return {monday for monday in weeks if days and min(days) <= monday and max(days) > monday + timedelta(days=6)}

    def visits(self, by: Sequence[str], confidence: float) -> dict[tuple[Any, ...], Row]:
        """Find the rows by group; a group of the list of which nothing is known has an empty one."""
        shared = [name for name in by if name in self.of_people]
        found: dict[tuple[Any, ...], Row] = {}
        for key in {of(row, *shared) for row in self.people} or ({()} if not by else set()):
            members = [row for row in self.people if of(row, *shared) == key]
            read = {of(row, *CUSTOMER) for row in members if row.get("fetch_outcome", "ok") == "ok"}
            rows = [row for row in self.outcomes if of(row, *CUSTOMER) in read]
            named = dict(zip(shared, key, strict=True))
            nothing = [dict.fromkeys(by) | named] if self.people is not self.outcomes else []
            groups = self.groups(named, rows, read, by) or nothing
            for group in groups:
                row = self.row(group, rows, read, confidence)
                row["n_not_read"] = len({of(row, *CUSTOMER) for row in members} - read)
                found[tuple(group[name] for name in by)] = row
        return found

    def groups(self, named: Row, rows: list[Row], read: set[Customer], by: Sequence[str]) -> list[Row]:
        others = [name for name in by if name not in named and name != "week"]
        parts = {of(row, *others) for row in rows} if others else {()}
        groups = [named | dict(zip(others, part, strict=True)) for part in parts]
        if "week" not in by:
            return groups
        every = {monday for who in read for monday in self.weeks_of(who)}
        with_weeks = [group | {"week": monday} for group in groups for monday in every]
        undated = {of(row, *others) for row in rows if row["week"] is None}
        return with_weeks + [named | dict(zip(others, part, strict=True)) | {"week": None} for part in undated]

    def row(self, group: Row, rows: list[Row], read: set[Customer], confidence: float) -> Row:
        part = [row for row in rows if all(row.get(name) == group[name] for name in group.keys() & {"class_id"})]
        weeks = {who: self.weeks_of(who) & {group.get("week", monday) for monday in self.weeks_of(who)} for who in read}
        base = [who for who in read if weeks[who]]
        seats = [row for row in part if row["outcome"] in HELD and row["week"] in weeks[of(row, *CUSTOMER)]]
        undated = [row for row in part if row["outcome"] in HELD and row["week"] is None]
        n = np.array([len(weeks[who]) for who in base], float)
        kinds = {outcome: [of(row, *CUSTOMER) for row in seats if row["outcome"] == outcome] for outcome in HELD}
        attended = np.array([kinds["attended"].count(who) for who in base], float)
        booked = attended + [kinds["no_show"].count(who) + kinds["unrecorded"].count(who) for who in base]
        most = len(kinds["attended"]) + len(kinds["unrecorded"])
        result: Row = {
            "n_customers": len(base),
            "n_weeks": int(n.sum()),
            "n_seats": len(seats),
            "n_attended": len(kinds["attended"]),
            "n_unrecorded": len(kinds["unrecorded"]),
            "n_undated": len(undated) if group.get("week") is None else 0,
            "n_effective_customers": booked.sum() ** 2 / np.sum(booked**2) if booked.sum() else 1.0,
            "attended_per_week_max": most / n.sum() if n.size else None,
        }
        for name, y in (("booked_per_week", booked), ("attended_per_week", attended)):
            low, high = limits(y, n, confidence) if n.size else (None, None)
            result |= {name: y.sum() / n.sum() if n.size else None, f"{name}_ci_low": low, f"{name}_ci_high": high}
        return result


def of(row: Row, *names: str) -> Any:
    return tuple(row[name] for name in names)


CUSTOMERS = [("mitte", 1), ("mitte", 2), ("mitte", 3), ("nord", 1)]


@st.composite
def questions(draw: Callable[..., Any]) -> dict[str, Any]:
    complete = {studio: draw(st.tuples(st.integers(0, 2), st.integers(1, 4))) for studio in ("mitte", "nord")}
    rows = []
    kinds = st.tuples(
        st.sampled_from(CUSTOMERS),
        st.sampled_from((None, 0, 1, 2, 4, 5)),
        st.sampled_from((*HELD, "attended", "canceled", "upcoming")),
        st.sampled_from((7, 8)),
    )
    for (studio, customer), number, outcome, class_id in draw(st.lists(kinds, max_size=14)):
        first, last = complete[studio]
        flag = None if number is None else first <= number <= last
        rows.append(seat(customer, number, outcome, class_id=class_id, studio=studio, week_complete=flag))
    cohorts = None
    if draw(st.booleans()):
        cohorts = [
            {"studio": studio, "customer_id": customer, "cohort": cohort, "fetch_outcome": outcome}
            for studio, customer in CUSTOMERS
            for outcome in [draw(st.sampled_from(("ok", "ok", "failed")))]
            for cohort in draw(st.sampled_from(((), ("a",), ("b",), ("a", "b"))))
        ]
    fetches = None
    if draw(st.booleans()):
        days = st.lists(st.integers(-3, 45), max_size=3)
        fetches = [
            row
            for studio, customer in CUSTOMERS
            for day in draw(days)
            for row in fetched(customer, MONDAY + timedelta(days=day), studio=studio)
        ]
    choices = [(), ("week",), ("class_id",), ("customer_id",), ("class_id", "week"), ("studio", "week")]
    if cohorts is not None:
        choices += [("cohort",), ("cohort", "week"), ("week", "cohort", "class_id")]
    return {"outcomes": rows, "cohorts": cohorts, "fetches": fetches, "by": draw(st.sampled_from(choices))}


def check_against_the_definition(engine: Engine, question: dict[str, Any]) -> None:
    rows, cohorts, fetches, by = (question[name] for name in ("outcomes", "cohorts", "fetches", "by"))
    result = visits(
        engine.frame(outcomes_of(*rows)),
        None if cohorts is None else engine.frame(pl.DataFrame(cohorts, schema=COHORT_COLUMNS)),
        by=by,
        confidence=0.9,
        fetches=None if fetches is None else engine.frame(pl.DataFrame(fetches, schema=FETCH_COLUMNS)),
    )
    assert isinstance(result, engine.native)
    table = engine.polars(result)
    assert table.columns == [*by, *VISITS]
    assert {name: table.schema[name] for name in VISITS} == VISITS
    expected = Plainly(rows, cohorts, fetches).visits(by, 0.9)
    found = {tuple(row.pop(name) for name in by): row for row in table.to_dicts()}
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == pytest.approx(row, abs=1e-9)


@settings(max_examples=100)
@given(question=questions())
def test_every_number_agrees_with_the_definition(question: dict[str, Any]) -> None:
    check_against_the_definition(ENGINES["polars"], question)


@pytest.mark.parametrize("name", ["polars lazy", "DuckDB"])
@settings(max_examples=6)
@given(question=questions())
def test_every_engine_agrees_with_the_definition(name: str, question: dict[str, Any]) -> None:
    check_against_the_definition(ENGINES[name], question)


@pytest.mark.parametrize("habit", ["all alike", "geometric", "half never come", "four fifths never come"])
def test_the_interval_holds_the_true_visits_a_week_as_often_as_it_says(habit: str) -> None:
    visiting = Visiting(habit, customers=30, weeks=8)
    rates = visits(*visiting.draw(400, seed=7), by="cohort")
    held = pl.lit(visiting.a_week).is_between("booked_per_week_ci_low", "booked_per_week_ci_high").mean()
    assert 0.93 <= rates.select(held).item() <= 0.995
