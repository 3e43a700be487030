"""Whether a rate changes from week to week, or only as chance makes it.

A process behavior chart: limits around the rate of a segment of weeks, as wide as the weeks themselves scatter, and a
straight line through them with the interval of its slope. With y and n the hits and trials of a week, p = Σy/Σn::

    s = √(p(1-p)/n)    z = (y/n - p)/s    w = max(1, mean|z - z of the week before| / 1.128)
    limits p ± 3ws + c     c = 4/3 (1 - 2p) w²/n, of either sign at most ws
    u = t - Σnt/Σn     slope b = Σuy / Σnu²    E_it = u (y_it - p n_it) of customer i in week t
    V = V_c + max(0, V_w - V_cw)    V_c = m/(m-1) Σ_i(Σ_t E_it)²    V_w = T/(T-2) Σ_t(Σ_i E_it)²    V_cw = Σ E_it²
    interval  b ± t with T - 2 degrees of freedom · √V / Σnu²

Limits: Laney's p' chart (Quality Engineering 14, 2002; Mohammed & Laney, Quality and Safety in Health Care 15, 2006),
never narrower than those of independent trials, which is this package's own floor. c moves both limits toward the long
tail of a rate that is not a half (Winterbottom, Quality and Reliability Engineering International 9, 1993, from the
expansion of Cornish & Fisher, with trials counted as n/w²): without it, nearly all false alarms are weeks above the
upper limit of a small rate. Slope: clusters both ways, customers
and weeks (Cameron, Gelbach & Miller, Journal of Business & Economic Statistics 29, 2011). Two rules alone: a week
beyond the limits, and nine on one side of the center (Anhøj & Wentzel-Larsen, BMC Medical Research Methodology 18,
2018, on what more rules cost).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import lazy, like, of_outcomes
from bookings_analytics.metrics.groups import read_groups
from bookings_analytics.metrics.intervals import quantile, student_t
from bookings_analytics.metrics.weekly import bounds_of, segment_rates, weekly
from bookings_analytics.schema import CUSTOMER_KEY, TREND, TRENDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

LEAST_WEEKS: Final = 12  # of a segment that is judged
LEAST_HITS: Final = 5  # a week, on average, of hits and of misses
RUN: Final = 9  # weeks in a row on one side of the center
LEAST_WEEKS_FOR_RUNS: Final = 20
_WIDTH: Final = 3.0  # of the limits, in standard deviations
_SKEW: Final = (_WIDTH**2 - 1) / 6  # of Cornish & Fisher, at that width
_MOVING_RANGE: Final = 1.128  # the mean range of two draws from a normal distribution, in standard deviations
_WEEK: Final = ("_group", "week")
_SEGMENT: Final = ("_group", "segment")
_OF_COMPLETE: Final = (  # what an incomplete week has not
    *("value_bounds_low", "value_bounds_high", "center", "limit_low", "limit_high", "signal"),
    *("segment", "reason", "slope", "slope_ci_low", "slope_ci_high"),
)


@of_outcomes
def trend(
    outcomes: IntoFrameT,
    rate: str,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    rebase_at: Mapping[date, str] | None = None,
    target: float | None = None,
    confidence: float = 0.95,
    fetches: IntoFrame | None = None,
) -> IntoFrameT:
    """Compute a rate week after week, with limits that chance alone hardly crosses, and its slope.

    Limits, center and slope belong to a segment: all weeks, or those from one dated, named change to the next. A
    segment is judged from 12 weeks on, with at least 5 hits and 5 misses a week on average. A signal is a week beyond
    the limits or, from 20 weeks on, one of nine in a row on one side of the center. Where nothing changes, up to 3 % of
    12 weeks, 8 % of 26 and 23 % of 52 show one. More do where customers come and go (a twentieth of them a week: up to
    18 % of 26 weeks and half of 52): at most 26 weeks a segment are advised. The interval of a slope leaves out zero in
    at most 7 %.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: OUTCOMES of
            `bookings_analytics.schema` as `classify` returns them with ``class_days``.
        rate: Which rate: one of ``no_show_rate``, ``attendance_rate``, ``late_cancel_rate``, ``seat_rate``,
            ``cancellation_rate``, ``recorded_share``, ``booking_rate``, ``participation_rate`` (the last two are of
            customers and need ``cohorts``: each is in the base of every week, with or without a booking in it).
        cohorts: Whose bookings to count: rows of customers, with their ``fetch_outcome`` if known. A row without studio
            belongs to the only studio of the outcomes. None: all customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one group.
        rebase_at: Day of a change → its reason, as in ``{date(2026, 3, 9): "a fee for no-shows"}``: limits start anew
            on the first Monday from that day on. None: one segment.
        target: The rate aimed at, a share from 0 to 1; None: there is none.
        confidence: Nominal coverage of the intervals of the slope and of the last segment's rate.
        fetches: Every fetch: a row each with ``studio``, ``customer_id``, ``fetched_at`` and ``outcome``. With them, a
            customer is in the base of ``booking_rate`` and ``participation_rate`` only in weeks between their own first
            and last successful fetch, so that a growing list does not raise the rate by itself. None: in all weeks.

    Returns:
        One row per group and week: the group's columns, then TREND, sorted by group and week; in polars, whatever the
        engine of ``outcomes``. ``value`` is a share of ``n`` trials; ``limit_low`` and ``limit_high`` hold the weeks of
        a judged segment around its ``center``; ``slope`` is in shares a week. A week without trials is a row without
        value. An incomplete week has ``value`` and ``n`` alone; of several studios in a group a week is complete if it
        is in each of them. ``against_target``: on which side of the target the interval of the last segment's rate
        lies.

    Raises:
        CohortError: The cohorts are needed and missing, or do not fit the outcomes.
        TypeError: The two frames are on different engines, or ``rebase_at`` or ``target`` is of another type.
        ValueError: There is no such rate, the classes are not dated, a day of ``rebase_at`` has no reason or no weeks
            on both sides, ``target`` is outside 0 to 1, ``by`` names no column or an ambiguous one, or the confidence
            is not between 0 and 1.

    Example:
        >>> from datetime import date, timedelta
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> weeks = [date(2026, 1, 5) + timedelta(weeks=week) for week in range(12)]
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": list(range(40)) * 12,
        ...     "class_slot_id": range(480),
        ...     "class_id": 7,
        ...     "week": [week for week in weeks for _ in range(40)],
        ...     "week_complete": True,
        ...     "outcome": (["no_show"] * 8 + ["attended"] * 32) * 11 + ["no_show"] * 30 + ["attended"] * 10,
        ... })
        >>> weekly = ba.trend(outcomes, "no_show_rate")
        >>> weekly.select("week", "value", "limit_high", "signal").row(-1)
        (datetime.date(2026, 3, 23), 0.75, 0.45..., 'above')
    """
    _check_rate(outcomes, rate)
    if "week" in ([by] if isinstance(by, str) else by or []):
        raise ValueError("by names 'week', and every row of a trend is of one week already: leave it out.")
    rows, groups = read_groups(outcomes, cohorts, by, result=TREND)
    quantile(confidence)  # which refuses what is no confidence
    _check_target(target)
    reasons = _reasons(rebase_at)
    found = weekly(rows, groups, rate, fetches)
    starts = _starts(reasons, found.calendar)
    segment = pl.lit(1, pl.Int64) + pl.sum_horizontal(pl.lit(0), *(pl.col("week") >= start for start in starts))
    calendar = found.calendar.with_columns(segment=segment.cast(pl.Int64))
    since = max(starts, default=None)
    sides = pl.DataFrame(schema={"_group": pl.Int64, "against_target": pl.String})
    if target is not None:
        last_rates = segment_rates(rows, groups, found, rate=rate, since=since, confidence=confidence)
        sides = last_rates.select("_group", against_target=_side(target))
    weeks, segments = _judged(calendar.filter("_counts"), found.cells, confidence)
    result = (
        calendar.join(segments, on=_SEGMENT, how="left")
        .join(weeks, on=_WEEK, how="left")
        .join(bounds_of(outcomes, cohorts, groups, found, rate=rate, confidence=confidence), on=_WEEK, how="left")
        .join(sides, on="_group", how="left")
        .with_columns(
            rate=pl.lit(rate),
            value=pl.when("_known").then(pl.col("_y") / pl.col("_n")),
            n="_n",
            reason=pl.col("segment").replace_strict(
                dict(enumerate(starts.values(), start=2)),
                default=None,
                return_dtype=pl.String,
            ),
            target=pl.lit(target, pl.Float64),
        )
        .with_columns(pl.when("week_complete").then(pl.col(_OF_COMPLETE)).name.keep())
        .join(found.named, on="_group")
        .sort("_group", "week")
        .select(*groups.by, *(pl.col(name).cast(kind) for name, kind in TREND.items()), pl.col("^class_title$"))
    )
    if not rows.implementation.is_polars():
        return cast("IntoFrameT", result)
    return like(outcomes, nw.from_native(result.lazy()))


def _judged(weeks: pl.DataFrame, cells: pl.DataFrame, confidence: float) -> tuple[pl.DataFrame, pl.DataFrame]:
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
        weeks.group_by(_SEGMENT)
        .agg(hits, trials, _T=pl.len(), _first=pl.min("week"))
        .with_columns(
            center=pl.col("_Y") / pl.col("_N"),
            _judged=(pl.col("_T") >= LEAST_WEEKS)
            & (pl.min_horizontal("_Y", pl.col("_N") - pl.col("_Y")) >= LEAST_HITS * pl.col("_T")),
        )
    )
    center = segments.select(*_SEGMENT, "center")
    judged = segments.filter("_judged").drop("_judged")
    weeks = weeks.select(*_WEEK, "segment", "_y", "_n").join(judged, on=_SEGMENT).sort(_WEEK)
    slopes = _slopes(weeks, cells, confidence)
    return _signals(_limits(weeks)), center.join(slopes, on=_SEGMENT, how="left")


def _limits(weeks: pl.DataFrame) -> pl.DataFrame:
    """Add the limits: as wide as the weeks of a segment scatter, and farther away on the side of the long tail."""
    p, n = pl.col("center"), pl.col("_n")
    moving_range = (pl.col("_z") - pl.col("_z").shift().over(_SEGMENT)).abs().mean().over(_SEGMENT)
    scatter = pl.max_horizontal(pl.lit(1.0), moving_range / _MOVING_RANGE)
    sd, shift = pl.col("_sd"), pl.col("_shift")
    return (
        weeks.with_columns(_sigma=(p * (1 - p) / n).sqrt())
        .with_columns(_z=(pl.col("_y") / n - p) / pl.col("_sigma"))
        .with_columns(_scatter=scatter)
        .with_columns(_sd=pl.col("_scatter") * pl.col("_sigma"))
        .with_columns(_shift=(_SKEW * (1 - 2 * p) * pl.col("_scatter") ** 2 / n).clip(-sd, sd))
        .with_columns(
            limit_low=(p + shift - _WIDTH * sd).clip(0, 1),
            limit_high=(p + shift + _WIDTH * sd).clip(0, 1),
        )
    )


def _signals(weeks: pl.DataFrame) -> pl.DataFrame:
    """Mark the weeks beyond the limits, and those of a run on one side of the center."""
    value = pl.col("_y") / pl.col("_n")
    weeks = weeks.with_columns(_side=(pl.col("_y") * pl.col("_N") - pl.col("_n") * pl.col("_Y")).sign())
    off_center = weeks.filter(pl.col("_side") != 0).with_columns(_run=pl.col("_side").rle_id().over(_SEGMENT))
    length = pl.len().over(*_SEGMENT, "_run")
    long = off_center.filter(length >= RUN, pl.col("_T") >= LEAST_WEEKS_FOR_RUNS).select(*_WEEK, _in_run="_side")
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
    return weeks.join(long, on=_WEEK, how="left").select(*_WEEK, "limit_low", "limit_high", signal=signal)


def _slopes(weeks: pl.DataFrame, cells: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Compute the slope of each judged segment, with clusters of customers and of weeks in its interval."""
    number = (pl.col("week") - pl.col("_first")).dt.total_days() / 7
    mean = (pl.col("_n") * pl.col("_t")).sum().over(_SEGMENT) / pl.col("_N")
    weeks = weeks.with_columns(_t=number).with_columns(_u=pl.col("_t") - mean)
    residual = pl.col("_u") * (pl.col("_y") - pl.col("center") * pl.col("_n"))
    of_cells = (
        cells.filter(pl.col("_n") > 0)
        .join(weeks.select(*_WEEK, "segment", "_u", "center"), on=_WEEK)
        .with_columns(_E=residual)
    )
    of_customers = of_cells.group_by(*_SEGMENT, *CUSTOMER_KEY).agg(pl.sum("_E")).group_by(_SEGMENT)
    slopes = (
        weeks.group_by(_SEGMENT)
        .agg(
            _T=pl.first("_T"),
            _Suy=(pl.col("_u") * pl.col("_y")).sum(),
            _Snu2=(pl.col("_n") * pl.col("_u") ** 2).sum(),
            _Vw=(residual**2).sum(),
        )
        .join(of_customers.agg(_m=pl.len(), _Vc=(pl.col("_E") ** 2).sum()), on=_SEGMENT)
        .join(of_cells.group_by(_SEGMENT).agg(_Vcw=(pl.col("_E") ** 2).sum()), on=_SEGMENT)
    )
    m, weeks_there = pl.col("_m"), pl.col("_T")
    of_one = pl.when(m > 1)  # how customers differ can't be seen of one
    t = {number: student_t(confidence, number - 2) for number in slopes["_T"].unique()}
    variance = of_one.then(m / (m - 1) * pl.col("_Vc")) + pl.max_horizontal(
        pl.lit(0.0), weeks_there / (weeks_there - 2) * pl.col("_Vw") - pl.col("_Vcw")
    )
    half = weeks_there.replace_strict(t, return_dtype=pl.Float64) * variance.sqrt() / pl.col("_Snu2")
    slope = pl.col("_Suy") / pl.col("_Snu2")
    return slopes.select(*_SEGMENT, slope=slope, slope_ci_low=slope - half, slope_ci_high=slope + half)


