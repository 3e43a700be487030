"""Rates as a table to read: percent and counts, each interval in one column, little evidence marked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.charts._palette import OUTCOMES, WAIT_OUTCOMES
from bookings_analytics.charts._table import read
from bookings_analytics.wording import (
    NONE,
    POSITIONS,
    amount,
    amount_change,
    counted,
    noun,
    percent,
    points,
    points_span,
    span,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_KNOWN: Final = {name: kind for frame in schema.RESULTS for name, kind in frame.items()}
_ENDS: Final = (
    ("_ci_low", "_ci_high", ", interval"),
    ("_min", "_max", ", bounds"),
    ("_bounds_low", "_bounds_high", ", 95% range"),
    ("_low", "_high", ""),
)
_AMOUNTS: Final = {  # numbers that are no shares, with their decimals
    "dispersion": 2,
    "n_effective_customers": 0,
    "slot_correlation": 2,
    "day_correlation": 2,
    "looks_per_day": 1,
    **{f"{name}{part}": 2 for name in schema.PER_WEEK for part in ("", "_ci_low", "_ci_high", "_max")},
}
_VALUES: Final = {**{kind: named for kind, (named, _) in (OUTCOMES | WAIT_OUTCOMES).items()}}
_CALLED: Final = {
    "class_day": "day",
    "late_cancel_rate": "late-cancel rate",
    "unused_rate": "unused rate",
    "n_late": "canceled on the class day",
    "n_ambiguous": "canceled on the class day or before",
    "n_undated": "not dated",
    "n_slot_canceled": "class canceled",
    "n_effective_customers": "effective customers",
    "looks_per_day": "looks a day",
    "booked_per_week": "booked a week",
    "attended_per_week": "attended a week",
    "attended_per_week_max": "attended a week if all unrecorded were",
    "n_shared_customers": "customers in both",
    "limit_95": "95% limits",
    "limit_998": "99.8% limits",
    "n_customers_gap_over_14_days": "customers with a gap over 14 days",
}
# In place of great_tables' own sheet, which is dark on white under any theme, and styles the page's other tables too.
_SHEET: Final = re.compile("<style>.*?</style>", re.DOTALL)
_STYLE: Final = """<style>
# table { border-collapse: collapse; margin: 0; font-size: 13px; line-height: 1.4; color: inherit }
# tr { background: none }
# :is(th, td) { padding: 4px 8px; border: 0; border-bottom: 1px solid rgb(128 128 128 / 35%); vertical-align: bottom }
# th { font-weight: bold; min-width: 3.5em }
# td { white-space: nowrap }
# .gt_left { text-align: left }
# .gt_right { text-align: right; font-variant-numeric: tabular-nums }
# .gt_sourcenote { border: 0; font-size: 12px; text-align: left }
</style>"""
_FEW_EFFECTIVE: Final = (
    f"* of fewer than {schema.FEW_CUSTOMERS} effective customers; without these, of fewer than {schema.FEW}"
)
_MARK: Final = "\N{NO-BREAK SPACE}*"


@dataclass(frozen=True, repr=False)
class ShownTable:
    """A table that shows itself in a notebook, the same in every run.

    Attributes:
        texts: What the table says, cell by cell, under its headings.
        html: The same as HTML.
    """

    texts: pl.DataFrame
    html: str

    def __repr__(self) -> str:
        return f"<table of {counted(self.texts.height, 'row')} and {counted(self.texts.width, 'column')}>"

    def _repr_html_(self) -> str:
        return self.html


def table(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> ShownTable:
    """Show a frame of rates as a table: a row a group, rates in percent, each interval in one column.

    A rate of fewer than ten effective customers, or of fewer than 30 where these are not known, is marked with a star.
    Choose columns with polars' `select` before.

    Args:
        rates: What any function of rates returned, or some columns of it.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted; None keeps the
            order of ``rates``, which is that of its groups.

    Raises:
        ValueError: If ``rates`` has no column ``sort``.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics.metrics import rates
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2, 2],
        ...     "outcome": ["attended", "no_show", "attended", "unrecorded"],
        ... })
        >>> table(rates.no_shows(outcomes).select("n_customers", "^no_show_rate(|_ci.*|_min|_max)$")).texts.row(0)
        ('2', '33%', '...% to ...%', '25% to 50%')
    """
    from great_tables import GT  # noqa: PLC0415 - takes a second to import, which charts need not wait for

    read_table = read(rates, schema=_KNOWN, needs=(), made_by="a function of rates", names=names, sort=sort)
    rows = read_table.rows
    by = " / ".join(noun(column, 1) for column in read_table.by)
    columns = {by: [row["name"] for row in rows]} if by else {}
    shown = [name for name in rows[0] if name in _KNOWN] if rows else []
    numbers = []
    for name in shown:
        for heading, column in _column(name, rows, shown):
            columns[heading] = column
            numbers += [heading] if _KNOWN[name].is_numeric() else []
    texts = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    own = f"table-{hashlib.sha256(texts.write_json().encode()).hexdigest()[:12]}"  # great_tables' differs in every run
    made = GT(texts, id=own).cols_align("left").cols_align("right", numbers)
    if any(_MARK in text for each in columns.values() for text in each):
        made = made.tab_source_note(
            _FEW_EFFECTIVE if "n_effective_customers" in rows[0] else f"* of fewer than {schema.FEW}"
        )
    return ShownTable(texts, _SHEET.sub(_STYLE.replace("#", f"#{own} "), made.as_raw_html()))


def _column(name: str, rows: list[dict[str, Any]], shown: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Write a column; the two ends of an interval, of bounds or of limits make one, where both are there."""
    for low, high, called in _ENDS:
        if name.endswith(low) and (end := name.removesuffix(low) + high) in shown:
            base = name.removesuffix(low)
            write = _writer(base, rows)
            yield _words(base) + called, [write(row[name], row[end]) for row in rows]
            return
        if name.endswith(high) and name.removesuffix(high) + low in shown:
            return
    yield _words(name), [_text(name, row) for row in rows]


