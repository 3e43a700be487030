"""Rates as a table to read: percent and counts, each interval in one column, little evidence marked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.charts._table import read
from bookings_analytics.metrics.engines import lazy
from bookings_analytics.notebook._columns import AMOUNTS, ENDS, known_in, of_shares, said, words
from bookings_analytics.notebook.sheets import Sheet, columns_of
from bookings_analytics.wording import (
    NONE,
    amount,
    amount_change,
    counted,
    noun,
    percent,
    points,
    points_span,
    singular,
    slope,
    span,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

    from bookings_analytics.charts._table import Table

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
    """A table that shows itself in a notebook, the same in every run; `save` writes it as csv or xlsx.

    Attributes:
        texts: What the table says, cell by cell, under its headings.
        numbers: The headings of its numbers, which stand flush right.
        note: What its stars mean; empty without one.
        sheet: The same as numbers, under its title, period and base.
    """

    texts: pl.DataFrame
    numbers: tuple[str, ...]
    note: str
    sheet: Sheet

    def __repr__(self) -> str:
        return f"<table of {counted(self.texts.height, 'row')} and {counted(self.texts.width, 'column')}>"

    def _repr_html_(self) -> str:
        return self.html

    @cached_property
    def html(self) -> str:
        """The table as HTML."""
        from great_tables import GT  # noqa: PLC0415 - takes a second to import, which charts need not wait for

        digest = hashlib.sha256(self.texts.write_json().encode()).hexdigest()
        own = f"table-{digest[:12]}"  # great_tables' own differs in every run
        made = GT(self.texts, id=own).cols_align("left").cols_align("right", list(self.numbers))
        if self.note:
            made = made.tab_source_note(self.note)
        return _SHEET.sub(_STYLE.replace("#", f"#{own} "), made.as_raw_html())


def table(
    rates: IntoFrame,
    *,
    names: Mapping[Any, str] | None = None,
    sort: str | Sequence[Any] | None = None,
    title: str | None = None,
) -> ShownTable:
    """Show a frame of rates as a table: one row per group, rates in percent, each interval in one column.

    A rate of fewer than ten effective customers, or of fewer than 30 where these are not known, is marked with a star.
    Choose columns with polars' `select` before.

    Args:
        rates: What any function of rates returned, or some columns of it.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted; None keeps the
            order of ``rates``, which is that of its groups.
        title: What `save` writes above it in a workbook; None: its numbers and groups.

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
    known = known_in(lazy(rates).collect_schema().names())
    read_table = read(rates, schema=known, needs=(), made_by="a function of rates", names=names, sort=sort)
    rows = read_table.rows
    by = " / ".join(noun(column, 1) for column in read_table.by)
    columns = {by: [row["name"] for row in rows]} if by else {}
    shown = [name for name in rows[0] if name in known] if rows else []
    numbers: list[str] = []
    for name in shown:
        for heading, column in _column(name, rows, shown):
            columns[heading] = column
            numbers += [heading] if known[name].is_numeric() else []
    texts = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    marked = any(_MARK in text for each in columns.values() for text in each)
    note = _FEW_EFFECTIVE if marked and "n_effective_customers" in rows[0] else f"* of fewer than {schema.FEW}"
    first = texts.columns[1 if by and texts.width > 1 else 0] if texts.width else "nothing"
    heading = title or f"{first[0].upper()}{first[1:]}{read_table.per}"
    lines = tuple(line for line in (read_table.period.strip(), base_of(read_table)) if line)
    columns_as_numbers = columns_of(rows, read_table.by, shown, names or {})
    return ShownTable(texts, tuple(numbers), note if marked else "", Sheet(heading, lines, columns_as_numbers))


def base_of(table: Table) -> str:
    """Write how many seats, waits, customers … a table covers: ``1,204 seats in 4 cohorts.``; empty if not known."""
    rows = table.rows
    first = rows[0] if rows else {}
    if {"limit_low", "rate", "n"} <= set(first):
        return f"{sum(row['n'] or 0 for row in rows):,} {schema.TRENDS[first['rate']].unit}{table.of}."
    if {"difference", "rate", "n", "baseline_n"} <= set(first):
        facts = (schema.RATES | schema.PER_WEEK)[first["rate"]]
        return f"{sum((row['n'] or 0) + (row['baseline_n'] or 0) for row in rows):,} {facts.unit}{table.of}."
    for name, unit in (("outcome", "request"), ("days_before", "cancellation"), ("chance", "wait")):
        if name in first:
            count = "n_waits" if name == "chance" else "n"
            return f"{counted(sum(row[count] or 0 for row in rows), unit)}{table.of}." if count in first else ""
    for rate, facts in (schema.RATES | schema.PER_WEEK).items():
        if rate in first and facts.unit != "customers" and set(facts.trials) <= set(first):
            n = sum(row[count] or 0 for row in rows for count in facts.trials)
            return f"{n:,} {singular(facts.unit) if n == 1 else facts.unit}{table.of}."
    if first.get("n_customers") is not None:
        return f"{counted(table.customers('n_customers'), 'customer')}{table.of}."
    return f"{counted(len(rows), 'customer')}." if "no_show_estimate" in first else ""


def _column(name: str, rows: list[dict[str, Any]], shown: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Write a column; the two ends of an interval, of bounds or of limits make one, where both are there."""
    for low, high, called in ENDS:
        if name.endswith(low) and (end := name.removesuffix(low) + high) in shown:
            base = name.removesuffix(low)
            write = _writer(base, rows)
            yield words(base) + called, [write(row[name], row[end]) for row in rows]
            return
        if name.endswith(high) and name.removesuffix(high) + low in shown:
            return
    yield words(name), [_text(name, row) for row in rows]


def _writer(base: str, rows: list[dict[str, Any]]) -> Callable[[float | None, float | None], str]:
    """Choose how the two ends of an interval are written."""
    if base in schema.PER_WEEK:
        return lambda low, high: NONE if low is None else f"{amount(low)} to {amount(high)}"
    if base == "slope":
        return lambda low, high: NONE if low is None else f"{slope(low)} to {slope(high)}"
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
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else said(name, value)
    if name.endswith("_h"):
        return f"{value:,.0f} h"
    share = of_shares(row)
    if name in {"difference", "slope"}:
        return f"{(slope if name == 'slope' else points)(value)} pp" if share else amount_change(value)
    if name in AMOUNTS or (name in {"value", "baseline_value"} and not share):
        return f"{value:,.{AMOUNTS.get(name, 2)}f}" + _MARK * _few(name, row)
    return percent(value) + _MARK * _few(name, row)


def _few(name: str, row: Mapping[str, Any]) -> bool:
    """Check whether a rate is of few effective customers or, where it has none, of few trials."""
    facts = (schema.RATES | schema.PER_WEEK).get(name)
    if facts is None:
        return False
    if facts.effective and row.get("n_effective_customers") is not None:
        return bool(row["n_effective_customers"] < schema.FEW_CUSTOMERS)
    parts = [row.get(count) for count in facts.trials]
    return None not in parts and sum(part for part in parts if part is not None) < schema.FEW
