"""What became of each place a customer asked for: from observations to outcomes.

One observation is one booking in one successful fetch of its customer. Whatever was seen of a customer and a class slot
becomes one row with two answers: how the booking ended (or stands), and how the wait for a place ended.

``outcome``: the first that fits; a seat is BOOKED or BOOKED_WITH_CONFIRMATION_REQUIRED.

============== ============================================================================================
slot_canceled  slot CANCELED
attended       slot COMPLETED, PARTICIPATING, and booking a seat or WAITING_LIST (let in from the list)
canceled       booking CANCELED
lost           slot PLANNED and the booking no longer visible: how it ended is not known
waiting        booking WAITING_LIST
upcoming       a seat, slot PLANNED
no_show        a seat, slot COMPLETED, NOT_PARTICIPATING
unrecorded     a seat, slot COMPLETED, UNSET
============== ============================================================================================

``wait_outcome``: null unless a booking was seen WAITING_LIST while the slot was PLANNED; then the first that fits.

============== ============================================================================================
converted      slot COMPLETED, and a seat seen later than the first WAITING_LIST, or outcome attended
slot_canceled  slot CANCELED
withdrawn      slot COMPLETED, booking CANCELED
lapsed         slot COMPLETED, still WAITING_LIST
pending        slot PLANNED, still visible (converted or not: judged when the slot closes)
lost           slot PLANNED, no longer visible
============== ============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.dated import dated, undated
from bookings_analytics.metrics.engines import first_that_fits, lazy, like, rows_of
from bookings_analytics.schema import BOOKING_KEY, BOOKINGS, OUTCOMES, PLACE_KEY, SEAT_STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame, IntoFrameT

_DECLARED = nw.Schema.from_polars(OUTCOMES)
_STATUSES = {name: dtype.categories.to_list() for name, dtype in BOOKINGS.items() if isinstance(dtype, pl.Enum)}

_OBSERVED_AT = nw.col("observed_at")
_SEAT = nw.col("booking_status").is_in(SEAT_STATUSES)
_WAITING = nw.col("booking_status") == "WAITING_LIST"
_CANCELED = nw.col("booking_status") == "CANCELED"
_SLOT = nw.col("class_slot_status")
_STATUS = nw.col("_status")  # the slot's, by the class's own time where that is known
_ENDED = nw.col("_ended")  # whether the class is over for this booking
_PARTICIPANT = nw.col("participant_status")
_VISIBLE = nw.col("visible")

_OUTCOME_RULES: dict[str, nw.Expr] = {
    "slot_canceled": _STATUS == "CANCELED",
    "attended": (_STATUS == "COMPLETED") & (_PARTICIPANT == "PARTICIPATING") & ~_CANCELED,
    "canceled": _CANCELED,
    "lost": (_STATUS == "GONE") | ((_STATUS == "PLANNED") & ~_VISIBLE),
    "waiting": _WAITING,
    "upcoming": _STATUS == "PLANNED",
    "no_show": _PARTICIPANT == "NOT_PARTICIPATING",
    "unrecorded": _PARTICIPANT == "UNSET",
}
_WAIT_OUTCOME_RULES: dict[str, nw.Expr] = {
    "converted": _ENDED
    & ((nw.col("_last_seat_at") > nw.col("_first_waiting_at")) | (nw.col("outcome") == "attended") | _SEAT),
    "slot_canceled": _STATUS == "CANCELED",
    "withdrawn": _ENDED & _CANCELED,
    "lapsed": _ENDED & _WAITING,
    "pending": ~_ENDED & _VISIBLE,
    "lost": ~_ENDED & ~_VISIBLE,
}


def classify(
    bookings: IntoFrameT, *, class_days: IntoFrame | None = None, fetches: IntoFrame | None = None
) -> IntoFrameT:
    """Judge what became of each place a customer asked for: one row per (studio, customer_id, class_slot_id).

    Takes one snapshot (``result.bookings``) or a history (``archive.history()``, or snapshots put together with
    ``pl.concat``), rows in any order. Only a history shows waits that ended, and only the archive's shows bookings that
    vanished: rows with ``visible = false``.

    Args:
        bookings: Observations with the columns BOOKINGS of `bookings_analytics.schema`; further columns are dropped.
            On engines without Enum the statuses are text; ``observed_at`` has a time zone.
        class_days: When each class was, from `class_days`: adds the class's day, week, weekday and month and the days
            of notice of bookings and cancellations, and judges waits by the class's time instead of the studio's mark.
            In polars only.
        fetches: When each customer was asked for: FETCHES of `bookings_analytics.schema`; with ``class_days``.

    Returns:
        A frame of the engine and kind that was given, with the columns OUTCOMES of `bookings_analytics.schema`, sorted
        by studio, customer and slot: the latest state of the booking, ``first_seen_at`` (first observation of any
        booking of this customer for this slot), ``last_changed_at`` (first observation since when the booking has
        shown its latest state), ``outcome`` and ``wait_outcome`` as in the tables of this module. Of several bookings
        for one slot, the one that holds most stands for all: visible before gone (of these, the last to go), a seat
        before WAITING_LIST before CANCELED, then the larger ``booking_id``.

    Raises:
        TypeError: A column has another type than BOOKINGS says, or class days are given for bookings not in polars.
        ValueError: A column is missing, a value is null, a status is none of those known, or only one of
            ``class_days`` and ``fetches`` is given. The values are looked
            through at once, also those of a lazy frame.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> days = pl.datetime_range(pl.datetime(2025, 3, 1), pl.datetime(2025, 3, 3), time_zone="UTC", eager=True)
        >>> bookings = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": 14925548,
        ...     "class_slot_id": 14928,
        ...     "class_id": 77,
        ...     "booking_id": 2033,
        ...     "booking_status": ["WAITING_LIST", "BOOKED", "BOOKED"],
        ...     "class_slot_status": ["PLANNED", "PLANNED", "COMPLETED"],
        ...     "participant_status": ["UNSET", "UNSET", "NOT_PARTICIPATING"],
        ...     "observed_at": days,
        ...     "visible": True,
        ... })
        >>> ba.classify(bookings).select("booking_id", "outcome", "wait_outcome").rows()
        [(2033, 'no_show', 'converted')]
    """
    if (class_days is None) != (fetches is None):
        raise ValueError(
            "class_days= and fetches= go together, since the time before an event is in the fetches alone. Pass both "
            "or neither."
        )
    observations = _checked(lazy(bookings))
    types = _types(observations)
    times = observations.group_by(*BOOKING_KEY).agg(_OBSERVED_AT.max(), _OBSERVED_AT.min().alias("_first_at"))
    chosen = _chosen(observations.join(times, on=[*BOOKING_KEY, "observed_at"]))
    outcomes = (
        chosen.join(_returns(observations, chosen), on=list(BOOKING_KEY), how="left")
        .with_columns(last_changed_at=nw.coalesce("_returned_at", "_first_at"))
        .join(_courses(observations), on=list(PLACE_KEY))
    )
    if class_days is None or fetches is None:
        outcomes = undated(outcomes, types)
    else:
        outcomes = dated(outcomes, observations, class_days, fetches)
    outcomes = outcomes.with_columns(first_that_fits(_OUTCOME_RULES, types["outcome"]).alias("outcome")).with_columns(
        wait_outcome=nw.when(nw.col("_in_progress")).then(first_that_fits(_WAIT_OUTCOME_RULES, types["wait_outcome"]))
    )
    return like(bookings, outcomes.select(*OUTCOMES).sort(*PLACE_KEY))


def _chosen(latest: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Choose the booking that stands for a place."""
    return latest.with_columns(
        _gone_at=nw.when(~_VISIBLE).then(_OBSERVED_AT),
        _holds=nw.when(_SEAT).then(nw.lit(2)).otherwise(nw.when(_WAITING).then(nw.lit(1)).otherwise(nw.lit(0))),
    ).unique(list(PLACE_KEY), keep="last", order_by=["visible", "_gone_at", "_holds", "booking_id"])


