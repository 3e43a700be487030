"""Complete weeks: which there are, and which of them belong to a customer.

A studio's weeks are complete where ``week_complete`` of the outcomes says so, and all between two complete ones are,
also one in which nobody had a booking. With the fetches, a customer's weeks also lie between their own first and last
successful fetch (in days of UTC): whoever joined the list in May had no January without bookings.

Weeks are whole numbers here, counted from that of Monday, 5 January 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.engines import aggregate, count, day_number, join_groups, lazy, rows_of, settled
from bookings_analytics.metrics.groups import MEMBERS, NOT_READ, Groups
from bookings_analytics.schema import API_WINDOW, CUSTOMER_KEY

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

WEEK: Final = "_week"  # the column of its number; null: the class is not dated
HELD: Final = ("attended", "no_show", "unrecorded")  # a seat in a completed class
_WEEK_DAYS: Final = 7
FIRST_MONDAY: Final = date(1970, 1, 5)
_EPOCH: Final = date(1970, 1, 1)  # day 0
_FIRST_DAY: Final = (FIRST_MONDAY - _EPOCH).days
_EVER: Final = 1_000_000  # weeks: more than there are
COMPLETE: Final = ("_complete_first", "_complete_last")  # of the studio
_OWN: Final = ("_own_first", "_own_last")  # all of it between a customer's first fetch and their last
_TOUCHED: Final = ("_touched_first", "_touched_last")  # some of it


@dataclass(frozen=True)
class Period:
    """Weeks from any day on: seven days each, whose numbers count from that weekday's first day of 1970.

    Attributes:
        first: The first day.
        weeks: How many weeks.
    """

    first: date
    weeks: int

    @property
    def first_day(self) -> int:
        """The day that weeks are counted from, counted from 1 January 1970."""
        return (self.first - _EPOCH).days % _WEEK_DAYS

    @property
    def numbers(self) -> tuple[int, int]:
        """The numbers of its first week and its last."""
        first = (self.first - _EPOCH).days // _WEEK_DAYS
        return first, first + self.weeks - 1


def with_week_numbers(rows: nw.LazyFrame[Any], period: Period | None = None) -> nw.LazyFrame[Any]:
    """Add the number of each row's week.

    Args:
        rows: Outcomes.
        period: The weeks that all rows lie in, by their ``class_day``; None: weeks from Monday to Sunday.

    Raises:
        ValueError: The rows carry no weeks.
    """
    if period is not None:
        day = day_number(rows, "class_day") - period.first_day
        return rows.with_columns((day // _WEEK_DAYS).cast(nw.Int64).alias(WEEK))
    if "week" not in rows.collect_schema().names():
        raise ValueError(
            "the outcomes have no column week: which classes lie in one week is known from class days alone. Pass "
            "classify(history, class_days=class_days(…), fetches=fetches), or archive.outcomes(class_days=…)."
        )
    return rows.with_columns((_day_of(rows, "week") // _WEEK_DAYS).cast(nw.Int64).alias(WEEK))


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
    day = day_number(asked, "fetched_at") - (_FIRST_DAY if period is None else period.first_day)
    looks = asked.filter(nw.col("outcome") == "ok").with_columns(_day=day)
    spans = looks.group_by(*CUSTOMER_KEY).agg(_from=nw.col("_day").min(), _to=nw.col("_day").max())
    numbers = {
        _OWN[0]: (nw.col("_from") + (_WEEK_DAYS - 1)) // _WEEK_DAYS,
        _OWN[1]: nw.col("_to") // _WEEK_DAYS - 1,
        _TOUCHED[0]: nw.col("_from") // _WEEK_DAYS,
        _TOUCHED[1]: nw.col("_to") // _WEEK_DAYS,
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


def complete_weeks(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Find the numbers of the first and the last complete week of each studio: ``studio`` and `COMPLETE`."""
    names = rows.collect_schema().names()
    if "week_complete" in names:
        complete = rows.filter(nw.col("week_complete")).group_by("studio")
        return complete.agg(nw.col(WEEK).min().alias(COMPLETE[0]), nw.col(WEEK).max().alias(COMPLETE[1]))
    if missing := [name for name in ("first_seen_at", "observed_at") if name not in names]:
        raise ValueError(
            f"the outcomes have neither week_complete nor {', '.join(missing)}, so which weeks are complete is not "
            "known. Pass them as classify, or archive.outcomes, made them."
        )
    seen = rows.with_columns(_from=_day_of(rows, "first_seen_at"), _to=_day_of(rows, "observed_at"))
    undated = count(nw.col(WEEK).is_null() & nw.col("outcome").is_in(HELD))
    studios = seen.group_by("studio").agg(
        nw.col("_from").min(), nw.col("_to").max(), undated.cast(nw.Int64).alias("_undated")
    )
    # a class that is still to leave the API's window may not be dated yet
    settled = nw.col("_to") - nw.when(nw.col("_undated") > 0).then(API_WINDOW.days).otherwise(0)
    studios = studios.with_columns(_settled=settled)
    numbers = ((nw.col("_from") + (_WEEK_DAYS - 1)) // _WEEK_DAYS, nw.col("_settled") // _WEEK_DAYS - 1)
    return studios.select(
        "studio", **{name: number.cast(nw.Int64) for name, number in zip(COMPLETE, numbers, strict=True)}
    )


def calendar(rows: nw.LazyFrame[Any], weeks: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """List the weeks from the first that is complete or has a row to the last: their numbers and their Mondays.

    ``weeks`` is any frame with `COMPLETE`, such as `customer_weeks` and `complete_weeks` return.

    No engine's own ranges are portable: every number is made of bits, each of them a row or not.
    """
    seen = rows_of(rows.select(nw.col(WEEK).min().alias("_min"), nw.col(WEEK).max().alias("_max")))
    whole = rows_of(weeks.select(nw.col(COMPLETE[0]).min(), nw.col(COMPLETE[1]).max()))
    known = [int(week) for ends in (*seen, *whole) for week in ends if week is not None]
    one = rows.select(_one=nw.len())  # one row, from which every engine makes the rows to join
    if not known:
        return one.select(nw.lit(0, nw.Int64).alias(WEEK), week=nw.lit(FIRST_MONDAY)).filter(nw.col(WEEK) > 0)
    first, last = min(known), max(known)
    monday = FIRST_MONDAY + timedelta(weeks=first)
    numbers = one.select(nw.lit(first, nw.Int64).alias(WEEK), week=nw.lit(monday))
    step = 1
    while step <= last - first:
        bits = nw.concat([one.select(_bit=nw.lit(bit)) for bit in (0, 1)])
        later = nw.col("week").dt.offset_by(f"{_WEEK_DAYS * step}d").cast(nw.Date)
        numbers = numbers.join(bits, how="cross").with_columns(
            (nw.col(WEEK) + nw.col("_bit") * step).cast(nw.Int64).alias(WEEK),
            week=nw.when(nw.col("_bit") == 1).then(later).otherwise(nw.col("week")),
        )
        numbers = numbers.drop("_bit").filter(nw.col(WEEK) <= last)
        step *= 2
    return numbers


def _between(week: str, ends: tuple[str, str]) -> nw.Expr:
    return (nw.col(week) >= nw.col(ends[0])) & (nw.col(week) <= nw.col(ends[1]))


def _day_of(rows: nw.LazyFrame[Any], moment: str) -> nw.Expr:
    """Count the days from the first Monday to that of a moment."""
    return day_number(rows, moment) - _FIRST_DAY
