"""The timetable as the demo studio's API shows it: classes, and their slots of yesterday to in two weeks.

They come in pages. The formats are those of `openapi-classes.json` and, for times, of the vendor's own examples.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from bookings_analytics import schema
from bookings_analytics.demo.timetable import CLASSES, TIMEZONE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bookings_analytics.demo.queueing import Booking
    from bookings_analytics.demo.timetable import Slot, StudioClass
    from bookings_analytics.demo.world import World

_SHOWN_BEFORE: Final = timedelta(days=1)
_SLICE_SIZES: Final = range(10, 101)
_DEFAULT_SIZE: Final = "50"


class WrongParameterError(ValueError):
    """A parameter of the query that the API refuses; its only argument is the parameter's name."""


class ClassPages:
    """The pages of classes and slots.

    Args:
        world: What happens at the studio.
    """

    def __init__(self, world: World) -> None:
        self._slots: Final[defaultdict[int, list[Slot]]] = defaultdict(list)
        self._bookings: Final[defaultdict[int, list[Booking]]] = defaultdict(list)
        for slot in world.slots:
            self._slots[slot.studio_class.class_id].append(slot)
        for booking in world.bookings:
            self._bookings[booking.slot.class_slot_id].append(booking)

    def classes(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of ``GET /v1/classes``.

        Args:
            query: The query's ``offset`` and ``sliceSize``.

        Raises:
            WrongParameterError: One of them can't be used.
        """
        return _page([_class_shown(studio_class) for studio_class in CLASSES], query)

    def slots(self, class_id: int, query: Mapping[str, str], at: datetime) -> dict[str, Any] | None:
        """Return a page of ``GET /v1/classes/{classId}/slots``; None for an unknown class.

        Args:
            class_id: The class asked for.
            query: The query's ``offset`` and ``sliceSize``.
            at: The time at the studio, with a time zone.

        Raises:
            WrongParameterError: One of them can't be used.
        """
        if class_id not in self._slots:
            return None
        shown = [
            self._slot_shown(slot, at)
            for slot in self._slots[class_id]
            if at - _SHOWN_BEFORE <= slot.starts_at
            and slot.ends_at <= at + schema.API_WINDOW
            and (slot.canceled_at is None or slot.canceled_at > at)
        ]
        return _page(shown, query)

    def _slot_shown(self, slot: Slot, at: datetime) -> dict[str, Any]:
        statuses = [
            booking.status_at(at)
            for booking in self._bookings[slot.class_slot_id]
            if booking.deleted_at is None or at < booking.deleted_at
        ]
        return {
            "id": slot.class_slot_id,
            "startDateTime": _shown(slot.starts_at),
            "endDateTime": _shown(slot.ends_at),
            "earliestBookingDateTime": _shown(slot.ends_at - schema.API_WINDOW),
            "instructors": [{"id": 71, "firstName": "Kim", "lastName": "Example", "publicName": "Kim"}],
            "location": {"id": 9, "name": "Studio 1"},
            "maxParticipants": slot.studio_class.capacity,
            "bookedParticipants": sum(status in schema.SEAT_STATUSES for status in statuses),
            "additionalParticipants": 0,
            "waitingListParticipants": statuses.count("WAITING_LIST"),
        }


def _class_shown(studio_class: StudioClass) -> dict[str, Any]:
    return {
        "id": studio_class.class_id,
        "title": studio_class.title,
        "type": "STUDIO",
        "duration": 45,
        "category": studio_class.category,
        "description": f"{studio_class.title}: for beginners and everybody else.",
        "imgUrl": f"https://pictures.example/{studio_class.class_id}.jpg",
        "bookable": True,
    }


def _shown(at: datetime) -> str:
    """Write a time as the API does: local, with its offset and its zone's name."""
    return f"{at.astimezone(TIMEZONE).isoformat(timespec='milliseconds')}[{TIMEZONE.key}]"


def _page(rows: Sequence[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Cut out the page that a query asks for."""
    size = query.get("sliceSize", _DEFAULT_SIZE)
    if not re.fullmatch(r"[0-9]{1,9}", size, re.ASCII) or int(size) not in _SLICE_SIZES:
        raise WrongParameterError("sliceSize")
    offset = query.get("offset", "0")
    if not re.fullmatch(r"[0-9]{1,9}", offset, re.ASCII):
        raise WrongParameterError("offset")
    end = int(offset) + int(size)
    return {"result": rows[int(offset) : end], "hasNext": end < len(rows), "offset": str(min(end, len(rows)))}
