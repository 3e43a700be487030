from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import oracle
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import CUSTOMERS, SLOTS, STUDIOS, booking, cohort_rows, frame, histories, observations

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.rates import booking_vs_participation, no_shows, outcome_counts
from bookings_analytics.schema import (
    BOOKING_VS_PARTICIPATION,
    NO_SHOWS,
    OUTCOME,
    OUTCOME_COUNTS,
    OUTCOMES,
    RESULT_COHORTS,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

Row = dict[str, Any]
Rows = list[Row]

BY_OUTCOMES = [(), ("class_id",), ("studio", "class_slot_id"), ("customer_id", "class_id")]
BY_COHORTS = [("cohort",), ("plan",), ("plan", "cohort", "studio"), ("cohort", "class_id"), ("customer_id", "cohort")]
RATES: dict[str, tuple[Callable[..., Any], Callable[..., Rows], pl.Schema]] = {
    "booking_vs_participation": (booking_vs_participation, oracle.booking_vs_participation, BOOKING_VS_PARTICIPATION),
    "no_shows": (no_shows, oracle.no_shows, NO_SHOWS),
    "outcome_counts": (outcome_counts, oracle.outcome_counts, OUTCOME_COUNTS),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def booked(outcome: str, customer_id: int = 1, **values: Any) -> Row:
    """Make the outcome of one booking."""
    return booking(customer_id=customer_id, outcome=outcome, **values)


def bookings_of(*outcomes: str, customer_id: int = 1, **values: Any) -> Rows:
    """Make one customer's outcomes, each in a slot of its own."""
    return [
        booked(outcome, customer_id, class_slot_id=slot, **values) for slot, outcome in enumerate(outcomes, start=10)
    ]


def listed(*customers: int, cohort: str = "all", **values: Any) -> Rows:
    return [
        {"studio": "mitte", "customer_id": id_, "cohort": cohort, "fetch_outcome": "ok"} | values for id_ in customers
    ]


def computed(engine: Engine, name: str, outcomes: Rows, cohorts: Rows | None, **options: Any) -> pl.DataFrame:
    """Compute rates on an engine and check that the result is of the engine's kind and has the declared columns."""
    function, _, columns = RATES[name]
    people = None if cohorts is None else engine.frame(frame(cohorts, RESULT_COHORTS))
    result = function(engine.frame(frame(outcomes, OUTCOMES)), people, **options)
    assert isinstance(result, engine.native)
    table = engine.polars(result)
    by = options.get("by") or ()
    by = [by] if isinstance(by, str) else list(by)
    assert table.columns == [*by, *columns, "first_day", "last_day"]
    table = table.drop("first_day", "last_day")  # null: nothing here is dated
    # text statuses of the result become the schema's Enums, which refuse any other text
    found = table.cast(dict.fromkeys({"outcome"} & set(columns), OUTCOME))
    assert {name: found.schema[name] for name in columns} == columns
    return found


@st.composite
def outcome_rows(draw: Callable[..., Any]) -> Rows:
    """Any outcome of any customer and slot, without the bookings that led to it."""
    keys = st.tuples(st.sampled_from(STUDIOS), st.sampled_from(CUSTOMERS), st.sampled_from(SLOTS))
    return [
        booked(draw(st.sampled_from(oracle.OUTCOMES)), customer, studio=studio, class_slot_id=slot, class_id=slot % 2)
        for studio, customer, slot in draw(st.lists(keys, max_size=18, unique=True))
    ]


ANY_OUTCOMES = st.one_of(
    outcome_rows(), observations().map(oracle.classify), histories().map(lambda history: oracle.classify(history.log))
)
CONFIDENCES = st.sampled_from((0.8, 0.95))


class Question(NamedTuple):
    outcomes: Rows
    cohorts: Rows | None
    by: tuple[str, ...]
    confidence: float


OF_COHORTS = st.builds(Question, ANY_OUTCOMES, cohort_rows(), st.sampled_from(BY_OUTCOMES + BY_COHORTS), CONFIDENCES)
OF_ALL = st.builds(Question, ANY_OUTCOMES, st.none(), st.sampled_from(BY_OUTCOMES), CONFIDENCES)


def check_against_the_definitions(engine: Engine, name: str, question: Question) -> None:
    options = {} if name == "outcome_counts" else {"confidence": question.confidence}
    found = computed(engine, name, question.outcomes, question.cohorts, by=question.by, **options)
    expected = RATES[name][1](question.outcomes, question.cohorts, question.by, **options)
    if not engine.keeps_order:
        expected = oracle.ascending(expected, question.by)
    assert found.to_dicts() == [pytest.approx(row, abs=1e-9) for row in expected]


@pytest.mark.parametrize("name", RATES)
@settings(max_examples=60)
@given(question=OF_COHORTS)
def test_every_count_and_rate_of_cohorts_agrees_with_the_definitions(name: str, question: Question) -> None:
    check_against_the_definitions(ENGINES["polars"], name, question)


@pytest.mark.parametrize("name", ["no_shows", "outcome_counts"])
@settings(max_examples=30)
@given(question=OF_ALL)
def test_every_count_and_rate_of_all_customers_agrees_with_the_definitions(name: str, question: Question) -> None:
    check_against_the_definitions(ENGINES["polars"], name, question)


@pytest.mark.parametrize("kind", sorted(ENGINES.keys() - {"polars"}))
@pytest.mark.parametrize("name", RATES)
@settings(max_examples=10)
@given(question=OF_COHORTS)
def test_every_engine_agrees_with_the_definitions(kind: str, name: str, question: Question) -> None:
    check_against_the_definitions(ENGINES[kind], name, question)


def test_groups_are_sorted_as_their_column_is_null_first(engine: Engine) -> None:
    cohorts = [row | {"plan": plan} for plan in ("b", None, "a") for row in listed(1, 2)]
    rates = computed(engine, "no_shows", bookings_of("attended"), cohorts, by="plan")
    assert rates["plan"].to_list() == [None, "a", "b"]


def test_booking_and_participation_are_shares_of_the_same_customers(engine: Engine) -> None:
    outcomes = [
        *bookings_of("attended", "no_show"),
        *bookings_of("no_show", "unrecorded", customer_id=2),
        *bookings_of("upcoming", "canceled", "waiting", customer_id=3),
        *bookings_of("slot_canceled", "lost", customer_id=4),
    ]
    [rates] = computed(engine, "booking_vs_participation", outcomes, listed(1, 2, 3, 4, 5)).to_dicts()
    assert (rates["n_customers"], rates["n_booked"], rates["n_participated"], rates["n_only_upcoming"]) == (5, 2, 1, 1)
    assert (rates["booking_rate"], rates["participation_rate"]) == (0.4, 0.2)
    assert (rates["participation_rate_min"], rates["participation_rate_max"]) == (0.2, 0.4)
    assert (rates["n_requests"], rates["n_seats"], rates["n_canceled"], rates["n_waiting"]) == (7, 5, 1, 1)
    assert (rates["seat_rate"], rates["cancellation_rate"]) == (5 / 7, 1 / 7)
    assert (rates["n_slot_canceled"], rates["n_lost"]) == (1, 1)


def test_a_customer_in_two_cohorts_counts_in_each_and_otherwise_once(engine: Engine) -> None:
    outcomes = bookings_of("attended", "no_show")
    cohorts = [*listed(1, 2, cohort="new"), *listed(1, cohort="old")]
    each = computed(engine, "booking_vs_participation", outcomes, cohorts, by="cohort")
    assert each.select("cohort", "n_customers", "n_booked", "n_requests").rows() == [("new", 2, 1, 2), ("old", 1, 1, 2)]
    once = computed(engine, "booking_vs_participation", outcomes, cohorts)
    assert once.select("n_customers", "n_booked", "n_requests").rows() == [(2, 1, 2)]


def test_a_customer_who_could_not_be_read_is_counted_apart_and_not_in_the_base(engine: Engine) -> None:
    outcomes = [*bookings_of("attended"), *bookings_of("no_show", customer_id=2)]  # 2: of an earlier fetch
    cohorts = [*listed(1), *listed(2, fetch_outcome="failed"), *listed(3, fetch_outcome=None)]
    [rates] = computed(engine, "booking_vs_participation", outcomes, cohorts, by="cohort").to_dicts()
    assert (rates["n_customers"], rates["n_not_read"], rates["n_booked"]) == (1, 2, 1)
    [rates] = computed(engine, "no_shows", outcomes, cohorts, by="cohort").to_dicts()
    assert (rates["n_customers"], rates["n_no_show"]) == (1, 0)


def test_a_group_with_nobody_that_could_be_read_has_no_rates(engine: Engine) -> None:
    cohorts = listed(1, cohort="gone", fetch_outcome="not_found")
    [rates] = computed(engine, "booking_vs_participation", bookings_of("attended"), cohorts, by="cohort").to_dicts()
    assert (rates["cohort"], rates["n_customers"], rates["n_not_read"], rates["n_requests"]) == ("gone", 0, 1, 0)
    assert all(value is None for name, value in rates.items() if "_rate" in name)


def test_a_group_that_booked_nothing_appears_and_has_a_rate_of_zero(engine: Engine) -> None:
    cohorts = [*listed(1, cohort="new"), *listed(2, 3, cohort="quiet")]
    [_, quiet] = computed(engine, "booking_vs_participation", bookings_of("attended"), cohorts, by="cohort").to_dicts()
    assert (quiet["n_customers"], quiet["n_booked"], quiet["booking_rate"], quiet["booking_rate_ci_low"]) == (
        2,
        0,
        0,
        0,
    )
    assert 0.5 < quiet["booking_rate_ci_high"] < 1
    assert (quiet["n_requests"], quiet["seat_rate"], quiet["seat_rate_ci_low"]) == (0, None, None)
    [_, quiet] = computed(engine, "no_shows", bookings_of("attended"), cohorts, by="cohort").to_dicts()
    assert (quiet["n_customers"], quiet["no_show_rate"], quiet["no_show_rate_max"]) == (0, None, None)


def test_a_column_of_the_outcomes_leaves_the_base_at_all_customers_of_the_group(engine: Engine) -> None:
    outcomes = [*bookings_of("attended", class_id=7), *bookings_of("attended", customer_id=2, class_id=8)]
    cohorts = [*listed(1, 2, 3, cohort="new"), *listed(4, cohort="quiet")]
    rates = computed(engine, "booking_vs_participation", outcomes, cohorts, by=["class_id", "cohort"])
    found = rates.select("class_id", "cohort", "n_customers", "n_booked").rows()
    assert found == [(None, "quiet", 1, 0), (7, "new", 3, 1), (8, "new", 3, 1)]


def test_customers_of_no_cohort_are_not_in_the_result(engine: Engine) -> None:
    outcomes = [*bookings_of("attended"), *bookings_of("no_show", customer_id=2, class_id=9)]
    rates = computed(engine, "no_shows", outcomes, listed(1), by="class_id")
    assert rates.select("class_id", "n_attended", "n_no_show").rows() == [(0, 1, 0)]


def test_the_same_number_in_two_studios_is_two_customers(engine: Engine) -> None:
    outcomes = [*bookings_of("attended"), *bookings_of("no_show", studio="nord")]
    cohorts = [*listed(1), *listed(1, studio="nord")]
    [rates] = computed(engine, "booking_vs_participation", outcomes, cohorts).to_dicts()
    assert (rates["n_customers"], rates["n_booked"], rates["n_participated"]) == (2, 2, 1)


@pytest.mark.parametrize(("outcome", "rate", "low", "high"), [("no_show", 1, 0.035, 1), ("attended", 0, 0, 0.965)])
def test_one_customer_with_one_seat_says_next_to_nothing(
    engine: Engine, outcome: str, rate: float, low: float, high: float
) -> None:
    [rates] = computed(engine, "no_shows", bookings_of(outcome), None).to_dicts()
    assert (rates["no_show_rate"], rates["no_show_rate_min"], rates["no_show_rate_max"]) == (rate, rate, rate)
    found = rates["no_show_rate_ci_low"], rates["no_show_rate_ci_high"]
    assert found == (pytest.approx(low, abs=0.001), pytest.approx(high, abs=0.001))


def test_where_nobody_recorded_attendance_anything_is_possible_and_no_rate_is_made_up(engine: Engine) -> None:
    [rates] = computed(engine, "no_shows", bookings_of("unrecorded", "unrecorded"), None).to_dicts()
    assert (rates["n_customers"], rates["n_unrecorded"], rates["recorded_share"]) == (1, 2, 0)
    for name in ("no_show_rate", "attendance_rate"):
        assert (rates[name], rates[f"{name}_ci_low"], rates[f"{name}_ci_high"]) == (None, None, None)
        assert (rates[f"{name}_min"], rates[f"{name}_max"]) == (0, 1)


def test_attendance_and_no_shows_add_up(engine: Engine) -> None:
    outcomes = [*bookings_of("attended", "no_show", "no_show"), *bookings_of("attended", "unrecorded", customer_id=2)]
    [rates] = computed(engine, "no_shows", outcomes, None).to_dicts()
    assert rates["attendance_rate"] + rates["no_show_rate"] == pytest.approx(1)
    assert rates["attendance_rate_ci_low"] + rates["no_show_rate_ci_high"] == pytest.approx(1)
    assert rates["attendance_rate_min"] + rates["no_show_rate_max"] == pytest.approx(1)


def test_each_outcome_is_counted_in_its_order_and_only_requests_have_shares(engine: Engine) -> None:
    outcomes = bookings_of("no_show", "attended", "attended", "canceled", "lost", "slot_canceled")
    rows = computed(engine, "outcome_counts", outcomes, None).select("outcome", "n", "share").rows()
    assert rows == [
        ("attended", 2, 0.5),
        ("no_show", 1, 0.25),
        ("unrecorded", 0, 0),
        ("upcoming", 0, 0),
        ("waiting", 0, 0),
        ("canceled", 1, 0.25),
        ("slot_canceled", 1, None),
        ("lost", 1, None),
    ]


def test_without_outcomes_there_is_one_row_of_zeros_for_all_and_none_for_groups(engine: Engine) -> None:
    [rates] = computed(engine, "no_shows", [], None).to_dicts()
    assert (rates["n_customers"], rates["n_attended"], rates["no_show_rate"]) == (0, 0, None)
    assert computed(engine, "no_shows", [], None, by="class_id").is_empty()
    [rates] = computed(engine, "booking_vs_participation", [], []).to_dicts()
    assert (rates["n_customers"], rates["booking_rate"]) == (0, None)


def test_the_base_of_bookings_has_to_be_given() -> None:
    with pytest.raises(CohortError, match="needs cohorts=: customers who booked nothing are in its base"):
        booking_vs_participation(frame(bookings_of("attended"), OUTCOMES))


@pytest.mark.parametrize(
    "function", [partial(booking_vs_participation, cohorts=frame(listed(1), RESULT_COHORTS)), no_shows]
)
def test_a_confidence_in_percent_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="confidence is 95; use a share between 0 and 1"):
        function(frame(bookings_of("attended"), OUTCOMES), confidence=95)
