from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import oracle
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import START, TIMES, booking, frame, histories, observations

from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.schema import BOOKINGS, OUTCOME, OUTCOMES, WAIT_OUTCOME

if TYPE_CHECKING:
    import random

SEATS = ("BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED")
DAY = timedelta(days=1)
WAIT = {"booking_status": "WAITING_LIST"}
COMPLETED = {"class_slot_status": "COMPLETED"}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def classified(engine: Engine, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Classify on an engine; text statuses of the result become the schema's Enums, which refuse any other text."""
    result = classify(engine.frame(frame(rows)))
    assert isinstance(result, engine.native)
    outcomes = engine.polars(result)
    assert outcomes.columns == OUTCOMES.names()
    return outcomes.cast(OUTCOMES)


def only(engine: Engine, *rows: dict[str, Any]) -> dict[str, Any]:
    return classified(engine, list(rows)).row(0, named=True)


def on_days(*states: dict[str, Any], **values: Any) -> list[dict[str, Any]]:
    """Observe one booking on successive days."""
    return [booking(**(values | state), observed_at=START + day * DAY) for day, state in enumerate(states)]


# (booking, slot, participant, visible) → outcome, for every combination there is
ANY_SLOT = ("PLANNED", "CANCELED", "COMPLETED")
ANY_PARTICIPANT = ("PARTICIPATING", "NOT_PARTICIPATING", "UNSET")
EITHER = (True, False)
RULES = [
    ((*SEATS, "WAITING_LIST", "CANCELED"), ("CANCELED",), ANY_PARTICIPANT, EITHER, "slot_canceled"),
    (SEATS, ("COMPLETED",), ("PARTICIPATING",), EITHER, "attended"),
    (("WAITING_LIST",), ("COMPLETED",), ("PARTICIPATING",), EITHER, "attended"),  # let in from the list
    (("CANCELED",), ("PLANNED", "COMPLETED"), ANY_PARTICIPANT, EITHER, "canceled"),
    ((*SEATS, "WAITING_LIST"), ("PLANNED",), ANY_PARTICIPANT, (False,), "lost"),
    (("WAITING_LIST",), ("PLANNED",), ANY_PARTICIPANT, (True,), "waiting"),
    (("WAITING_LIST",), ("COMPLETED",), ("NOT_PARTICIPATING", "UNSET"), EITHER, "waiting"),
    (SEATS, ("PLANNED",), ANY_PARTICIPANT, (True,), "upcoming"),
    (SEATS, ("COMPLETED",), ("NOT_PARTICIPATING",), EITHER, "no_show"),
    (SEATS, ("COMPLETED",), ("UNSET",), EITHER, "unrecorded"),
]


def test_every_combination_of_statuses_has_the_outcome_that_the_table_gives_it(engine: Engine) -> None:
    cases = [(case, outcome) for *values, outcome in RULES for case in itertools.product(*values)]
    assert len({case for case, _ in cases}) == len(cases) == 4 * 3 * 3 * 2
    rows = [
        booking(
            class_slot_id=slot_id,
            booking_id=slot_id,
            booking_status=status,
            class_slot_status=slot,
            participant_status=participant,
            visible=visible,
        )
        for slot_id, ((status, slot, participant, visible), _) in enumerate(cases)
    ]
    assert classified(engine, rows)["outcome"].to_list() == [outcome for _, outcome in cases]


def test_every_outcome_stands_in_the_tables_of_these_tests() -> None:
    assert {outcome for *_, outcome in RULES} == set(OUTCOME.categories)
    assert {expected for _, expected in WAITS.values()} == {*WAIT_OUTCOME.categories, None}


WAITS: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "a seat after waiting": (on_days(WAIT, {}, COMPLETED), "converted"),
    "a seat to be confirmed after waiting": (
        on_days(WAIT, {"booking_status": "BOOKED_WITH_CONFIRMATION_REQUIRED"}, COMPLETED),
        "converted",
    ),
    "a seat after waiting, given up again": (
        on_days(WAIT, {}, {"booking_status": "CANCELED"}, {"booking_status": "CANCELED", **COMPLETED}),
        "converted",
    ),
    "a seat after waiting, not taken": (
        on_days(WAIT, {**COMPLETED, "participant_status": "NOT_PARTICIPATING"}),
        "converted",
    ),
    "let in from the list without a seat": (
        on_days(WAIT, {**WAIT, **COMPLETED, "participant_status": "PARTICIPATING"}),
        "converted",
    ),
    "a seat under a new booking id": (
        [*on_days(WAIT, {"booking_status": "CANCELED"}), booking(booking_id=101, **COMPLETED, observed_at=START + DAY)],
        "converted",
    ),
    "a seat before the wait only": (
        on_days({}, WAIT, {**WAIT, **COMPLETED}),
        "lapsed",
    ),
    "a seat seen in the fetch that first saw the wait": (
        [
            *on_days(WAIT, {**WAIT, **COMPLETED}),
            *on_days({"booking_status": "BOOKED"}, {"booking_status": "CANCELED", **COMPLETED}, booking_id=101),
        ],
        "lapsed",
    ),
    "the class was canceled": (on_days(WAIT, {**WAIT, "class_slot_status": "CANCELED"}), "slot_canceled"),
    "a seat in a class that was canceled": (on_days(WAIT, {}, {"class_slot_status": "CANCELED"}), "slot_canceled"),
    "given up": (on_days(WAIT, {"booking_status": "CANCELED", **COMPLETED}), "withdrawn"),
    "in vain": (on_days(WAIT, {**WAIT, **COMPLETED}), "lapsed"),
    "vanished after the class": (
        on_days(WAIT, {**WAIT, **COMPLETED}, {**WAIT, **COMPLETED, "visible": False}),
        "lapsed",
    ),
    "still waiting": (on_days(WAIT), "pending"),
    "a seat in a class to come": (on_days(WAIT, {}), "pending"),
    "given up before the class": (on_days(WAIT, {"booking_status": "CANCELED"}), "pending"),
    "vanished before the class": (on_days(WAIT, {**WAIT, "visible": False}), "lost"),
    "given up and vanished before the class": (
        on_days(WAIT, {"booking_status": "CANCELED"}, {"booking_status": "CANCELED", "visible": False}),
        "lost",
    ),
    "never waited": (on_days({}, COMPLETED), None),
    "first seen waiting after the class": (on_days({**WAIT, **COMPLETED}), None),
    "first seen waiting when the class was canceled": (on_days({**WAIT, "class_slot_status": "CANCELED"}), None),
    "only the row that says it is gone": (on_days({**WAIT, "visible": False}), None),
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_ends_as_the_table_says(engine: Engine, wait: str) -> None:
    rows, expected = WAITS[wait]
    assert only(engine, *rows)["wait_outcome"] == expected


def test_the_slot_has_the_status_seen_on_this_customers_booking_and_not_on_anothers(engine: Engine) -> None:
    outcomes = classified(
        engine, [booking(), booking(customer_id=2, booking_id=200, **COMPLETED, observed_at=START + DAY)]
    )
    assert outcomes["outcome"].to_list() == ["upcoming", "unrecorded"]


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([{"booking_status": "CANCELED"}, {}], 101, id="canceled and booked again"),
        pytest.param([{}, {"booking_status": "CANCELED"}], 100, id="a seat before a later canceled one"),
        pytest.param([WAIT, {"booking_status": "CANCELED"}], 100, id="waiting before canceled"),
        pytest.param([{}, WAIT], 100, id="a seat before waiting"),
        pytest.param(
            [{"booking_status": "BOOKED_WITH_CONFIRMATION_REQUIRED"}, {}], 101, id="seats are equal: later id"
        ),
        pytest.param([{"visible": False}, {"booking_status": "CANCELED"}], 101, id="visible before gone"),
        pytest.param(
            [{"booking_status": "CANCELED", "visible": False, "observed_at": START + DAY}, {"visible": False}],
            100,
            id="all gone: the last to go",
        ),
        pytest.param([{"visible": False}, {**WAIT, "visible": False}], 100, id="gone together: the one that held most"),
        pytest.param(
            [{"observed_at": START}, {**WAIT, "observed_at": START + DAY}],
            100,
            id="visible: not the one that changed last",
        ),
    ],
)
def test_of_several_bookings_for_one_slot_the_one_that_holds_most_stands_for_all(
    engine: Engine, candidates: list[dict[str, Any]], expected: int
) -> None:
    rows = [booking(booking_id=100 + number, **values) for number, values in enumerate(candidates)]
    assert only(engine, *rows)["booking_id"] == expected


