"""Class days against studios whose every class time is known, and against a reading of the rules one by one."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watched_classes import ZONE, Watched, nightly, watch

import bookings_analytics as ba
from bookings_analytics import schema

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)
Log: TypeAlias = tuple[list[dict[str, Any]], dict[int, list[datetime]]]  # a change log, and each customer's looks
AUTUMN = datetime(2026, 10, 5)  # noqa: DTZ001 - a local day; the clocks change on the 25th
THREE = [timedelta(hours=hour, minutes=15) for hour in (4, 12, 18)]
HOURLY = [timedelta(hours=hour, minutes=15) for hour in range(24)]


def dated(watched: Watched, **options: Any) -> pl.DataFrame:
    days = ba.class_days(watched.history, watched.fetches, timezone=ZONE, **options)
    assert days.schema == schema.CLASS_DAYS
    return days.join(watched.truth, on="class_slot_id")


def wrong(days: pl.DataFrame) -> pl.DataFrame:
    day = pl.col("day")
    return days.filter((pl.col("class_day") != day) | (pl.col("first_day") > day) | (pl.col("last_day") < day))


WORLDS: dict[str, dict[str, Any]] = {
    "nightly": {"looks": nightly()},
    "nightly, autumn": {"looks": nightly(), "first_day": AUTUMN},
    "noon": {"looks": nightly(12)},
    "three looks": {"looks": THREE},
    "hourly": {"looks": HOURLY, "days": 32, "customers": 60, "per_day": 3},
    "every third day": {"looks": nightly(), "every": 3},
    "weekly": {"looks": nightly(), "every": 7},
    "a run of three hours": {"looks": nightly(1), "spread": timedelta(hours=3)},
    "a run into the opening hours": {"looks": nightly(), "spread": timedelta(hours=3)},
    "marks after six hours": {"looks": nightly(), "late": timedelta(hours=6)},
    "marks after a day": {"looks": nightly(), "late": DAY},
    "marks after three days": {"looks": nightly(), "late": 3 * DAY},
    "a tenth deleted": {"looks": nightly(), "deleted": 0.1},
    "half deleted": {"looks": nightly(), "deleted": 0.5},
    "half deleted, marks after three days": {"looks": nightly(), "deleted": 0.5, "late": 3 * DAY},
    "half deleted, three looks, late": {"looks": THREE, "deleted": 0.5, "late": DAY},
    "failed reads and nights": {"looks": nightly(), "failed": 0.05, "failed_nights": 3},
    "failures and deletions": {"looks": nightly(), "failed": 0.05, "failed_nights": 2, "deleted": 0.1},
    "canceled and moved": {"looks": nightly(), "canceled": 0.2, "moved": 0.2},
    "canceled and moved, noon": {"looks": nightly(12), "canceled": 0.2, "moved": 0.2},
    "few customers": {"looks": nightly(), "customers": 6, "seats": 1, "deleted": 0.3},
}


@pytest.mark.filterwarnings("ignore:.* class slots were seen at times that exclude each other")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_day_is_wrong(world: str, seed: int) -> None:
    days = dated(watch(**WORLDS[world], seed=seed))
    assert wrong(days).is_empty()
    assert days.height > 50


@pytest.mark.parametrize(
    "world",
    [
        *("nightly", "nightly, autumn", "three looks", "a run of three hours"),
        *("marks after six hours", "marks after a day", "marks after three days", "canceled and moved"),
    ],
)
def test_nightly_looks_date_every_class_that_has_left_the_window(world: str) -> None:
    watched = watch(**WORLDS[world])
    # Where the clocks go back, a look at 04:15 lies at 05:15 of the day two weeks before: so the true hour is given.
    days = dated(watched, opens="06:00")
    left = days.filter(pl.col("starts_at") + timedelta(days=15) < watched.fetches["fetched_at"].max())
    assert left.height > 150
    assert left.filter(pl.col("class_day").is_null()).is_empty()


def test_looks_at_noon_leave_two_days() -> None:
    watched = watch(nightly(12))
    days = dated(watched)
    assert days["class_day"].null_count() == days.height
    left = days.filter(pl.col("starts_at") + timedelta(days=15) < watched.fetches["fetched_at"].max())
    shown_before = left.filter(pl.col("starts_at") > watched.fetches["fetched_at"].min())
    assert (shown_before["last_day"] - shown_before["first_day"]).unique().to_list() == [DAY]


def test_a_studio_that_marks_on_the_day_is_punctual_and_one_that_does_not_is_not() -> None:
    assert dated(watch(nightly()))["punctual"].unique().to_list() == [True]
    assert dated(watch(nightly(), late=DAY))["punctual"].unique().to_list() == [False]
    assert dated(watch(nightly(), days=16))["punctual"].unique().to_list() == [None]


def test_only_a_punctual_studios_marks_date_a_class_that_is_still_shown() -> None:
    on_time, late = dated(watch(nightly())), dated(watch(nightly(), late=DAY))
    assert (on_time["dated_by"] == "status").sum() > 50
    assert (late["dated_by"] == "status").sum() == 0


def test_rows_in_any_order_and_lazy_frames_give_the_same_days() -> None:
    watched = watch(nightly(), deleted=0.1)
    days = ba.class_days(watched.history, watched.fetches, timezone=ZONE)
    shuffled = watched.history.sample(fraction=1, shuffle=True, seed=3).lazy()
    again = ba.class_days(
        shuffled, watched.fetches.sample(fraction=1, shuffle=True, seed=4).lazy(), timezone={"s": ZONE}
    )
    assert again.equals(days)


def test_known_times_win_and_a_contradiction_is_told() -> None:
    watched = watch(nightly())
    known = watched.truth.head(200).select(studio=pl.lit("s"), class_slot_id="class_slot_id", starts_at="starts_at")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        days = dated(watched, known=known).filter(pl.col("dated_by") == "known")
    assert days.height > 100
    assert (days["class_day"] == days["day"]).all()
    with pytest.warns(UserWarning, match="have a known time that the fetches exclude; the known time was taken"):
        moved = dated(watched, known=known.with_columns(pl.col("starts_at") + 3 * DAY))
    assert moved.filter(pl.col("dated_by") == "known", class_day=pl.col("day") + 3 * DAY).height > 100
    with pytest.raises(ValueError, match="give it times with a time zone"):
        dated(watched, known=known.with_columns(pl.col("starts_at").dt.replace_time_zone(None)))


@pytest.mark.parametrize(("n_wrong", "n_warnings"), [(0, 0), (1, 0), (2, 1)])
def test_the_share_of_known_times_that_the_fetches_confirm_is_printed(
    n_wrong: int, n_warnings: int, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = watch(nightly())
    sure = dated(watched).drop_nulls("starts_before").head(150)["class_slot_id"]
    times = watched.truth.filter(pl.col("class_slot_id").is_in(sure.implode()))
    times = times.with_row_index().with_columns(
        starts_at=pl.when(pl.col("index") < n_wrong).then(pl.col("starts_at") + 3 * DAY).otherwise("starts_at")
    )
    known = times.select(studio=pl.lit("s"), class_slot_id="class_slot_id", starts_at="starts_at")
    capsys.readouterr()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        days = dated(watched, known=known)
    share = f"{(150 - n_wrong) / 150:.1%}"
    printed = f"Known times: {150 - n_wrong} of 150 ({share}) inside what the fetches say.\n"
    assert capsys.readouterr().out == printed
    assert [str(each.message).partition(":")[0] for each in said] == [
        f"{n_wrong} class slots have a known time that the fetches exclude; the known time was taken"
    ] * n_warnings
    assert (days["dated_by"] == "known").sum() == 150


def test_a_slot_without_a_time_is_not_known_and_a_frame_of_none_changes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watched = watch(nightly())
    unknown = watched.truth.select(
        studio=pl.lit("s"), class_slot_id="class_slot_id", starts_at=pl.lit(None, schema.TIMESTAMP)
    )
    without = dated(watched)
    for known in (unknown, schema.SLOTS.to_frame(), schema.SLOTS.to_frame().lazy()):
        assert dated(watched, known=known).equals(without)
    assert capsys.readouterr().out == ""


def test_known_times_of_an_archive_without_bookings_date_nothing(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    assert archive.class_days(timezone=ZONE, known=archive.slots()).equals(schema.CLASS_DAYS.to_frame())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timezone": "Europe/Bärlin"}, "timezone is 'Europe/Bärlin' for studio 's', which does not exist"),
        ({"timezone": {"nord": ZONE}}, "timezone= names no studio 's'"),
        ({"timezone": ZONE, "opens": "5 Uhr"}, "'5 Uhr' is not a time of day"),
        ({"timezone": ZONE, "closes": {"nord": "23:00"}}, "closes= names no studio 's'"),
        ({"timezone": ZONE, "opens": "22:00", "closes": "06:00"}, "opens at 22:00 and closes at 06:00: swap the two"),
    ],
)
def test_hours_that_can_not_be_are_refused(options: dict[str, Any], said: str) -> None:
    watched = watch(nightly(), days=3, customers=5)
    with pytest.raises(ValueError, match=said):
        ba.class_days(watched.history, watched.fetches, **options)


def test_a_frame_without_the_columns_is_refused() -> None:
    watched = watch(nightly(), days=3, customers=5)
    with pytest.raises(ValueError, match="lacks outcome"):
        ba.class_days(watched.history, watched.fetches.drop("outcome"), timezone=ZONE)


# A reading of the rules one by one.


def local_day(time: datetime, shift: timedelta) -> date:
    return (time.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None) + shift).date()


def lower(time: datetime) -> date:
    return local_day(time, timedelta(0))  # open until midnight


def upper(time: datetime) -> date:
    return local_day(time, -timedelta(hours=5))


def read(rows: list[dict[str, Any]], looks: dict[int, list[datetime]]) -> dict[int, tuple[date | None, date | None]]:
    """Date slots whose studio is neither quiet nor punctual, from the definitions, with loops."""
    seen: dict[int, dict[int, list[tuple[datetime, datetime, str]]]] = {}
    for row in rows:
        later = [
            other["observed_at"]
            for other in rows
            if other["booking_id"] == row["booking_id"] and other["observed_at"] > row["observed_at"]
        ]
        if row["visible"]:
            until = max(look for look in looks[row["customer_id"]] if not later or look < min(later))
            slot = seen.setdefault(row["class_slot_id"], {})
            slot.setdefault(row["customer_id"], []).append((row["observed_at"], until, row["class_slot_status"]))
    return {slot: _read_one(customers, looks) for slot, customers in seen.items()}


def _read_one(
    customers: dict[int, list[tuple[datetime, datetime, str]]], looks: dict[int, list[datetime]]
) -> tuple[date | None, date | None]:
    every = [sighting for mine in customers.values() for sighting in mine]
    a = max((until for _, until, status in every if status == "PLANNED"), default=None)
    b = min((since for since, _, status in every if status == "COMPLETED"), default=None)
    last = {i: max(until for _, until, _ in mine) for i, mine in customers.items()}
    c = max(last.values())
    ends = {i: min((look for look in looks[i] if look > last[i]), default=None) for i in customers}
    not_yet = [
        max(earlier)
        for i, mine in customers.items()
        if (earlier := [look for look in looks[i] if look < min(since for since, _, _ in mine)])
    ]
    e = max(not_yet, default=None)
    near = c - timedelta(hours=12)
    witnesses = sorted(end for i, end in ends.items() if end is not None and last[i] > near and end > c)
    window = timedelta(days=14)
    d = witnesses[0] - window if witnesses else None
    bounds = [time for time in (d, b) if time is not None]
    lows = [time for time in (a, e) if time is not None]
    if not (b is not None and lows and lower(max(lows)) <= upper(min(bounds))):
        third = witnesses[2] - window if len(witnesses) > 2 else None
        agreed = third is not None and (a is None or a < c) and (e is None or lower(e) <= upper(third))
        d = third if agreed else None
    before = min((time for time in (d, b) if time is not None), default=None)
    after = c - window
    first_day, last_day = lower(after), None if before is None else upper(before)
    if before is not None and (after >= before or (last_day is not None and first_day > last_day)):
        return None, None
    return first_day, last_day


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """A change log of a few slots and customers, its times drawn from looks that lie as they like."""
    start = datetime(2026, 3, 20, tzinfo=UTC)
    looks = {
        i: sorted({start + timedelta(hours=h) for h in draw(st.lists(st.integers(0, 24 * 32), min_size=2, max_size=8))})
        for i in range(draw(st.integers(1, 5)))
    }
    rows = []
    for booking in range(draw(st.integers(1, 6))):
        customer = draw(st.sampled_from(sorted(looks)))
        times = sorted(draw(st.sets(st.sampled_from(looks[customer]), min_size=1, max_size=3)))
        marks = st.lists(st.sampled_from(["PLANNED", "COMPLETED"]), min_size=len(times), max_size=len(times))
        statuses = sorted(draw(marks), reverse=True)
        gone = len(times) > 1 and draw(st.booleans())
        rows += [
            {
                "studio": "s", "customer_id": customer, "class_slot_id": booking % 2, "class_id": 1,
                "booking_id": booking, "booking_status": "BOOKED", "class_slot_status": status,
                "participant_status": "UNSET", "observed_at": time, "visible": not (gone and time == times[-1]),
            }
            for time, status in zip(times, statuses, strict=True)
        ]  # fmt: skip
    return rows, looks


@pytest.mark.filterwarnings("ignore:.* class slots were seen at times that exclude each other")
@settings(max_examples=150)
@given(logs())
def test_any_log_is_dated_as_a_reading_one_by_one_does(log: Log) -> None:
    rows, looks = log
    fetches = [
        {"studio": "s", "customer_id": i, "fetched_at": time, "outcome": "ok"}
        for i, times in looks.items()
        for time in times
    ]
    days = ba.class_days(pl.DataFrame(rows), pl.DataFrame(fetches), timezone=ZONE)
    found = days.select("class_slot_id", "first_day", "last_day").iter_rows()
    assert {slot: (first, last) for slot, first, last in found} == read(rows, looks)
