from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bookings_analytics import demo, schema
from bookings_analytics.cli import demo_data
from bookings_analytics.demo.population import COHORTS
from bookings_analytics.demo.refusals import Refusal
from bookings_analytics.demo.timetable import CLASSES, FEE_FROM, FIRST_DAY, LAST_DAY, OUTAGE, STORM
from bookings_analytics.demo.world import World, make_world

if TYPE_CHECKING:
    from bookings_analytics.demo.timetable import Habit

TWO_WEEKS = timedelta(weeks=2)
WORLD = make_world()
SLOTS = {slot.class_slot_id: slot for slot in WORLD.slots}
GONE = {booking.booking_id: booking.deleted_at for booking in WORLD.bookings if booking.deleted_at is not None}
CUSTOMERS = sorted(WORLD.people)
BERLIN = ZoneInfo("Europe/Berlin")

times = st.datetimes(FIRST_DAY.replace(tzinfo=None), LAST_DAY.replace(tzinfo=None), timezones=st.just(UTC))
worlds = pytest.mark.parametrize(
    "world", [WORLD, World(1), World(2, new_id_share=1.0), World(3, new_id_share=0.5)], ids=["0", "1", "2", "3"]
)


def is_seat(status: str) -> bool:
    return status in ("BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED")


def share(mask: pl.Series) -> float:
    return mask.to_list().count(True) / len(mask)


def in_order(changes: pl.DataFrame) -> list[dict[str, Any]]:
    """By time; who gives a place up goes before who gets it at that moment."""
    by = [pl.col("changed_at"), pl.col("booking_status") != "CANCELED"]
    return list(changes.sort(by).iter_rows(named=True))


def held_in(world: World) -> pl.DataFrame:
    """The last status of every booking for a class that took place, and whether its customer came."""
    took_place = world.timetable.filter(pl.col("canceled_at").is_null())
    return (
        world.changes.sort("changed_at")
        .unique("booking_id", keep="last", maintain_order=True)
        .join(took_place, on="class_slot_id", how="semi", maintain_order="left")
        .join(world.attendance.select("booking_id", "came", "recorded"), on="booking_id", how="left")
        .join(world.cohorts, on="customer_id")
        .with_columns(seat=pl.col("booking_status").is_in(schema.SEAT_STATUSES))
    )


@pytest.fixture(scope="module")
def held() -> pl.DataFrame:
    return held_in(WORLD)


# ---- the whole world


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    again = World(demo.SEED)
    assert_frame_equal(again.cohorts, WORLD.cohorts)
    assert_frame_equal(again.changes, WORLD.changes)
    assert_frame_equal(again.waits, WORLD.waits)
    assert_frame_equal(again.attendance, WORLD.attendance)
    assert again.slots == WORLD.slots
    assert not World(demo.SEED + 1).changes.equals(WORLD.changes)


def test_there_are_six_hundred_customers_in_four_cohorts_with_none_in_common() -> None:
    assert WORLD.cohorts.height == WORLD.cohorts["customer_id"].n_unique() == 600
    assert WORLD.cohorts["cohort"].unique(maintain_order=True).to_list() == [
        "joined this quarter",
        "long-term",
        "corporate",
        "trial",
    ]


def test_the_cohort_list_has_no_column_that_results_use() -> None:
    assert not schema.RESERVED.intersection(WORLD.cohorts.columns)


def test_the_stored_cohort_list_is_the_one_the_seed_makes(tmp_path: Path) -> None:
    stored = Path(__file__).parents[1] / "data" / "cohorts.csv"
    again = tmp_path / "cohorts.csv"
    demo_data.main("cohorts", str(again))
    assert again.read_bytes().splitlines() == stored.read_bytes().splitlines()


def test_the_bundled_class_titles_are_those_of_the_classes() -> None:
    stored = pl.read_csv(Path(__file__).parents[1] / "data" / "classes.csv")
    assert stored.rows() == [(studio_class.class_id, studio_class.title) for studio_class in CLASSES]


def test_some_customers_of_every_cohort_book_nothing() -> None:
    booked = WORLD.changes["customer_id"].unique().implode()
    idle = WORLD.cohorts.filter(~pl.col("customer_id").is_in(booked))
    assert idle["cohort"].n_unique() == 4


def test_a_few_customers_can_not_be_read() -> None:
    n = Counter(person.access for person in WORLD.people.values())
    assert 2 <= n["unknown"] <= 20
    assert 2 <= n["disabled"] <= 20