def test_the_latest_state_counts_and_the_times_say_since_when(engine: Engine) -> None:
    row = only(engine, *on_days(WAIT, {}, {}, {"class_id": 0}))
    assert row["booking_status"] == "BOOKED"
    assert [row[name] for name in ("first_seen_at", "last_changed_at", "observed_at")] == [
        START,
        START + DAY,
        START + 3 * DAY,
    ]


@pytest.mark.parametrize(
    "between",
    [{"booking_status": "CANCELED"}, COMPLETED, {"participant_status": "PARTICIPATING"}, {"visible": False}],
    ids=str,
)
def test_a_state_that_was_interrupted_is_as_old_as_its_return(engine: Engine, between: dict[str, Any]) -> None:
    assert only(engine, *on_days({}, {}, between, {}, {}))["last_changed_at"] == START + 3 * DAY


def test_the_first_sight_of_any_booking_of_the_place_counts(engine: Engine) -> None:
    rows = [*on_days({"booking_status": "CANCELED"}), booking(booking_id=101, observed_at=START + DAY)]
    row = only(engine, *rows)
    assert (row["booking_id"], row["first_seen_at"], row["last_changed_at"]) == (101, START, START + DAY)


def test_a_booking_moved_to_another_slot_counts_there_alone(engine: Engine) -> None:
    outcomes = classified(engine, [booking(), booking(class_slot_id=11, observed_at=START + DAY)])
    assert outcomes["class_slot_id"].to_list() == [11]


