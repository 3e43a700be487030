"""How much of what was due was looked at: the last of a report's six numbers, and what its warnings are made of."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.report.material import local_days
from bookings_analytics.report.number import PP, Change, Number, in_points
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.wording import percent

if TYPE_CHECKING:
    from datetime import date

    from bookings_analytics.report.material import Material

_WEEK: Final = timedelta(days=7)


def coverage(m: Material) -> Number:
    """Compute the share of the nights' looks that succeeded: customer-days fetched, of those due in the period.

    A customer is due from the day of their own first successful look on.

    Args:
        m: What the report is made of.
    """
    key, name = "coverage", "Looks that succeeded"
    daily = looked_at(m)
    first = m.period.first or m.looks[0]
    last = m.period.last or m.looks[1]
    n, due = _sums(daily, first, last)
    if m.days is None:
        read = m.listed.filter(pl.col("fetch_outcome") == "ok").n_unique(list(CUSTOMER_KEY))
        asked = m.listed.n_unique(list(CUSTOMER_KEY))
        return Number(key, name, percent(read / asked), f"{read:,} of {asked:,} customers", None, [])
    change = None
    if due and not m.period.no_change and m.period.first:
        n_before, due_before = _sums(daily, *m.period.before)
        if due_before:
            difference = n / due - n_before / due_before
            change = Change(f"{in_points(difference)} {PP}" if round(100 * difference, 1) else "unchanged")
    weeks = [(monday, _share(*_sums(daily, monday, monday + _WEEK - timedelta(days=1)))) for monday in m.recent[0]]
    return Number(key, name, percent(_share(n, due)), f"{n:,} of {due:,} due, one a customer and day", change, weeks)


def _sums(daily: pl.DataFrame, first: date, last: date) -> tuple[int, int]:
    n, due = daily.filter(pl.col("day").is_between(first, last)).select(pl.sum("n"), pl.sum("due")).row(0)
    return n, due


def _share(n: int, due: int) -> float | None:
    return n / due if due else None


def looked_at(m: Material) -> pl.DataFrame:
    """Count, for each local day, the customers of the list due for a look (``due``) and those fetched (``n``).

    Args:
        m: What the report is made of.
    """
    asked = m.listed.filter(pl.col("fetch_outcome") == "ok").select(CUSTOMER_KEY).unique()
    ok = local_days(m.fetches.filter(pl.col("outcome") == "ok"), m.hours).join(asked, on=list(CUSTOMER_KEY), how="semi")
    per_day = ok.group_by("day").agg(n=pl.struct(CUSTOMER_KEY).n_unique().cast(pl.Int64))
    starts = ok.group_by(CUSTOMER_KEY).agg(day=pl.min("day")).group_by("day").agg(new=pl.len().cast(pl.Int64))
    days = pl.DataFrame({"day": pl.date_range(*m.looks, "1d", eager=True)})
    joined = days.join(per_day, on="day", how="left").join(starts, on="day", how="left").sort("day")
    return joined.with_columns(pl.col("n", "new").fill_null(0)).select("day", "n", due=pl.col("new").cum_sum())
