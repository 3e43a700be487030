"""Which groups differ, and by more than chance: a group against a baseline, and one period against the one before.

Two groups that share customers or class slots are not independent: what both have in common cancels out of their
difference, or counts twice. The covariance of the two rates, from sums over the customers and slots that are in both,
goes into the interval of the difference (`bookings_analytics.metrics.intervals.difference`)::

    C = sum_i (y_i1 - q1 n_i1)(y_i2 - q2 n_i2) + sqrt(q1(1 - q1) q2(1 - q2)) sum_s rho_s (n_1s n_2s - n_12s)
    r = C / sqrt(S1 S2)

over customers i and slots (or days) s, with rho the correlation of two trials of one slot, n_12s the seats that are in
both groups, and S the sum of squares that each rate's design effect stands for. The first sum is MOVER with a
correlation (Newcombe 1998; Zou & Donner 2008), the second this package's own.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import narwhals as nw

from bookings_analytics.metrics.clustering import LEVELS
from bookings_analytics.metrics.engines import aggregate, join_groups, lazy, like, merge, rows_of
from bookings_analytics.metrics.groups import Groups, read_groups
from bookings_analytics.metrics.intervals import difference, quantile
from bookings_analytics.metrics.measured import MEASURING, TOTALS, Measured
from bookings_analytics.schema import COMPARISON, CUSTOMER_KEY, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_SHARED = ("_yy", "_yn", "_ny", "_nn", "n_shared_customers")
_UNITS = tuple(f"_{level.name}" for level in LEVELS)
_SHOWN = 20  # groups named in a message


def compare(
    outcomes: IntoFrameT,
    rate: str,
    *,
    baseline: object = None,
    cohorts: IntoFrame | None = None,
    by: str | Sequence[str],
    simultaneous: bool = False,
    confidence: float = 0.95,
) -> IntoFrameT:
    """Compute by how much a rate of each group differs from that of a baseline group, with its interval.

    Groups may share customers, as two cohorts or two weeks do, and class slots: the interval counts what they have in
    common. An interval that leaves out 0 is a difference of more than chance. With several groups, one that is alike
    stands out now and then: in 13 % of cases among 3, in 33 % among 11, unless the intervals are simultaneous.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        rate: Which rate: one of ``no_show_rate``, ``attendance_rate``, ``seat_rate``, ``cancellation_rate``,
            ``booking_rate``, ``participation_rate`` (these two need ``cohorts``), ``conversion_rate``, ``clear_rate``.
        baseline: The group to compare with: its value of ``by``; a tuple of values where ``by`` has several columns,
            and ``(None,)`` for the group that null names. None: the group with the most trials, of equals the first.
        cohorts: Whose bookings to count: rows of customers, with their ``fetch_outcome`` if known. A row without studio
            belongs to the only studio of the outcomes. None: all customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes.
        simultaneous: Whether all intervals hold together with the confidence: each is then at confidence^(1/k), for k
            groups beside the baseline.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per other group: its columns, then COMPARISON, sorted by group. Differences are of shares (0.05 is five
        percentage points), null for a group without trials.

    Raises:
        CohortError: The cohorts are needed and missing, or do not fit the outcomes.
        TypeError: The two frames are on different engines.
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
    _check_rate(outcomes, rate)
    rows, groups = read_groups(outcomes, cohorts, by, result=COMPARISON)
    quantile(confidence)  # which refuses what is no confidence
    found = MEASURING[rate](rows, groups, confidence, among=rows)
    sizes = rows_of(groups.ordered(found.totals, ["n"]))
    group = _baseline(baseline, sizes, groups.by)
    each = confidence ** (1 / max(1, len(sizes) - 1)) if simultaneous else confidence
    if each != confidence:
        found = MEASURING[rate](rows, groups, each, among=rows)
    marked = found.totals.with_columns(_baseline=_is(groups.by, group))
    against = marked.filter(nw.col("_baseline") == 1).select(nw.col(*TOTALS).name.prefix("_baseline_"))
    result = marked.filter(nw.col("_baseline") == 0).join(against, how="cross")
    result = _with_difference(result, _shared_with_one(found, groups, group), groups).with_columns(
        rate=nw.lit(rate),
        baseline=nw.lit(", ".join(str(value) for value in group)),
        confidence=nw.lit(float(confidence)),
        simultaneous=nw.lit(simultaneous),
    )
    return like(outcomes, groups.ordered(result, COMPARISON))


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
) -> IntoFrameT:
    """Compute by how much a rate of each group differs between the weeks after a change and as many before it.

    Most customers are in both periods; the interval counts that. Whatever else changed on that day is in the difference
    too: a date on which nothing changed shows what the seasons do.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: OUTCOMES of
            `bookings_analytics.schema` as `classify` returns them with ``class_days``.
        rate: Which rate: see `compare`.
        cohorts: Whose bookings to count: rows of customers, with their ``fetch_outcome`` if known. A row without studio
            belongs to the only studio of the outcomes. None: all customers of the outcomes.
        change: The first day of the period after.
        weeks: How many weeks each period has, from 1. They need not start on a Monday.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all.
        simultaneous: Whether all intervals hold together with the confidence: each is then at confidence^(1/k), for k
            groups.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per group: its columns, then COMPARISON, sorted by group. ``value`` and ``n`` are those of the days
        ``change`` to ``change`` + 7·weeks - 1, ``baseline_value`` and ``baseline_n`` those of the 7·weeks days before.
        Classes without a class day are in neither.

    Raises:
        CohortError: The cohorts are needed and missing, or do not fit the outcomes.
        TypeError: The two frames are on different engines, or ``change`` is no date.
        ValueError: There is no such rate, the classes are not dated, a day of either period lies outside the days that
            were completely fetched, ``by`` names no column or an ambiguous one, or the confidence is not between 0
            and 1.

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
    _check_rate(outcomes, rate)
    rows, groups = read_groups(outcomes, cohorts, by, result=COMPARISON)
    quantile(confidence)  # which refuses what is no confidence
    _check_periods(rows, change, weeks)
    length = timedelta(days=7 * weeks)
    after, before = (
        rows.filter((nw.col("class_day") >= start) & (nw.col("class_day") < start + length))
        for start in (change, change - length)
    )
    measure = MEASURING[rate]
    each = confidence
    if simultaneous:
        sizes = [
            measure(part, groups, confidence, among=rows).totals.select(*groups.by, "n") for part in (after, before)
        ]
        each = confidence ** (1 / max(1, len(rows_of(merge(groups.by, *sizes)))))
    now, then = (measure(part, groups, each, among=rows) for part in (after, before))
    sides = (
        now.totals.select(*groups.by, *TOTALS),
        then.totals.select(*groups.by, nw.col(*TOTALS).name.prefix("_baseline_")),
    )
    result = _with_difference(merge(groups.by, *sides), _shared_over_time(now, then, groups), groups).with_columns(
        rate=nw.lit(rate),
        baseline=nw.lit("before"),
        confidence=nw.lit(float(confidence)),
        simultaneous=nw.lit(simultaneous),
    )
    return like(outcomes, groups.ordered(result, COMPARISON))


def _with_difference(result: nw.LazyFrame[Any], shared: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Add the difference to rows with both sides' `TOTALS`, from the sums over what they share."""
    result = join_groups(result, shared, groups.by, how="left").with_columns(nw.col(*_SHARED, *_UNITS).fill_null(0))
    q1, q2 = nw.col("_q"), nw.col("_baseline__q")
    result = result.with_columns(
        _covariance=nw.col("_yy") - q2 * nw.col("_yn") - q1 * nw.col("_ny") + q1 * q2 * nw.col("_nn"),
        _scale=(q1 * (1 - q1) * q2 * (1 - q2)).sqrt(),
        _product=(nw.col("_S") * nw.col("_baseline__S")).sqrt(),
    )
    unit = nw.lit(0.0)
    for number, level in enumerate(LEVELS):
        both = (nw.col("_level") == number) & (nw.col("_baseline__level") == number)
        unit = nw.when(both).then(nw.col(f"_{level.name}")).otherwise(unit)
    result = result.with_columns(_unit=unit)
    result = result.with_columns(_C=nw.col("_covariance") + nw.col("_scale") * nw.col("_unit"))
    result = result.with_columns(
        _r=(nw.col("_C") / nw.when(nw.col("_product") > 0).then(nw.col("_product"))).clip(-1.0, 1.0).fill_null(0.0)
    )
    return result.with_columns(
        *difference("value", "_baseline_value", nw.col("_r")),
        baseline_value=nw.col("_baseline_value"),
        n=nw.col("n").fill_null(0),
        baseline_n=nw.col("_baseline_n").fill_null(0),
        baseline_recorded_share=nw.col("_baseline_recorded_share"),
    )