def _returns(observations: nw.LazyFrame[Any], chosen: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Find when bookings that had another state before showed their latest one again, or for the first time."""
    state = (*_STATUSES, "visible")
    now = chosen.filter(nw.col("_first_at") < _OBSERVED_AT).select(
        *BOOKING_KEY, *(nw.col(name).alias(f"_{name}") for name in state)
    )
    differs = nw.any_horizontal(*(nw.col(name) != nw.col(f"_{name}") for name in state), ignore_nulls=False)
    other_states = (
        observations.join(now, on=list(BOOKING_KEY))
        .filter(differs)
        .group_by(*BOOKING_KEY)
        .agg(_OBSERVED_AT.max().alias("_other_until"))
    )
    return (
        observations.join(other_states, on=list(BOOKING_KEY))
        .filter(nw.col("_other_until") < _OBSERVED_AT)
        .group_by(*BOOKING_KEY)
        .agg(_OBSERVED_AT.min().alias("_returned_at"))
    )


def _courses(observations: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Gather what the whole course of a place says about its wait."""
    seen_waiting = _VISIBLE & _WAITING
    return observations.group_by(*PLACE_KEY).agg(
        _OBSERVED_AT.min().alias("first_seen_at"),
        nw.when(seen_waiting & (_SLOT == "PLANNED")).then(1).otherwise(0).max().alias("_waited"),
        nw.when(seen_waiting).then(_OBSERVED_AT).min().alias("_first_waiting_at"),
        nw.when(_VISIBLE & _SEAT).then(_OBSERVED_AT).max().alias("_last_seat_at"),
    )


def _checked(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Check that a frame holds observations, and give its columns the types of the schema."""
    given = frame.collect_schema()
    missing = [name for name in BOOKINGS if name not in given]
    if missing:
        raise ValueError(
            f"the bookings lack {', '.join(missing)}; their columns are {', '.join(given)}. Pass what fetch_bookings "
            "or the archive gave, or rename your columns to those of bookings_analytics.schema.BOOKINGS."
        )
    for name in BOOKINGS:
        if not _fits(given[name], _DECLARED[name]):
            raise TypeError(f"the bookings' {name} is of type {given[name]}: cast it to {_DECLARED[name]}.")
    wrong = [nw.col(name).is_null() for name in BOOKINGS] + [
        ~nw.col(name).cast(nw.String).is_in(statuses)
        for name, statuses in _STATUSES.items()
        if given[name] != _DECLARED[name]
    ]
    for example in rows_of(frame.select(*BOOKINGS).filter(nw.any_horizontal(*wrong, ignore_nulls=True)).head(1)):
        raise ValueError(_complaint(dict(zip(BOOKINGS, example, strict=True))))
    types = _types(frame)
    return frame.select(nw.col(name).cast(types[name]) for name in BOOKINGS)


def _types(frame: nw.LazyFrame[Any]) -> dict[str, nw.dtypes.DType]:
    """Return the types of the schema as the frame's engine can have them: only polars has Enums everywhere."""
    if frame.implementation.is_polars():
        return dict(_DECLARED)
    time = frame.collect_schema()["observed_at"]  # in the engine's own time zone, which it may not let us change
    portable = {nw.Enum: nw.String(), nw.Datetime: time}
    return {name: portable.get(type(declared), declared) for name, declared in _DECLARED.items()}


def _fits(given: nw.dtypes.DType, declared: nw.dtypes.DType) -> bool:
    if isinstance(declared, (nw.String, nw.Enum)):
        return isinstance(given, (nw.String, nw.Enum, nw.Categorical))
    if isinstance(declared, nw.Datetime):
        return isinstance(given, nw.Datetime) and given.time_zone is not None
    return given.is_integer() if declared.is_integer() else given == declared


def _complaint(row: Mapping[str, Any]) -> str:
    name = next(name for name in BOOKINGS if row[name] is None or row[name] not in _STATUSES.get(name, [row[name]]))
    advice = "Fill it in, or leave that row out."
    if row[name] is not None:
        advice = (
            f"Known are {', '.join(_STATUSES[name])}: correct it, or update bookings_analytics if the API has grown."
        )
    return (
        f"the bookings' {name} is {row[name]!r} in booking {row['booking_id']} of customer {row['customer_id']}, "
        f"studio {row['studio']}, observed at {row['observed_at']}. {advice}"
    )
