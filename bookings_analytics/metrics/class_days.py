"""The day of every class, out of an API that gives no times.

A slot is shown at a time t only if it lies within t ± 14 days, and every fetch has a time. So the last time that
anybody saw a slot, and the next fetch that showed it to nobody, lie on either side of the moment 14 days after it
began. Pooled over all customers who ever had a booking in a slot, that dates the slot. For one slot:

====== =================================================================================================
a      last sighting PLANNED
b      first sighting COMPLETED
c_i    last sighting by customer i; c the latest of them
d_i    that customer's next successful fetch; d, d₂, d₃ the smallest of the witnesses' (see below)
e      latest "not yet": of the customers' last successful fetches before their first sighting
====== =================================================================================================

Witnesses are the customers with c_i > c - 12 h and d_i > c: they saw the slot nearly last, and it was gone when they
looked again. A deleted booking ends like that too, so d is believed where marks and bookings confirm it, where three
witnesses agree, or in a quiet studio, in which no booking ends early.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.metrics.hours import Hours, opening_hours
from bookings_analytics.metrics.known_times import warn, with_known
from bookings_analytics.metrics.sightings import eager, look_beside, looks_of, sightings
from bookings_analytics.schema import API_WINDOW, BOOKINGS, CLASS_DAYS, FETCHES, SLOT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from narwhals.typing import IntoFrame

_NEARLY_LAST: Final = timedelta(hours=12)
_QUIET_FROM: Final = 100  # bookings that have to be seen before a studio can be called quiet
_PUNCTUAL_FROM: Final = 20  # slots that have to be dated both ways before a studio can be called punctual
_SLOT_CUSTOMER: Final = (*SLOT_KEY, "customer_id")
_NEEDED: Final = (*_SLOT_CUSTOMER, "class_id", "booking_id", "class_slot_status", "observed_at", "visible")


def class_days(
    history: IntoFrame,
    fetches: IntoFrame,
    *,
    timezone: str | Mapping[str, str],
    opens: str | Mapping[str, str] = "05:00",
    closes: str | Mapping[str, str] = "24:00",
    known: IntoFrame | None = None,
) -> pl.DataFrame:
    """Find the day of every class slot from when it was shown and when it no longer was.

    Nightly fetches that end before `opens` date every class; where the fetches leave two days, or a deleted booking
    could be taken for the end of the window, the day is null. It is never a guess.

    Args:
        history: Every observation of an archive: BOOKINGS of `bookings_analytics.schema`.
        fetches: Every fetch of it: FETCHES of the same.
        timezone: The studio's time zone, such as "Europe/Berlin"; of several studios, ``{studio: zone}``.
        opens: Local time before which no class begins, "05:00" or ``{studio: "06:30"}``.
        closes: Local time after which no class ends, "24:00" or ``{studio: "23:00"}``.
        known: Times from elsewhere, a timetable say: ``studio``, ``class_slot_id`` and ``starts_at`` with a time zone.
            They win over what the fetches say; a slot whose time is null is not known. The share of them that lies
            inside what the fetches say is printed.

    Returns:
        CLASS_DAYS of `bookings_analytics.schema`, in polars: one row per studio and slot, sorted by them.

    Raises:
        ValueError: A studio has no time zone or hours, or one that does not exist.

    Warns:
        UserWarning: More than a hundredth of the known times lie outside what the fetches say, or slots were seen at
            times that exclude each other.

    Example:
        >>> from datetime import datetime, timedelta, timezone
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> nights = [datetime(2026, 5, 1, 2, tzinfo=timezone.utc) + timedelta(days=day) for day in range(30)]
        >>> booking = {"studio": "mitte", "customer_id": 7, "class_slot_id": 31, "class_id": 4, "booking_id": 9,
        ...     "booking_status": "BOOKED", "participant_status": "UNSET", "visible": True}
        >>> history = pl.DataFrame([
        ...     booking | {"observed_at": nights[1], "class_slot_status": "PLANNED"},
        ...     booking | {"observed_at": nights[8], "class_slot_status": "COMPLETED"},
        ...     booking | {"observed_at": nights[22], "class_slot_status": "COMPLETED", "visible": False},
        ... ])
        >>> fetches = pl.DataFrame({"studio": "mitte", "customer_id": 7, "fetched_at": nights, "outcome": "ok"})
        >>> ba.class_days(history, fetches, timezone="Europe/Berlin").select("class_day", "dated_by").row(0)
        (datetime.date(2026, 5, 8), 'window')
    """
    return class_days_of([(history, fetches)], timezone=timezone, opens=opens, closes=closes, known=known)


def class_days_of(
    parts: Iterable[tuple[IntoFrame, IntoFrame]],
    *,
    timezone: str | Mapping[str, str],
    opens: str | Mapping[str, str],
    closes: str | Mapping[str, str],
    known: IntoFrame | None = None,
) -> pl.DataFrame:
    """Find the day of every class slot, from a history in parts of whole customers.

    Args:
        parts: Observations and fetches of some customers each; the slots are pooled over all of them.
        timezone: The studio's time zone, or ``{studio: zone}``.
        opens: Local time before which no class begins, or ``{studio: time}``.
        closes: Local time after which no class ends, or ``{studio: time}``.
        known: Times from elsewhere, as in `class_days`.

    Returns:
        What `class_days` returns.

    Raises:
        ValueError: A studio has no time zone or hours, or one that does not exist.
    """
    slots = _pooled([_of_customers(eager(history, _NEEDED), looks_of(fetches)) for history, fetches in parts])
    hours = opening_hours(slots["studio"].unique().sort(), timezone, opens, closes)
    of_studios = slots.group_by("studio", maintain_order=True)
    dated = pl.concat([CLASS_DAYS.to_frame(), *(_dated(part, hours[str(studio)]) for (studio,), part in of_studios)])
    if known is not None:
        shown_from = slots.select(*SLOT_KEY, shown_from=pl.col("c") - API_WINDOW)
        dated = with_known(dated.join(shown_from, on=SLOT_KEY, how="left"), known, hours)
    warn(dated.filter(pl.col("starts_after") > pl.col("starts_before")), "were seen at times that exclude each other")
    return dated.sort(SLOT_KEY)


def _of_customers(rows: pl.DataFrame, looks: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gather what some customers saw of each slot: one row per slot, and the last sighting of each customer."""
    status = pl.col("class_slot_status")
    customers = (
        sightings(rows, looks)
        .group_by(_SLOT_CUSTOMER)
        .agg(
            first=pl.min("observed_at"),
            c_i=pl.max("holds_until"),
            a_i=pl.col("holds_until").filter(status == "PLANNED").max(),
            b_i=pl.col("observed_at").filter(status == "COMPLETED").min(),
        )
    )
    customers = look_beside(customers, looks, "c_i", "d_i", strategy="forward")
    customers = look_beside(customers, looks, "first", "e_i", strategy="backward")
    slots = customers.group_by(SLOT_KEY).agg(
        a=pl.max("a_i"), b=pl.min("b_i"), c=pl.max("c_i"), e=pl.max("e_i"), _bookings=pl.len()
    )
    classes = rows.group_by(SLOT_KEY).agg(
        class_id=pl.col("class_id").sort_by("observed_at").last(),
        _class_seen=pl.max("observed_at"),
        n_customers=pl.n_unique("customer_id"),
    )
    return classes.join(slots, on=SLOT_KEY, how="left"), customers.select(*SLOT_KEY, "c_i", "d_i").drop_nulls()


