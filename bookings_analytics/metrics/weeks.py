"""Complete weeks: which of them belong to a customer, and who is in the base of each.

With the fetches, a customer's weeks lie between their own first and last successful fetch (in days of UTC), besides
being complete in their studio: whoever joined the list in May had no January without bookings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.calendar import COMPLETE, FIRST_DAY, WEEK, WEEK_DAYS, calendar, complete_weeks
from bookings_analytics.metrics.engines import aggregate, day_number, join_groups, lazy, settled
from bookings_analytics.metrics.groups import MEMBERS, NOT_READ, Groups
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.calendar import Period

_EVER: Final = 1_000_000  # weeks: more than there are
_OWN: Final = ("_own_first", "_own_last")  # all of it between a customer's first fetch and their last
_TOUCHED: Final = ("_touched_first", "_touched_last")  # some of it


def customer_weeks(
    rows: nw.LazyFrame[Any],
    customers: nw.LazyFrame[Any],
    fetches: IntoFrame | None,
    period: Period | None = None,
) -> nw.LazyFrame[Any]:
    """Add to customers which weeks are complete in their studio, and which lie between their own fetches.

    Args:
        rows: All outcomes, with week numbers.
        customers: Any frame with `CUSTOMER_KEY`.
        fetches: Every fetch; None: nobody's weeks are narrowed.
        period: Weeks that are complete in every studio; None: those that the rows say.

    Raises:
        TypeError: The fetches are on another engine than the outcomes.
        ValueError: The rows do not say which weeks are complete.
    """
    if period is None:
        customers = customers.join(complete_weeks(rows), on="studio", how="left")
    else:
        ends = zip(COMPLETE, period.numbers, strict=True)
        customers = customers.with_columns(**{name: nw.lit(week, nw.Int64) for name, week in ends})
    if fetches is None:
        ever = dict.fromkeys((_OWN[0], _TOUCHED[0]), -_EVER) | dict.fromkeys((_OWN[1], _TOUCHED[1]), _EVER)
        return customers.with_columns(**{name: nw.lit(week, nw.Int64) for name, week in ever.items()})
    asked = lazy(fetches)
    if asked.implementation is not rows.implementation:
        raise TypeError(
            f"the outcomes are on {rows.implementation.value} and the fetches on {asked.implementation.value}; "
            "pass both on the same engine."
        )
    day = day_number(asked, "fetched_at") - (FIRST_DAY if period is None else period.first_day)
    looks = asked.filter(nw.col("outcome") == "ok").with_columns(_day=day)
    spans = looks.group_by(*CUSTOMER_KEY).agg(_from=nw.col("_day").min(), _to=nw.col("_day").max())
    numbers = {
        _OWN[0]: (nw.col("_from") + (WEEK_DAYS - 1)) // WEEK_DAYS,
        _OWN[1]: nw.col("_to") // WEEK_DAYS - 1,
        _TOUCHED[0]: nw.col("_from") // WEEK_DAYS,
        _TOUCHED[1]: nw.col("_to") // WEEK_DAYS,
    }
    spans = spans.select(*CUSTOMER_KEY, **{name: number.cast(nw.Int64) for name, number in numbers.items()})
    return customers.join(spans, on=list(CUSTOMER_KEY), how="left")


def complete_for_customer(week: str = WEEK) -> nw.Expr:
    """Check that a week is complete in the customer's studio and lies between their own fetches."""
    return _between(week, COMPLETE) & _between(week, _OWN)


def in_base(week: str = WEEK) -> nw.Expr:
    """Check that a customer belongs to a week's base: fetched before and after it, if it is incomplete at all in it."""
    complete = _between(week, COMPLETE).fill_null(value=False)
    return (complete & _between(week, _OWN)) | (~complete & _between(week, _TOUCHED))


def with_number_of_weeks(customers: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add ``_weeks``, how many weeks are complete for each customer, to what `customer_weeks` returned."""
    first, last = (
        nw.when(own_is_inside).then(nw.col(own)).otherwise(nw.col(studio))
        for studio, own, own_is_inside in (
            (COMPLETE[0], _OWN[0], nw.col(_OWN[0]) > nw.col(COMPLETE[0])),
            (COMPLETE[1], _OWN[1], nw.col(_OWN[1]) < nw.col(COMPLETE[1])),
        )
    )
    fetched = ~nw.col(_OWN[0]).is_null() & ~nw.col(COMPLETE[0]).is_null()
    ends = customers.with_columns(_first=first, _last=last).with_columns(_span=nw.col("_last") - nw.col("_first") + 1)
    return ends.with_columns(_weeks=nw.when(fetched & (nw.col("_span") > 0)).then(nw.col("_span")).otherwise(0))


def watched(rows: nw.LazyFrame[Any], weeks: nw.LazyFrame[Any], within: nw.Expr) -> nw.LazyFrame[Any]:
    """Keep the rows of weeks that belong to their customer, and those of no known week.

    Args:
        rows: Outcomes, with week numbers.
        weeks: What `customer_weeks` returned for all of their customers.
        within: `complete_for_customer` or `in_base`.
    """
    spans = weeks.select(*CUSTOMER_KEY, *COMPLETE, *_OWN, *_TOUCHED).unique()
    kept = rows.join(spans, on=list(CUSTOMER_KEY), how="inner").filter(nw.col(WEEK).is_null() | within)
    return kept.drop(*COMPLETE, *_OWN, *_TOUCHED)


def base_by_week(
    rows: nw.LazyFrame[Any], weeks: nw.LazyFrame[Any], groups: Groups, within: nw.Expr
) -> nw.LazyFrame[Any]:
    """Count the customers in the base of each week.

    Args:
        rows: The outcomes, with week numbers.
        weeks: What `customer_weeks` returned for the base of `customers_of`.
        groups: The groups.
        within: `complete_for_customer` or `in_base`.

    Returns:
        The group columns of the cohorts, ``week``, and ``_base``, the number of customers; only weeks that have any.
    """
    shared = groups.shared
    spans = aggregate(weeks, [*shared, *COMPLETE, *_OWN, *_TOUCHED], {"_customers": nw.len()})
    each = spans.join(calendar(rows, weeks), how="cross").filter(within)
    return settled(aggregate(each, [*shared, "week"], {"_base": nw.col("_customers").sum()}))


def customers_of(rows: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """List the customers in the base of each group of the cohorts; without cohorts, all of the outcomes."""
    if groups.members is None:
        return rows.select(*CUSTOMER_KEY).unique()
    return groups.members.filter(nw.col(MEMBERS) == 1).drop(MEMBERS, NOT_READ)


def every_week(rows: nw.LazyFrame[Any], groups: Groups, base: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """List each group in each week that has customers in its base, also where nobody had a booking.

    Args:
        rows: The outcomes.
        groups: The groups, of which ``week`` names one part.
        base: What `base_by_week` returned.
    """
    named = [name for name in groups.by if name != "week"]
    if set(named) <= set(groups.shared):
        return base.select(*groups.by)
    return join_groups(groups.attach(rows).select(*named).unique(), base, groups.shared).select(*groups.by)


def _between(week: str, ends: tuple[str, str]) -> nw.Expr:
    return (nw.col(week) >= nw.col(ends[0])) & (nw.col(week) <= nw.col(ends[1]))
