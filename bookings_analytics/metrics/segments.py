"""Judge the weeks of a segment: its limits, the signals beyond them or in runs, and the slope.

A process behavior chart: limits around the rate of a segment of weeks, as wide as the weeks themselves scatter, and a
straight line through them with the interval of its slope. With y and n the hits and trials of a week, p = Σy/Σn::

    s = √(p(1-p)/n)    z = (y/n - p)/s    w = max(1, mean|z - z of the week before| / 1.128)    limits p ± 3ws
    u = t - Σnt/Σn     slope b = Σuy / Σnu²    E_it = u (y_it - p n_it) of customer i in week t
    V = V_c + max(0, V_w - V_cw)    V_c = m/(m-1) Σ_i(Σ_t E_it)²    V_w = T/(T-2) Σ_t(Σ_i E_it)²    V_cw = Σ E_it²
    interval  b ± t with T - 2 degrees of freedom · √V / Σnu²

Limits: Laney's p' chart (Quality Engineering 14, 2002; Mohammed & Laney, Quality and Safety in Health Care 15, 2006),
never narrower than those of independent trials, which is this package's own floor. Slope: clusters both ways, customers
and weeks (Cameron, Gelbach & Miller, Journal of Business & Economic Statistics 29, 2011). Two rules alone: a week
beyond the limits, and nine on one side of the center (Anhøj & Wentzel-Larsen, BMC Medical Research Methodology 18,
2018, on what more rules cost).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from bookings_analytics.metrics.quantiles import student_t
from bookings_analytics.schema import CUSTOMER_KEY

LEAST_WEEKS: Final = 12  # of a segment that is judged
LEAST_HITS: Final = 5  # a week, on average, of hits and of misses
RUN: Final = 9  # weeks in a row on one side of the center
LEAST_WEEKS_FOR_RUNS: Final = 20
_WIDTH: Final = 3.0  # of the limits, in standard deviations
_MOVING_RANGE: Final = 1.128  # the mean range of two draws from a normal distribution, in standard deviations
WEEK_KEY: Final = ("_group", "week")
SEGMENT_KEY: Final = ("_group", "segment")


def judged(weeks: pl.DataFrame, cells: pl.DataFrame, confidence: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compute limits and signals of complete weeks with trials, and center and slope of their segments.

    Args:
        weeks: One row per group and week: ``_group``, ``week``, ``segment``, hits ``_y``, trials ``_n``.
        cells: The same per customer.
        confidence: Nominal coverage of the slopes' intervals.

    Returns:
        One row per week: ``limit_low``, ``limit_high``, ``signal``; and one per segment: ``center``, ``slope`` and its
        interval.
    """
    hits, trials = pl.sum("_y").alias("_Y"), pl.sum("_n").alias("_N")
    segments = (
        weeks.group_by(SEGMENT_KEY)
        .agg(hits, trials, _T=pl.len(), _first=pl.min("week"))
        .with_columns(
            center=pl.col("_Y") / pl.col("_N"),
            _judged=(pl.col("_T") >= LEAST_WEEKS)
            & (pl.min_horizontal("_Y", pl.col("_N") - pl.col("_Y")) >= LEAST_HITS * pl.col("_T")),
        )
    )
    center = segments.select(*SEGMENT_KEY, "center")
    judged = segments.filter("_judged").drop("_judged")
    weeks = weeks.select(*WEEK_KEY, "segment", "_y", "_n").join(judged, on=SEGMENT_KEY).sort(WEEK_KEY)
    slopes = _slopes(weeks, cells, confidence)
    return _signals(_limits(weeks)), center.join(slopes, on=SEGMENT_KEY, how="left")


def _limits(weeks: pl.DataFrame) -> pl.DataFrame:
    """Add the limits, as wide as the weeks of a segment scatter."""
    p, n = pl.col("center"), pl.col("_n")
    moving_range = (pl.col("_z") - pl.col("_z").shift().over(SEGMENT_KEY)).abs().mean().over(SEGMENT_KEY)
    half = _WIDTH * pl.max_horizontal(pl.lit(1.0), moving_range / _MOVING_RANGE) * pl.col("_sigma")
    return (
        weeks.with_columns(_sigma=(p * (1 - p) / n).sqrt())
        .with_columns(_z=(pl.col("_y") / n - p) / pl.col("_sigma"))
        .with_columns(_half=half)
        .with_columns(limit_low=(p - pl.col("_half")).clip(0, 1), limit_high=(p + pl.col("_half")).clip(0, 1))
    )


