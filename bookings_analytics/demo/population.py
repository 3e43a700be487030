"""Who trains at the made-up studio, and what is on its timetable. Every number here is an assumption.

The levels that follow from them are those of `domain.md` ("Published levels"); the cohorts and classes differ on
purpose, so that there is something true to find.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from random import Random

FIRST_DAY: Final = datetime(2026, 2, 2, tzinfo=UTC)  # a Monday; the studio's clocks show UTC all the year
WEEKS: Final = 22
LAST_DAY: Final = FIRST_DAY + timedelta(weeks=WEEKS)
QUARTER_START: Final = datetime(2026, 4, 1, tzinfo=UTC)

WINDOW: Final = timedelta(weeks=2)  # how far ahead a slot can be booked, and what the API shows before and after now

_CLASS_MINUTES: Final = 45
_MEAN_NOTICE_HOURS: Final = 60.0  # how long before the last call people ask for a place
_LAST_CALL: Final = timedelta(hours=1.5)
_CANCELED_SLOTS: Final = 0.03
_NOT_READABLE: Final = 0.01  # share of the customers unknown to the API, and again of those opted out

Access = Literal["open", "unknown", "disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What the people of one cohort have in common."""

    name: str
    size: int
    idle: float  # share who book nothing
    asks: float  # places asked for in a week, on average
    cancel_odds: float
    miss_odds: float
    plus: float  # share with the contract "plus"


COHORTS: Final = (
    Cohort(name="joined this quarter", size=160, idle=0.15, asks=1.9, cancel_odds=0.56, miss_odds=0.10, plus=0.4),
    Cohort(name="long-term", size=220, idle=0.12, asks=1.6, cancel_odds=0.48, miss_odds=0.05, plus=0.5),
    Cohort(name="corporate", size=130, idle=0.40, asks=1.1, cancel_odds=0.66, miss_odds=0.09, plus=0.3),
    Cohort(name="trial", size=90, idle=0.08, asks=2.6, cancel_odds=0.60, miss_odds=0.28, plus=0.1),
)
_AGE_GROUPS: Final = {"18-29": 1.4, "30-44": 1.0, "45-59": 0.8, "60+": 0.6}  # each multiplies the odds of a no-show


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One customer and their habits."""

    customer_id: int
    cohort: str
    contract: str
    age_group: str
    access: Access  # what the API says of them: bookings, 404 or 403
    joined_at: datetime
    asks: float  # places asked for in a week
    cancel_odds: float
    miss_odds: float
    favorites: tuple[float, ...]  # chance of each class of `CLASSES`, cumulated


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioClass:
    """One class of the timetable."""

    class_id: int
    title: str
    capacity: int
    times: tuple[str, ...]  # when it starts: day of the week (0 is Monday), hour and minute
    appeal: float  # how many ask for it, against the others
    miss_odds: float = 1.0  # multiplies each person's odds of a no-show
    recorded: float = 0.95  # chance that somebody notes down who came
    confirmed: float = 0.0  # chance that a seat has to be confirmed


CLASSES: Final = (
    StudioClass(class_id=3101, title="Sunrise Cycling", capacity=15, appeal=1.3, miss_odds=3.2,
                times=("0 06:30", "2 06:30", "4 06:30")),
    StudioClass(class_id=3102, title="Morning Yoga", capacity=17, appeal=1.2,
                times=("1 07:30", "3 07:30", "5 09:00", "6 10:00")),
    StudioClass(class_id=3103, title="Reformer Pilates", capacity=11, appeal=1.2, miss_odds=0.3, confirmed=0.5,
                times=("0 09:00", "1 18:00", "3 18:00", "4 09:00")),
    StudioClass(class_id=3104, title="Back and Spine", capacity=15, appeal=0.9, miss_odds=0.7,
                times=("0 10:00", "2 10:00", "4 10:00")),
    StudioClass(class_id=3105, title="Lunch Express", capacity=13, appeal=1.2, miss_odds=1.2, recorded=0.55,
                times=("0 12:15", "1 12:15", "2 12:15", "3 12:15", "4 12:15")),
    StudioClass(class_id=3106, title="Barbell", capacity=15, appeal=1.3, recorded=0.9,
                times=("0 17:00", "2 17:00", "5 10:00")),
    StudioClass(class_id=3107, title="HIIT", capacity=15, appeal=1.8, miss_odds=1.1,
                times=("0 18:00", "2 18:00", "4 17:00", "5 11:00")),
    StudioClass(class_id=3108, title="Cycling", capacity=15, appeal=1.5,
                times=("1 17:00", "3 17:00", "4 18:00")),
    StudioClass(class_id=3109, title="Vinyasa Flow", capacity=15, appeal=1.5, miss_odds=0.9,
                times=("0 19:00", "2 19:00", "6 11:00")),
    StudioClass(class_id=3110, title="Boxing", capacity=15, appeal=1.3, miss_odds=1.3,
                times=("1 19:00", "3 19:00")),
    StudioClass(class_id=3111, title="Mobility", capacity=17, appeal=0.7, recorded=0.2,
                times=("1 20:00", "3 20:00", "6 17:00")),
    StudioClass(class_id=3112, title="Late Pump", capacity=15, appeal=0.9, miss_odds=1.2,
                times=("0 20:00", "2 20:00", "4 19:00")),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One class on one day."""

    class_slot_id: int
    studio_class: StudioClass
    starts_at: datetime
    ends_at: datetime
    canceled_at: datetime | None
    recorded: bool  # whether attendance is noted down