def _shared_with_one(found: Measured, groups: Groups, group: Sequence[object]) -> nw.LazyFrame[Any]:
    """Sum up what each group shares with one of them: one row per group."""
    parts = [_none_of(found.totals, groups.by)]

    def both(frame: nw.LazyFrame[Any], *key: str) -> nw.LazyFrame[Any]:
        one = frame.filter(_is(groups.by, group) == 1)
        one = one.select(*key, _y2=nw.col("_y"), _n2=nw.col("_n"))
        return frame.join(one, on=list(key), how="inner")

    if found.customers is not None:
        parts.append(_products(both(found.customers, *CUSTOMER_KEY), groups.by))
    for level, units in found.units.items():
        parts.append(_pairs(both(units, "studio", level.unit), groups.by, f"_{level.name}", 1.0))
    for level, places in found.places.items():  # a seat does not make a pair with itself
        parts.append(_pairs(both(places, *PLACE_KEY), groups.by, f"_{level.name}", -1.0))
    return _summed(parts, groups.by)


def _shared_over_time(now: Measured, then: Measured, groups: Groups) -> nw.LazyFrame[Any]:
    """Sum up what each group's two periods share, which no slot and no day is in: one row per group."""
    parts = [_none_of(side.totals, groups.by) for side in (now, then)]
    if now.customers is not None and then.customers is not None:
        key = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.by)))
        earlier = then.customers.select(*key, _y2=nw.col("_y"), _n2=nw.col("_n"))
        parts.append(_products(join_groups(now.customers, earlier, key), groups.by))
    return _summed(parts, groups.by)


