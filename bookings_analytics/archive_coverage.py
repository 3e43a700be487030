"""How closely an archive's fetches watched its customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import narwhals as nw
import polars as pl

from bookings_analytics import schema
from bookings_analytics.groups import MEMBERS, merge, ordered, read_groups
from bookings_analytics.results import CUSTOMER

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOW_H: Final = 14 * 24  # how far back the API shows


def coverage(fetches: pl.DataFrame, cohorts: pl.DataFrame | None, by: str | Sequence[str] | None) -> pl.DataFrame:
    """Compute `bookings_analytics.schema.COVERAGE`, as `Archive.coverage` says."""
    asked, groups = read_groups(_with_gaps(fetches), cohorts, by, result=schema.COVERAGE)
    counts = {
        "n_customers": nw.col("_customer").sum(),
        "n_fetches": nw.len(),
        "n_customers_gap_over_14_days": nw.col("_gap_over_window").sum(),
    }
    asked = groups.attach(asked)
    median, longest = nw.col("_gap_h").median().alias("median_gap_h"), nw.col("_gap_h").max().alias("longest_gap_h")
    gaps = asked.group_by(*groups.by).agg(median, longest) if groups.by else asked.select(median, longest)
    totals = merge(groups.by, groups.totals(asked, counts), gaps)
    if cohorts is not None:
        totals = totals.with_columns(n_customers=nw.col(MEMBERS))
    return ordered(totals, groups.by, schema.COVERAGE).collect("polars").to_polars()


def _with_gaps(fetches: pl.DataFrame) -> pl.DataFrame:
    """Give each fetch the hours since its customer's last successful one, if it is one itself.

    The names begin with _, so that nobody can group by them.
    """
    ok = pl.col("outcome") == "ok"
    first = pl.int_range(pl.len()).over(CUSTOMER) == 0
    hours = pl.col("fetched_at").diff().over(CUSTOMER, order_by="fetched_at").dt.total_microseconds() / 3.6e9
    gaps = fetches.filter(ok).select(*CUSTOMER, "fetched_at", _gap_h=hours)
    return (
        fetches.join(
            gaps.with_columns(outcome=pl.lit("ok", schema.FETCH_OUTCOME)),
            on=[*CUSTOMER, "fetched_at", "outcome"],
            how="left",
        )
        .with_columns(_over=(pl.col("_gap_h").max().over(CUSTOMER) > _WINDOW_H).fill_null(value=False))
        .select(
            *CUSTOMER,
            "_gap_h",
            _customer=first.cast(pl.Int64),
            _gap_over_window=(first & pl.col("_over")).cast(pl.Int64),
        )
    )
