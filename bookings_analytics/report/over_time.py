"""The questions of time: whether a rate changes from week to week, and when anybody looked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics import charts
from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.trend import trend
from bookings_analytics.report.parts import Figure, Words
from bookings_analytics.report.sheets import sheet
from bookings_analytics.wording import days

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bookings_analytics.report.material import Material
    from bookings_analytics.report.parts import Part

_TREND: Final = timedelta(weeks=26)


def changes(m: Material) -> Iterator[Part]:
    """Answer whether it is getting better: week after week, and against the period before.

    Args:
        m: What the report is made of.
    """
    if m.days is None or not m.weeks.n:
        return
    yield from _weekly(m)
    if m.period.no_change or m.period.first is None:
        return
    found = before_after(
        m.everything, "no_show_rate", m.listed, change=m.period.first, weeks=m.period.weeks, by=m.by, simultaneous=True
    )
    rows = m.shown(found, m.by, of=m.everything)
    if rows["difference"].drop_nulls().len():
        first, last = m.period.before
        yield Figure(charts.before_after(rows))
        yield Words(f"Before: {days(first, last)}. After: {m.period.text}.")
        columns = ["baseline_n", "baseline_value", "n", "value", "^difference.*$"]
        called = {
            "baseline n": "seats before",
            "baseline value": "no-show rate before",
            "n": "seats after",
            "value": "no-show rate after",
            "difference": "change",
            "difference, interval": "change, interval",
            "difference, interval from": "change, interval from",
            "difference, interval to": "change, interval to",
        }
        when = f"{days(first, last)}, and {m.period.text}"
        yield sheet(m, rows, "No-show rate before and after", columns, called=called, when=when)


def _weekly(m: Material) -> Iterator[Part]:
    """Draw the rates week after week, half a year of them: in more, those who come and go look like signals."""
    last = m.weeks.last if m.period.last is None else m.period.last
    if last is None:
        return
    half_a_year = pl.col("week").is_between(last - _TREND, last)
    for rate in ("no_show_rate", "late_cancel_rate"):
        weeks = m.shown(trend(m.everything.filter(half_a_year), rate, m.listed), ["week"], of=m.everything)
        if weeks["value"].drop_nulls().len() > 1:
            yield Figure(charts.trend(weeks))
    yield Words(
        "A week outside the limits, or nine in a row on one side of the line in the middle, is more than chance. A "
        "single week within them says nothing, however it differs from the one before."
    )


def data(m: Material) -> Iterator[Part]:
    """Answer what the data covers: how many classes have a day, and when customers were looked at.

    Args:
        m: What the report is made of.
    """
    if m.archive is None or m.days is None or m.hours is None or m.hours.timezone is None:
        return
    days_ = m.days.filter(pl.col("class_day").is_not_null())
    yield Words(
        f"**{days_.height:,} of {m.days.height:,} classes have a known day.** The others were in the last two weeks, "
        "or were seen too seldom to tell one day from the next. Without a day, a class is in no period."
    )
    zones: dict[str, Any] = {"timezone": m.hours.timezone, "opens": m.hours.opens, "closes": m.hours.closes}
    daily = m.shown(m.archive.coverage(m.listed, by=[*m.by, "day"], **zones), [*m.by, "day"])
    if daily.height:
        yield Figure(charts.coverage(daily))
    gaps = m.shown(m.archive.coverage(m.listed, by=m.by or None, **zones), m.by)
    if gaps.height:
        columns = ["n_customers", "n_read", "n_fetches", "median_gap_h", "longest_gap_h"]
        yield sheet(m, gaps, "Looks at customers, and the time between two of them", columns, when=days(*m.looks))
