"""The intervals of a rate over weeks: each week's, whatever happened in unrecorded seats, and each segment's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.design_effects import Measure, cluster_sums, design_effect_of_ones, with_design_effects
from bookings_analytics.metrics.engines import aggregate, in_polars, lazy
from bookings_analytics.metrics.intervals import Bounds, Rate, with_rates
from bookings_analytics.metrics.measured import OF_SEGMENTS
from bookings_analytics.metrics.rates import no_shows
from bookings_analytics.metrics.weekly import HIT, OF_CUSTOMERS, PERHAPS, TRIALS, Weekly, placed
from bookings_analytics.schema import CUSTOMER_KEY, TRENDS

if TYPE_CHECKING:
    from datetime import date

    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.groups import Groups


def bounds_of(
    outcomes: IntoFrame, cohorts: IntoFrame | None, groups: Groups, found: Weekly, *, rate: str, confidence: float
) -> pl.DataFrame:
    """Compute each week's range whatever happened in unrecorded seats.

    Args:
        outcomes: The outcomes, as they were given.
        cohorts: The cohorts, likewise.
        groups: The groups.
        found: The rate by group and week.
        rate: One of `schema.TRENDS`.
        confidence: Nominal coverage.

    Returns:
        One row per group and week: ``_group``, ``week``, ``value_bounds_low``, ``value_bounds_high``; none of a rate
        that attendance does not decide.
    """
    ends = {f"value_bounds_{side}": f"{rate}_bounds_{side}" for side in ("low", "high")}
    if not TRENDS[rate].bounds:
        types = dict.fromkeys(ends, pl.Float64)
        return pl.DataFrame(schema={"_group": pl.Int64, "week": pl.Date, **types})
    if rate in OF_CUSTOMERS:
        ones = design_effect_of_ones(nw.col(TRIALS))
        totals = nw.from_native(found.calendar.lazy()).with_columns(_ones=ones)
        bounded = Rate(HIT, TRIALS, "_ones", bounds=Bounds(TRIALS, HIT, PERHAPS))
        by_week = in_polars(with_rates(totals, confidence, **{rate: bounded}))
    else:
        rates = no_shows(outcomes, cohorts, by=[*groups.by, "week"], confidence=confidence)
        by_week = in_polars(lazy(rates).select(*groups.by, "week", *ends.values()))
        by_week = placed(by_week, found.named, groups).drop_nulls("week")
    return by_week.select("_group", "week", **ends)


def segment_rates(
    rows: nw.LazyFrame[Any], groups: Groups, found: Weekly, *, rate: str, since: date | None, confidence: float
) -> pl.DataFrame:
    """Compute the rate of each group's complete weeks from a day on, with its own interval.

    Args:
        rows: The outcomes.
        groups: The groups.
        found: The rate by group and week.
        rate: One of `schema.TRENDS`.
        since: The first week; None: all.
        confidence: Nominal coverage of the interval.

    Returns:
        One row per group with trials: ``_group``, ``value_ci_low``, ``value_ci_high``.
    """
    chosen = ["_group", "value_ci_low", "value_ci_high"]
    counting = found.calendar.filter("_counts", *([pl.col("week") >= since] if since else []))
    if rate in OF_CUSTOMERS:
        m = Measure(HIT, TRIALS)
        cells = found.cells.join(counting.select("_group", "week"), on=["_group", "week"])
        customers = nw.from_native(cells.group_by("_group", *CUSTOMER_KEY).agg(pl.sum(HIT, TRIALS)).lazy())
        totals = with_design_effects(aggregate(customers, ["_group"], cluster_sums(*m)), m)
        value = Rate(*m, m("deff"), m("effective"))
        return in_polars(with_rates(totals, confidence, value=value)).select(chosen)
    spans = counting.group_by("_group").agg(pl.min("week").alias("_from"), pl.max("week").alias("_to"))
    parts = [pl.DataFrame(schema={"_group": pl.Int64, "value_ci_low": pl.Float64, "value_ci_high": pl.Float64})]
    for first, last in spans.select("_from", "_to").unique().sort("_from", "_to").iter_rows():
        inside = (nw.col("week") >= first) & (nw.col("week") <= last) & nw.col("week_complete")
        totals = OF_SEGMENTS[rate](rows.filter(inside), groups, confidence, among=rows).totals
        of_span = placed(in_polars(totals.select(*groups.by, *chosen[1:])), found.named, groups)
        theirs = spans.filter(pl.col("_from") == first, pl.col("_to") == last)
        parts.append(of_span.join(theirs, on="_group", how="semi").select(chosen))
    return pl.concat(parts)
