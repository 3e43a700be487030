"""Classes a week: how many each customer booked and attended, over the complete weeks that are known.

"At least once in the whole period" tells nothing over months, in which everybody who ever comes books and attends
once. A customer's seats a week tell booking from participation over any time. The formulas of their intervals are in
`bookings_analytics.metrics.per_week`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.calendar import WEEK, with_week_numbers
from bookings_analytics.metrics.engines import aggregate, count, join_groups, lazy, like, of_outcomes
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.groups import NOT_READ, Groups
from bookings_analytics.metrics.per_week import RATES_PER_WEEK, with_counts_per_week
from bookings_analytics.metrics.quantiles import quantile
from bookings_analytics.metrics.weeks import (
    base_by_week,
    complete_for_customer,
    customer_weeks,
    customers_of,
    every_week,
    watched,
    with_number_of_weeks,
)
from bookings_analytics.schema import CUSTOMER_KEY, HELD, VISITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

    from bookings_analytics.metrics.calendar import Period

_SIZES: Final = ("n_customers", "n_weeks", "_nn")
_SEATS: Final = ("n_seats", "n_attended", "n_unrecorded", "n_undated")
_NO_WEEKS: Final = ("month", "class_day", "week_complete")  # in `by`: no whole week lies in each


@of_outcomes
def visits(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
    fetches: IntoFrame | None = None,
) -> IntoFrameT:
    """Compute how many classes a customer of each group booked a week, and how many they attended.

    Only complete weeks count, and every customer of the group who could be read is in them, with or without bookings.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: OUTCOMES of
            `bookings_analytics.schema` as `classify` returns them with ``class_days``.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are counted in ``n_not_read`` and
            nowhere else. A row without studio belongs to the only studio of the outcomes. None: all customers of the
            outcomes, so nobody who never booked.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. With ``week``, each
            row is one week. With a column of the outcomes (a class, say) all customers of the group are in each row.
        confidence: Nominal coverage of the intervals.
        fetches: FETCHES of `bookings_analytics.schema`: a customer's weeks then also lie between their own first and
            last successful fetch, and seats outside of them are not counted. Without it, whoever joined the list later
            has weeks without bookings before.

    Returns:
        One row per group: its columns, then VISITS of `bookings_analytics.schema`, sorted by group.
        ``booked_per_week`` is ``n_seats`` / ``n_weeks``, ``attended_per_week`` ``n_attended`` / ``n_weeks``: seats in
        completed classes, and those used, per customer and week. ``attended_per_week_max`` takes seats whose
        attendance nobody recorded as attended. ``n_customers`` have at least one complete week, ``n_weeks`` are all of
        theirs together; ``n_undated`` seats lie in no known week and are in no rate. Without ``week_complete`` in the
        outcomes, weeks are complete from the first ``first_seen_at`` of their studio to its last ``observed_at``, less
        14 days while any seat is not dated.

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The frames are on different engines.
        ValueError: The outcomes carry no weeks, ``by`` names no column, an ambiguous one or one that holds no whole
            weeks, or the confidence is not between 0 and 1.

    Example:
        >>> from datetime import date
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 1, 2],
        ...     "outcome": ["attended", "attended", "no_show", "attended"],
        ...     "week": [date(2026, 5, 4), date(2026, 5, 4), date(2026, 5, 11), date(2026, 5, 11)],
        ...     "week_complete": True,
        ... })
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 3], "cohort": "trial"})
        >>> weekly = ba.visits(outcomes, cohorts)
        >>> weekly.select("n_customers", "n_weeks", "booked_per_week", "attended_per_week").row(0)
        (3, 6, 0.66..., 0.5)
    """
    counting = nw.col("outcome").is_in(HELD)
    if "week_complete" in lazy(outcomes).collect_schema().names():
        counting = counting & nw.col("week_complete")
    bookings, groups = read_groups(outcomes, cohorts, by, result=VISITS, counting=counting)
    quantile(confidence)  # which refuses what lies outside 0 to 1
    totals = with_counts_per_week(visit_totals(bookings, groups, fetches), confidence)
    return like(outcomes, groups.result(totals, VISITS))


def visit_totals(
    rows: nw.LazyFrame[Any],
    groups: Groups,
    fetches: IntoFrame | None = None,
    *,
    period: Period | None = None,
    among: nw.LazyFrame[Any] | None = None,
) -> nw.LazyFrame[Any]:
    """Total up seats and weeks of the customers in each group, and what intervals are made of: one row per group.

    Args:
        rows: The outcomes, or those of the period.
        groups: The groups.
        fetches: Every fetch, which limits each customer's weeks; None: no limits.
        period: The weeks that all rows lie in; None: complete weeks.
        among: All outcomes, which say who the customers are without a list; None: the rows.

    Raises:
        ValueError: The rows carry no weeks, or a group column holds no whole ones.
    """
    _check_whole_weeks(groups)
    rows = with_week_numbers(rows, period)
    base = customer_weeks(rows, customers_of(rows if among is None else among, groups), fetches, period)
    booked = customer_weeks(rows, rows.select(*CUSTOMER_KEY).unique(), fetches, period)
    seats = _seats_of(watched(rows, booked, complete_for_customer()), groups)
    if "week" in groups.own:
        by_week = base_by_week(rows, base, groups, complete_for_customer())
        seats = groups.attach(seats).with_columns(_weeks=nw.lit(1, nw.Int64))
        sizes = by_week.with_columns(n_customers=nw.col("_base"), n_weeks=nw.col("_base"), _nn=nw.col("_base"))
        return _summed(seats, replace(groups, expected=every_week(rows, groups, by_week)), sizes)
    weeks = with_number_of_weeks(booked).select(*CUSTOMER_KEY, "_weeks")
    seats = groups.attach(seats.join(weeks, on=list(CUSTOMER_KEY), how="left"))
    expected = groups.attach(rows).select(*groups.by).unique() if groups.own else None
    return _summed(seats, replace(groups, expected=expected), _sizes_of(with_number_of_weeks(base), groups))


def customers_of_visits(
    rows: nw.LazyFrame[Any],
    groups: Groups,
    totals: nw.LazyFrame[Any],
    *,
    among: nw.LazyFrame[Any],
    fetches: IntoFrame | None = None,
    period: Period | None = None,
) -> nw.LazyFrame[Any]:
    """List the customers of each group, with their seats and weeks, also those without a seat.

    Args:
        rows: The outcomes, or those of the period.
        groups: The groups.
        totals: What `visit_totals` returned.
        among: All outcomes.
        fetches: Every fetch, which limits each customer's weeks; None: no limits.
        period: The weeks that all rows lie in; None: complete weeks.

    Returns:
        `CUSTOMER_KEY`, the group columns, ``n_seats``, ``n_attended`` and ``_weeks``.
    """
    rows = with_week_numbers(rows, period)
    key = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.by)))
    each = customers_of(among, groups)
    if set(groups.by) - set(groups.shared):
        each = join_groups(each, totals.select(*groups.by), groups.shared)
    booked = customer_weeks(rows, rows.select(*CUSTOMER_KEY).unique(), fetches, period)
    rows = watched(rows, booked, complete_for_customer())
    each = customer_weeks(rows if period else with_week_numbers(among), each, fetches, period)
    if "week" in groups.own:
        whole = nw.when(complete_for_customer()).then(1).otherwise(0)
        each = with_week_numbers(each).with_columns(_weeks=whole)
    else:
        each = with_number_of_weeks(each)
    seats = groups.attach(_seats_of(rows, groups)).select(*key, "n_seats", "n_attended")
    each = join_groups(each.filter(nw.col("_weeks") > 0).select(*key, "_weeks"), seats, key, how="left")
    return each.with_columns(nw.col("n_seats", "n_attended").fill_null(0))


def _check_whole_weeks(groups: Groups) -> None:
    if unfit := [name for name in groups.by if name in _NO_WEEKS]:
        raise ValueError(
            f"by names {unfit[0]!r}, and classes a week are counted over complete weeks: leave it out, or name week."
        )


def _summed(seats: nw.LazyFrame[Any], groups: Groups, sizes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add up the seats of customers (with their ``_weeks``) by group, beside the numbers of customers and weeks."""
    sums = {name: nw.col(name).sum() for name in _SEATS}
    for m in RATES_PER_WEEK.values():
        sums[m("yy")] = (nw.col(m.y) * nw.col(m.y)).sum()
        sums[m("yn")] = (nw.col(m.y) * nw.col("_weeks")).sum()
    totals = groups.totals(seats, sums)
    if groups.members is None:
        totals = totals.with_columns(nw.lit(0, nw.Int64).alias(NOT_READ))
    named = [name for name in groups.by if name in groups.shared or name == "week"]
    totals = join_groups(totals, sizes.select(*named, *_SIZES), named, how="left")
    return totals.with_columns(nw.col(*_SIZES).fill_null(0), n_not_read=nw.col(NOT_READ))


def _seats_of(rows: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Count each customer's seats in completed classes."""
    outcome, dated = nw.col("outcome"), ~nw.col(WEEK).is_null()
    kinds = {
        "n_seats": count(dated & outcome.is_in(HELD)),
        "n_attended": count(dated & (outcome == "attended")),
        "n_unrecorded": count(dated & (outcome == "unrecorded")),
        "n_undated": count(~dated & outcome.is_in(HELD)),
    }
    return aggregate(rows, tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own))), kinds)


def _sizes_of(customers: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Add up the customers in each group's base, and their ``_weeks``."""
    each = customers.with_columns(_nn=nw.col("_weeks") * nw.col("_weeks"))
    counts = {"n_customers": count(nw.col("_weeks") > 0), "n_weeks": nw.col("_weeks").sum(), "_nn": nw.col("_nn").sum()}
    return aggregate(each, groups.shared, counts)
