"""How one slot fills: who asks for a place and when, the waiting list, and who turns up in the end."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from bookings_analytics import schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from bookings_analytics.demo.population import Person
    from bookings_analytics.demo.timetable import Slot
    from bookings_analytics.schema import BookingStatus, ParticipantStatus

# From then on the list is fixed, seats freed later stay empty.
LIST_CLOSES: Final = timedelta(hours=1)

_WITHDRAWS: Final = 0.15  # chance to leave the waiting list
_KEENER: Final = 0.1  # odds to cancel after having waited for the seat, against those of others
_BOOKS_AGAIN: Final = 0.08  # chance to ask again for a slot once canceled
_SECOND_THOUGHT: Final = timedelta(minutes=1)  # nobody changes their mind sooner
_LET_IN: Final = 0.15  # chance that somebody from the list is there when a seat stays empty


@dataclass(eq=False, slots=True)
class Booking:
    """One booking and every status it ever had."""

    person: Person
    slot: Slot
    changes: list[tuple[datetime, BookingStatus]] = field(default_factory=list)
    came: bool | None = None  # whether they came, recorded or not; None: not expected
    booking_id: int = 0  # numbered in the order of all the studio's bookings
    deleted_at: datetime | None = None  # from then on the API does not show it

    @property
    def status(self) -> BookingStatus:
        """The status it ended with."""
        return self.changes[-1][1]

    def status_at(self, at: datetime) -> BookingStatus | None:
        """Return the status at a time; None before it was made."""
        return next((status for changed_at, status in reversed(self.changes) if changed_at <= at), None)

    @property
    def holds_seat(self) -> bool:
        """Whether it ended with a seat."""
        return self.status in schema.SEAT_STATUSES

    @property
    def participant_status(self) -> ParticipantStatus:
        """The attendance that is recorded when the class is marked as completed."""
        if self.came is None or not self.slot.recorded:
            return "UNSET"
        return "PARTICIPATING" if self.came else "NOT_PARTICIPATING"


_Step = Literal["ask", "confirm", "cancel", "withdraw"]


class Queue:
    """The bookings of one slot, played from the first request to the end of the class.

    Args:
        slot: The slot.
        rng: Where chance comes from.
        new_id_share: Share of those who move up from the waiting list whose place gets a new booking.
    """

    def __init__(self, slot: Slot, rng: Random, *, new_id_share: float) -> None:
        self.slot = slot
        self.bookings: list[Booking] = []
        self._rng = rng
        self._new_id_share = new_id_share
        self._free = slot.studio_class.capacity
        self._waiting: deque[Booking] = deque()
        self._agenda: list[tuple[datetime, int, _Step, Booking]] = []
        self._order = itertools.count()
        self._closes_at = min(slot.starts_at - LIST_CLOSES, slot.canceled_at or slot.starts_at)

    def play(self, requests: Iterable[tuple[datetime, Person]]) -> list[Booking]:
        """Play everybody's requests, cancellations and moves up to the end of the class; return the bookings.

        Args:
            requests: When who asks for a place.
        """
        for at, person in requests:
            self._plan(at, "ask", Booking(person, self.slot))
        while self._agenda:
            at, _, step, booking = heapq.heappop(self._agenda)
            match step:
                case "ask":
                    self._ask(at, booking)
                case "confirm" if booking.status == "BOOKED_WITH_CONFIRMATION_REQUIRED":
                    booking.changes.append((at, "BOOKED"))
                case "cancel" if booking.holds_seat:
                    self._cancel(at, booking)
                case "withdraw" if booking.status == "WAITING_LIST":
                    self._waiting.remove(booking)
                    booking.changes.append((at, "CANCELED"))
        if self.slot.canceled_at is None:
            self._hold_class()
        return self.bookings

    def _plan(self, at: datetime, step: _Step, booking: Booking) -> None:
        if at < self._closes_at:
            heapq.heappush(self._agenda, (at, next(self._order), step, booking))

    def _ask(self, at: datetime, booking: Booking) -> None:
        self.bookings.append(booking)
        if self._free:
            self._free -= 1
            self._take_seat(at, booking)
        else:
            self._waiting.append(booking)
            booking.changes.append((at, "WAITING_LIST"))
            if self._rng.random() < _WITHDRAWS:
                self._plan(self._moment_after(at), "withdraw", booking)

    def _take_seat(self, at: datetime, booking: Booking, *, waited: bool = False) -> None:
        if self._rng.random() < self.slot.studio_class.confirmed:
            booking.changes.append((at, "BOOKED_WITH_CONFIRMATION_REQUIRED"))
            self._plan(at + timedelta(hours=self._rng.expovariate(1 / 20)), "confirm", booking)
        else:
            booking.changes.append((at, "BOOKED"))
        keener = _KEENER if waited else 1.0
        if self._rng.random() < _chance(booking.person.cancel_odds * keener):
            self._plan(self._moment_after(at), "cancel", booking)

    def _cancel(self, at: datetime, booking: Booking) -> None:
        booking.changes.append((at, "CANCELED"))
        if self._waiting:
            self._move_up(at, self._waiting.popleft())
        else:
            self._free += 1
        if self._rng.random() < _BOOKS_AGAIN:
            later = at + timedelta(hours=self._rng.expovariate(1 / 6))
            self._plan(later, "ask", Booking(booking.person, self.slot))

    def _move_up(self, at: datetime, booking: Booking) -> None:
        if self._rng.random() < self._new_id_share:
            booking.changes.append((at, "CANCELED"))
            booking = Booking(booking.person, self.slot)
            self.bookings.append(booking)
        self._take_seat(at, booking, waited=True)

    def _moment_after(self, at: datetime) -> datetime:
        """Draw when plans change: soon after, or more often shortly before the list closes."""
        left = self._closes_at - at
        return at + _SECOND_THOUGHT + left * self._rng.random() ** (3 if self._rng.random() < 1 / 3 else 1 / 3)

    def _hold_class(self) -> None:
        empty = self._free
        for booking in self.bookings:
            if booking.holds_seat:
                odds = booking.person.miss_odds * self.slot.studio_class.miss_odds * self.slot.miss_odds
                booking.came = self._rng.random() >= _chance(odds)
                empty += not booking.came
        for booking in self._waiting:
            if empty and self._rng.random() < _LET_IN:
                empty -= 1
                booking.came = True


def _chance(odds: float) -> float:
    """Convert odds into a probability."""
    return odds / (1 + odds)
