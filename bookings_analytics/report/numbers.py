"""The six numbers of a report's first page: value, change against the period before, and the weeks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.cancellations import cancellations
from bookings_analytics.metrics.measured import MEASURING
from bookings_analytics.metrics.rates import no_shows
from bookings_analytics.metrics.visits import visits
from bookings_analytics.metrics.waitlist import waitlist_conversion
from bookings_analytics.report.material import local_days
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.wording import NONE, amount, amount_change, percent, points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bookings_analytics.report.material import Material

_WEEK: Final = timedelta(days=7)
_MOST_WEEKS: Final = 13  # of a sparkline: a quarter of a year
_POINT: Final = 0.01
_PP: Final = "points"


@dataclass(frozen=True)
class Change:
    """By how much a number changed against the period before.

    Attributes:
        text: The change in words.
        direction: Which way; "none" where it is no more than chance, or has no interval.
        good: Whether the studio wants it so; None where there is no direction.
    """

    text: str
    direction: Literal["up", "down", "none"] = "none"
    good: bool | None = None


@dataclass(frozen=True)
class Number:
    """One of the six numbers.

    Attributes:
        key: Its name in the page.
        name: What it is called.
        value: The number in words.
        detail: Its interval and what it is of.
        change: Its change; None where none is shown.
        weeks: The number of each complete week: its Monday, and the value.
        written: How a value of a week is written.
    """

    key: str
    name: str
    value: str
    detail: str
    change: Change | None
    weeks: list[tuple[date, float | None]]
    written: Callable[[float | None], str] = percent


@dataclass(frozen=True)
class _Facts:
    """What has to be known of a number: its rate, the better direction, what it is a share of."""

    name: str
    rate: str
    more_is_better: bool
    of: str
    share: bool = True


_FACTS: Final = {
    "no_show_rate": _Facts("No-show rate", "no_show_rate", more_is_better=False, of="seats"),
    "attendance_rate": _Facts("Attendance rate", "attendance_rate", more_is_better=True, of="seats"),
    "late_cancel_rate": _Facts("Canceled on the class day", "late_cancel_rate", more_is_better=False, of="seats"),
    "visits": _Facts(
        "Visits a week, per customer", "attended_per_week", more_is_better=True, of="customer-weeks", share=False
    ),
    "conversion_rate": _Facts("Waits that got a seat", "conversion_rate", more_is_better=True, of="waits"),
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


def _frame(m: Material, key: str, outcomes: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Compute the rates that hold a number."""
    if key in {"no_show_rate", "attendance_rate"}:
        rates = no_shows(outcomes, m.listed, by=by)
    elif key == "late_cancel_rate":
        rates = cancellations(outcomes, m.listed, by=by)
    elif key == "visits":
        rates = visits(outcomes, m.listed, by=by, fetches=m.fetches)
    else:
        rates = waitlist_conversion(outcomes, m.listed, by=by, fetches=m.fetches, timezone=m.timezone)
    return m.shown(rates, by, of=outcomes)


def _number(m: Material, key: str) -> Number:
    facts = _FACTS[key]
    dated = m.days is not None
    if not dated and key in {"late_cancel_rate", "visits"}:
        return Number(key, facts.name, NONE, "One look shows no days.", None, [])
    rows = _frame(m, key, m.outcomes).rows(named=True)
    if not rows:
        return Number(key, facts.name, NONE, "Too few customers to be shown.", None, [])
    weeks = _weekly(m, key, facts.rate) if dated else []
    written = percent if facts.share else amount
    value, detail = _written(rows[0], key, facts)
    return Number(key, facts.name, value, detail, _change(m, facts), weeks, written)


def _written(row: dict[str, Any], key: str, facts: _Facts) -> tuple[str, str]:
    """Write a number, and its interval with what it is of."""
    write = percent if facts.share else amount
    n = sum(row[count] or 0 for count in _TRIALS[key])
    of = f"{n:,} {facts.of}"
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
        "visits": "No week is covered from Monday to Sunday.",
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
    change = _in_points if facts.share else amount_change
    text = f"{change(row['difference'])}{f' {_PP}' * facts.share} ({change(low)} to {change(high)})"
    return Change(text, "up" if up else "down", up == facts.more_is_better)


def _in_points(difference: float) -> str:
    """Write a difference of shares in percentage points, with a decimal where it is below one."""
    if abs(difference) >= _POINT:
        return points(difference)
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def _weekly(m: Material, key: str, rate: str) -> list[tuple[date, float | None]]:
    mondays = _mondays(m)
    if not mondays:
        return []
    rows = m.everything.filter(pl.col("week").is_between(mondays[0], mondays[-1]))
    found = dict(_frame(m, key, rows, "week").select("week", rate).drop_nulls("week").iter_rows())
    return [(monday, found.get(monday)) for monday in mondays]


def _mondays(m: Material) -> list[date]:
    """List the complete weeks up to the end of the period, the last quarter of a year of them."""
    if m.weeks.first is None or m.weeks.last is None:
        return []
    end = m.weeks.last if m.period.last is None else min(m.weeks.last, m.period.last)
    n = (end - m.weeks.first) // _WEEK + 1
    all_ = [m.weeks.first + i * _WEEK for i in range(n)]
    return all_[-max(_MOST_WEEKS, m.period.weeks) :]


def coverage(m: Material) -> Number:
    """Compute which share of the nights' looks succeeded: customer-days fetched, of those due in the period.

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
            difference = _in_points(n / due - n_before / due_before)
            change = Change("unchanged" if difference in {"+0.0", "\N{MINUS SIGN}0.0"} else f"{difference} {_PP}")
    weeks = [(monday, _share(*_sums(daily, monday, monday + _WEEK - timedelta(days=1)))) for monday in _mondays(m)]
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


def sparkline(number: Number) -> Iterator[str]:
    """Draw the weeks of a number as a small picture in HTML, which says in words what it shows.

    Args:
        number: One of the six.
    """
    known = [(i, value) for i, (_, value) in enumerate(number.weeks) if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return
    values = [value for _, value in known]
    width, height, edge = 150, 34, 4
    low, high = min(values), max(values)
    spread = (high - low) or 1
    step = (width - 2 * edge) / (len(number.weeks) - 1)

    def place(i: int, value: float) -> str:
        return f"{edge + i * step:.1f},{height - edge - (value - low) / spread * (height - 2 * edge):.1f}"

    first, last = number.weeks[known[0][0]][0], number.weeks[known[-1][0]][0]
    write = number.written
    says = (
        f"{len(number.weeks)} weeks from {first.day} {first:%b}: between {write(low)} and {write(high)}, "
        f"{write(values[-1])} in the week of {last.day} {last:%b}."
    )
    span = f"{write(low)} in all" if write(low) == write(high) else f"{write(low)} to {write(high)} in"
    line = " ".join(place(*each) for each in known)
    x, y = place(*known[-1]).split(",")
    yield (
        f'<svg class="weeks" role="img" aria-label="{says}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><polyline points="{line}"/><circle cx="{x}" cy="{y}" r="3"/></svg>'
        f'<p class="ends">{span} {len(number.weeks)} weeks</p>'
    )
