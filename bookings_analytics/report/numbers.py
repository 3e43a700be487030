"""The six numbers of a report's first page: value, change against the period before, and the weeks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.cancellations import cancellations
from bookings_analytics.metrics.measured import MEASURING
from bookings_analytics.metrics.rates import no_shows
from bookings_analytics.metrics.visits import visits
from bookings_analytics.metrics.waitlist import waitlist_conversion
from bookings_analytics.report.looks import coverage
from bookings_analytics.report.number import PP, Change, Number, in_points, signed
from bookings_analytics.wording import NONE, amount, percent, singular

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from bookings_analytics.report.material import Material


@dataclass(frozen=True)
class _Facts:
    """What has to be known of a number: its rate and what computes it, the better direction, what it is a share of."""

    name: str
    function: Callable[..., Any]
    rate: str
    more_is_better: bool
    of: str
    share: bool = True


_FACTS: Final = {
    "no_show_rate": _Facts("No-show rate", no_shows, "no_show_rate", more_is_better=False, of="seats"),
    "attendance_rate": _Facts("Attendance rate", no_shows, "attendance_rate", more_is_better=True, of="seats"),
    "late_cancel_rate": _Facts(
        "Canceled on the class day", cancellations, "late_cancel_rate", more_is_better=False, of="seats"
    ),
    "visits": _Facts(
        *("Visits a week, per customer", visits, "attended_per_week"),
        more_is_better=True,
        of="customer-weeks",
        share=False,
    ),
    "conversion_rate": _Facts(
        "Waits that got a seat", waitlist_conversion, "conversion_rate", more_is_better=True, of="waits"
    ),
}
_TRIALS: Final = {
    "no_show_rate": ("n_attended", "n_no_show"),
    "attendance_rate": ("n_attended", "n_no_show"),
    "late_cancel_rate": ("n_late", "n_attended", "n_no_show", "n_unrecorded"),
    "visits": ("n_weeks",),
    "conversion_rate": ("n_converted", "n_lapsed", "n_withdrawn"),
}


def six_numbers(m: Material) -> list[Number]:
    """Compute the six numbers of the first page.

    Args:
        m: What the report is made of.
    """
    return [*(_number(m, key) for key in _FACTS), coverage(m)]


def _number(m: Material, key: str) -> Number:
    facts = _FACTS[key]
    dated = m.days is not None
    if not dated and key in {"late_cancel_rate", "visits"}:
        return Number(key, facts.name, NONE, "One look shows no days.", None, [])
    rows = m.rates(facts.function).rows(named=True)
    if not rows:
        return Number(key, facts.name, NONE, "Too few customers to be shown.", None, [])
    weeks = _weekly(m, facts) if dated else []
    written = percent if facts.share else amount
    value, detail = _written(rows[0], key, facts)
    return Number(key, facts.name, value, detail, _change(m, facts), weeks, written)


def _written(row: dict[str, Any], key: str, facts: _Facts) -> tuple[str, str]:
    """Write a number, and its interval with what it is of."""
    write = percent if facts.share else amount
    n = sum(row[count] or 0 for count in _TRIALS[key])
    of = f"{n:,} {singular(facts.of) if n == 1 else facts.of}"
    if row[facts.rate] is not None:
        low, high = row[f"{facts.rate}_ci_low"], row[f"{facts.rate}_ci_high"]
        return write(row[facts.rate]), f"{write(low)} to {write(high)}, {of}"
    if key == "late_cancel_rate" and row.get("late_cancel_rate_max") is not None:
        low, high = percent(row["late_cancel_rate_min"]), percent(row["late_cancel_rate_max"])
        return f"{low} to {high}", "The day of too many cancellations is not known."
    why = {
        "no_show_rate": "Nobody recorded who came.",
        "attendance_rate": "Nobody recorded who came.",
        "late_cancel_rate": "No seat in a class with a known day.",
        "visits": "There is no whole week of classes with a known day.",
        "conversion_rate": f"{(row.get('reason') or 'no wait has ended').capitalize()}.",
    }
    return NONE, why[key]


def _change(m: Material, facts: _Facts) -> Change | None:
    if m.period.no_change or m.period.first is None or facts.rate not in MEASURING:
        return None
    found = before_after(
        m.everything, facts.rate, m.listed, change=m.period.first, weeks=m.period.weeks, fetches=m.fetches
    )
    rows = m.shown(found, of=m.everything).rows(named=True)
    if not rows:
        return None
    if rows[0]["difference"] is None:
        return Change("none can be computed")
    row = rows[0]
    low, high = row["difference_ci_low"], row["difference_ci_high"]
    if low <= 0 <= high:
        return Change("no more than chance")
    up = row["difference"] > 0
    change = in_points if facts.share else partial(signed, decimals=2)
    text = f"{change(row['difference'])}{f' {PP}' * facts.share} ({change(low)} to {change(high)})"
    return Change(text, "up" if up else "down", up == facts.more_is_better)


def _weekly(m: Material, facts: _Facts) -> list[tuple[date, float | None]]:
    mondays, rows = m.recent
    if not mondays:
        return []
    found = dict(m.rates(facts.function, "week", of=rows).select("week", facts.rate).drop_nulls("week").iter_rows())
    return [(monday, found.get(monday)) for monday in mondays]