def _products(both: nw.LazyFrame[Any], by: Sequence[str]) -> nw.LazyFrame[Any]:
    y1, n1, y2, n2 = (nw.col(name) for name in ("_y", "_n", "_y2", "_n2"))
    return aggregate(
        both,
        by,
        {
            "_yy": (y1 * y2).sum(),
            "_yn": (y1 * n2).sum(),
            "_ny": (n1 * y2).sum(),
            "_nn": (n1 * n2).sum(),
            "n_shared_customers": nw.when((n1 > 0) & (n2 > 0)).then(1).otherwise(0).sum(),
        },
    )


def _pairs(both: nw.LazyFrame[Any], by: Sequence[str], name: str, sign: float) -> nw.LazyFrame[Any]:
    """Sum up the pairs of trials that share a unit, by their correlation."""
    studios = aggregate(
        both,
        tuple(dict.fromkeys(("studio", *by))),
        {"_pairs": (nw.col("_n") * nw.col("_n2")).sum()},
        {"_correlation": nw.col("_rho").max()},
    )
    return studios.select(*by, (nw.col("_pairs") * nw.col("_correlation") * sign).alias(name))


def _none_of(totals: nw.LazyFrame[Any], by: Sequence[str]) -> nw.LazyFrame[Any]:
    """List the groups, with nothing shared."""
    nothing = {name: nw.lit(0, nw.Int64) for name in _SHARED} | {name: nw.lit(0.0) for name in _UNITS}
    return totals.select(*by, **nothing) if by else totals.with_columns(**nothing).select(*nothing)


def _summed(parts: Sequence[nw.LazyFrame[Any]], by: Sequence[str]) -> nw.LazyFrame[Any]:
    counts, amounts = ({name: nw.col(name).sum() for name in names} for names in (_SHARED, _UNITS))
    return aggregate(nw.concat(parts, how="diagonal"), by, counts, amounts)


def _is(columns: Sequence[str], group: Sequence[object]) -> nw.Expr:
    """Return 1 in the rows of one group and 0 in all others; None is the group that null names."""
    values = zip(columns, group, strict=True)
    same = (nw.col(name).is_null() if value is None else nw.col(name) == value for name, value in values)
    return nw.when(nw.all_horizontal(*same, ignore_nulls=False)).then(1).otherwise(0)


def _check_rate(outcomes: IntoFrame, rate: str) -> None:
    names = lazy(outcomes).collect_schema().names()
    if rate in names and "customer_id" not in names:
        raise ValueError(
            "this is a frame of rates, and the interval of a difference needs each customer's bookings: pass the "
            "outcomes, and the rate's name."
        )
    if rate not in MEASURING:
        raise ValueError(f"{rate!r} is not a rate to compare. To choose from: {', '.join(MEASURING)}.")


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


def _check_periods(rows: nw.LazyFrame[Any], change: date, weeks: int) -> None:
    """Check that both periods lie in the days that every studio was completely fetched for."""
    if isinstance(weeks, bool) or not isinstance(weeks, int) or weeks < 1:
        raise ValueError(f"weeks is {weeks!r}: use a whole number from 1, such as 4.")
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
            f"{change + timedelta(days=7 * weeks - 1)}, and complete are {first} to {end - timedelta(days=1)}: {most}."
        )
