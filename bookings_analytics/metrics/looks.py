"""How often, and at which hours, the customers of each group were fetched.

A *look* is a successful fetch of a customer; fetches of one customer that follow each other within an hour are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import day_number, lazy, merge, seconds
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.groups import Groups

_HOUR: Final = 3_600
_USUAL: Final = 0.1  # share of a group's looks from which an hour is named


def looks(
    fetches: IntoFrame, bookings: nw.LazyFrame[Any], groups: Groups, timezone: str | Mapping[str, str] | None
) -> nw.LazyFrame[Any]:
    """Describe the looks at each group's customers: one row per group.

    Args:
        fetches: Every fetch.
        bookings: The outcomes, which say whose fetches belong to a group that only they name.
        groups: The groups.
        timezone: The studio's time zone, or that of each; None: days are those of UTC, and no hours are named.

    Returns:
        The group columns, ``median_fetch_gap_h``, ``looks_per_day`` and ``fetch_hours``.

    Raises:
        TypeError: The fetches are on another engine than the outcomes, or on one that knows no time zones.
        ValueError: A studio has no time zone, or one that does not exist.
    """
    asked = lazy(fetches)
    if asked.implementation is not bookings.implementation:
        raise TypeError(
            f"the outcomes are on {bookings.implementation.value} and the fetches on {asked.implementation.value}; "
            "pass both on the same engine."
        )
    times = asked.filter(nw.col("outcome") == "ok").select(*CUSTOMER_KEY, "fetched_at").unique()
    times = times.with_columns(_at=seconds(times, "fetched_at"))
    times = times.with_columns(_before=nw.col("_at").shift(1).over(*CUSTOMER_KEY, order_by="_at"))
    times = times.with_columns(_gap_s=nw.col("_at") - nw.col("_before"))
    times = times.with_columns(
        _gap=nw.col("_gap_s") / _HOUR,
        _look=nw.when(nw.col("_gap_s") < _HOUR).then(0).otherwise(1),
    )
    times = _placed(times, timezone)
    if groups.own or groups.members is None:
        key = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own)))
        times = times.join(bookings.select(*key).unique(), on=list(CUSTOMER_KEY))
    times = groups.attach(times)
    seen = times.filter(nw.col("_look") == 1)
    days = seen.group_by(*dict.fromkeys((*CUSTOMER_KEY, *groups.by, "_day"))).agg(nw.col("_look").sum())
    parts = [
        _median(times, groups.by, "_gap", "median_fetch_gap_h"),
        _median(days, groups.by, "_look", "looks_per_day"),
    ]
    if timezone is None:
        return merge(groups.by, *parts).with_columns(fetch_hours=nw.lit(None, nw.String))
    return merge(groups.by, *parts, _hours(seen, groups.by))


def _median(rows: nw.LazyFrame[Any], by: Sequence[str], column: str, name: str) -> nw.LazyFrame[Any]:
    median = nw.col(column).cast(nw.Float64).median().alias(name)
    return rows.group_by(*by).agg(median) if by else rows.select(median)


def _placed(times: nw.LazyFrame[Any], timezone: str | Mapping[str, str] | None) -> nw.LazyFrame[Any]:
    """Add each fetch's day and, with a time zone, its local hour."""
    if timezone is None:
        return times.with_columns(_day=day_number(times, "fetched_at"))
    if not times.implementation.is_polars():
        raise TypeError(
            f"the fetches are on {times.implementation.value}, where local hours can't be computed: leave out "
            "timezone=, or collect outcomes, cohorts and fetches to polars first."
        )
    native = cast("pl.LazyFrame", times.to_native())
    parts = []
    for studio in native.select(pl.col("studio").unique().sort()).collect()["studio"]:
        zone = timezone if isinstance(timezone, str) else timezone.get(studio)
        if zone is None:
            raise ValueError(f"timezone= names no studio {studio!r}: add it, as in {{{studio!r}: 'Europe/Berlin'}}.")
        try:
            local = pl.col("fetched_at").dt.convert_time_zone(zone)
        except pl.exceptions.ComputeError:
            raise ValueError(
                f"timezone is {zone!r} for studio {studio!r}, which does not exist: name one such as 'Europe/Berlin'."
            ) from None
        parts.append(native.filter(studio=studio).with_columns(_day=local.dt.date(), _hour=local.dt.hour()))
    empty = native.clear().with_columns(_day=pl.lit(None, pl.Date), _hour=pl.lit(None, pl.Int8))
    return nw.from_native(pl.concat(parts or [empty]))


def _hours(seen: nw.LazyFrame[Any], by: Sequence[str]) -> nw.LazyFrame[Any]:
    """Name the hours that have at least a tenth of a group's looks; a group without such an hour has no row."""
    native = cast("pl.LazyFrame", seen.to_native())
    counts = native.group_by(*by, "_hour").agg(n=pl.len())
    whole = pl.sum("n").over(*by) if by else pl.sum("n")
    usual = counts.filter(pl.col("n") >= _USUAL * whole).sort("_hour")
    text = pl.col("_hour").cast(pl.String).str.zfill(2).str.join(", ").alias("fetch_hours")
    named = usual.group_by(*by).agg(text) if by else usual.select(text)
    return nw.from_native(named.filter(pl.col("fetch_hours") != ""))
