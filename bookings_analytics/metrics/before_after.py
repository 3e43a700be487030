"""One period against the one before: the same groups, before a change and after it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.calendar import Period
from bookings_analytics.metrics.differences import check_rate, shared_over_time, with_difference
from bookings_analytics.metrics.engines import like, merge, of_outcomes, rows_of
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.measured import TOTALS, measuring
from bookings_analytics.metrics.quantiles import quantile
from bookings_analytics.schema import COMPARISON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_OF_ONE_PERIOD: Final = ("week", "month", "class_day")  # in `by`: none of them is both before and after


@of_outcomes
def before_after(
    outcomes: IntoFrameT,
    rate: str,
    cohorts: IntoFrame | None = None,
    *,
    change: date,
    weeks: int,
    by: str | Sequence[str] | None = None,
    simultaneous: bool = False,
    confidence: float = 0.95,
    fetches: IntoFrame | None = None,
) -> IntoFrameT:
    """Compute by how much a rate of each group differs between the weeks after a change and as many before it.

    Most customers are in both periods; the interval counts that. Whatever else changed on that day is in the difference
    too: a date on which nothing changed shows what the seasons do.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: OUTCOMES of
            `bookings_analytics.schema` as `classify` returns them with ``class_days``.
        rate: Which rate: one of ``no_show_rate``, ``attendance_rate``, ``seat_rate``, ``cancellation_rate``,
            ``late_cancel_rate``, ``unused_rate``, ``booking_rate``, ``participation_rate`` (these two need
            ``cohorts``), ``conversion_rate``, ``clear_rate``, ``booked_per_week``, ``attended_per_week`` (these two,
            classes per customer and week).
        cohorts: Whose bookings to count: rows of customers, with their ``fetch_outcome`` if known. A row without studio
            belongs to the only studio of the outcomes. None: all customers of the outcomes.
        change: The first day of the period after.
        weeks: How many weeks each period has, from 1. They need not start on a Monday.
        by: Column or columns to group by, of the cohorts or the outcomes, but no week, month or day; None: one row for
            all.
        simultaneous: Whether all intervals hold together with the confidence: each is then at confidence^(1/k), for k
            groups.
        confidence: Nominal coverage of the intervals.
        fetches: FETCHES of `bookings_analytics.schema`, for classes per customer and week: a customer's weeks then also
            lie between their own first and last successful fetch, and seats outside of them are not counted. Without
            it, everybody of the group has all ``weeks`` of both periods, also whoever joined the list between them.

    Returns:
        One row per group: its columns, then COMPARISON, sorted by group. ``value`` and ``n`` are those of the days
        ``change`` to ``change`` + 7·weeks - 1, ``baseline_value`` and ``baseline_n`` those of the 7·weeks days before;
        ``first_day`` and ``last_day`` are those of both together.
        Classes without a class day are in neither.

    Raises:
        CohortError: The cohorts are needed and missing, or do not fit the outcomes.
        TypeError: The frames are on different engines, or ``change`` is not a date.
        ValueError: There is no such rate, the classes are not dated, a day of either period lies outside the days that
            were completely fetched, ``by`` names no column, an ambiguous one or one of a time, or the confidence is
            not between 0 and 1.

    Example:
        >>> from datetime import date, datetime, timedelta
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> days = [date(2026, 4, 20) + timedelta(days=n) for n in range(28)]
        >>> weeks = [day - timedelta(days=day.weekday()) for day in days]
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte", "customer_id": [1, 2, 3, 4] * 7, "class_slot_id": range(28), "class_id": 7,
        ...     "class_day": days, "weekday": [f"{day:%a}" for day in days], "week": weeks, "week_complete": True,
        ...     "outcome": ["no_show", "attended"] * 7 + ["attended"] * 14,
        ... })
        >>> change = ba.before_after(outcomes, "no_show_rate", change=date(2026, 5, 4), weeks=2)
        >>> change.select("baseline_value", "value", "difference", "n_shared_customers").rows()
        [(0.5, 0.0, -0.5, 4)]
    """
    check_rate(outcomes, rate)
    rows, groups = read_groups(outcomes, cohorts, by, result=COMPARISON)
    quantile(confidence)  # which refuses what lies outside 0 to 1
    if of_one := [name for name in groups.by if name in _OF_ONE_PERIOD]:
        raise ValueError(f"by names {of_one[0]!r}, and none is both before and after the change: leave it out.")
    _check_periods(rows, change, weeks)
    length = timedelta(days=7 * weeks)
    periods = [
        (
            rows.filter((nw.col("class_day") >= start) & (nw.col("class_day") < start + length)),
            measuring(rate, period=Period(start, weeks), fetches=fetches),
        )
        for start in (change, change - length)
    ]
    each = confidence
    if simultaneous:
        sizes = [
            measure(part, groups, confidence, among=rows).totals.select(*groups.by, "n") for part, measure in periods
        ]
        each = confidence ** (1 / max(1, len(rows_of(merge(groups.by, *sizes)))))
    now, then = (measure(part, groups, each, among=rows).settled(groups.by) for part, measure in periods)
    sides = (
        now.totals.select(*groups.by, *TOTALS),
        then.totals.select(*groups.by, nw.col(*TOTALS).name.prefix("_baseline_")),
    )
    result = with_difference(merge(groups.by, *sides), shared_over_time(now, then, groups), groups).with_columns(
        rate=nw.lit(rate),
        baseline=nw.lit("before"),
        confidence=nw.lit(float(confidence)),
        simultaneous=nw.lit(simultaneous),
        first_day=nw.lit(change - length),
        last_day=nw.lit(change + length - timedelta(days=1)),
    )
    result, titles = groups.titled(result)
    return like(outcomes, groups.ordered(result, [*COMPARISON, *titles, "first_day", "last_day"]))


def _check_periods(rows: nw.LazyFrame[Any], change: date, weeks: int) -> None:
    """Check that both periods lie in the days that every studio was completely fetched for."""
    if isinstance(weeks, bool) or not isinstance(weeks, int) or weeks < 1:
        raise ValueError(f"weeks is {weeks!r}: use a whole number of at least 1, such as 4.")
    if isinstance(change, datetime) or not isinstance(change, date):
        raise TypeError(f"change is {change!r}: use a date, such as date(2026, 5, 1).")
    names = rows.collect_schema().names()
    if missing := [name for name in ("class_day", "week", "week_complete") if name not in names]:
        raise ValueError(
            f"the outcomes have no column {', '.join(missing)}: only dated classes lie before or after a change. Pass "
            "class_days to classify, or to archive.outcomes."
        )
    complete = rows.filter(nw.col("week_complete")).group_by("studio")
    spans = rows_of(complete.agg(nw.col("week").min().alias("_first"), nw.col("week").max().alias("_last")))
    if not spans:
        raise ValueError("no week of the outcomes is complete: a comparison of two periods needs whole weeks of each.")
    first = max(start for _, start, _ in spans)
    end = min(last for *_, last in spans) + timedelta(days=7)
    possible = min((change - first).days, (end - change).days) // 7
    if weeks > possible:
        most = f"the most possible is weeks={possible}" if possible > 0 else "no whole week lies on both sides of it"
        raise ValueError(
            f"weeks={weeks} around {change} needs classes from {change - timedelta(days=7 * weeks)} to "
            f"{change + timedelta(days=7 * weeks - 1)}, and the complete days are {first} to "
            f"{end - timedelta(days=1)}: {most}."
        )
