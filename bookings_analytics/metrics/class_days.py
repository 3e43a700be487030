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

import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.metrics.engines import lazy
from bookings_analytics.metrics.hours import Hours, opening_hours
from bookings_analytics.schema import API_WINDOW, BOOKINGS, CLASS_DAYS, CUSTOMER_KEY, FETCHES, SLOT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
            They win over what the fetches say.

    Returns:
        CLASS_DAYS of `bookings_analytics.schema`, in polars: one row per studio and slot, sorted by them.

    Raises:
        ValueError: A studio has no time zone or hours, or one that does not exist.

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
    slots = _pooled([_of_customers(_eager(history, _NEEDED), looks_of(fetches)) for history, fetches in parts])
    hours = opening_hours(slots["studio"].unique().sort(), timezone, opens, closes)
    of_studios = slots.group_by("studio", maintain_order=True)
    dated = pl.concat([CLASS_DAYS.to_frame(), *(_dated(part, hours[str(studio)]) for (studio,), part in of_studios)])
    if known is not None:
        dated = _with_known(dated, _eager(known, [*SLOT_KEY, "starts_at"]), hours)
    _warn(dated.filter(pl.col("starts_after") > pl.col("starts_before")), "were seen at times that exclude each other")
    return dated.sort(SLOT_KEY)


def looks_of(fetches: IntoFrame) -> pl.DataFrame:
    """Select the successful fetches, each customer's once, sorted by ``fetched_at``."""
    return (
        _eager(fetches, [*CUSTOMER_KEY, "outcome", "fetched_at"])
        .filter(pl.col("outcome").cast(pl.String) == "ok")
        .select(*CUSTOMER_KEY, "fetched_at")
        .unique()
        .sort("fetched_at")
    )


def sightings(rows: pl.DataFrame, looks: pl.DataFrame) -> pl.DataFrame:
    """Find until when each visible row of a change log holds.

    Args:
        rows: Observations.
        looks: Each customer's successful fetches, sorted by ``fetched_at``.

    Returns:
        The visible rows with ``holds_until``: the last successful fetch of the customer before the booking's next row,
        or of all if there is none.
    """
    key = [*CUSTOMER_KEY, "booking_id"]
    following = pl.col("observed_at").shift(-1).over(key, order_by="observed_at")
    last = looks.group_by(CUSTOMER_KEY).agg(_last=pl.max("fetched_at"))
    seen = rows.with_columns(_next=following).filter("visible").sort("_next", nulls_last=True)
    until = pl.when(pl.col("_next").is_null()).then("_last").otherwise("_before")
    return (
        look_beside(seen, looks, "_next", "_before", strategy="backward")
        .join(last, on=CUSTOMER_KEY, how="left")
        .with_columns(holds_until=pl.max_horizontal(until, "observed_at"))
        .drop("_next", "_before", "_last")
    )


def _eager(frame: IntoFrame, columns: Sequence[str]) -> pl.DataFrame:
    there = lazy(frame)
    names = there.collect_schema().names()
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"a frame lacks {', '.join(missing)}; it has {', '.join(names)}.")
    collected: pl.DataFrame = there.select(*columns).collect("polars").to_native()
    kinds = {
        name: kind
        for name, kind in {**FETCHES, **BOOKINGS}.items()
        if name in columns and kind != collected[name].dtype
    }
    return collected.cast({name: pl.String() if isinstance(kind, pl.Enum) else kind for name, kind in kinds.items()})


def look_beside(frame: pl.DataFrame, looks: pl.DataFrame, time: str, name: str, *, strategy: str) -> pl.DataFrame:
    """Join the customer's nearest successful fetch strictly before or after a time, null where there is none."""
    timed = frame.filter(pl.col(time).is_not_null()).sort(time)
    beside = timed.join_asof(
        looks.rename({"fetched_at": name}),
        left_on=time,
        right_on=name,
        by=CUSTOMER_KEY,
        strategy="backward" if strategy == "backward" else "forward",
        allow_exact_matches=False,
        coalesce=False,
        check_sortedness=False,
    )
    return pl.concat([beside, frame.filter(pl.col(time).is_null())], how="diagonal")


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


def _with_known(dated: pl.DataFrame, known: pl.DataFrame, hours: Mapping[str, Hours]) -> pl.DataFrame:
    """Replace what the fetches say by known times, and count those that they exclude."""
    kind = known.schema["starts_at"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise ValueError(f"known: starts_at is of type {kind}: give it times with a time zone.")
    times = known.drop_nulls().unique(SLOT_KEY, keep="last", maintain_order=True)
    both = dated.join(
        times.with_columns(pl.col("starts_at").dt.convert_time_zone("UTC").dt.cast_time_unit("us")),
        on=SLOT_KEY,
        how="left",
        maintain_order="left",
    )
    at = pl.col("starts_at")
    outside = (at < pl.col("starts_after")) | (at >= pl.col("starts_before"))
    _warn(both.filter(outside), "have a known time that the fetches exclude; the known time was taken")
    local = pl.coalesce(
        pl.when(studio=name).then(at.dt.convert_time_zone(each.timezone).dt.date()) for name, each in hours.items()
    )
    given = at.is_not_null()
    return both.with_columns(
        **{name: pl.when(given).then(at).otherwise(name) for name in ("starts_after", "starts_before")},
        **{name: pl.when(given).then(local).otherwise(name) for name in ("first_day", "last_day", "class_day")},
        dated_by=pl.when(given).then(pl.lit("known", CLASS_DAYS["dated_by"])).otherwise("dated_by"),
        left_window=given | pl.col("left_window"),
        closed_after_h=pl.when(~given).then("closed_after_h"),
    ).drop("starts_at")


def _warn(slots: pl.DataFrame, what: str) -> None:
    if slots.height:
        first = slots.sort(SLOT_KEY).row(0, named=True)
        warnings.warn(
            f"{slots.height} class slots {what}: slot {first['class_slot_id']} of studio {first['studio']}, say. "
            "Check timezone, opens and closes, and whether classes were moved.",
            stacklevel=4,
        )
