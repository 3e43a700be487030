"""What is on at the demo studio, week after week, and how its office keeps the books. Every number is an assumption.

The studio lives in Europe/Berlin, daylight saving time included: a class at 18:00 begins at 17:00 UTC in winter and at
16:00 UTC in summer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from bookings_analytics.schema import API_WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from bookings_analytics.schema import ClassSlotStatus

TIMEZONE: Final = ZoneInfo("Europe/Berlin")


def local(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """Return the UTC time of a local time at the studio."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=TIMEZONE).astimezone(UTC)


WEEKS: Final = 37
_FIRST_MONDAY: Final = date(2025, 10, 20)  # daylight saving ends six days later, and begins on 29 March
FIRST_DAY: Final = local(_FIRST_MONDAY)
LAST_DAY: Final = local(_FIRST_MONDAY + timedelta(weeks=WEEKS))

# What happened, so that there is something true to find.
STORM: Final = date(2026, 2, 10)  # a Tuesday on which many stayed at home
FEE_FROM: Final = date(2026, 3, 9)  # the Monday from which a no-show costs money
OUTAGE: Final = (local(date(2026, 1, 18), 3), local(date(2026, 1, 18), 6))  # the API answers 503 in between

_STORM_ODDS: Final = 10.0  # these multiply the odds of a no-show
_ODDS_BEFORE_FEE: Final = 1.5
_ODDS_AFTER_FEE: Final = 0.75
_DAY_SD: Final = (
    0.5  # standard deviation of a day's log odds, and of a slot's: together a slot correlation of about 0.05
)
_SLOT_SD: Final = 0.8

_CLASS_MINUTES: Final = 45
_CANCELED_SLOTS: Final = 0.045


class Bookkeeping(NamedTuple):
    """How the office keeps its records.

    Attributes:
        on_time: Share of classes marked as completed when they end.
        days_late: Share marked one to four days late; the rest is marked hours late.
        deleted: Share of bookings that are deleted, so that the API stops showing them before their two weeks are over.
        outage: Whether the API is down in the night of `OUTAGE`.
    """

    on_time: float
    days_late: float
    deleted: float
    outage: bool


