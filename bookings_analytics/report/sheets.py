"""The tables of a report: some columns of a frame, with the days and the base on top."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bookings_analytics.notebook.tables import table
from bookings_analytics.report.parts import Sheet
from bookings_analytics.wording import noun

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from bookings_analytics.report.material import Material

_CLASSES: Final = 40  # more are pages of numbers that nobody reads; a chain has hundreds


def largest(classes: pl.DataFrame, size: pl.Expr, of: str) -> tuple[pl.DataFrame, str]:
    """Choose the classes that a report shows, of many the largest, and the sentence that says so.

    Args:
        classes: A frame of rates by class.
        size: How large a class is.
        of: What that counts, such as seats.
    """
    if classes.height <= _CLASSES:
        return classes, ""
    chosen = classes.sort(size, descending=True, maintain_order=True).head(_CLASSES)
    return chosen, f"Of {classes.height:,} classes, the {_CLASSES} with the most {of} follow."


def sheet(
    m: Material,
    rates: pl.DataFrame,
    title: str,
    columns: list[str],
    *,
    called: Mapping[str, str] | None = None,
    when: str | None = None,
    said: str = "",
) -> Sheet:
    """Make a table of some columns, with the groups before them, the days on top, and headings of its own.

    Args:
        m: What the report is made of.
        rates: A frame of rates.
        title: What it shows, without the groups.
        columns: The columns, or patterns of their names.
        called: Headings that are called otherwise here.
        when: The days that it speaks of; None: those of the frame, or the period.
        said: What else is said on top.
    """
    by = [name for name in rates.columns if name in {*m.by, "studio", "class_id", "weekday", "customer_id"}]
    period = [name for name in ("first_day", "last_day") if name in rates.columns]
    per = f", by {' and '.join(noun(name, 1) for name in by)}" if by else ""
    chosen = rates.select(*by, *columns, *period)
    made = table(chosen, names=m.titles, title=title + per)
    of_all = table(rates, names=m.titles).sheet.lines[-1:]
    base = made.sheet.lines[-1:] if len(made.sheet.lines) > bool(period) else of_all
    own = made.sheet.lines[:1] if period else [f"{m.period.text}."] if m.period.text else []
    head = [f"{when}."] if when else own
    lines = [*head, *([said] if said else []), *(line for line in base if line not in own)]
    new = called or {}
    columns_ = [replace(column, heading=new.get(column.heading, column.heading)) for column in made.sheet.columns]
    return Sheet(
        title + per,
        replace(
            made,
            texts=made.texts.rename(new, strict=False),
            numbers=tuple(new.get(name, name) for name in made.numbers),
            sheet=replace(made.sheet, lines=lines, columns=columns_),
        ),
    )
