from __future__ import annotations

from datetime import timedelta
from typing import Any

import oracle
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint
from strategies import START, booking, cohort_rows, frame, histories

from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.metrics.waitlist import seats_lost_while_waiting, waitlist_conversion
from bookings_analytics.schema import (
    FETCHES,
    OUTCOMES,
    RESULT_COHORTS,
    SEATS_LOST_WHILE_WAITING,
    WAITLIST_CONVERSION,
)

Row = dict[str, Any]
Rows = list[Row]

HOUR = timedelta(hours=1)
ASKED = pl.Schema({name: FETCHES[name] for name in ("studio", "customer_id", "fetched_at", "outcome")})
WITH_PLAN = pl.Schema({**RESULT_COHORTS, "plan": pl.String()})
BY_OUTCOMES = [(), ("class_id",), ("studio", "class_slot_id"), ("customer_id",)]
BY_COHORTS = [("cohort",), ("plan",), ("cohort", "class_id"), ("class_slot_id", "plan"), ("customer_id", "cohort")]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def wait(customer_id: int, wait_outcome: str | None, slot: int = 10, **values: Any) -> Row:
    """Make the outcome of one wait, first seen a day before it was last seen."""
    ended = {"converted": "BOOKED", "withdrawn": "CANCELED"}
    planned = wait_outcome in {"pending", "lost"}
    row = booking(
        customer_id=customer_id,
        class_slot_id=slot,
        booking_id=customer_id * 1000 + slot,
        booking_status=ended.get(wait_outcome or "", "WAITING_LIST"),
        class_slot_status="CANCELED" if wait_outcome == "slot_canceled" else "PLANNED" if planned else "COMPLETED",
        first_seen_at=START - 24 * HOUR,
        last_changed_at=START,
        outcome={"converted": "attended", "withdrawn": "canceled"}.get(wait_outcome or "", "waiting"),
        wait_outcome=wait_outcome,
    )
    return row | values


def fetched(customer_id: int, *hours: float, outcome: str = "ok", studio: str = "mitte") -> Rows:
    return [
        {"studio": studio, "customer_id": customer_id, "fetched_at": START + hour * HOUR, "outcome": outcome}
        for hour in hours
    ]


def member(customer_id: int, cohort: str, *, studio: str = "mitte", fetch_outcome: str = "ok") -> Row:
    return {"customer_id": customer_id, "cohort": cohort, "studio": studio, "fetch_outcome": fetch_outcome}


def conversion(
    engine: Engine, outcomes: Rows, cohorts: Rows | None = None, *, fetches: Rows | None = None, **options: Any
) -> Rows:
    result = waitlist_conversion(
        engine.frame(frame(outcomes, OUTCOMES)),
        None if cohorts is None else engine.frame(frame(cohorts, RESULT_COHORTS)),
        fetches=None if fetches is None else engine.frame(frame(fetches, ASKED)),
        **options,
    )
    assert isinstance(result, engine.native)
    return engine.polars(result).drop("first_day", "last_day").rows(named=True)  # null: nothing here is dated


def seats_lost(engine: Engine, outcomes: Rows, **options: Any) -> Rows:
    result = seats_lost_while_waiting(engine.frame(frame(outcomes, OUTCOMES)), **options)
    assert isinstance(result, engine.native)
    return engine.polars(result).drop("first_day", "last_day").rows(named=True)  # null: nothing here is dated


def test_a_wait_converts_lapses_or_is_withdrawn_and_no_other_wait_is_in_the_rate(engine: Engine) -> None:
    kinds = ["converted"] * 3 + ["lapsed"] * 2 + ["withdrawn", "pending", "pending", "lost", "slot_canceled", None]
    (row,) = conversion(engine, [wait(customer, kind, slot=customer) for customer, kind in enumerate(kinds)])
    counts = {name: value for name, value in row.items() if name.startswith("n_")}
    assert counts == {
        "n_customers": 10,
        "n_converted": 3,
        "n_lapsed": 2,
        "n_withdrawn": 1,
        "n_pending": 2,
        "n_lost": 1,
        "n_slot_canceled": 1,
        "n_seen_late": 1,
        "n_slots": 5,
    }
    assert row["conversion_rate"] == 3 / 6
    assert row["reason"] is None


