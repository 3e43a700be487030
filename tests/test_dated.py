"""Outcomes with class days, against studios whose every class, booking and cancellation is known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import oracle_dated
import polars as pl
import pytest
from watched_classes import ZONE, Watched, nightly, watch

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.schema import DATED, OUTCOMES

NIGHT = timedelta(hours=4, minutes=15)


def outcomes_of(watched: Watched, **options: Any) -> pl.DataFrame:
    days = ba.class_days(watched.history, watched.fetches, timezone=ZONE, **options)
    history = watched.history.cast({name: kind for name, kind in schema.BOOKINGS.items() if isinstance(kind, pl.Enum)})
    outcomes = ba.classify(history.select(schema.BOOKINGS.names()), class_days=days, fetches=watched.fetches)
    assert outcomes.schema == OUTCOMES
    return outcomes


def service_day(time: pl.Expr) -> pl.Expr:
    """The day that a night's look ends: from one look to the next."""
    return (time.dt.convert_time_zone(ZONE).dt.replace_time_zone(None) - NIGHT).dt.date()


def test_calendar_columns_are_those_of_the_true_day() -> None:
    watched = watch(nightly())
    outcomes = outcomes_of(watched).join(watched.truth, on="class_slot_id").drop_nulls("class_day")
    assert outcomes.height > 1000
    true = outcomes.select(
        week=pl.col("day").dt.truncate("1w"),
        weekday=pl.col("day").dt.strftime("%a"),
        month=pl.col("day").dt.truncate("1mo"),
    )
    assert outcomes.select("week", pl.col("weekday").cast(pl.String), "month").equals(true)


def test_with_nightly_looks_the_days_of_notice_are_exact() -> None:
    """Looked at once a night at the same minute, an event's service day runs from night to night."""
    watched = watch(nightly(), spread=timedelta(0), moved=0.0)
    outcomes = outcomes_of(watched).join(watched.truth, on="class_slot_id")
    both = outcomes.join(watched.bookings.select("booking_id", "canceled_at", "booked_at"), on="booking_id")
    first = watched.fetches["fetched_at"].min()
    seen = both.filter(
        pl.col("class_day").is_not_null() & (pl.col("outcome") == "canceled") & (pl.col("canceled_at") > first)
    )
    true = (pl.col("day") - service_day(pl.col("canceled_at"))).dt.total_days()
    assert seen.height > 300
    assert seen.filter(pl.col("canceled_days_before_min") != pl.max_horizontal(true, 0)).is_empty()
    assert seen.filter(pl.col("canceled_days_before_max") != true).is_empty()
    booked = both.filter(pl.col("booked_days_before_max").is_not_null() & (pl.col("booked_at") > first))
    true = (pl.col("day") - service_day(pl.col("booked_at"))).dt.total_days()
    assert booked.height > 300
    assert booked.filter(~true.is_between("booked_days_before_min", "booked_days_before_max")).is_empty()


@pytest.mark.parametrize("looks", [nightly(12), [timedelta(hours=hour) for hour in (4, 12, 18)]])
def test_the_bracket_holds_the_true_days_of_notice_whenever_the_looks_are(looks: list[timedelta]) -> None:
    watched = watch(looks, failed=0.05)
    outcomes = outcomes_of(watched).join(watched.truth, on="class_slot_id")
    both = outcomes.join(watched.bookings.select("booking_id", "canceled_at"), on="booking_id")
    seen = both.filter((pl.col("outcome") == "canceled") & pl.col("canceled_days_before_max").is_not_null())
    exact = (pl.col("day") - pl.col("canceled_at").dt.convert_time_zone(ZONE).dt.date()).dt.total_days()
    assert seen.height > 100
    low, high = pl.col("canceled_days_before_min"), pl.col("canceled_days_before_max")
    assert seen.filter(~exact.is_between(low - 1, high + 1)).is_empty()  # a service day is not the calendar's


def test_what_a_booking_was_before_it_was_canceled_is_told() -> None:
    outcomes = outcomes_of(watch(nightly()))
    canceled = outcomes.filter(outcome="canceled")
    assert set(canceled["canceled_from"].drop_nulls()) == {"BOOKED"}
    assert canceled["canceled_from"].null_count() > 0  # booked and canceled between two looks
    standing = outcomes.filter(pl.col("booking_status") != "CANCELED")
    assert standing["canceled_days_before_min"].null_count() == standing.height