Habit = Literal["usual", "late", "tidy"]
BOOKKEEPING: Final[Mapping[Habit, Bookkeeping]] = {
    "usual": Bookkeeping(on_time=0.6, days_late=0.03, deleted=0.01, outage=True),
    "late": Bookkeeping(on_time=0.0, days_late=1.0, deleted=0.01, outage=False),
    "tidy": Bookkeeping(on_time=1.0, days_late=0.0, deleted=0.0, outage=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioClass:
    """One class of the timetable."""

    class_id: int
    title: str
    category: str
    capacity: int
    times: tuple[str, ...]  # when it starts, local time: day of the week (0 is Monday), hour and minute
    appeal: float  # how many ask for it, against the others
    miss_odds: float = 1.0  # multiplies each person's odds of a no-show
    recorded: float = 0.95  # chance that somebody records attendance
    confirmed: float = 0.0  # chance that a seat has to be confirmed


CLASSES: Final = (
    StudioClass(class_id=3101, title="Sunrise Cycling", category="Cycling", capacity=15, appeal=1.3, miss_odds=3.2,
                times=("0 06:30", "2 06:30", "4 06:30")),
    StudioClass(class_id=3102, title="Morning Yoga", category="Yoga", capacity=17, appeal=1.2,
                times=("1 07:30", "3 07:30", "5 09:00", "6 10:00")),
    StudioClass(class_id=3103, title="Reformer Pilates", category="Pilates", capacity=11, appeal=1.2, miss_odds=0.3,
                confirmed=0.5, times=("0 09:00", "1 18:00", "3 18:00", "4 09:00")),
    StudioClass(class_id=3104, title="Back and Spine", category="Health", capacity=15, appeal=0.9, miss_odds=0.7,
                times=("0 10:00", "2 10:00", "4 10:00")),
    StudioClass(class_id=3105, title="Lunch Express", category="Strength", capacity=13, appeal=1.2, miss_odds=1.2,
                recorded=0.55, times=("0 12:15", "1 12:15", "2 12:15", "3 12:15", "4 12:15")),
    StudioClass(class_id=3106, title="Barbell", category="Strength", capacity=15, appeal=1.3, recorded=0.9,
                times=("0 17:00", "2 17:00", "5 10:00")),
    StudioClass(class_id=3107, title="HIIT", category="Strength", capacity=15, appeal=1.8, miss_odds=1.1,
                times=("0 18:00", "2 18:00", "4 17:00", "5 11:00")),
    StudioClass(class_id=3108, title="Cycling", category="Cycling", capacity=15, appeal=1.5,
                times=("1 17:00", "3 17:00", "4 18:00")),
    StudioClass(class_id=3109, title="Vinyasa Flow", category="Yoga", capacity=15, appeal=1.5, miss_odds=0.9,
                times=("0 19:00", "2 19:00", "6 11:00")),
    StudioClass(class_id=3110, title="Boxing", category="Strength", capacity=15, appeal=1.3, miss_odds=1.3,
                times=("1 19:00", "3 19:00")),
    StudioClass(class_id=3111, title="Mobility", category="Health", capacity=17, appeal=0.7, recorded=0.2,
                times=("1 20:00", "3 20:00", "6 17:00")),
    StudioClass(class_id=3112, title="Late Pump", category="Strength", capacity=15, appeal=0.9, miss_odds=1.2,
                times=("0 20:00", "2 20:00", "4 19:00")),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One class on one day."""

    class_slot_id: int
    studio_class: StudioClass
    starts_at: datetime
    ends_at: datetime
    marked_at: datetime  # from when the API shows it as COMPLETED, if it takes place
    canceled_at: datetime | None
    recorded: bool  # whether attendance is recorded
    miss_odds: float  # multiplies each person's odds of a no-show: the weather, a cover teacher, the fee

    def status_at(self, at: datetime) -> ClassSlotStatus:
        """Return what the API shows at a time."""
        if self.canceled_at is not None:
            return "CANCELED" if self.canceled_at <= at else "PLANNED"
        return "COMPLETED" if self.marked_at <= at else "PLANNED"


def make_slots(rng: Random, office: Random, bookkeeping: Bookkeeping) -> list[Slot]:
    """Build every slot of the timetable, by time.

    Args:
        rng: Where chance comes from.
        office: Where chance comes from in the office: studios that differ in bookkeeping alone are else alike.
        bookkeeping: When classes are marked as completed.
    """
    days = [_FIRST_MONDAY + timedelta(days=n) for n in range(7 * WEEKS)]
    moods = {day: rng.lognormvariate(-(_DAY_SD**2) / 2, _DAY_SD) for day in days}
    moods[STORM] = _STORM_ODDS
    starts = sorted(
        (local(day, int(time[2:4]), int(time[5:])), day, n)
        for n, studio_class in enumerate(CLASSES)
        for time in studio_class.times
        for day in days[int(time[0]) :: 7]
    )
    slots = []
    for class_slot_id, (starts_at, day, which) in enumerate(starts, start=52_000):
        ends_at = starts_at + timedelta(minutes=_CLASS_MINUTES)
        notice = timedelta(hours=rng.uniform(2, 72))
        slot = Slot(
            class_slot_id=class_slot_id,
            studio_class=CLASSES[which],
            starts_at=starts_at,
            ends_at=ends_at,
            marked_at=ends_at + _lateness(office, bookkeeping),
            canceled_at=starts_at - notice if rng.random() < _CANCELED_SLOTS else None,
            recorded=rng.random() < CLASSES[which].recorded,
            miss_odds=moods[day] * _fee(day) * rng.lognormvariate(-(_SLOT_SD**2) / 2, _SLOT_SD),
        )
        slots.append(slot)
    return slots


def _fee(day: date) -> float:
    return _ODDS_BEFORE_FEE if day < FEE_FROM else _ODDS_AFTER_FEE


def _lateness(office: Random, bookkeeping: Bookkeeping) -> timedelta:
    """Draw how long after its end a class is marked as completed."""
    kind, hours, days = office.random(), office.uniform(0.5, 12), office.uniform(1, 4)
    if kind < bookkeeping.on_time:
        return timedelta()
    return timedelta(days=days) if kind >= 1 - bookkeeping.days_late else timedelta(hours=hours)


def deletion(office: Random, bookkeeping: Bookkeeping, slot: Slot, changed_at: datetime) -> datetime | None:
    """Draw when a booking is deleted: at some time after its last change; None if it is not.

    Args:
        office: Where chance comes from.
        bookkeeping: How many bookings are deleted.
        slot: The booking's slot.
        changed_at: When the booking changed last.
    """
    chance, when = office.random(), office.random()
    if chance >= bookkeeping.deleted:
        return None
    return changed_at + when * (slot.ends_at + API_WINDOW - changed_at)