def test_a_waiting_list_is_cleared_if_somebody_got_in_and_nobody_waited_in_vain(engine: Engine) -> None:
    waits = [
        *(wait(1, "converted", slot=10), wait(2, "converted", slot=10), wait(3, "withdrawn", slot=10)),  # cleared
        *(wait(1, "converted", slot=11), wait(2, "lapsed", slot=11)),
        wait(1, "lapsed", slot=12),
        wait(1, "withdrawn", slot=13),  # nobody was left to get in
        wait(1, "converted", slot=10, studio="nord", booking_id=9),  # cleared, and another studio's slot
    ]
    (row,) = conversion(engine, waits)
    assert (row["n_slots"], row["clear_rate"]) == (4, 2 / 4)
    assert (row["clear_rate_ci_low"], row["clear_rate_ci_high"]) == pytest.approx(
        proportion_confint(2, 4, method="wilson")
    )


@pytest.mark.parametrize(
    ("customers", "slots"), [([1, 1, 2, 2, 3, 3], [1, 2, 3, 4, 5, 6]), ([1, 2, 3, 4, 5, 6], [1, 1, 2, 2, 3, 3])]
)
def test_waits_of_one_customer_or_one_slot_that_end_alike_count_less(
    engine: Engine, customers: list[int], slots: list[int]
) -> None:
    kinds = ["converted", "converted", "lapsed", "lapsed", "converted", "converted"]
    alike = [wait(customer, kind, slot) for customer, kind, slot in zip(customers, kinds, slots, strict=True)]
    (row,) = conversion(engine, alike, confidence=0.9)
    of_three = oracle.design_effect([(2, 2), (0, 2), (2, 2)])
    of_six = oracle.design_effect([(1, 1), (1, 1), (0, 1), (0, 1), (1, 1), (1, 1)])
    n_eff = 6 / (of_three + of_six - 1)
    assert n_eff < 4
    assert (row["conversion_rate_ci_low"], row["conversion_rate_ci_high"]) == pytest.approx(
        proportion_confint(4 / 6 * n_eff, n_eff, alpha=0.1, method="wilson")
    )


