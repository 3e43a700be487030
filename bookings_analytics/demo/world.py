"""What happens at the demo studio in its 37 weeks: built once from a seed, then only looked at."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from bookings_analytics import schema
from bookings_analytics.demo import population, timetable
from bookings_analytics.demo.queueing import Booking, Queue
from bookings_analytics.demo.refusals import OPTED_OUT, Refusal, refusal
from bookings_analytics.demo.timetable import BOOKKEEPING, OUTAGE, Habit
from bookings_analytics.schema import API_WINDOW, BookingStatus, ClassSlotStatus, ParticipantStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


SEED: Final = 14


class ClassSlotBooking(msgspec.Struct, frozen=True, rename="camel"):
    """A booking as the API shows it at one moment."""

    booking_id: int
    booking_status: BookingStatus
    class_slot_id: int
    class_id: int
    customer_id: int
    class_slot_status: ClassSlotStatus
    participant_status: ParticipantStatus


class World:
    """Everything that really happens at the studio.

    Args:
        seed: The same seed builds the same world.
        new_id_share: Share of those who move up from the waiting list whose place gets a new booking, and with it
            a new booking id; the others keep theirs.
        bookkeeping: ``"usual"``: most classes are marked as completed when they end, some hours late, a few days late;
            a few bookings are deleted early, and the API is down for one night. ``"late"``: every class is marked one
            to four days late. ``"tidy"``: nothing late, nothing deleted, never down. People, classes and bookings of
            one seed are the same in all three.
    """

    def __init__(self, seed: int = SEED, *, new_id_share: float = 0.0, bookkeeping: Habit = "usual") -> None:
        rng = random.Random(seed)  # noqa: S311 - a made-up studio, no secret
        office = random.Random(f"office {seed}")  # noqa: S311 - as above
        self.bookkeeping: Final = BOOKKEEPING[bookkeeping]
        people = population.make_people(rng)
        slots = timetable.make_slots(rng, office, self.bookkeeping)
        requests = population.make_requests(rng, people, slots)
        bookings = [
            booking
            for slot in slots
            for booking in Queue(slot, rng, new_id_share=new_id_share).play(requests[slot.class_slot_id])
        ]
        self.people: Final = {person.customer_id: person for person in people}
        self.slots: Final = tuple(slots)
        self.bookings: Final = tuple(sorted(bookings, key=lambda booking: booking.changes[0][0]))
        self._by_customer: defaultdict[int, list[Booking]] = defaultdict(list)
        for booking_id, booking in enumerate(self.bookings, start=880_001):
            booking.booking_id = booking_id
            changed_at, _ = booking.changes[-1]
            booking.deleted_at = timetable.deletion(office, self.bookkeeping, booking.slot, changed_at)
            self._by_customer[booking.person.customer_id].append(booking)

    def is_down(self, at: datetime) -> bool:
        """Check if the API answers nobody at a time.

        Args:
            at: The time at the studio, with a time zone.
        """
        return self.bookkeeping.outage and OUTAGE[0] <= at < OUTAGE[1]

    def answer(self, customer_id: int, at: datetime) -> list[ClassSlotBooking] | Refusal:
        """Return what the API answers for a customer at a time.

        Args:
            customer_id: The customer asked for.
            at: The time at the studio, with a time zone.
        """
        if self.is_down(at):
            return refusal(503)
        person = self.people.get(customer_id)
        if person is None or person.access == "unknown" or at < person.joined_at:
            return refusal(404)
        return OPTED_OUT if person.access == "disabled" else self.bookings_of(customer_id, at)

    def bookings_of(self, customer_id: int, at: datetime) -> list[ClassSlotBooking]:
        """Return what the API shows of a customer at a time: bookings made by then, of slots within two weeks of it.

        Args:
            customer_id: A customer who can be read.
            at: The time at the studio, with a time zone.
        """
        return [
            _as_seen(booking, status, at)
            for booking in self._by_customer.get(customer_id, ())
            if (status := booking.status_at(at)) is not None
            and booking.slot.starts_at >= at - API_WINDOW
            and booking.slot.ends_at <= at + API_WINDOW
            and (booking.deleted_at is None or at < booking.deleted_at)
        ]

    def members(self, at: datetime) -> pl.DataFrame:
        """Return the list an analyst would have at a time: the rows of `cohorts` of those who have joined by then.

        Args:
            at: The time at the studio, with a time zone.
        """
        joined = [person.joined_at <= at for person in self.people.values()]
        return self.cohorts.filter(joined)

    @cached_property
    def cohorts(self) -> pl.DataFrame:
        """The list an analyst would have: ``customer_id``, ``cohort``, and their own ``contract`` and ``age_group``."""
        return pl.DataFrame(
            [(person.customer_id, person.cohort, person.contract, person.age_group) for person in self.people.values()],
            schema={"customer_id": pl.Int64, "cohort": pl.String, "contract": pl.String, "age_group": pl.String},
            orient="row",
        )

    @cached_property
    def timetable(self) -> pl.DataFrame:
        """Every slot: one row per ``class_slot_id``, by time.

        The columns beside the ids: ``starts_at``, ``ends_at``, ``marked_at`` (from when the API shows it as COMPLETED),
        ``canceled_at`` (null if it takes place; if not, ``marked_at`` says nothing), ``recorded``.
        """
        times = dict.fromkeys(("starts_at", "ends_at", "marked_at", "canceled_at"), schema.TIMESTAMP)
        return pl.DataFrame(
            [
                (
                    *(slot.class_slot_id, slot.studio_class.class_id, slot.starts_at, slot.ends_at),
                    *(slot.marked_at, slot.canceled_at, slot.recorded),
                )
                for slot in self.slots
            ],
            schema={"class_slot_id": pl.Int64, "class_id": pl.Int64, **times, "recorded": pl.Boolean},
            orient="row",
        )

    @cached_property
    def changes(self) -> pl.DataFrame:
        """Every status that every booking ever had: one row per ``booking_id`` and ``changed_at``."""
        return _frame(
            [
                (*_ids(booking), changed_at, status)
                for booking in self.bookings
                for changed_at, status in booking.changes
            ],
            {"changed_at": schema.TIMESTAMP, "booking_status": schema.BOOKING_STATUS},
        )

    @cached_property
    def attendance(self) -> pl.DataFrame:
        """Whether those who were expected came, recorded or not: one row per seat, or person let in from the list.

        The columns beside the ids: ``came``, and ``recorded``, whether the API ever shows it.
        """
        return _frame(
            [
                (*_ids(booking), booking.came, booking.slot.recorded)
                for booking in self.bookings
                if booking.came is not None
            ],
            {"came": pl.Boolean(), "recorded": pl.Boolean()},
        )

    @cached_property
    def waits(self) -> pl.DataFrame:
        """Every stay on a waiting list: one row per booking that began there.

        The columns beside the ids: ``started_at``; ``ended_at``, when it ended by moving up, by withdrawing, or with
        its slot; ``closed_at``, when its slot was over or canceled, marked or not; and ``wait_outcome`` from then on
        (converted: a seat in that slot later than ``started_at``, or let in from the list and recorded).
        """
        last_seat = {
            (booking.person.customer_id, booking.slot.class_slot_id): changed_at
            for booking in self.bookings
            for changed_at, status in booking.changes
            if status in schema.SEAT_STATUSES
        }

        def outcome(booking: Booking) -> str:
            place = booking.person.customer_id, booking.slot.class_slot_id
            if booking.slot.canceled_at is not None:
                return "slot_canceled"
            if last_seat.get(place, timetable.FIRST_DAY) > booking.changes[0][0]:
                return "converted"
            if booking.participant_status == "PARTICIPATING":
                return "converted"
            return "withdrawn" if booking.status == "CANCELED" else "lapsed"

        rows = []
        for booking in self.bookings:
            (started_at, first_status), *later = booking.changes
            if first_status == "WAITING_LIST":
                closed_at = booking.slot.canceled_at or booking.slot.ends_at
                ended_at = later[0][0] if later else closed_at
                rows.append((*_ids(booking), started_at, ended_at, closed_at, outcome(booking)))
        times = dict.fromkeys(("started_at", "ended_at", "closed_at"), schema.TIMESTAMP)
        return _frame(rows, {**times, "wait_outcome": schema.WAIT_OUTCOME})


@lru_cache(maxsize=8)
def make_world(seed: int = SEED, *, new_id_share: float = 0.0, bookkeeping: Habit = "usual") -> World:
    """Return the world of a seed; built once, since nothing changes in it.

    Args:
        seed: The same seed builds the same world.
        new_id_share: Share of those who move up whose place gets a new booking id.
        bookkeeping: How the office keeps its records: ``"usual"``, ``"late"`` or ``"tidy"``; see `World`.
    """
    return World(seed, new_id_share=new_id_share, bookkeeping=bookkeeping)


def _as_seen(booking: Booking, status: BookingStatus, at: datetime) -> ClassSlotBooking:
    slot = booking.slot
    closed = slot.status_at(at)
    return ClassSlotBooking(
        booking_id=booking.booking_id,
        booking_status=status,
        class_slot_id=slot.class_slot_id,
        class_id=slot.studio_class.class_id,
        customer_id=booking.person.customer_id,
        class_slot_status=closed,
        participant_status=booking.participant_status if closed == "COMPLETED" else "UNSET",
    )


def _ids(booking: Booking) -> tuple[int, int, int, int]:
    slot = booking.slot
    return booking.person.customer_id, slot.class_slot_id, slot.studio_class.class_id, booking.booking_id


def _frame(rows: Sequence[tuple[object, ...]], columns: dict[str, pl.DataType]) -> pl.DataFrame:
    ids = dict.fromkeys(("customer_id", "class_slot_id", "class_id", "booking_id"), pl.Int64())
    return pl.DataFrame(rows, schema={**ids, **columns}, orient="row")
