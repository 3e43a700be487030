"""How full classes were, and the list's share of them, counted one by one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given
from hypothesis import strategies as st

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.schema import CLASS_FILL, SLOTS

START = datetime(2026, 3, 28, 5, tzinfo=UTC)  # the clocks go forward the next night
BERLIN = ZoneInfo("Europe/Berlin")


def slot(number: int, hours: float | None, looked: float, **values: Any) -> dict[str, Any]:
    """Make a slot that begins so many hours after START, last looked at so many hours after that."""
    starts = None if hours is None else START + timedelta(hours=hours)
    given = {"studio": "mitte", "class_id": number % 3, "class_slot_id": number, "starts_at": starts}
    given |= {"max_participants": 10, "booked_participants": 8, "additional_participants": 1}
    return given | {"observed_at": (starts or START) + timedelta(hours=looked)} | values


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SLOTS)


places = st.one_of(st.none(), st.integers(0, 20))
rows = st.lists(
    st.builds(
        slot,
        st.integers(1, 30),
        st.one_of(st.none(), st.integers(0, 100)),
        st.integers(-3, 3),
        studio=st.sampled_from(["mitte", "nord"]),
        max_participants=places,
        booked_participants=places,
        additional_participants=places,
    ),
    max_size=20,
    unique_by=lambda row: (row["studio"], row["class_slot_id"]),
)
seats = st.lists(
    st.tuples(
        st.sampled_from(["mitte", "nord"]), st.integers(1, 30), st.sampled_from(schema.OUTCOME.categories.to_list())
    )
)
ALL = ["studio", "class_id", "class_day", "week", "weekday", "month", "hour"]


@given(rows, seats, st.lists(st.sampled_from(ALL), max_size=2, unique=True))
def test_rates_are_those_of_slots_counted_one_by_one(
    slots: list[dict[str, Any]], held: list[tuple[str, int, str]], by: list[str]
) -> None:
    outcomes = pl.DataFrame(
        held, {"studio": pl.String, "class_slot_id": pl.Int64, "outcome": schema.OUTCOME}, orient="row"
    )
    expected: dict[tuple[Any, ...], list[int]] = {} if by else {(): [0] * 6}
    days: dict[tuple[Any, ...], list[date]] = {}
    for row in slots:
        at = row["starts_at"] and row["starts_at"].astimezone(BERLIN)
        day = at and at.date()
        calendar = {
            "class_day": day,
            "week": day and day - timedelta(days=day.weekday()),
            "weekday": day and f"{day:%a}",
            "month": day and day.replace(day=1),
            "hour": at and at.hour,
        }
        sums = expected.setdefault(tuple((row | calendar)[name] for name in by), [0] * 6)
        told = row["max_participants"] is not None and row["booked_participants"] is not None
        if at is None or row["observed_at"] < at or not told:
            sums[1] += 1
            continue
        listed = sum(
            (studio, number) == (row["studio"], row["class_slot_id"])
            and outcome in ("attended", "no_show", "unrecorded")
            for studio, number, outcome in held
        )
        booked = row["booked_participants"]
        added = (1, 0, row["max_participants"], booked + (row["additional_participants"] or 0), booked, listed)
        for n, more in enumerate(added):
            sums[n] += more
        days.setdefault(tuple((row | calendar)[name] for name in by), []).append(at.date())
    found = ba.class_fill(frame(slots), outcomes, by=by, timezone="Europe/Berlin")
    assert found.columns == [*by, *CLASS_FILL, "first_day", "last_day"]
    counts = ("n_slots", "n_slots_left_out", "n_places", "n_taken", "n_booked", "n_listed")
    assert {
        tuple(row[name] for name in by): [row[name] for name in counts] for row in found.rows(named=True)
    } == expected
    for row in found.rows(named=True):
        assert row["filled_share"] == (row["n_taken"] / row["n_places"] if row["n_places"] else None)
        assert row["listed_share"] == (row["n_listed"] / row["n_booked"] if row["n_booked"] else None)
        counted = days.get(tuple(row[name] for name in by))
        assert (row["first_day"], row["last_day"]) == ((min(counted), max(counted)) if counted else (None, None))


def test_without_outcomes_the_share_of_the_list_is_not_known() -> None:
    found = ba.class_fill(frame([slot(1, 0, 1)])).row(0, named=True)
    assert (found["filled_share"], found["n_listed"], found["listed_share"]) == (0.9, None, None)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engines_frame_is_taken_and_rows_come_sorted(engine: str) -> None:
    slots = frame([slot(number, number, 1) for number in range(9, 0, -1)])
    outcomes = pl.DataFrame(
        {"studio": "mitte", "class_slot_id": [4, 4, 7], "outcome": ["attended", "no_show", "canceled"]}
    )
    found = ba.class_fill(ENGINES[engine].frame(slots), ENGINES[engine].frame(outcomes), by="class_id")
    assert found.select("class_id", "n_slots", "n_listed").rows() == [(0, 3, 0), (1, 3, 2), (2, 3, 0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "title"}, "by names 'title'. To choose from: studio, class_id"),
        ({"by": ["studio", "hour"]}, "by names 'hour', which is local time: pass timezone= as well"),
        ({"timezone": {"nord": "UTC"}}, "timezone= names no studio 'mitte'"),
    ],
)
def test_what_can_not_be_grouped_by_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ba.class_fill(frame([slot(1, 0, 1)]), **options)
    with pytest.raises(ValueError, match="the slots lack observed_at"):
        ba.class_fill(frame([]).drop("observed_at"))


def test_the_demo_studios_classes_are_as_full_as_its_world_says() -> None:
    with ba.demo.serve(limit=None) as studio:
        fetched = ba.fetch_classes(studio, progress=False, clock=studio.clock)
        slots = fetched.slots.filter(pl.col("starts_at") <= studio.now)
        seats = [b for c in studio.world.people for b in studio.world.bookings_of(c, studio.now)]
    taken = sum(
        b.booking_status in schema.SEAT_STATUSES for b in seats if b.class_slot_id in set(slots["class_slot_id"])
    )
    found = ba.class_fill(fetched.slots).row(0, named=True)
    assert (found["n_slots"], found["n_places"], found["n_taken"]) == (
        slots.height,
        slots["max_participants"].sum(),
        taken,
    )
    assert found["n_slots_left_out"] == fetched.slots.height - slots.height
    assert 0.3 < found["filled_share"] <= 1