ONE_SNAPSHOT = "one snapshot can't show a conversion: each customer was seen at one time only"
AT_ONCE: Row = {"first_seen_at": START}
REASONS: dict[str, Rows] = {
    "no wait was seen in progress": [wait(1, None)],
    "no class that somebody waited for has ended yet": [wait(1, "pending"), wait(2, "lost")],
    "every class that somebody waited for was canceled or lost from sight": [wait(1, "lost"), wait(2, "slot_canceled")],
    ONE_SNAPSHOT: [wait(1, "pending", **AT_ONCE), wait(2, None, **AT_ONCE)],
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_rate_that_is_null_comes_with_its_reason(engine: Engine, reason: str) -> None:
    (row,) = conversion(engine, REASONS[reason])
    nulls = ("conversion_rate", "conversion_rate_ci_low", "conversion_rate_ci_high", "clear_rate", "clear_rate_ci_low")
    assert [row[name] for name in nulls] == [None] * len(nulls)
    assert row["reason"] == reason


def test_one_snapshot_is_told_as_such_for_every_class(engine: Engine) -> None:
    snapshot = [booking(booking_id=n, class_slot_id=n, class_id=n, booking_status="WAITING_LIST") for n in range(3)]
    outcomes = classify(engine.frame(frame(snapshot)))
    rows = engine.polars(waitlist_conversion(outcomes, by="class_id"))
    assert rows["reason"].to_list() == [ONE_SNAPSHOT] * 3


def test_a_customer_seen_again_in_another_class_was_not_seen_in_one_snapshot(engine: Engine) -> None:
    waits = [wait(1, "pending", class_id=1, **AT_ONCE), wait(1, "pending", slot=11, class_id=2)]
    assert [row["reason"] for row in conversion(engine, waits, by="class_id")] == [
        "no class that somebody waited for has ended yet"
    ] * 2


def test_fetches_that_saw_no_change_still_make_a_history(engine: Engine) -> None:
    (row,) = conversion(engine, [wait(1, "pending", **AT_ONCE)], fetches=fetched(1, 0, 24))
    assert row["reason"] == "no class that somebody waited for has ended yet"
    (row,) = conversion(engine, [wait(1, "pending", **AT_ONCE)], fetches=fetched(1, 0) + fetched(2, 0, 24))
    assert row["reason"] == ONE_SNAPSHOT


def test_the_median_gap_is_between_successful_fetches_of_one_customer(engine: Engine) -> None:
    fetches = [
        *fetched(1, 30, 0, 6),  # gaps of 6 and 24 hours, in any order
        *fetched(1, 6),  # the same fetch once more
        *fetched(1, 12, outcome="failed"),
        *fetched(2, 1, 2.5),
        *fetched(2, 100, studio="nord"),  # another studio's customer
        *fetched(3, 0, 500),  # nobody's wait
    ]
    (row,) = conversion(engine, [wait(1, "lapsed"), wait(2, "lapsed")], fetches=fetches)
    assert row["median_fetch_gap_h"] == 6  # of 1.5, 6 and 24
    (row,) = conversion(engine, [wait(1, "lapsed"), wait(2, "lapsed")])
    assert row["median_fetch_gap_h"] is None


def test_the_median_gap_of_a_group_is_of_its_customers(engine: Engine) -> None:
    fetches = [*fetched(1, 0, 2), *fetched(2, 0, 4), *fetched(3, 0, 6), *fetched(4, 0, 8)]
    cohorts = [
        *(member(1, "new"), member(2, "old"), member(3, "old")),
        member(4, "old", fetch_outcome="failed"),
        member(5, "unasked"),
    ]
    waits = [wait(1, "lapsed", class_id=7), wait(2, "lapsed", class_id=7), wait(4, "lapsed", class_id=8)]
    rows = conversion(engine, waits, cohorts, by="cohort", fetches=fetches)
    assert [(row["cohort"], row["median_fetch_gap_h"]) for row in rows] == [("new", 2), ("old", 5), ("unasked", None)]
    rows = conversion(engine, waits, by="class_id", fetches=fetches)
    assert [(row["class_id"], row["median_fetch_gap_h"]) for row in rows] == [(7, 3), (8, 8)]


def test_a_customer_in_two_cohorts_counts_in_each_and_once_without_them(engine: Engine) -> None:
    cohorts = [member(1, "new"), member(1, "old"), member(2, "old"), member(3, "old", fetch_outcome="not_found")]
    waits = [wait(1, "converted"), wait(2, "lapsed"), wait(3, "lapsed"), wait(4, "lapsed")]
    rows = conversion(engine, waits, cohorts, by="cohort")
    assert [(row["cohort"], row["n_converted"], row["n_lapsed"]) for row in rows] == [("new", 1, 0), ("old", 1, 1)]
    (row,) = conversion(engine, waits, cohorts)
    assert (row["n_converted"], row["n_lapsed"], row["n_slots"]) == (1, 1, 1)


def test_a_cohort_that_never_waited_has_a_row_of_zeros(engine: Engine) -> None:
    cohorts = [member(2, "idle"), member(1, "new")]
    rows = conversion(engine, [wait(1, "lapsed")], cohorts, by=["cohort", "class_id"])
    assert [(row["cohort"], row["class_id"], row["n_lapsed"], row["reason"]) for row in rows] == [
        ("idle", None, 0, "no wait was seen in progress"),
        ("new", 0, 1, None),
    ]


@pytest.mark.parametrize("name", ["polars", "polars lazy"])
def test_results_have_the_types_of_the_schema_and_are_complete_for_nothing(name: str) -> None:
    engine = ENGINES[name]
    nothing, nobody = engine.frame(pl.DataFrame(schema=OUTCOMES)), engine.frame(pl.DataFrame(schema=ASKED))
    rates = engine.polars(waitlist_conversion(nothing, fetches=nobody))
    assert rates.schema == {**WAITLIST_CONVERSION, "first_day": pl.Date(), "last_day": pl.Date()}
    assert rates["reason"].to_list() == ["no wait was seen in progress"]
    assert engine.polars(waitlist_conversion(nothing, by="class_id")).is_empty()
    assert engine.polars(seats_lost_while_waiting(nothing)).columns[:3] == SEATS_LOST_WHILE_WAITING.names()


def test_seats_are_lost_as_long_as_both_a_seat_is_empty_and_somebody_waits(engine: Engine) -> None:
    absent: Row = {"outcome": "no_show"}
    rows = [
        *(wait(1, None, slot=10, **absent), wait(2, None, slot=10, **absent), wait(3, "lapsed", slot=10)),  # 1 seat
        *(wait(1, None, slot=11, **absent), wait(2, "lapsed", slot=11), wait(3, "lapsed", slot=11)),  # 1 seat
        *(wait(1, "converted", slot=12, outcome="no_show"), wait(2, "lapsed", slot=12)),  # 1 seat, got from the list
        *(wait(1, None, slot=13, **absent), wait(2, "withdrawn", slot=13)),
        *(wait(1, None, slot=14, outcome="unrecorded"), wait(2, "lapsed", slot=14)),  # perhaps somebody sat there
        *(wait(1, "pending", slot=15), wait(2, "slot_canceled", slot=16)),
        wait(1, None, slot=11, studio="nord", booking_id=9, **absent),  # another studio's slot
    ]
    assert seats_lost(engine, rows) == [{"n_seats": 3, "n_slots": 6, "n_customers": 4}]
    by_slot = seats_lost(engine, rows, by=["studio", "class_slot_id"])
    assert [row["n_seats"] for row in by_slot] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert [row["n_slots"] for row in by_slot] == [1, 1, 1, 1, 1, 0, 0, 1]


def test_frames_of_two_engines_are_refused() -> None:
    outcomes, fetches = pl.DataFrame(schema=OUTCOMES), ENGINES["DuckDB"].frame(pl.DataFrame(schema=ASKED))
    with pytest.raises(TypeError, match="outcomes are on polars and the fetches on duckdb; pass both on the same"):
        waitlist_conversion(outcomes, fetches=fetches)


def test_eager_and_lazy_polars_go_together() -> None:
    lazy_fetches = frame(fetched(1, 0, 3), ASKED).lazy()
    rates = waitlist_conversion(frame([wait(1, "lapsed")], OUTCOMES), fetches=lazy_fetches)
    assert rates["median_fetch_gap_h"].to_list() == [3]


def test_a_confidence_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="confidence is 95"):
        waitlist_conversion(pl.DataFrame(schema=OUTCOMES), confidence=95)


