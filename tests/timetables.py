"""The timetable of a demo studio as an archive keeps it, read from its world without HTTP."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics import schema
from bookings_analytics.demo.timetable import CLASSES

if TYPE_CHECKING:
    from bookings_analytics.demo.world import World


def timetable(world: World, studio: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the classes, and their slots as a look eight hours after each showed them; canceled ones are not shown."""
    taken = Counter(booking.slot.class_slot_id for booking in world.bookings if booking.holds_seat)
    classes = [
        (studio, each.class_id, each.title, "STUDIO", each.category, 45, True, world.slots[0].starts_at)
        for each in CLASSES
    ]
    slots = [
        {
            "studio": studio,
            "class_id": slot.studio_class.class_id,
            "class_slot_id": slot.class_slot_id,
            "starts_at": slot.starts_at,
            "ends_at": slot.ends_at,
            "max_participants": slot.studio_class.capacity,
            "booked_participants": taken[slot.class_slot_id],
            "additional_participants": 0,
            "observed_at": slot.ends_at + timedelta(hours=8),
        }
        for slot in world.slots
        if slot.canceled_at is None
    ]
    return pl.DataFrame(classes, schema.CLASSES, orient="row"), pl.DataFrame(slots, schema.SLOTS)