def test_studios_that_share_numbers_are_kept_apart_and_rows_are_sorted(engine: Engine) -> None:
    rows = [
        booking(studio=studio, customer_id=customer, class_slot_id=slot)
        for studio, customer, slot in itertools.product(("nord", "mitte"), (2, 1), (11, 10))
    ]
    rows = [row | {"booking_id": row["class_slot_id"]} for row in rows]
    places = classified(engine, rows).select("studio", "customer_id", "class_slot_id").rows()
    assert places == sorted(itertools.product(("mitte", "nord"), (1, 2), (10, 11)))


def test_one_snapshot_is_a_history_of_one_observation_each(engine: Engine) -> None:
    rows = [booking(class_slot_id=slot, booking_id=slot) for slot in range(5)]
    outcomes = classified(engine, rows)
    assert_frame_equal(outcomes.select(BOOKINGS.names()), frame(rows))
    assert outcomes.select("first_seen_at", "last_changed_at").unique().rows() == [(START, START)]


def test_no_bookings_have_no_outcomes(engine: Engine) -> None:
    assert classified(engine, []).is_empty()


@pytest.mark.parametrize(("name", "max_examples"), [("polars", 150), ("polars lazy", 50), ("DuckDB", 20)])
def test_the_oracle_agrees_on_any_rows_in_any_order(name: str, max_examples: int) -> None:
    @settings(max_examples=max_examples)
    @given(st.one_of(observations(), histories().map(lambda history: history.log)))
    def check(rows: list[dict[str, Any]]) -> None:
        expected = [{column: row.get(column) for column in OUTCOMES} for row in oracle.classify(rows)]
        assert classified(ENGINES[name], rows).rows(named=True) == expected

    check()


@settings(max_examples=50)
@given(observations(), st.randoms(use_true_random=False))
def test_rows_that_come_twice_or_in_another_order_change_nothing(
    rows: list[dict[str, Any]], order: random.Random
) -> None:
    twice = order.sample(rows + rows, k=2 * len(rows))
    assert_frame_equal(classify(frame(twice)), classify(frame(rows)))


@settings(max_examples=50)
@given(histories())
def test_whole_snapshots_tell_the_same_as_the_log_of_their_changes(history: Any) -> None:
    vanished = {row["booking_id"] for row in history.log if not row["visible"]}  # which only the log can know
    snapshots, log = (
        classify(frame([row for row in rows if row["booking_id"] not in vanished]))
        for rows in (history.snapshots, history.log)
    )
    assert_frame_equal(snapshots.drop("observed_at"), log.drop("observed_at"))