def make_people(rng: Random) -> list[Person]:
    """Make the customers of all cohorts, in a mixed order of ids."""
    ids = rng.sample(range(14_920_000, 14_930_000), sum(cohort.size for cohort in COHORTS))
    return [_make_person(rng, ids.pop(), cohort) for cohort in COHORTS for _ in range(cohort.size)]


def _make_person(rng: Random, customer_id: int, cohort: Cohort) -> Person:
    contract = "plus" if rng.random() < cohort.plus else "basic"
    age_group = rng.choices(list(_AGE_GROUPS), weights=(3, 4, 2, 1))[0]
    readable = rng.random()
    access: Access = "unknown" if readable < _NOT_READABLE else "disabled" if readable < 2 * _NOT_READABLE else "open"
    books = rng.random() >= cohort.idle and access != "unknown"
    # Four in five asks go to three classes of one's own, weighted by how much people like them.
    likes = [studio_class.appeal for studio_class in CLASSES]
    for favorite in rng.choices(range(len(CLASSES)), weights=likes, k=3):
        likes[favorite] *= 5
    return Person(
        customer_id=customer_id,
        cohort=cohort.name,
        contract=contract,
        age_group=age_group,
        access=access,
        joined_at=QUARTER_START + timedelta(days=20 * rng.random()) if "quarter" in cohort.name else FIRST_DAY,
        asks=books * cohort.asks * (1.3 if contract == "plus" else 0.9) * rng.lognormvariate(-0.125, 0.5),
        cancel_odds=cohort.cancel_odds * rng.lognormvariate(0, 0.5),
        miss_odds=cohort.miss_odds * _AGE_GROUPS[age_group] * rng.lognormvariate(-0.3, 1.0),
        favorites=tuple(sum(likes[: n + 1]) for n in range(len(likes))),
    )


def make_slots(rng: Random) -> list[Slot]:
    """Make every slot of the timetable, by time."""
    starts = sorted(
        (FIRST_DAY + timedelta(weeks=week, days=int(time[0]), hours=int(time[2:4]), minutes=int(time[5:])), n)
        for n, studio_class in enumerate(CLASSES)
        for time in studio_class.times
        for week in range(WEEKS)
    )
    return [_make_slot(rng, 52_000 + n, CLASSES[which], at) for n, (at, which) in enumerate(starts)]


def _make_slot(rng: Random, class_slot_id: int, studio_class: StudioClass, starts_at: datetime) -> Slot:
    notice = timedelta(hours=rng.uniform(2, 72))
    return Slot(
        class_slot_id=class_slot_id,
        studio_class=studio_class,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=_CLASS_MINUTES),
        canceled_at=starts_at - notice if rng.random() < _CANCELED_SLOTS else None,
        recorded=rng.random() < studio_class.recorded,
    )


def make_requests(
    rng: Random, people: list[Person], slots: list[Slot]
) -> defaultdict[int, list[tuple[datetime, Person]]]:
    """Decide who asks for which slot, and when; by `class_slot_id`."""
    on_offer: defaultdict[tuple[int, int], list[Slot]] = defaultdict(list)
    for slot in slots:
        on_offer[(slot.starts_at - FIRST_DAY).days // 7, slot.studio_class.class_id].append(slot)
    class_ids = [studio_class.class_id for studio_class in CLASSES]
    requests: defaultdict[int, list[tuple[datetime, Person]]] = defaultdict(list)
    for person in people:
        for week in range(WEEKS):
            n_asked = sum(rng.random() < person.asks / 7 for _ in range(7))
            wishes = rng.choices(class_ids, cum_weights=person.favorites, k=n_asked)
            wished = [rng.choice(on_offer[week, class_id]) for class_id in wishes]
            for slot in {slot.class_slot_id: slot for slot in wished}.values():
                at = slot.starts_at - _LAST_CALL - timedelta(hours=rng.expovariate(1 / _MEAN_NOTICE_HOURS))
                if at >= max(person.joined_at, slot.ends_at - WINDOW):
                    requests[slot.class_slot_id].append((at, person))
    return requests