def test_a_week_is_complete_if_the_looks_cover_it() -> None:
    for late, last_complete in ((timedelta(0), date(2026, 4, 6)), (timedelta(days=1), date(2026, 3, 23))):
        outcomes = outcomes_of(watch(nightly(), first_day=datetime(2026, 3, 11), days=40, late=late))  # noqa: DTZ001 - local
        weeks = outcomes.drop_nulls("week").select("week", "week_complete").unique().sort("week")
        complete = weeks.filter("week_complete")["week"]
        assert complete.min() == date(2026, 3, 16)
        assert complete.max() == last_complete


def test_late_marks_leave_no_outcome_different_once_the_class_left_the_window() -> None:
    """Seats of classes that nobody marked in time are judged by the class's own time."""
    on_time = watch(nightly(), failed=0.0)
    late = watch(nightly(), failed=0.0, late=timedelta(days=3))
    left = pl.col("starts_at") + timedelta(days=15) < on_time.fetches["fetched_at"].max()
    slots = on_time.truth.filter(left)["class_slot_id"]
    first, second = (
        outcomes_of(each).filter(pl.col("class_slot_id").is_in(slots)).select("class_slot_id", "customer_id", "outcome")
        for each in (on_time, late)
    )
    assert first.equals(second)


def test_without_class_days_the_columns_are_null() -> None:
    outcomes = ba.classify(watch(nightly(), days=10, customers=20).history.drop())
    assert outcomes.select(DATED.names()).null_count().row(0) == (outcomes.height,) * len(DATED)


def test_a_seat_that_was_never_marked_is_unrecorded_if_it_was_seen_after_its_class() -> None:
    never = watch(nightly(), late=timedelta(days=400))
    timetable = never.truth.select("class_slot_id", "starts_at", studio=pl.lit("s"))
    outcomes = outcomes_of(never, known=timetable).join(never.truth, on="class_slot_id")
    over = outcomes.filter(
        pl.col("starts_at") + timedelta(days=15) < never.fetches["fetched_at"].max(),
        ~pl.col("canceled"),
        pl.col("booking_status") == "BOOKED",
    )
    assert set(over["outcome"].unique()) == {"unrecorded"}


WAIT = {"studio": "s", "class_slot_id": 5, "class_id": 1, "participant_status": "UNSET", "visible": True}


def course(*states: tuple[int, str, str]) -> pl.DataFrame:
    """The change log of one customer's place: (day of the look, booking, slot)."""
    rows = [
        WAIT | {
            "customer_id": 1, "booking_id": 1, "observed_at": datetime(2026, 5, day, 2, tzinfo=UTC),
            "booking_status": booking, "class_slot_status": slot,
        }
        for day, booking, slot in states
    ]  # fmt: skip
    gone = rows[-1] | {"observed_at": datetime(2026, 5, 25, 2, tzinfo=UTC), "visible": False}
    return pl.DataFrame([*rows, gone])


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([(3, "WAITING_LIST", "PLANNED"), (9, "WAITING_LIST", "PLANNED"), (12, "WAITING_LIST", "COMPLETED")], "lapsed"),
        ([(3, "WAITING_LIST", "PLANNED"), (9, "BOOKED", "PLANNED"), (13, "BOOKED", "COMPLETED")], "converted"),
        ([(3, "WAITING_LIST", "PLANNED"), (9, "CANCELED", "PLANNED"), (13, "CANCELED", "COMPLETED")], "withdrawn"),
        ([(11, "WAITING_LIST", "PLANNED"), (13, "WAITING_LIST", "COMPLETED")], None),  # first seen after its class
    ],
)
def test_a_wait_is_judged_by_the_class_s_own_time(states: list[tuple[int, str, str]], told: str | None) -> None:
    looks = [datetime(2026, 5, 1, 2, tzinfo=UTC) + timedelta(days=day) for day in range(30)]
    fetches = pl.DataFrame({"studio": "s", "customer_id": 1, "fetched_at": looks, "outcome": "ok"}).cast(
        {"customer_id": pl.Int64}
    )
    known = pl.DataFrame({"studio": "s", "class_slot_id": 5, "starts_at": [datetime(2026, 5, 10, 16, tzinfo=UTC)]})
    log = course(*states)
    days = ba.class_days(log, fetches, timezone=ZONE, known=known.cast({"class_slot_id": pl.Int64}))
    assert ba.classify(log, class_days=days, fetches=fetches)["wait_outcome"].to_list() == [told]