@pytest.mark.parametrize(("name", "max_examples"), [("polars", 100), ("polars lazy", 30), ("DuckDB", 15)])
def test_the_oracle_agrees_on_every_count_and_rate_of_any_history(name: str, max_examples: int) -> None:
    engine = ENGINES[name]

    @settings(max_examples=max_examples)
    @given(histories(), cohort_rows(), st.sampled_from(BY_OUTCOMES + BY_COHORTS), st.booleans(), st.booleans())
    def check(history: Any, cohorts: Rows, by: tuple[str, ...], ask_cohorts: bool, ask_fetches: bool) -> None:  # noqa: FBT001 - hypothesis draws them
        ask_cohorts = ask_cohorts or by in BY_COHORTS
        rows = oracle.classify(history.log)
        outcomes = engine.frame(frame(rows, OUTCOMES))
        listed = engine.frame(pl.DataFrame(cohorts, schema=WITH_PLAN)) if ask_cohorts else None
        fetches = engine.frame(frame(history.fetches, ASKED)) if ask_fetches else None
        found = engine.polars(waitlist_conversion(outcomes, listed, by=by, fetches=fetches))
        rates = found.drop("first_day", "last_day").rows(named=True)
        people = cohorts if ask_cohorts else None
        expected = oracle.waitlist_conversion(rows, people, by, fetches=history.fetches if ask_fetches else None)
        lost_seats = oracle.seats_lost_while_waiting(rows, people, by)
        if not engine.keeps_order:
            expected, lost_seats = (oracle.ascending(each, by) for each in (expected, lost_seats))
        assert rates == [pytest.approx(row, nan_ok=False) for row in expected]
        seats = engine.polars(seats_lost_while_waiting(outcomes, listed, by=by))
        lost = seats.drop("first_day", "last_day").rows(named=True)
        assert lost == lost_seats

    check()
