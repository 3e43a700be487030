"""Whether a rate changes from week to week, or only as chance makes it: a process behavior chart of a rate.

How weeks are judged, with the formulas and their sources, stands in `bookings_analytics.metrics.segments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import lazy, like, of_outcomes
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.quantiles import quantile
from bookings_analytics.metrics.segments import SEGMENT_KEY, WEEK_KEY, judged
from bookings_analytics.metrics.weekly import weekly
from bookings_analytics.metrics.weekly_intervals import bounds_of, segment_rates
from bookings_analytics.schema import TREND, TRENDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

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
    18 % of 26 weeks and half of 52) or days are very moody and hits rare (up to 12 % and 30 %): at most 26 weeks a
    segment are advised. The interval of a slope leaves out zero in at most 7 %.

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
    quantile(confidence)  # which refuses what lies outside 0 to 1
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
    weeks, segments = judged(calendar.filter("_counts"), found.cells, confidence)
    result = (
        calendar.join(segments, on=SEGMENT_KEY, how="left")
        .join(weeks, on=WEEK_KEY, how="left")
        .join(bounds_of(outcomes, cohorts, groups, found, rate=rate, confidence=confidence), on=WEEK_KEY, how="left")
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
