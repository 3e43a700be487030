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
    from collections.abc import Sequence


def coverage(fetches: pl.DataFrame, cohorts: pl.DataFrame | None, by: str | Sequence[str] | None) -> pl.DataFrame:
    """Compute `bookings_analytics.schema.COVERAGE`, as `Archive.coverage` defines it."""
    asked, groups = read_groups(_with_gaps(fetches), cohorts, by, result=schema.COVERAGE)
    asked = groups.attach(asked)
    per_customer = asked.group_by(*dict.fromkeys((*CUSTOMER_KEY, *groups.by))).agg(
        nw.col("_fetch").sum(), nw.col("_read").max(), nw.col("_gap_over_window").max()
    )
    counts = {
        "n_customers": nw.col("_read").count(),
        "n_read": nw.col("_read").sum(),
        "n_fetches": nw.col("_fetch").sum(),
        "n_customers_gap_over_14_days": nw.col("_gap_over_window").sum(),
    }
    median, longest = nw.col("_gap_h").median().alias("median_gap_h"), nw.col("_gap_h").max().alias("longest_gap_h")
    gaps = asked.group_by(*groups.by).agg(median, longest) if groups.by else asked.select(median, longest)
    totals = merge(groups.by, groups.totals(per_customer, counts), gaps)
    if cohorts is not None:
        totals = totals.with_columns(n_customers=nw.col(MEMBERS))
    return ordered(totals, groups.by, schema.COVERAGE).collect("polars").to_polars()


def _with_gaps(fetches: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each fetch: its day, and if it was successful, the hours since the one before.

    The names that nobody is to group by begin with _.
    """
    ok = pl.col("outcome") == "ok"
    gap = pl.col("fetched_at").diff().over(CUSTOMER_KEY, order_by="fetched_at").dt.total_microseconds() / 3.6e9
    read = fetches.filter(ok).with_columns(_gap_h=gap)
    return pl.concat([read, fetches.filter(~ok)], how="diagonal").select(
        *CUSTOMER_KEY,
        "_gap_h",
        day=pl.col("fetched_at").dt.date(),
        _fetch=1,
        _read=ok.cast(pl.Int32),
        _gap_over_window=(pl.col("_gap_h") > schema.API_WINDOW.total_seconds() / 3600).cast(pl.Int32),
    )
