"""Bookings, histories and cohorts as hypothesis makes them: small, but with everything that can happen in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from hypothesis import strategies as st

from bookings_analytics import schema

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]
Rows = list[Row]

STUDIOS = ("mitte", "nord")
CUSTOMERS = (1, 2, 3)  # the same ids in every studio
SLOTS = (10, 11, 12)
BOOKING_IDS_PER_SLOT = 3
START = datetime(2025, 3, 1, 12, tzinfo=UTC)
TIMES = tuple(START + timedelta(hours=hours) for hours in (0, 5, 24, 49, 72))  # irregular on purpose

STATUSES = st.fixed_dictionaries(
    {
        "booking_status": st.sampled_from(schema.BOOKING_STATUS.categories.to_list()),
        "class_slot_status": st.sampled_from(schema.CLASS_SLOT_STATUS.categories.to_list()),
        "participant_status": st.sampled_from(schema.PARTICIPANT_STATUS.categories.to_list()),
    }
)


def booking(**values: Any) -> Row:
    """Make one observation of one booking, a seat in a planned class unless said otherwise."""
    row = {
        "studio": "mitte",
        "customer_id": 1,
        "class_slot_id": 10,
        "class_id": 0,
        "booking_id": 100,
        "booking_status": "BOOKED",
        "class_slot_status": "PLANNED",
        "participant_status": "UNSET",
        "observed_at": START,
        "visible": True,
    }
    return row | values


def frame(rows: Rows, columns: pl.Schema = schema.BOOKINGS) -> pl.DataFrame:
    """Put rows into a frame of that schema; columns beyond it keep the type of their values."""
    further = {name: pl.String() for row in rows for name in row if name not in columns}
    return pl.DataFrame(rows, schema={**columns, **further}, strict=True)


@st.composite
def observations(draw: Callable[..., Any]) -> Rows:
    """Rows of which only the keys are sane: every combination of statuses, in any order, at any time."""
    keys = st.tuples(
        st.sampled_from(STUDIOS),
        st.sampled_from(CUSTOMERS),
        st.sampled_from(SLOTS),
        st.integers(0, BOOKING_IDS_PER_SLOT - 1),
        st.sampled_from(TIMES),
    )
    rows = []
    for studio, customer_id, slot, number, observed_at in draw(st.lists(keys, max_size=24, unique=True)):
        key = _key(studio, customer_id, slot, number)
        rows.append({**key, **draw(STATUSES), "observed_at": observed_at, "visible": draw(st.booleans())})
    return rows


class History(NamedTuple):
    """What some fetches at different times saw, kept in both ways that it can be kept."""

    snapshots: Rows  # every booking of every successful fetch
    log: Rows  # new and changed bookings, and gone ones with visible = false: what the archive keeps
    fetches: Rows


@st.composite
def histories(draw: Callable[..., Any]) -> History:
    """Customers fetched at irregular times, sometimes in vain, while their bookings come, change and vanish."""
    snapshots: Rows = []
    log: Rows = []
    fetches: Rows = []
    customers = draw(st.lists(st.tuples(st.sampled_from(STUDIOS), st.sampled_from(CUSTOMERS)), max_size=4, unique=True))
    for studio, customer_id in customers:
        slot_ends = {slot: draw(st.sampled_from(_SLOT_ENDS)) for slot in SLOTS}
        courses = {
            (slot, number): draw(st.lists(_MOMENTS, min_size=len(TIMES), max_size=len(TIMES)))
            for slot in SLOTS
            for number in range(draw(st.integers(0, 2)))
        }
        known: dict[tuple[int, int], Row] = {}
        for moment, time in enumerate(TIMES):
            outcome = draw(st.sampled_from(("ok", "ok", "ok", "failed")))
            fetches.append({"studio": studio, "customer_id": customer_id, "fetched_at": time, "outcome": outcome})
            if outcome != "ok":
                continue
            seen: dict[tuple[int, int], Row] = {}
            for (slot, number), course in courses.items():
                booking_status = _now(course, moment)
                if booking_status is None:
                    continue
                slot_status, ends_at, participant = slot_ends[slot]
                ended = moment >= ends_at
                attends = ended and slot_status == "COMPLETED" and booking_status != "CANCELED"
                seen[slot, number] = {
                    **_key(studio, customer_id, slot, number),
                    "booking_status": booking_status,
                    "class_slot_status": slot_status if ended else "PLANNED",
                    "participant_status": participant if attends else "UNSET",
                    "visible": True,
                }
            snapshots += [row | {"observed_at": time} for row in seen.values()]
            gone = {key: row | {"visible": False} for key, row in known.items() if key not in seen}
            log += [row | {"observed_at": time} for key, row in (seen | gone).items() if known.get(key) != row]
            known |= seen | gone
    return History(draw(st.permutations(snapshots)), draw(st.permutations(log)), draw(st.permutations(fetches)))


@st.composite
def cohort_rows(draw: Callable[..., Any]) -> Rows:
    """Customers in one cohort or two, some not readable, with a column of the analyst's own that has gaps."""
    rows: Rows = []
    for studio in STUDIOS:
        for customer_id in CUSTOMERS:
            outcome = draw(st.sampled_from(("ok", "ok", "ok", "not_found", "access_disabled", "failed")))
            plan = draw(st.sampled_from(("basic", "premium", None)))
            rows += [
                {"customer_id": customer_id, "cohort": name, "studio": studio, "fetch_outcome": outcome, "plan": plan}
                for name in draw(st.lists(st.sampled_from(("long-term", "trial")), max_size=2, unique=True))
            ]
    return rows


# KEEP: as at the moment before. Most moments change nothing, as most days of a booking do.
_KEEP = "KEEP"
_MOMENTS = st.sampled_from((_KEEP, _KEEP, "WAITING_LIST", "WAITING_LIST", "BOOKED", "CANCELED", None))
_SLOT_ENDS = (
    *(("COMPLETED", moment, participant) for moment in (2, 4) for participant in ("PARTICIPATING", "UNSET")),
    *(("COMPLETED", moment, "NOT_PARTICIPATING") for moment in (1, 3)),
    ("CANCELED", 3, "UNSET"),
    ("COMPLETED", len(TIMES), "UNSET"),  # after the last fetch
)


def _now(course: list[str | None], moment: int) -> str | None:
    """The status at a moment; None before the booking was made and while it is out of sight."""
    changes = [status for status in course[: moment + 1] if status != _KEEP]
    return changes[-1] if changes else None


def _key(studio: str, customer_id: int, slot: int, number: int) -> Row:
    """The keys of a booking: ids of bookings are unique in a studio, and slots 10 and 12 are of one class."""
    return {
        "studio": studio,
        "customer_id": customer_id,
        "class_slot_id": slot,
        "class_id": slot % 2,
        "booking_id": customer_id * 1000 + slot * 10 + number,
    }
