"""What class days add to outcomes: when each class was, when it was booked and canceled, and what was seen before it.

A *look* is a successful fetch of a customer. An event between two looks has a service day between the day of the first
and the day of the second, both as class days are counted; days before class follow from the two brackets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import lazy
from bookings_analytics.metrics.hours import Hours, clock_time
from bookings_analytics.metrics.sightings import look_beside, looks_of, sightings
from bookings_analytics.schema import (
    API_WINDOW,
    BOOKING_KEY,
    CLASS_DAYS,
    CUSTOMER_KEY,
    DATED,
    PLACE_KEY,
    SEAT_STATUSES,
    SLOT_KEY,
)

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

_LATE_STUDIO: Final = pl.duration(days=15)  # until its marks and the window have settled a class for sure


def undated(outcomes: nw.LazyFrame[Any], types: dict[str, nw.dtypes.DType]) -> nw.LazyFrame[Any]:
    """Add the columns of `schema.DATED` as null, and judge classes by the studio's marks alone.

    Args:
        outcomes: One row per place, with ``class_slot_status`` and ``_waited``.
        types: The types of the columns on this engine.
    """
    status = nw.col("class_slot_status").cast(nw.String)
    return outcomes.with_columns(
        **{name: nw.lit(None, types[name]) for name in DATED},
        _status=status,
        _ended=status == "COMPLETED",
        _in_progress=nw.col("_waited") == 1,
    )


def dated(
    outcomes: nw.LazyFrame[Any], observations: nw.LazyFrame[Any], class_days: IntoFrame, fetches: IntoFrame
) -> nw.LazyFrame[Any]:
    """Add the columns of `schema.DATED`, and judge classes by their own time.

    Args:
        outcomes: One row per place: the chosen booking's latest state.
        observations: The change log.
        class_days: What `class_days` found.
        fetches: Every fetch.

    Returns:
        The outcomes with `schema.DATED` and ``_status`` (the slot's status as its time makes it: COMPLETED for a seat
        last seen after its class though the studio never marked it, GONE for one last seen before a class that is
        over), ``_ended`` (whether the wait is over) and ``_in_progress`` (whether a wait was seen before the class).

    Raises:
        TypeError: The outcomes are not in polars.
        ValueError: A slot's studio is in none of the class days.
    """
    if not outcomes.implementation.is_polars():
        raise TypeError(
            f"the bookings are on {outcomes.implementation.value}: outcomes with class days are made in polars. "
            "Collect the history to polars first."
        )
    days = _collected(class_days).select(CLASS_DAYS.names())
    looks = looks_of(fetches)
    rows = cast("pl.LazyFrame", observations.to_native()).collect()
    places = cast("pl.LazyFrame", outcomes.to_native()).collect()
    unknown = places.join(days, on="studio", how="anti")["studio"].unique().sort()
    if len(unknown):
        raise ValueError(f"the class days have no studio {unknown[0]!r}: make them of the same history.")
    parts = [_of_studio(places, rows, looks, part) for _, part in days.group_by("studio", maintain_order=True)]
    return nw.from_native(pl.concat(parts).lazy())


def _collected(frame: IntoFrame) -> pl.DataFrame:
    collected: pl.DataFrame = lazy(frame).collect("polars").to_native()
    return collected


def _of_studio(places: pl.DataFrame, rows: pl.DataFrame, looks: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    studio = days["studio"][0]
    hours = Hours(*days.select("timezone", "opens", "closes").row(0))
    own, own_rows = places.filter(studio=studio), rows.filter(studio=studio)
    own_looks = looks.filter(studio=studio)
    slots = days.select(
        *(*SLOT_KEY, "first_day", "last_day", "class_day", "starts_before", "punctual", "left_window"),
        starts_at=pl.when(pl.col("dated_by") == "known").then("starts_after"),
    )
    seen = sightings(own_rows, own_looks).join(slots, on=SLOT_KEY, how="left")
    after = (pl.col("observed_at") >= pl.col("starts_before")) | (
        hours.day_of_lower(pl.col("observed_at")) > pl.col("last_day")
    )
    waiting = (pl.col("booking_status").cast(pl.String) == "WAITING_LIST") & (
        pl.col("class_slot_status").cast(pl.String) == "PLANNED"
    )
    courses = seen.group_by(PLACE_KEY).agg(
        _in_progress=(waiting & ~after.fill_null(value=False)).any(), _booked_at=pl.min("observed_at")
    )
    bookings = seen.group_by(BOOKING_KEY).agg(_last_sighting=pl.max("holds_until"))
    firsts = own_looks.group_by(CUSTOMER_KEY).agg(_first_look=pl.min("fetched_at"))
    joined = (
        own.join(slots, on=SLOT_KEY, how="left")
        .join(courses, on=PLACE_KEY, how="left")
        .join(bookings, on=BOOKING_KEY, how="left")
        .join(_cancellations(own_rows), on=BOOKING_KEY, how="left")
        .join(firsts, on=CUSTOMER_KEY, how="left")
    )
    joined = look_beside(joined, own_looks, "_booked_at", "_look_before_booking", strategy="backward")
    joined = look_beside(joined, own_looks, "_canceled_at", "_look_before_canceling", strategy="backward")
    typed = [pl.col(name).cast(kind) for name, kind in DATED.items()]
    return (
        joined.with_columns(**_calendar(hours, own_looks))
        .with_columns(**_days_before("canceled", "_look_before_canceling", "_canceled_at", hours))
        .with_columns(**_days_before("booked", "_look_before_booking", "_booked_at", hours))
        .with_columns(booked_days_before_max=_unless_out_of_sight(hours))
        .with_columns(**_judged(hours, own_looks))
        .with_columns(
            hour=hours.local(pl.col("starts_at")).dt.hour(),
            canceled_after=pl.col("_look_before_canceling"),
            canceled_by=pl.col("_canceled_at"),
        )
        .select(*own.columns, *typed, "_status", "_ended", "_in_progress")
    )


def _cancellations(rows: pl.DataFrame) -> pl.DataFrame:
    """Find when each booking that is canceled was first seen so after it last was not, and what it was before."""
    status = pl.col("booking_status").cast(pl.String)
    visible = rows.filter("visible").sort("observed_at")
    standing = (
        visible.filter(status != "CANCELED")
        .group_by(BOOKING_KEY)
        .agg(_stood_until=pl.max("observed_at"), _stood_as=status.last())
    )
    canceled = (
        visible.filter(status == "CANCELED")
        .join(standing, on=BOOKING_KEY, how="left")
        .filter(pl.col("_stood_until").is_null() | (pl.col("observed_at") > pl.col("_stood_until")))
    )
    return canceled.group_by(BOOKING_KEY).agg(_canceled_at=pl.min("observed_at"), canceled_from=pl.first("_stood_as"))


def _calendar(hours: Hours, looks: pl.DataFrame) -> dict[str, pl.Expr]:
    """Name the columns of the calendar: the day's week, weekday and month, and whether the looks cover that week."""
    day = pl.col("class_day")
    week = day.dt.truncate("1w")
    first, last = looks.select(pl.min("fetched_at"), pl.max("fetched_at").alias("last")).row(0)
    opening = _moment(week, hours, hours.opens)
    closing = _moment(week.dt.offset_by("6d"), hours, hours.closes)
    settled = pl.lit(last) - pl.when(pl.col("punctual").fill_null(value=False)).then(pl.duration()).otherwise(
        _LATE_STUDIO
    )
    return {
        "week": week,
        "weekday": (day.dt.weekday() - 1).replace_strict(dict(enumerate(DATED["weekday"].categories)), default=None),  # type: ignore[attr-defined] # an Enum's
        "month": day.dt.truncate("1mo"),
        "week_complete": (opening >= first) & (closing < settled),
        "watched": hours.day_of_lower(pl.col("_first_look")) <= pl.col("last_day"),
    }