def _signals(weeks: pl.DataFrame) -> pl.DataFrame:
    """Mark the weeks beyond the limits, and those of a run on one side of the center."""
    value = pl.col("_y") / pl.col("_n")
    weeks = weeks.with_columns(_side=(pl.col("_y") * pl.col("_N") - pl.col("_n") * pl.col("_Y")).sign())
    off_center = weeks.filter(pl.col("_side") != 0).with_columns(_run=pl.col("_side").rle_id().over(SEGMENT_KEY))
    length = pl.len().over(*SEGMENT_KEY, "_run")
    long = off_center.filter(length >= RUN, pl.col("_T") >= LEAST_WEEKS_FOR_RUNS).select(*WEEK_KEY, _in_run="_side")
    signal = (
        pl.when(value > pl.col("limit_high"))
        .then(pl.lit("above"))
        .when(value < pl.col("limit_low"))
        .then(pl.lit("below"))
        .when(pl.col("_in_run") > 0)
        .then(pl.lit("run_above"))
        .when(pl.col("_in_run") < 0)
        .then(pl.lit("run_below"))
        .otherwise(pl.lit("within"))
    )
    return weeks.join(long, on=WEEK_KEY, how="left").select(*WEEK_KEY, "limit_low", "limit_high", signal=signal)


def _slopes(weeks: pl.DataFrame, cells: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Compute the slope of each judged segment, with clusters of customers and of weeks in its interval."""
    number = (pl.col("week") - pl.col("_first")).dt.total_days() / 7
    mean = (pl.col("_n") * pl.col("_t")).sum().over(SEGMENT_KEY) / pl.col("_N")
    weeks = weeks.with_columns(_t=number).with_columns(_u=pl.col("_t") - mean)
    residual = pl.col("_u") * (pl.col("_y") - pl.col("center") * pl.col("_n"))
    of_cells = (
        cells.filter(pl.col("_n") > 0)
        .join(weeks.select(*WEEK_KEY, "segment", "_u", "center"), on=WEEK_KEY)
        .with_columns(_E=residual)
    )
    of_customers = of_cells.group_by(*SEGMENT_KEY, *CUSTOMER_KEY).agg(pl.sum("_E")).group_by(SEGMENT_KEY)
    slopes = (
        weeks.group_by(SEGMENT_KEY)
        .agg(
            _T=pl.first("_T"),
            _Suy=(pl.col("_u") * pl.col("_y")).sum(),
            _Snu2=(pl.col("_n") * pl.col("_u") ** 2).sum(),
            _Vw=(residual**2).sum(),
        )
        .join(of_customers.agg(_m=pl.len(), _Vc=(pl.col("_E") ** 2).sum()), on=SEGMENT_KEY)
        .join(of_cells.group_by(SEGMENT_KEY).agg(_Vcw=(pl.col("_E") ** 2).sum()), on=SEGMENT_KEY)
    )
    m, weeks_there = pl.col("_m"), pl.col("_T")
    of_one = pl.when(m > 1)  # how customers differ can't be seen of one
    t = {number: student_t(confidence, number - 2) for number in slopes["_T"].unique()}
    variance = of_one.then(m / (m - 1) * pl.col("_Vc")) + pl.max_horizontal(
        pl.lit(0.0), weeks_there / (weeks_there - 2) * pl.col("_Vw") - pl.col("_Vcw")
    )
    half = weeks_there.replace_strict(t, return_dtype=pl.Float64) * variance.sqrt() / pl.col("_Snu2")
    slope = pl.col("_Suy") / pl.col("_Snu2")
    return slopes.select(*SEGMENT_KEY, slope=slope, slope_ci_low=slope - half, slope_ci_high=slope + half)