def _pooled(parts: Iterable[tuple[pl.DataFrame, pl.DataFrame]]) -> pl.DataFrame:
    """Pool the sightings of all customers: one row per slot."""
    none = _of_customers(
        BOOKINGS.to_frame().cast({"class_slot_status": pl.String}).select(_NEEDED), looks_of(FETCHES.to_frame())
    )
    of_slots, of_customers = (pl.concat(each) for each in zip(none, *parts, strict=True))
    slots = of_slots.group_by(SLOT_KEY).agg(
        class_id=pl.col("class_id").sort_by("_class_seen").last(),
        n_customers=pl.sum("n_customers"),
        a=pl.max("a"),
        b=pl.min("b"),
        c=pl.max("c"),
        e=pl.max("e"),
        _bookings=pl.sum("_bookings"),
    )
    witness = (pl.col("c_i") > pl.col("c") - _NEARLY_LAST) & (pl.col("d_i") > pl.col("c"))
    ends = pl.col("d_i").filter(witness).sort()
    witnessed = (
        of_customers.join(slots.select(*SLOT_KEY, "c"), on=SLOT_KEY)
        .group_by(SLOT_KEY)
        .agg(
            d=ends.get(0, null_on_oob=True),
            d2=ends.get(1, null_on_oob=True),
            d3=ends.get(2, null_on_oob=True),
            _ended_early=(pl.col("d_i") <= pl.col("c")).sum(),
        )
    )
    both: pl.DataFrame = slots.join(witnessed, on=SLOT_KEY, how="left")
    return both.with_columns(pl.col("_ended_early").fill_null(0))