def test_a_log_cut_off_at_a_later_day_is_read_as_it_stands(engine: Engine) -> None:
    row = only(engine, booking(visible=False, observed_at=TIMES[2]))
    assert (row["outcome"], row["first_seen_at"]) == ("lost", TIMES[2])


def test_times_of_any_zone_are_instants_and_come_out_in_utc() -> None:
    bookings = frame(on_days(WAIT, {}))
    elsewhere = bookings.with_columns(
        pl.col("observed_at").dt.convert_time_zone("Europe/Berlin").dt.cast_time_unit("ms")
    )
    assert_frame_equal(classify(elsewhere), classify(bookings))


def test_a_history_across_the_end_of_summer_time_keeps_its_order(engine: Engine) -> None:
    before = START.replace(month=10, day=26, hour=0, minute=30)  # 02:30 in Berlin, for the first time
    rows = [booking(**WAIT, observed_at=before), booking(observed_at=before + timedelta(minutes=45))]  # 02:15 there
    bookings = frame(rows).with_columns(pl.col("observed_at").dt.convert_time_zone("Europe/Berlin"))
    outcomes = engine.polars(classify(engine.frame(bookings)))
    assert outcomes["booking_status"].to_list() == ["BOOKED"]


def test_columns_of_ones_own_are_dropped_and_other_forms_of_the_same_types_taken(engine: Engine) -> None:
    bookings = frame(on_days(WAIT, {}))
    others = bookings.with_columns(pl.col("customer_id", "booking_id").cast(pl.Int32), note=pl.lit("mine"))
    others = others.cast({"booking_status": pl.Categorical(), "class_slot_status": pl.String})
    assert_frame_equal(engine.polars(classify(engine.frame(others))).cast(OUTCOMES), classify(bookings))


@pytest.mark.parametrize("column", BOOKINGS)
def test_a_missing_column_is_named(engine: Engine, column: str) -> None:
    with pytest.raises(ValueError, match=f"the bookings lack {column}; their columns are .*schema.BOOKINGS"):
        classify(engine.frame(frame([booking()]).drop(column)))


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ("customer_id", pl.Float64),
        ("booking_id", pl.String),
        ("booking_status", pl.Int64),
        ("studio", pl.Int64),
        ("observed_at", pl.Date),
        ("observed_at", pl.Datetime("us")),  # whose time?
        ("visible", pl.Int8),
    ],
)
def test_a_column_of_another_type_is_named_with_the_type_to_cast_it_to(
    engine: Engine, column: str, dtype: pl.DataType
) -> None:
    bookings = frame([booking()])
    text = bookings.cast({pl.Enum: pl.String})
    wrong = bookings.with_columns(
        pl.lit(1).cast(dtype).alias(column) if dtype == pl.Int64 else text[column].cast(dtype).alias(column)
    )
    with pytest.raises(
        TypeError, match=rf"the bookings' {column} is of type .*: cast it to {BOOKINGS[column].base_type()}"
    ):
        classify(engine.frame(wrong))


@pytest.mark.parametrize("column", [name for name in BOOKINGS if name.endswith("_status")])
def test_an_unknown_status_is_named_with_its_booking(engine: Engine, column: str) -> None:
    bookings = frame([booking(), booking(booking_id=2033, customer_id=7)]).cast({column: pl.String})
    grown = bookings.with_columns(
        pl.when(pl.col("booking_id") == 2033).then(pl.lit("NEW")).otherwise(column).alias(column)
    )
    with pytest.raises(
        ValueError, match=f"{column} is 'NEW' in booking 2033 of customer 7, studio mitte, .* Known are "
    ):
        classify(engine.frame(grown))


@pytest.mark.parametrize("column", BOOKINGS)
def test_a_null_is_named_with_its_booking(engine: Engine, column: str) -> None:
    bookings = frame([booking()]).with_columns(pl.lit(None, BOOKINGS[column]).alias(column))
    with pytest.raises(ValueError, match=f"the bookings' {column} is None in booking .* Fill it in"):
        classify(engine.frame(bookings))