def _writer(base: str, rows: list[dict[str, Any]]) -> Callable[[float | None, float | None], str]:
    """Choose how the two ends of an interval are written."""
    if base in schema.PER_WEEK:
        return lambda low, high: NONE if low is None else f"{amount(low)} to {amount(high)}"
    if base != "difference":
        return span
    if rows[0].get("rate") in schema.PER_WEEK:
        return lambda low, high: NONE if low is None else f"{amount_change(low)} to {amount_change(high)}"
    return points_span


def _text(name: str, row: Mapping[str, Any]) -> str:
    value = row[name]
    if value is None:
        return NONE
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else _said(name, value)
    if name.endswith("_h"):
        return f"{value:,.0f} h"
    share = row.get("rate") is None or row["rate"] in schema.RATES  # of a comparison: else classes a week
    if name == "difference":
        return f"{points(value)} pp" if share else amount_change(value)
    if name in _AMOUNTS or (name in {"value", "baseline_value"} and not share):
        return f"{value:,.{_AMOUNTS.get(name, 2)}f}" + _MARK * _few(name, row)
    return percent(value) + _MARK * _few(name, row)


def _said(name: str, value: object) -> str:
    """Write a status or the name of a rate in words."""
    text = str(value)
    if name == "rate":
        facts = (schema.RATES | schema.PER_WEEK).get(text)
        return facts.label if facts else text
    return POSITIONS.get(text) or (_VALUES.get(text, text) if name in {"outcome", "wait_outcome"} else text)


def _few(name: str, row: Mapping[str, Any]) -> bool:
    """Check whether a rate is of few effective customers or, where it has none, of few trials."""
    facts = (schema.RATES | schema.PER_WEEK).get(name)
    if facts is None:
        return False
    if facts.effective and row.get("n_effective_customers") is not None:
        return bool(row["n_effective_customers"] < schema.FEW_CUSTOMERS)
    parts = [row.get(count) for count in facts.trials]
    return None not in parts and sum(part for part in parts if part is not None) < schema.FEW


def _words(name: str) -> str:
    words = name.removeprefix("n_").removesuffix("_h").replace("no_show", "no-show").replace("_", " ")
    return _CALLED.get(name, words)