def _dated(slots: pl.DataFrame, hours: Hours) -> pl.DataFrame:
    """Date the slots of one studio."""
    lower, upper = hours.day_of_lower, hours.day_of_upper
    shared = slots.filter(pl.col("_bookings") > 1)
    quiet = shared["_bookings"].sum() >= _QUIET_FROM and not shared["_ended_early"].sum()
    ago = {name: (pl.col(name) - API_WINDOW) for name in ("c", "d", "d2", "d3")}
    both_ways = slots.select(
        window=pl.when(lower(ago["c"]) == upper(ago["d2"])).then(lower(ago["c"])),
        status=pl.when(lower(pl.col("a")) == upper(pl.col("b"))).then(lower(pl.col("a"))),
    ).drop_nulls()
    agree = (both_ways["window"] == both_ways["status"]).all()
    punctual = bool(agree) if both_ways.height >= _PUNCTUAL_FROM else None

    latest_not_yet = pl.max_horizontal("a", "e")
    confirmed = pl.col("b").is_not_null() & (lower(latest_not_yet) <= upper(pl.min_horizontal(ago["d"], "b")))
    over = pl.col("a").is_null() | (pl.col("a") < pl.col("c"))  # the last sighting was not PLANNED
    alone = ago["d"] if quiet else ago["d3"]
    not_excluded = pl.col("e").is_null() | (lower(pl.col("e")) <= upper(alone))
    end = pl.when(confirmed.fill_null(value=False)).then(ago["d"]).when(over & not_excluded).then(alone)
    by_status = pl.col("d").is_null() & pl.col("b").is_not_null() & pl.col("a").is_not_null() & (punctual is True)
    return (
        slots.with_columns(
            starts_after=pl.when(by_status).then(pl.max_horizontal(ago["c"], "a")).otherwise(ago["c"]),
            starts_before=pl.min_horizontal(end, "b"),
            left_window=end.is_not_null(),
            _by_status=by_status & (pl.col("a") > ago["c"]),
        )
        .with_columns(first_day=lower(pl.col("starts_after")), last_day=upper(pl.col("starts_before")))
        .with_columns(
            _empty=(pl.col("starts_after") >= pl.col("starts_before")) | (pl.col("first_day") > pl.col("last_day"))
        )
        .with_columns(pl.when(~pl.col("_empty").fill_null(value=False)).then(pl.col("first_day", "last_day")))
        .with_columns(class_day=pl.when(pl.col("first_day") == pl.col("last_day")).then("first_day"))
        .with_columns(
            dated_by=pl.when(pl.col("class_day").is_not_null())
            .then(pl.when("_by_status").then(pl.lit("status")).otherwise(pl.lit("window")))
            .cast(CLASS_DAYS["dated_by"]),
            timezone=pl.lit(hours.timezone),
            opens=pl.lit(hours.opens),
            closes=pl.lit(hours.closes),
            punctual=pl.lit(punctual, pl.Boolean),
        )
        .with_columns(
            closed_after_h=pl.when(pl.col("dated_by") == "window").then(
                (pl.col("b") - pl.col("starts_after")).dt.total_seconds() / 3600
            )
        )
        .select(pl.col(name).cast(kind) for name, kind in CLASS_DAYS.items())
    )
