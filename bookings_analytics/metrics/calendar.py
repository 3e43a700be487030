"""The calendar of weeks: the number of a row's week, which weeks of a studio are complete, and their Mondays.

Weeks are whole numbers here, counted from that of Monday, 5 January 1970. A studio's weeks are complete where
``week_complete`` of the outcomes says so, and all between two complete ones are, also one in which nobody had a
booking.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import narwhals as nw

from bookings_analytics.metrics.engines import count, day_number, rows_of, settled
from bookings_analytics.schema import API_WINDOW, HELD

WEEK: Final = "_week"  # the column of its number; null: the class is not dated
COMPLETE: Final = ("_complete_first", "_complete_last")  # of the studio
WEEK_DAYS: Final = 7
_FIRST_MONDAY: Final = date(1970, 1, 5)
_EPOCH: Final = date(1970, 1, 1)  # day 0
FIRST_DAY: Final = (_FIRST_MONDAY - _EPOCH).days  # of week 0


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
        return (self.first - _EPOCH).days % WEEK_DAYS

    @property
    def numbers(self) -> tuple[int, int]:
        """The numbers of its first week and its last."""
        first = (self.first - _EPOCH).days // WEEK_DAYS
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
        return rows.with_columns((day // WEEK_DAYS).cast(nw.Int64).alias(WEEK))
    if "week" not in rows.collect_schema().names():
        raise ValueError(
            "the outcomes have no column week: which classes lie in one week is known from class days alone. Pass "
            "classify(history, class_days=class_days(…), fetches=fetches), or archive.outcomes(class_days=…)."
        )
    return rows.with_columns((_day_of(rows, "week") // WEEK_DAYS).cast(nw.Int64).alias(WEEK))


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
    numbers = ((nw.col("_from") + (WEEK_DAYS - 1)) // WEEK_DAYS, nw.col("_settled") // WEEK_DAYS - 1)
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
    one = settled(
        rows.select(_one=nw.len()), in_polars=False
    )  # one row, from which every engine makes the rows to join
    if not known:
        return one.select(nw.lit(0, nw.Int64).alias(WEEK), week=nw.lit(_FIRST_MONDAY)).filter(nw.col(WEEK) > 0)
    first, last = min(known), max(known)
    monday = _FIRST_MONDAY + timedelta(weeks=first)
    numbers = one.select(nw.lit(first, nw.Int64).alias(WEEK), week=nw.lit(monday))
    step = 1
    while step <= last - first:
        bits = nw.concat([one.select(_bit=nw.lit(bit)) for bit in (0, 1)])
        later = nw.col("week").dt.offset_by(f"{WEEK_DAYS * step}d").cast(nw.Date)
        numbers = numbers.join(bits, how="cross").with_columns(
            (nw.col(WEEK) + nw.col("_bit") * step).cast(nw.Int64).alias(WEEK),
            week=nw.when(nw.col("_bit") == 1).then(later).otherwise(nw.col("week")),
        )
        numbers = numbers.drop("_bit").filter(nw.col(WEEK) <= last)
        step *= 2
    return numbers


def _day_of(rows: nw.LazyFrame[Any], moment: str) -> nw.Expr:
    """Count the days from the first Monday to that of a moment."""
    return day_number(rows, moment) - FIRST_DAY
