"""How closely an archive's fetches follow its customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from bookings_analytics import schema
from bookings_analytics.metrics.engines import merge, ordered
from bookings_analytics.metrics.groups import MEMBERS, read_groups
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bookings_analytics.metrics.hours import Hours


def coverage(
    fetches: pl.DataFrame,
    cohorts: pl.DataFrame | None,
    by: str | Sequence[str] | None,
    hours: Mapping[str, Hours] | None = None,
) -> pl.DataFrame:
    """Compute `bookings_analytics.schema.COVERAGE`, as `Archive.coverage` defines it.

    Args:
        fetches: `schema.FETCHES`.
        cohorts: `schema.COHORTS`; None: everybody who was fetched.
        by: The columns to group by.
        hours: Each studio's time zone and hours: days are its own then, and ``n_in_opening_hours`` is computed.
    """
    columns = schema.COVERAGE if hours is None else schema.COVERAGE_BY_HOURS
    asked, groups = read_groups(_with_gaps(_with_day(fetches, hours)), cohorts, by, result=columns)
    asked = groups.attach(asked)
    per_customer = asked.group_by(*dict.fromkeys((*CUSTOMER_KEY, *groups.by))).agg(
        nw.col("_fetch", "_open").sum(), nw.col("_read").max(), nw.col("_gap_over_window").max()
    )
    counts = {
        "n_customers": nw.col("_read").count(),
        "n_read": nw.col("_read").sum(),
        "n_fetches": nw.col("_fetch").sum(),
        "n_customers_gap_over_14_days": nw.col("_gap_over_window").sum(),
        "n_in_opening_hours": nw.col("_open").sum(),
    }
    median, longest = nw.col("_gap_h").median().alias("median_gap_h"), nw.col("_gap_h").max().alias("longest_gap_h")
    gaps = asked.group_by(*groups.by).agg(median, longest) if groups.by else asked.select(median, longest)
    totals = merge(groups.by, groups.totals(per_customer, counts), gaps)
    if cohorts is not None:
        totals = totals.with_columns(n_customers=nw.col(MEMBERS))
    return ordered(totals, groups.by, columns).collect("polars").to_polars()


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


def _with_gaps(fetches: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each fetch, with the hours since the one before if it was successful.

    The names that nobody is to group by begin with _.
    """
    ok = pl.col("outcome") == "ok"
    gap = pl.col("fetched_at").diff().over(CUSTOMER_KEY, order_by="fetched_at").dt.total_microseconds() / 3.6e9
    read = fetches.filter(ok).with_columns(_gap_h=gap)
    return pl.concat([read, fetches.filter(~ok)], how="diagonal").select(
        *CUSTOMER_KEY,
        "_gap_h",
        "day",
        "_open",
        _fetch=1,
        _read=ok.cast(pl.Int32),
        _gap_over_window=(pl.col("_gap_h") > schema.API_WINDOW.total_seconds() / 3600).cast(pl.Int32),
    )
