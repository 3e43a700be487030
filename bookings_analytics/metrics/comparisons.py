"""Which groups differ by more than chance: each against a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.differences import check_rate, is_group, shared_with_one, with_difference
from bookings_analytics.metrics.engines import like, of_outcomes, rows_of
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.measured import TOTALS, measuring
from bookings_analytics.metrics.quantiles import quantile
from bookings_analytics.schema import COMPARISON, HELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_SHOWN: Final = 20  # groups named in a message


@of_outcomes
def compare(
    outcomes: IntoFrameT,
    rate: str,
    *,
    baseline: object = None,
    cohorts: IntoFrame | None = None,
    by: str | Sequence[str],
    simultaneous: bool = False,
    confidence: float = 0.95,
    fetches: IntoFrame | None = None,
) -> IntoFrameT:
    """Compute by how much a rate of each group differs from that of a baseline group, with its interval.

    Groups may share customers, as two cohorts or two weeks do, and class slots: the interval counts what they have in
    common. An interval that leaves out 0 is a difference of more than chance. With several groups, one that is alike
    stands out now and then: in 13 % of cases among 3, in 33 % among 11, unless the intervals are simultaneous.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        rate: Which rate: one of ``no_show_rate``, ``attendance_rate``, ``seat_rate``, ``cancellation_rate``,
            ``late_cancel_rate``, ``unused_rate`` (these two need class days), ``booking_rate``,
            ``participation_rate`` (these two need ``cohorts``), ``conversion_rate``, ``clear_rate``,
            ``booked_per_week``, ``attended_per_week`` (these two of complete weeks, with everybody of the group).
        baseline: The group to compare with: its value of ``by``; a tuple of values where ``by`` has several columns,
            and ``(None,)`` for the group that null names. None: the group with the most trials, of equals the first.
        cohorts: Whose bookings to count: rows of customers, with their ``fetch_outcome`` if known. A row without studio
            belongs to the only studio of the outcomes. None: all customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes.
        simultaneous: Whether all intervals hold together with the confidence: each is then at confidence^(1/k), for k
            groups beside the baseline.
        confidence: Nominal coverage of the intervals.
        fetches: FETCHES of `bookings_analytics.schema`, for classes per customer and week, and for rates of customers
            by week: a customer's weeks then also lie between their own first and last successful fetch, as in `visits`
            and `booking_vs_participation`. Without it, everybody of the group has every complete week, also those
            before they joined the list.

    Returns:
        One row per other group: its columns, then COMPARISON, sorted by group. Differences are of shares (0.05 is five
        percentage points) or of classes a week, null for a group without trials.

    Raises:
        CohortError: The cohorts are needed and missing, or do not fit the outcomes.
        TypeError: The frames are on different engines.
        ValueError: There is no such rate or no such baseline, ``outcomes`` is a frame of rates, ``by`` names no column
            or an ambiguous one, or the confidence is not between 0 and 1.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 2, 3, 4],
        ...     "class_slot_id": [10, 10, 11, 11],
        ...     "class_id": 7,
        ...     "outcome": ["attended", "no_show", "no_show", "attended"],
        ... })
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 3, 4], "cohort": ["old", "old", "new", "old"]})
        >>> differences = ba.compare(outcomes, "no_show_rate", baseline="old", cohorts=cohorts, by="cohort")
        >>> differences.select("cohort", "difference", "n", "baseline_n").rows()
        [('new', 0.66..., 1, 3)]
    """
    check_rate(outcomes, rate)
    rows, groups = read_groups(outcomes, cohorts, by, result=COMPARISON, counting=nw.col("outcome").is_in(HELD))
    quantile(confidence)  # which refuses what lies outside 0 to 1
    measure = measuring(rate, fetches=fetches)
    found = measure(rows, groups, confidence, among=rows).settled(groups.by)
    sizes = rows_of(groups.ordered(found.totals, ["n"]))
    group = _baseline(baseline, sizes, groups.by)
    each = confidence ** (1 / max(1, len(sizes) - 1)) if simultaneous else confidence
    if each != confidence:
        found = measure(rows, groups, each, among=rows).settled(groups.by)
    marked = found.totals.with_columns(_baseline=is_group(groups.by, group))
    against = marked.filter(nw.col("_baseline") == 1).select(nw.col(*TOTALS).name.prefix("_baseline_"))
    result = marked.filter(nw.col("_baseline") == 0).join(against, how="cross")
    result = with_difference(result, shared_with_one(found, groups, group), groups).with_columns(
        rate=nw.lit(rate),
        baseline=nw.lit(", ".join(str(value) for value in group)),
        confidence=nw.lit(float(confidence)),
        simultaneous=nw.lit(simultaneous),
    )
    if groups.titles is None:
        return like(outcomes, groups.result(result, COMPARISON))
    title = nw.lit(_title(groups.titles, groups.by, group), nw.String)
    return like(outcomes, groups.result(result.with_columns(baseline_title=title), [*COMPARISON, "baseline_title"]))


def _title(titles: nw.LazyFrame[Any], by: Sequence[str], group: Sequence[object]) -> str | None:
    """Look up what the class of a group is called."""
    known = titles.collect_schema().names()
    values = {name: value for name, value in zip(by, group, strict=True) if name in known}
    found = titles.with_columns(_baseline=is_group([*values], [*values.values()])).filter(nw.col("_baseline") == 1)
    return next((title for (title,) in rows_of(found.select("class_title"))), None)


def _baseline(asked: object, sizes: Sequence[tuple[Any, ...]], by: Sequence[str]) -> tuple[object, ...]:
    """Find the group to compare with among the groups, each with its number of trials."""
    groups = [tuple(group) for *group, _ in sizes]
    if asked is None:
        if not groups:
            return (None,) * len(by)
        largest = max(n or 0 for *_, n in sizes)
        return next(group for group, (*_, n) in zip(groups, sizes, strict=True) if (n or 0) == largest)
    group = asked if isinstance(asked, tuple) else (asked,)
    if group not in groups:
        shown = ", ".join(str(each[0] if len(each) == 1 else each) for each in groups[:_SHOWN])
        more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
        named = repr(group[0] if len(group) == 1 else group)
        raise ValueError(f"baseline {named} is not a group of {', '.join(by)}. The groups: {shown}{more}.")
    return group
