"""What the rates of bookings are counted from: each outcome, in each group and its weeks.

Names that begin with ``_`` are intermediate values, which no result has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import narwhals as nw

from bookings_analytics.metrics.calendar import with_week_numbers
from bookings_analytics.metrics.clustering import clustered_totals
from bookings_analytics.metrics.design_effects import Measure
from bookings_analytics.metrics.engines import aggregate, count, join_groups
from bookings_analytics.metrics.groups import MEMBERS, Groups
from bookings_analytics.metrics.weeks import (
    base_by_week,
    complete_for_customer,
    customer_weeks,
    customers_of,
    every_week,
    in_base,
    watched,
)
from bookings_analytics.schema import CUSTOMER_KEY, HELD, OUTCOME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

KINDS = OUTCOME.categories.to_list()
SEATS = Measure("n_seats", "n_requests")
CANCELED = Measure("n_canceled", "n_requests")
NO_SHOW = Measure("n_no_show", "_recorded")
_RECORDED = ("attended", "no_show")
_SEATS = (*HELD, "upcoming")
_TOGETHER = {
    "_recorded": _RECORDED,
    "_held": HELD,
    "n_seats": _SEATS,
    "n_requests": (*_SEATS, "canceled", "waiting"),
    "_all": tuple(KINDS),
}
_SUMS = ("_recorded", "_held", "n_seats", "n_requests")


def counted(
    bookings: nw.LazyFrame[Any], groups: Groups, *measures: Measure, among: nw.LazyFrame[Any] | None = None
) -> nw.LazyFrame[Any]:
    """Count everything that the rates of bookings are made of, with the design effects of some: one row per group."""
    attended, held = nw.col("n_attended"), nw.col("_held")
    sums = {
        **{name: nw.col(name).sum() for name in (*(f"n_{kind}" for kind in KINDS), *_SUMS)},
        "n_booked": count(held > 0),
        "_anything": count(nw.col("_all") > 0),
        "n_participated": count(attended > 0),
        "_perhaps": count(attended + nw.col("n_unrecorded") > 0),
        "n_only_upcoming": count((held == 0) & (nw.col("n_upcoming") > 0)),
    }
    return clustered_totals(bookings, groups, counts_of, measures, sums, among=among)


def counted_of_base(
    bookings: nw.LazyFrame[Any], groups: Groups, fetches: IntoFrame | None, *measures: Measure
) -> nw.LazyFrame[Any]:
    """Count as `counted` does, with the customers in each group's base in ``n_customers``: week by week if asked."""
    if "week" not in groups.own:
        return counted(bookings, groups, *measures).with_columns(n_customers=nw.col(MEMBERS))
    rows = numbered = with_week_numbers(bookings)
    base = customer_weeks(rows, customers_of(rows, groups), fetches)
    complete = base_by_week(rows, base, groups, complete_for_customer())
    groups = replace(groups, expected=every_week(rows, groups, complete))
    if fetches is not None:
        booked = customer_weeks(rows, rows.select(*CUSTOMER_KEY).unique(), fetches)
        rows = watched(rows, booked, in_base())
    totals = counted(rows, groups, *measures, among=bookings)
    named = [*groups.shared, "week"]
    totals = join_groups(totals, base_by_week(numbered, base, groups, in_base()), named, how="left")
    in_week = nw.when(nw.col("week").is_null()).then(nw.col(MEMBERS)).otherwise(nw.col("_base").fill_null(0))
    return totals.with_columns(n_customers=in_week)


def counts_of(bookings: nw.LazyFrame[Any], key: Sequence[str]) -> nw.LazyFrame[Any]:
    """Count the outcomes of the rows of each key, and those that the rates put together."""
    outcome = nw.col("outcome")
    counts = {f"n_{kind}": count(outcome == kind) for kind in KINDS}
    counts |= {name: count(outcome.is_in(kinds)) for name, kinds in _TOGETHER.items()}  # only those used are computed
    return aggregate(bookings, key, counts)
