"""How closely an archive's fetches follow its customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl

from bookings_analytics import schema
from bookings_analytics.metrics.engines import aggregate, lazy, merge
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.groups import MEMBERS
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bookings_analytics.metrics.groups import Groups
    from bookings_analytics.metrics.hours import Hours

_HOUR: Final = 3.6e9  # microseconds
_COUNTS: Final = {
    "n_customers": nw.col("_read").count(),
    "n_read": nw.col("_read").sum(),
    "n_fetches": nw.col("_fetch").sum(),
    "n_customers_gap_over_14_days": nw.col("_gap_over_window").sum(),
    "n_in_opening_hours": nw.col("_open").sum(),
}


def coverage(
    parts: Iterable[pl.DataFrame],
    cohorts: pl.DataFrame | None,
    by: str | Sequence[str] | None,
    hours: Mapping[str, Hours] | None = None,
) -> pl.DataFrame:
    """Compute `bookings_analytics.schema.COVERAGE`, as `Archive.coverage` defines it.

    Args:
        parts: `schema.FETCHES`, of whole customers each.
        cohorts: `schema.COHORTS`; None: everybody who was fetched.
        by: The columns to group by.
        hours: Each studio's time zone and hours: days are its own then, and ``n_in_opening_hours`` is computed.
    """
    columns = schema.COVERAGE if hours is None else schema.COVERAGE_BY_HOURS
    nothing, groups = read_groups(_asked(schema.FETCHES.to_frame(), None), cohorts, by, result=columns)
    asked = groups.attach(nothing)
    counts, gaps = [_counts(asked, groups)], [_gaps(asked, groups)]
    for part in parts:
        asked = groups.attach(lazy(_asked(part, hours)))
        counts.append(_counts(asked, groups))
        gaps.append(_gaps(asked, groups))
    totals = groups.totals(lazy(pl.concat(counts)), {name: nw.col(name).sum() for name in _COUNTS})
    totals = merge(groups.by, totals, lazy(_medians(pl.concat(gaps), groups.by)))
    if cohorts is not None:
        totals = totals.with_columns(n_customers=nw.col(MEMBERS))
    return groups.ordered(totals, columns).collect("polars").to_polars()


def _counts(asked: nw.LazyFrame[Any], groups: Groups) -> pl.DataFrame:
    """Count the fetches and customers of each group, in one part."""
    per_customer = asked.group_by(*dict.fromkeys((*CUSTOMER_KEY, *groups.by))).agg(
        nw.col("_fetch", "_open").sum(), nw.col("_read").max(), nw.col("_gap_over_window").max()
    )
    return aggregate(per_customer, groups.by, _COUNTS).collect("polars").to_polars()


def _gaps(asked: nw.LazyFrame[Any], groups: Groups) -> pl.DataFrame:
    """Count the gaps of each group by their length, in one part: so the parts' gaps can be pooled."""
    known = asked.filter(~nw.col("_gap").is_null())
    return known.group_by(*groups.by, "_gap").agg(n=nw.len().cast(nw.Int64)).collect("polars").to_polars()


def _medians(gaps: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Find the median and the longest gap of each group, in hours."""
    pooled = gaps.group_by(*by, "_gap").agg(pl.sum("n")).sort("_gap").with_columns(_all=pl.lit(1))
    until, n = pl.col("n").cum_sum(), pl.sum("n")
    middle = [pl.col("_gap").filter(until > place).first() for place in ((n - 1) // 2, n // 2)]
    medians = pooled.group_by(*by, "_all", maintain_order=True).agg(
        median_gap_h=(middle[0] + middle[1]) / 2 / _HOUR, longest_gap_h=pl.max("_gap") / _HOUR
    )
    return medians.drop("_all")


def _with_day(fetches: pl.DataFrame, hours: Mapping[str, Hours] | None) -> pl.DataFrame:
    """Add each fetch's day, and 1 in ``_open`` if it lies in the studio's hours; in UTC, and 0, without hours."""
    time = pl.col("fetched_at")
    if hours is None:
        return fetches.with_columns(day=time.dt.date(), _open=0)
    parts = [
        part.with_columns(
            day=hours[str(studio)].local(time).dt.date(), _open=hours[str(studio)].is_open(time).cast(pl.Int64)
        )
        for (studio,), part in fetches.group_by("studio", maintain_order=True)
    ]
    return pl.concat([fetches.clear().with_columns(day=time.dt.date(), _open=pl.lit(0, pl.Int64)), *parts])


def _asked(fetches: pl.DataFrame, hours: Mapping[str, Hours] | None) -> pl.DataFrame:
    """Return a row for each fetch, with the time (µs) since the one before if it was successful.

    The names that nobody is to group by begin with _.
    """
    ok = pl.col("outcome") == "ok"
    gap = pl.col("fetched_at").diff().over(CUSTOMER_KEY, order_by="fetched_at").dt.total_microseconds()
    dated = _with_day(fetches, hours)
    read = dated.filter(ok).with_columns(_gap=gap)
    return pl.concat([read, dated.filter(~ok)], how="diagonal").select(
        *CUSTOMER_KEY,
        "_gap",
        "day",
        "_open",
        _fetch=1,
        _read=ok.cast(pl.Int32),
        _gap_over_window=(pl.col("_gap") > schema.API_WINDOW.total_seconds() * 1e6).cast(pl.Int32),
    )
