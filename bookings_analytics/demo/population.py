"""Who trains at the demo studio, and what they ask for. Every number is an assumption, set to published levels.

The cohorts differ on purpose, so that there is something true to find.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, Literal

from bookings_analytics.demo.timetable import CLASSES, FIRST_DAY, WEEKS, local
from bookings_analytics.schema import API_WINDOW

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from bookings_analytics.demo.timetable import Slot

_QUARTER_START: Final = local(date(2026, 4, 1))
_QUARTER_COHORT: Final = "joined this quarter"
_MEAN_NOTICE_HOURS: Final = 60.0  # how long before the last call people ask for a place
_LAST_CALL: Final = timedelta(hours=1.5)
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
    Cohort(name=_QUARTER_COHORT, size=160, idle=0.15, asks=1.9, cancel_odds=0.56, miss_odds=0.10, plus=0.4),
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
    joined_at: datetime  # the API does not know them before
    asks: float  # places asked for in a week
    cancel_odds: float
    miss_odds: float
    favorites: tuple[float, ...]  # chance of each class of `CLASSES`, cumulated


def make_people(rng: Random) -> list[Person]:
    """Build the customers of all cohorts, their ids in mixed order."""
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
        joined_at=_QUARTER_START + timedelta(days=20 * rng.random()) if cohort.name == _QUARTER_COHORT else FIRST_DAY,
        asks=books * cohort.asks * (1.3 if contract == "plus" else 0.9) * rng.lognormvariate(-0.125, 0.5),
        cancel_odds=cohort.cancel_odds * rng.lognormvariate(0, 0.5),
        miss_odds=cohort.miss_odds * _AGE_GROUPS[age_group] * rng.lognormvariate(-0.3, 1.0),
        favorites=tuple(sum(likes[: n + 1]) for n in range(len(likes))),
    )


def make_requests(
    rng: Random, people: list[Person], slots: list[Slot]
) -> defaultdict[int, list[tuple[datetime, Person]]]:
    """Draw who asks for which slot, and when: times and people by `class_slot_id`."""
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
                if at >= max(person.joined_at, slot.ends_at - API_WINDOW):
                    requests[slot.class_slot_id].append((at, person))
    return requests