def _side(target: float) -> pl.Expr:
    """Choose the side of the target on which a rate's interval lies."""
    low, high = pl.col("value_ci_low"), pl.col("value_ci_high")
    side = pl.when(high < target).then(pl.lit("below")).when(low > target).then(pl.lit("above"))
    return pl.when(low.is_not_null()).then(side.otherwise(pl.lit("open")))


def _check_rate(outcomes: IntoFrame, rate: str) -> None:
    names = lazy(outcomes).collect_schema().names()
    if rate in names and "customer_id" not in names:
        raise ValueError(
            "this is a frame of rates, and a trend needs each customer's bookings: pass the outcomes, and the rate's "
            "name."
        )
    if rate not in TRENDS:
        raise ValueError(f"{rate!r} is not a rate to follow from week to week. To choose from: {', '.join(TRENDS)}.")


def _check_target(target: object) -> None:
    if target is None:
        return
    if isinstance(target, bool) or not isinstance(target, (int, float)):
        raise TypeError(f"target is {target!r}: use a share from 0 to 1, such as 0.05.")
    if not 0 <= target <= 1:
        raise ValueError(f"target is {target!r}: use a share from 0 to 1, such as 0.05 for 5 %.")


def _reasons(rebase_at: object) -> dict[date, str]:
    """Check the days of change and their reasons, and sort them."""
    if rebase_at is None:
        return {}
    if not isinstance(rebase_at, Mapping):
        raise TypeError(
            f"rebase_at is {rebase_at!r}: limits start anew only for a named reason. Use a dict, such as "
            '{date(2026, 3, 9): "a fee for no-shows"}.'
        )
    for day, reason in rebase_at.items():
        if isinstance(day, datetime) or not isinstance(day, date):
            raise TypeError(f"rebase_at names {day!r}: use a date, such as date(2026, 3, 9).")
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"rebase_at has no reason for {day}: write what changed, such as 'a fee for no-shows'.")
    return dict(sorted(rebase_at.items()))


def _starts(reasons: Mapping[date, str], calendar: pl.DataFrame) -> dict[date, str]:
    """Find the first Monday on or after each day of change; reasons that share one are named together."""
    first, last = cast("tuple[date | None, date | None]", calendar.select(pl.min("week"), b=pl.max("week")).row(0))
    starts: dict[date, str] = {}
    for day, reason in reasons.items():
        monday = day + timedelta(days=-day.weekday() % 7)
        if first is None or last is None or not first < monday <= last:
            weeks = f"the weeks go from {first} to {last}" if first else "there are no weeks"
            raise ValueError(
                f"rebase_at names {day}, and {weeks}: limits can start anew only with weeks on both sides. Choose "
                "another day, or leave it out."
            )
        starts[monday] = f"{starts[monday]}; {reason.strip()}" if monday in starts else reason.strip()
    return starts