def test_both_or_neither_are_given_and_they_belong_together() -> None:
    watched = watch(nightly(), days=5, customers=10)
    days = ba.class_days(watched.history, watched.fetches, timezone=ZONE)
    with pytest.raises(ValueError, match="class_days= and fetches= go together"):
        ba.classify(watched.history, class_days=days)
    with pytest.raises(ValueError, match="the class days have no studio 's'"):
        ba.classify(watched.history, class_days=days.with_columns(studio=pl.lit("nord")), fetches=watched.fetches)


def test_known_starts_and_hours_are_those_of_the_timetable_and_nobody_elses() -> None:
    watched = watch(nightly(), moved=0.0, days=40)
    some = watched.truth.filter(pl.col("class_slot_id") % 3 > 0)
    known = some.select("class_slot_id", "starts_at", studio=pl.lit("s"))
    outcomes = outcomes_of(watched, known=known).join(some, on="class_slot_id", how="left", suffix="_true")
    assert outcomes["starts_at"].equals(outcomes["starts_at_true"], check_names=False)
    local = outcomes["starts_at_true"].dt.convert_time_zone(ZONE).dt.hour().cast(pl.Int64)
    assert outcomes["hour"].equals(local, check_names=False)
    assert 0 < outcomes["hour"].null_count() < outcomes.height
    assert outcomes_of(watched)["hour"].null_count() == outcomes.height


def test_rates_group_by_the_hour_and_label_it() -> None:
    watched = watch(nightly(), moved=0.0, days=40)
    known = watched.truth.select("class_slot_id", "starts_at", studio=pl.lit("s"))
    rates = ba.no_shows(outcomes_of(watched, known=known), by="hour")
    assert rates["hour"].to_list() == sorted(rates["hour"])
    assert set(rates["hour"]) <= set(range(24))
    assert "06:00: " in str(ba.charts.no_shows(rates.head(3)).description)


@pytest.mark.parametrize("looks", [nightly(), nightly(12), [timedelta(hours=hour) for hour in (4, 12, 18)]])
def test_a_cancellation_lies_between_its_two_looks(looks: list[timedelta]) -> None:
    watched = watch(looks, failed=0.05)
    outcomes = outcomes_of(watched).join(watched.bookings.select("booking_id", "canceled_at"), on="booking_id")
    canceled = outcomes.filter(pl.col("booking_status") == "CANCELED")
    seen = canceled.filter(pl.col("canceled_from").is_not_null())  # else the look before may not have shown it at all
    assert seen.height > 100
    assert seen["canceled_after"].null_count() == 0
    assert seen.filter(~pl.col("canceled_at").is_between("canceled_after", "canceled_by", closed="right")).is_empty()
    looked = watched.fetches.filter(outcome="ok").select("customer_id", "fetched_at")
    for name in ("canceled_after", "canceled_by"):
        known = seen.select("customer_id", fetched_at=name)
        assert known.join(looked, on=["customer_id", "fetched_at"], how="anti").is_empty()
    others = outcomes.filter(pl.col("booking_status") != "CANCELED")
    assert others.select(pl.col("canceled_after", "canceled_by").null_count()).row(0) == (others.height,) * 2


@pytest.mark.filterwarnings("ignore:.* class slots")
@pytest.mark.parametrize(
    "world",
    [
        {"looks": nightly()},
        {"looks": nightly(12), "failed": 0.1},
        {"looks": [timedelta(hours=hour) for hour in (4, 12, 18)], "moved": 0.1, "canceled": 0.1},
        {"looks": nightly(), "deleted": 0.3, "failed_nights": 3, "late": timedelta(days=2)},
        {"looks": nightly(), "every": 4},
        {"looks": nightly(), "first_day": datetime(2026, 10, 5)},  # noqa: DTZ001 - a local day
    ],
    ids=["nightly", "noon", "three looks", "deleted", "every fourth day", "autumn"],
)
def test_the_dated_columns_are_those_of_places_read_one_by_one(world: dict[str, Any]) -> None:
    watched = watch(**world, customers=40)
    known = watched.truth.filter(pl.col("class_slot_id") % 4 == 0).select(
        "class_slot_id", "starts_at", studio=pl.lit("s")
    )
    days = ba.class_days(watched.history, watched.fetches, timezone=ZONE, opens="06:00", closes="23:30", known=known)
    outcomes = ba.classify(
        watched.history.cast({name: kind for name, kind in schema.BOOKINGS.items() if isinstance(kind, pl.Enum)}),
        class_days=days,
        fetches=watched.fetches,
    )
    frames = (outcomes, watched.history, watched.fetches, days)
    expected = oracle_dated.dated(*(frame.to_dicts() for frame in frames))
    assert outcomes.height > 300
    assert outcomes.select(DATED.names()).to_dicts() == expected