def test_nobody_books_before_they_joined() -> None:
    first = WORLD.changes.group_by("customer_id").agg(pl.col("changed_at").min()).rows()
    assert all(at >= WORLD.people[customer_id].joined_at for customer_id, at in first)
    joined = {person.joined_at for person in WORLD.people.values() if person.cohort == "joined this quarter"}
    assert min(joined) >= datetime(2026, 4, 1, tzinfo=BERLIN)
    assert max(joined) < demo.NOW - timedelta(weeks=8)


def test_every_class_comes_every_week_and_no_two_at_once() -> None:
    weeks: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for slot in WORLD.slots:
        weeks[slot.studio_class.class_id][(slot.starts_at - FIRST_DAY).days // 7] += 1
    for studio_class in CLASSES:
        assert set(weeks[studio_class.class_id].values()) == {len(studio_class.times)}
    assert all(earlier.ends_at <= later.starts_at for earlier, later in zip(WORLD.slots, WORLD.slots[1:], strict=False))


# ---- levels: assumptions, by what is published (domain.md)


@worlds
def test_levels_are_the_published_ones(world: World) -> None:
    canceled_slots = [slot.class_slot_id for slot in world.slots if slot.canceled_at is not None]
    last = (
        world.changes.sort("changed_at")
        .unique("booking_id", keep="last", maintain_order=True)
        .filter(~pl.col("class_slot_id").is_in(canceled_slots))
    )
    places = last.sort("booking_id").unique(["customer_id", "class_slot_id"], keep="last")
    assert 0.25 <= share(places["booking_status"] == "CANCELED") <= 0.42
    seats = places.filter(pl.col("booking_status").is_in(schema.SEAT_STATUSES)).join(
        world.attendance.select("booking_id", "came", "recorded"), on="booking_id"
    )
    assert 0.05 <= share(~seats["came"] & seats["recorded"]) <= 0.15
    assert 0.05 <= share(~seats["recorded"]) <= 0.40
    assert 0.01 <= len(canceled_slots) / len(world.slots) <= 0.06


@worlds
@pytest.mark.parametrize(("every", "at_least"), [(timedelta(days=1), 200), (timedelta(weeks=1), 40)])
def test_waits_seen_in_eight_weeks_are_many_and_a_third_to_a_half_is_converted(
    world: World, every: timedelta, at_least: int
) -> None:
    end = demo.NOW.replace(hour=2, minute=15)  # a nightly look
    fetched_at = pl.DataFrame({"fetched_at": pl.datetime_range(end - timedelta(weeks=8), end, every, eager=True)})
    seen = (
        world.waits.filter(pl.col("wait_outcome") != "slot_canceled", pl.col("closed_at") <= end)
        .join_where(fetched_at, pl.col("started_at") <= pl.col("fetched_at"), pl.col("fetched_at") < pl.col("ended_at"))
        .unique(["customer_id", "class_slot_id"])
    )
    assert seen.height >= at_least
    assert 0.3 <= share(seen["wait_outcome"] == "converted") <= 0.6


def test_some_classes_are_hardly_recorded_and_most_nearly_always(held: pl.DataFrame) -> None:
    by_class = held.filter("seat").group_by("class_id")
    recorded = sorted(share(rows["recorded"]) for _, rows in by_class)
    assert recorded[0] < 0.5
    assert recorded[len(recorded) // 2] > 0.9


def test_cohorts_really_differ(held: pl.DataFrame) -> None:
    size = {cohort.name: cohort.size for cohort in COHORTS}
    of = {
        cohort: {
            "asked": rows.height / size[cohort],
            "booked": rows.filter("seat")["customer_id"].n_unique() / size[cohort],
            "missed": share(~rows.filter("seat")["came"]),
        }
        for (cohort,), rows in held.group_by("cohort")
    }
    assert of["trial"]["asked"] > 1.3 * of["long-term"]["asked"]
    assert of["trial"]["missed"] > 2 * of["long-term"]["missed"]
    assert of["corporate"]["booked"] < 0.7 * of["long-term"]["booked"]


def test_no_shows_depend_on_the_class(held: pl.DataFrame) -> None:
    missed = held.filter("seat").group_by("class_id").agg(missed=(~pl.col("came")).mean()).sort("missed")
    titles = {studio_class.class_id: studio_class.title for studio_class in CLASSES}
    assert titles[missed["class_id"][0]] == "Reformer Pilates"
    assert titles[missed["class_id"][-1]] == "Sunrise Cycling"


def test_no_shows_depend_on_the_person(held: pl.DataFrame) -> None:
    """Odd and even seats of one person agree more than seats of different people would."""
    seats = held.filter("seat", pl.col("cohort") == "trial").sort("customer_id", "class_slot_id")
    halves = (
        seats.with_columns(half=pl.int_range(pl.len()).over("customer_id") % 2)
        .group_by("customer_id")
        .agg((~pl.col("came")).filter(pl.col("half") == half).mean().alias(str(half)) for half in (0, 1))
    )
    assert halves.select(pl.corr("0", "1")).item() > 0.3


# ---- what happens in time


@pytest.fixture(scope="module")
def seats() -> pl.DataFrame:
    """Every recorded seat of `held`: ``missed``, and the local ``day`` of its class."""
    day = pl.col("starts_at").dt.convert_time_zone("Europe/Berlin").dt.date()
    return (
        held_in(WORLD)
        .filter("seat", "recorded")
        .join(WORLD.timetable.select("class_slot_id", day=day), on="class_slot_id")
        .with_columns(missed=~pl.col("came"))
    )


def test_classes_begin_at_the_same_local_time_in_winter_and_in_summer() -> None:
    local = defaultdict(set)
    utc = defaultdict(set)
    for slot in WORLD.slots:
        local[slot.studio_class.class_id].add(slot.starts_at.astimezone(BERLIN).strftime("%w %H:%M"))
        utc[slot.studio_class.class_id].add(slot.starts_at.strftime("%w %H:%M"))
    for studio_class in CLASSES:
        assert len(local[studio_class.class_id]) == len(studio_class.times)
        assert len(utc[studio_class.class_id]) == 2 * len(studio_class.times)
    hours = [slot.starts_at.astimezone(BERLIN).hour for slot in WORLD.slots]
    assert 6 <= min(hours) <= max(hours) <= 20


def test_a_no_show_is_rarer_in_every_cohort_once_it_costs_money(seats: pl.DataFrame) -> None:
    before = dict(seats.filter(pl.col("day") < FEE_FROM).group_by("cohort").agg(pl.mean("missed")).iter_rows())
    after = dict(seats.filter(pl.col("day") >= FEE_FROM).group_by("cohort").agg(pl.mean("missed")).iter_rows())
    assert set(before) == {"long-term", "corporate", "trial"}
    assert all(after[cohort] < 0.75 * rate for cohort, rate in before.items())
    assert FEE_FROM.isoweekday() == 1


def test_many_stay_at_home_on_the_stormy_day(seats: pl.DataFrame) -> None:
    before = seats.filter(pl.col("day") < FEE_FROM)
    stormy = before.filter(pl.col("day") == STORM)
    assert stormy.height > 20
    assert share(stormy["missed"]) > 2 * share(before["missed"])


def test_seats_of_one_class_slot_resemble_each_other() -> None:
    """The correlation within slots, around each class's own rate and within each side of the fee: about 0.05."""
    found = []
    for seed in range(4):
        world = World(seed, bookkeeping="tidy")
        slots = world.timetable.select("class_slot_id", paid=pl.col("starts_at").dt.date() >= FEE_FROM)
        counts = (
            held_in(world)
            .filter("seat")
            .join(slots, on="class_slot_id")
            .with_columns(group=pl.struct("class_id", "paid"))
            .group_by("group", "class_slot_id")
            .agg(n=pl.len(), y=(~pl.col("came")).sum())
        )
        p = pl.col("y").sum().over("group") / pl.col("n").sum().over("group")
        pairs = counts.with_columns(p=p).select(
            # Over all pairs of seats of one slot: the mean product of their deviations from the rate, and the variance.
            product=((pl.col("y") - pl.col("p") * pl.col("n")) ** 2
                     - pl.col("y") * (1 - pl.col("p")) ** 2 - (pl.col("n") - pl.col("y")) * pl.col("p") ** 2).sum(),
            variance=(pl.col("n") * (pl.col("n") - 1) * pl.col("p") * (1 - pl.col("p"))).sum(),
        )  # fmt: skip
        found.append(pairs["product"].item() / pairs["variance"].item())
    assert 0.03 <= sum(found) / len(found) <= 0.07


# ---- how the office keeps its records


@pytest.mark.parametrize(
    ("bookkeeping", "on_time", "days_late"), [("usual", 0.6, 0.03), ("late", 0.0, 1.0), ("tidy", 1.0, 0.0)]
)
def test_classes_are_marked_as_completed_in_time_or_late(bookkeeping: Habit, on_time: float, days_late: float) -> None:
    world = make_world(bookkeeping=bookkeeping)
    lateness = world.timetable["marked_at"] - world.timetable["ends_at"]
    assert share(lateness == timedelta()) == pytest.approx(on_time, abs=0.03)
    assert share(lateness >= timedelta(days=1)) == pytest.approx(days_late, abs=0.015)
    assert timedelta() <= min(lateness) <= max(lateness) <= timedelta(days=4)


def test_studios_that_differ_in_bookkeeping_alone_are_else_alike() -> None:
    usual, late, tidy = (make_world(bookkeeping=each) for each in ("usual", "late", "tidy"))
    for other in (late, tidy):
        assert_frame_equal(other.changes, usual.changes)
        assert_frame_equal(other.attendance, usual.attendance)
        assert_frame_equal(other.waits, usual.waits)
        assert_frame_equal(other.timetable.drop("marked_at"), usual.timetable.drop("marked_at"))


def test_a_few_bookings_are_deleted_after_their_last_change_and_before_their_two_weeks_are_over() -> None:
    assert 0.005 < len(GONE) / len(WORLD.bookings) < 0.015
    for booking in WORLD.bookings:
        if booking.deleted_at is not None:
            assert booking.changes[-1][0] <= booking.deleted_at <= booking.slot.ends_at + TWO_WEEKS
    assert not any(booking.deleted_at for booking in make_world(bookkeeping="tidy").bookings)


def test_the_api_is_down_for_one_night_and_for_everybody() -> None:
    down, up = OUTAGE
    assert down.astimezone(BERLIN).time() < time(4, 15) < up.astimezone(BERLIN).time()
    for customer_id in (*CUSTOMERS[:20], 1):
        for at, refused in ((down - timedelta(seconds=1), False), (down, True), (up, False)):
            answer = WORLD.answer(customer_id, at)
            assert (isinstance(answer, Refusal) and answer.status == 503) == refused
    assert make_world(bookkeeping="tidy").answer(1, down) == make_world(bookkeeping="tidy").answer(1, up)


def test_nobody_is_known_before_they_joined() -> None:
    for person in WORLD.people.values():
        before = WORLD.answer(person.customer_id, person.joined_at - timedelta(seconds=1))
        assert isinstance(before, Refusal)
        assert before.status == 404
        if person.access == "open":
            assert isinstance(WORLD.answer(person.customer_id, person.joined_at), list)
    at = datetime(2026, 4, 10, tzinfo=UTC)
    members = WORLD.members(at)
    assert 440 < members.height < 600
    assert set(members["customer_id"]) == {c for c, person in WORLD.people.items() if person.joined_at <= at}
    assert_frame_equal(WORLD.members(LAST_DAY), WORLD.cohorts)


# ---- how slots fill


@worlds
def test_seats_and_waiting_list_play_by_the_rules(world: World) -> None:
    """Replays every slot from the record alone: capacity, first come first served, nobody twice."""
    slots = {slot.class_slot_id: slot for slot in world.slots}
    by_slot = defaultdict(list)
    for row in in_order(world.changes):
        by_slot[row["class_slot_id"]].append(row)
    for class_slot_id, rows in by_slot.items():
        slot = slots[class_slot_id]
        seated: dict[int, int] = {}
        waiting: list[int] = []
        moving_up = None
        for row in rows:
            customer_id, status = row["customer_id"], row["booking_status"]
            assert slot.ends_at - TWO_WEEKS <= row["changed_at"] <= slot.starts_at - timedelta(hours=1)
            assert slot.canceled_at is None or row["changed_at"] < slot.canceled_at
            if status == "CANCELED" and customer_id in waiting:
                # Withdrawn, or on the way to a seat under a new booking.
                moving_up = customer_id if waiting[0] == customer_id else None
                waiting.remove(customer_id)
            elif status == "CANCELED":
                assert seated.pop(customer_id) == row["booking_id"]
            elif status == "WAITING_LIST":
                assert customer_id not in waiting
                assert customer_id not in seated
                assert len(seated) == slot.studio_class.capacity, "waits although a seat is free"
                waiting.append(customer_id)
            elif seated.get(customer_id) == row["booking_id"]:
                assert status == "BOOKED", "confirmed"
            else:
                assert customer_id not in seated
                assert len(seated) < slot.studio_class.capacity
                if waiting:
                    assert customer_id in (waiting[0], moving_up), "jumps the queue"
                    if customer_id == waiting[0]:
                        waiting.pop(0)
                seated[customer_id] = row["booking_id"]


@worlds
def test_the_record_of_waits_says_what_the_changes_say(world: World) -> None:
    slots = {slot.class_slot_id: slot for slot in world.slots}
    came = set(world.attendance.filter("came", "recorded")["booking_id"])
    of_place = defaultdict(list)
    for row in in_order(world.changes):
        of_place[row["customer_id"], row["class_slot_id"]].append(row)
    expected = []
    for (customer_id, class_slot_id), rows in of_place.items():
        slot = slots[class_slot_id]
        closed_at = slot.canceled_at or slot.ends_at
        for n, row in enumerate(rows):
            if row["booking_status"] != "WAITING_LIST":
                continue
            ends = [later for later in rows[n + 1 :] if later["booking_id"] == row["booking_id"]]
            if slot.canceled_at:
                outcome = "slot_canceled"
            elif any(is_seat(later["booking_status"]) for later in rows[n + 1 :]) or row["booking_id"] in came:
                outcome = "converted"
            else:
                outcome = "withdrawn" if ends else "lapsed"
            ended_at = ends[0]["changed_at"] if ends else closed_at
            expected.append((customer_id, class_slot_id, row["changed_at"], ended_at, closed_at, outcome))
    columns = ("customer_id", "class_slot_id", "started_at", "ended_at", "closed_at", "wait_outcome")
    assert sorted(expected) == sorted(world.waits.select(columns).iter_rows())
    assert {row[-1] for row in expected} == {"converted", "lapsed", "withdrawn", "slot_canceled"}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_those_who_move_up_gets_a_new_booking_id(share: float) -> None:
    world = World(4, new_id_share=share)
    moved_up = set()  # (place, time) of a seat taken at the very moment in which a wait ended
    kept = set()
    ended = {
        (row["customer_id"], row["class_slot_id"], row["ended_at"]): row["booking_id"]
        for row in world.waits.iter_rows(named=True)
    }
    for row in world.changes.iter_rows(named=True):
        place = row["customer_id"], row["class_slot_id"], row["changed_at"]
        if place in ended and is_seat(row["booking_status"]):
            moved_up.add(place)
            if ended[place] == row["booking_id"]:
                kept.add(place)
    assert len(moved_up) > 500
    assert 1 - len(kept) / len(moved_up) == pytest.approx(share, abs=0.06)


def test_what_tests_need_does_occur(held: pl.DataFrame) -> None:
    bookings_of_place = held.group_by("customer_id", "class_slot_id").len()
    assert (bookings_of_place["len"] > 1).sum() > 50, "canceled and booked again"
    assert set(held["booking_status"]) == set(schema.BOOKING_STATUS.categories)
    let_in = held.filter(pl.col("booking_status") == "WAITING_LIST", "came")
    assert let_in.height > 20


# ---- what the API shows of it


@given(st.sampled_from(CUSTOMERS), times)
@settings(max_examples=300)
def test_a_customer_at_a_time_is_what_the_record_says(customer_id: int, at: datetime) -> None:
    expected = []
    rows = WORLD.changes.filter(pl.col("customer_id") == customer_id, pl.col("changed_at") <= at)
    for (booking_id,), changes in rows.sort("changed_at").group_by("booking_id"):
        slot = SLOTS[changes["class_slot_id"][0]]
        if (
            slot.starts_at < at - TWO_WEEKS
            or slot.ends_at > at + TWO_WEEKS
            or (booking_id in GONE and GONE[booking_id] <= at)
        ):
            continue
        slot_status = "COMPLETED" if at >= slot.marked_at else "PLANNED"
        if slot.canceled_at:
            slot_status = "CANCELED" if at >= slot.canceled_at else "PLANNED"
        attendance = WORLD.attendance.filter(pl.col("booking_id") == booking_id, "recorded")["came"].to_list()
        participant = "UNSET"
        if attendance and slot_status == "COMPLETED":
            participant = "PARTICIPATING" if attendance[0] else "NOT_PARTICIPATING"
        expected.append((booking_id, changes["booking_status"][-1], slot.class_slot_id, slot_status, participant))
    shown = WORLD.bookings_of(customer_id, at)
    assert sorted(expected) == [
        (b.booking_id, b.booking_status, b.class_slot_id, b.class_slot_status, b.participant_status) for b in shown
    ]
    assert all(b.customer_id == customer_id for b in shown)
    assert all(b.class_id == SLOTS[b.class_slot_id].studio_class.class_id for b in shown)


def test_the_default_time_shows_plenty_of_both_past_and_coming_classes() -> None:
    shown = [b for customer_id in CUSTOMERS for b in WORLD.bookings_of(customer_id, demo.NOW)]
    n = Counter(b.class_slot_status for b in shown)
    assert n["COMPLETED"] > 1000
    assert n["PLANNED"] > 150
    assert n["CANCELED"] > 5


def test_nobody_unknown_has_bookings() -> None:
    unknown = [person.customer_id for person in WORLD.people.values() if person.access == "unknown"]
    assert WORLD.changes.filter(pl.col("customer_id").is_in(unknown)).is_empty()
    assert WORLD.bookings_of(1, demo.NOW) == []
