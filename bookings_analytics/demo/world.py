"""What happens at the made-up studio in its five months: made once from a seed, then only looked at."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from bookings_analytics import schema
from bookings_analytics.demo import population
from bookings_analytics.demo.queueing import Booking, Queue
from bookings_analytics.schema import BookingStatus, ClassSlotStatus, ParticipantStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from bookings_analytics.demo.population import Slot

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
        seed: The same seed makes the same world.
        new_id_share: Share of those who move up from the waiting list whose place gets a new booking, and with it
            a new booking id; the others keep theirs.
    """

    def __init__(self, seed: int = SEED, *, new_id_share: float = 0.0) -> None:
        rng = random.Random(seed)  # noqa: S311 - a made-up studio, no secret
        people = population.make_people(rng)
        slots = population.make_slots(rng)
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
            self._by_customer[booking.person.customer_id].append(booking)

    def bookings_of(self, customer_id: int, at: datetime) -> list[ClassSlotBooking]:
        """Give what the API shows of a customer at a time: bookings made by then, of slots within two weeks of it."""
        return [
            _as_seen(booking, at)
            for booking in self._by_customer.get(customer_id, ())
            if booking.changes[0][0] <= at
            and booking.slot.starts_at >= at - population.WINDOW
            and booking.slot.ends_at <= at + population.WINDOW
        ]

    @cached_property
    def cohorts(self) -> pl.DataFrame:
        """The list an analyst would have: `customer_id`, `cohort`, and their own `contract` and `age_group`."""
        return pl.DataFrame(
            [(person.customer_id, person.cohort, person.contract, person.age_group) for person in self.people.values()],
            schema={"customer_id": pl.Int64, "cohort": pl.String, "contract": pl.String, "age_group": pl.String},
            orient="row",
        )

    @cached_property
    def changes(self) -> pl.DataFrame:
        """Every status that every booking ever had: one row per `booking_id` and `changed_at`."""
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
        """Whether those who were expected came, noted down or not: one row per seat, or person let in from the list.

        The columns beside the ids: `came`, and `recorded`, whether the API ever shows it.
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

        The columns beside the ids: `started_at`; `ended_at`, when it ended by moving up, by withdrawing, or with its
        slot; `closed_at`, when its slot was over or canceled; and `wait_outcome`, what `domain.md` calls it from
        then on (converted: a seat in that slot later than `started_at`, or let in from the list and recorded).
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
            if last_seat.get(place, population.FIRST_DAY) > booking.changes[0][0]:
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
def make_world(seed: int = SEED, *, new_id_share: float = 0.0) -> World:
    """Make a world, or give the one made before: nothing changes in it."""
    return World(seed, new_id_share=new_id_share)


def _slot_status(slot: Slot, at: datetime) -> ClassSlotStatus:
    """Give a slot's status at a time."""
    if slot.canceled_at is not None and slot.canceled_at <= at:
        return "CANCELED"
    return "COMPLETED" if slot.ends_at <= at else "PLANNED"


def _as_seen(booking: Booking, at: datetime) -> ClassSlotBooking:
    slot = booking.slot
    closed = _slot_status(slot, at)
    return ClassSlotBooking(
        booking_id=booking.booking_id,
        booking_status=[status for changed_at, status in booking.changes if changed_at <= at][-1],
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