def _moment(day: pl.Expr, hours: Hours, time: str) -> pl.Expr:
    """Find the moment of a local time on a day; of two where the clocks go back the first, of none the next."""
    local = day.cast(pl.Datetime("us")) + clock_time(time)
    zoned = local.dt.replace_time_zone(hours.timezone, ambiguous="earliest", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def _days_before(event: str, before: str, seen: str, hours: Hours) -> dict[str, pl.Expr]:
    """Bracket an event's days before class: its service day lies between the day of the look before and of its own."""
    upper = hours.day_of_upper(pl.col(seen))
    lower = pl.min_horizontal(hours.day_of_lower(pl.col(before)), upper)
    known = pl.col("first_day").is_not_null() & pl.col("last_day").is_not_null()
    least = pl.max_horizontal((pl.col("first_day") - upper).dt.total_days(), 0)
    most = pl.when(pl.col(before).is_not_null()).then((pl.col("last_day") - lower).dt.total_days())
    return {
        f"{event}_days_before_min": pl.when(known & pl.col(seen).is_not_null()).then(least),
        f"{event}_days_before_max": pl.when(known).then(most),
    }


def _unless_out_of_sight(hours: Hours) -> pl.Expr:
    """Keep the most days before class only where the look before the booking would have shown it."""
    horizon = (pl.col("_look_before_booking") + API_WINDOW).dt.convert_time_zone(hours.timezone).dt.date()
    return pl.when(pl.col("last_day") < horizon).then("booked_days_before_max")


def _judged(hours: Hours, looks: pl.DataFrame) -> dict[str, pl.Expr]:
    """Judge each place by its class's time."""
    last = pl.col("_last_sighting")
    after = ((last >= pl.col("starts_before")) | (hours.day_of_lower(last) > pl.col("last_day"))).fill_null(value=False)
    over = (pl.col("starts_before") <= looks["fetched_at"].max()).fill_null(value=False)
    status = pl.col("class_slot_status").cast(pl.String)
    seat = pl.col("booking_status").cast(pl.String).is_in(SEAT_STATUSES)
    unmarked = seat & (status == "PLANNED")
    left = pl.col("left_window").fill_null(value=False)
    marked = (status == "COMPLETED") & pl.col("punctual").fill_null(value=False)
    return {
        "_status": pl.when(unmarked & after)
        .then(pl.lit("COMPLETED"))
        .when(unmarked & over)
        .then(pl.lit("GONE"))
        .otherwise(status),
        "_ended": pl.when(status == "CANCELED").then(pl.lit(value=False)).when(left).then(after).otherwise(marked),
        "_in_progress": pl.col("_in_progress").fill_null(value=False),
    }
