"""The chance to get in from the waiting list, by how many nights before the class somebody still waited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import lazy, like
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.hours import Hours
from bookings_analytics.metrics.intervals import Rate, with_rates
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.metrics.sightings import looks_of, sightings
from bookings_analytics.metrics.waitlist import CONVERTED, waits_of
from bookings_analytics.schema import API_WINDOW, CLASS_DAYS, CUSTOMER_KEY, PLACE_KEY, SLOT_KEY, WAITLIST_CHANCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_DECIDED: Final = ("converted", "lapsed", "withdrawn")
_NIGHTS: Final = "nights_before"


def waitlist_chances(
    history: IntoFrameT,
    class_days: IntoFrame,
    *,
    fetches: IntoFrame,
    cohorts: IntoFrame | None = None,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
) -> IntoFrameT:
    """Compute the share of those waiting in a night before the class who got a seat in the end, night by night.

    Unlike ``conversion_rate`` it does not depend on the hours of the fetches: whoever is on the list in a night, while
    the studio is closed, is there at any hour of it.

    Args:
        history: Every observation of an archive, in polars: BOOKINGS of `bookings_analytics.schema`.
        class_days: What `class_days` found; with ``class_title``, rates by ``class_id`` carry it.
        fetches: Every fetch: FETCHES of `bookings_analytics.schema`.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the history.
        by: Column or columns to group by, of the cohorts or the outcomes; None: all together. A customer in two cohorts
            counts in each.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per group and night in which somebody was seen waiting: the group's columns, then WAITLIST_CHANCES of
        `bookings_analytics.schema`, TITLES where they are known, and PERIOD, sorted by group and night.
        ``nights_before`` 0 is the last night before the class day.
        ``n_waits`` customers were WAITING_LIST at their last successful fetch in that night and their wait has ended;
        ``chance`` is the share of them whose wait ended ``converted``. ``chance_ci_*``: Wilson with the effective
        sample size of waits clustered by customer and by slot, as in `waitlist_conversion`. No row comes from
        fetches in opening hours.

    Raises:
        CohortError: The cohorts do not fit the history.
        TypeError: The history is not in polars.
        ValueError: ``by`` names no column or an ambiguous one, or the confidence is not between 0 and 1.

    Example:
        >>> from datetime import datetime, timedelta, timezone
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> nights = [datetime(2026, 5, 1, 2, tzinfo=timezone.utc) + timedelta(days=day) for day in range(30)]
        >>> booking = {"studio": "mitte", "customer_id": 7, "class_slot_id": 31, "class_id": 4, "booking_id": 9,
        ...     "participant_status": "UNSET", "visible": True}
        >>> waits = booking | {"booking_status": "WAITING_LIST", "class_slot_status": "PLANNED"}
        >>> sits = booking | {"booking_status": "BOOKED", "class_slot_status": "COMPLETED"}
        >>> history = pl.DataFrame([
        ...     waits | {"observed_at": nights[6]},
        ...     sits | {"observed_at": nights[8]},
        ...     sits | {"observed_at": nights[22], "visible": False},
        ... ])
        >>> fetches = pl.DataFrame({"studio": "mitte", "customer_id": 7, "fetched_at": nights, "outcome": "ok"})
        >>> days = ba.class_days(history, fetches, timezone="Europe/Berlin")
        >>> chances = ba.waitlist_chances(history, days, fetches=fetches)
        >>> chances.select("nights_before", "n_waits", "n_converted", "chance").rows()
        [(0, 1, 1, 1.0), (1, 1, 1, 1.0)]
    """
    observations = lazy(history)
    named = (by,) if isinstance(by, str) else tuple(by or ())
    if _NIGHTS in named:
        raise ValueError(f"by names {_NIGHTS!r}, which every row of the result has already: leave it out.")
    outcomes = classify(cast("pl.LazyFrame", observations.to_native()), class_days=class_days, fetches=fetches)
    ended = lazy(outcomes).filter(nw.col("wait_outcome").is_in(_DECIDED))
    dated = lazy(class_days)
    called = [name for name in dated.collect_schema().names() if name == "class_title"]
    days = cast("pl.DataFrame", dated.select(*CLASS_DAYS, *called).collect("polars").to_native())
    rows = cast("pl.LazyFrame", observations.to_native()).collect()
    waits = ended.join(nw.from_native(_nights(rows, looks_of(fetches), days).lazy()), on=list(PLACE_KEY))
    if called:
        waits = waits.join(lazy(days.lazy()).select(*SLOT_KEY, *called), on=list(SLOT_KEY), how="left")
    columns = [name for name in WAITLIST_CHANCES if name != _NIGHTS]
    listed, groups = read_groups(waits.to_native(), cohorts, (*named, _NIGHTS), result=columns)
    totals, _ = waits_of(listed, groups)
    seen = totals.filter(~nw.col(_NIGHTS).is_null()).with_columns(n_waits=nw.col("_decided"))
    result = with_rates(seen, confidence, chance=Rate(*CONVERTED, "_two_way"))
    return like(history, groups.result(result, columns))


def _nights(rows: pl.DataFrame, looks: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Find the nights before its class in which each place was seen on the waiting list: one row for each."""
    waiting = sightings(rows, looks).filter(pl.col("booking_status").cast(pl.String) == "WAITING_LIST")
    dated = days.drop_nulls("class_day").select(*SLOT_KEY, "class_day")
    nights = waiting.join(dated, on=SLOT_KEY).select(*PLACE_KEY, "class_day", "observed_at", "holds_until")
    nights = nights.with_columns(pl.lit(list(range(API_WINDOW.days + 1))).alias(_NIGHTS)).explode(_NIGHTS)
    nights = nights.with_columns(_night=pl.col("class_day") - pl.duration(days=pl.col(_NIGHTS)))
    parts = [
        _last_looks(looks.filter(studio=studio), Hours(*hours))
        for studio, *hours in days.select("studio", "timezone", "opens", "closes").unique().sort("studio").rows()
    ]
    last = pl.concat([*parts, looks.head(0).with_columns(_night=pl.lit(None, pl.Date))], how="diagonal")
    shown = nights.join(last, on=[*CUSTOMER_KEY, "_night"]).filter(
        pl.col("fetched_at").is_between("observed_at", "holds_until")
    )
    return shown.select(*PLACE_KEY, pl.col(_NIGHTS).cast(pl.Int64)).unique()


def _last_looks(looks: pl.DataFrame, hours: Hours) -> pl.DataFrame:
    """Choose each customer's last look in each closed night, which is named by the day that it precedes."""
    time = pl.col("fetched_at")
    closed = looks.with_columns(_night=hours.day_of_lower(time), _day=hours.day_of_upper(time))
    closed = closed.filter(pl.col("_day") < pl.col("_night"))
    return closed.group_by(*CUSTOMER_KEY, "_night").agg(pl.max("fetched_at"))
