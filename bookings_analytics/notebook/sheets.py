"""Workbooks: a sheet a table, numbers as numbers, so that a spreadsheet can go on with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bookings_analytics.notebook._columns import AMOUNTS, ENDS, Kind, kind_of, said, words
from bookings_analytics.wording import cleaned, label, noun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "text": {},
    "count": {"num_format": "#,##0"},
    "share": {"num_format": "0.0%"},
    "difference": {"num_format": "+0.0%;-0.0%;0.0%"},
    "amount": {"num_format": "0.00"},
    "hours": {"num_format": "#,##0.0"},
    "day": {"num_format": "d mmm yyyy", "align": "left"},
}
_NO_NAME: Final = re.compile(r"[\[\]:*?/\\']")  # what the name of a sheet can't hold
_LONGEST: Final = 31  # characters of such a name
_WIDEST: Final = 40  # characters of a column
_ENDS: Final = {"_ci_low": "interval from", "_ci_high": "interval to", "_min": "at least", "_max": "at most"} | {
    "_bounds_low": "95% range from",
    "_bounds_high": "95% range to",
}


@dataclass(frozen=True)
class Column:
    """One column of a sheet.

    Attributes:
        heading: What it is called.
        kind: What its values are, which decides their format.
        values: Its cells; None is an empty one.
    """

    heading: str
    kind: Kind
    values: Sequence[Any]


@dataclass(frozen=True)
class Sheet:
    """One sheet of a workbook.

    Attributes:
        title: What it shows; also the name of the sheet, as far as that can hold it.
        lines: Its period and base: a row each, under the title.
        columns: Its columns.
    """

    title: str
    lines: Sequence[str]
    columns: Sequence[Column]


def columns_of(
    rows: Sequence[Mapping[str, Any]], by: Sequence[str], shown: Sequence[str], names: Mapping[Any, str]
) -> list[Column]:
    """Turn the rows of a result into columns: the groups in words, each number as it is.

    Args:
        rows: The rows as `read` makes them: ``by_0``, ``by_1``, … hold the groups.
        by: The group columns.
        shown: The columns of numbers and words.
        names: Titles for values of the group columns.
    """
    first = rows[0] if rows else {}
    titles = {label(value): cleaned(name) for value, name in names.items()}
    groups = [
        Column(
            noun(name, 1), "text", [titles.get(row[f"by_{i}"]) or _title(name, row) or row[f"by_{i}"] for row in rows]
        )
        for i, name in enumerate(by)
    ]
    return groups + [_column(name, rows, first) for name in shown]


def _title(by: str, row: Mapping[str, Any]) -> str | None:
    return row.get("class_title") if by == "class_id" else None


def _column(name: str, rows: Sequence[Mapping[str, Any]], first: Mapping[str, Any]) -> Column:
    kind = kind_of(name, first)
    values = [row[name] for row in rows]
    if kind == "text":
        values = [None if value is None else said(name, value) for value in values]
    return Column(_heading(name), kind, values)


def _heading(name: str) -> str:
    for low, high, _ in ENDS:
        for end in (low, high):
            if end in _ENDS and name.endswith(end) and name not in AMOUNTS:
                return f"{words(name.removesuffix(end))}, {_ENDS[end]}"
    return words(name)


def write_workbook(path: Path, sheets: Iterable[Sheet]) -> None:
    """Write an xlsx file: title, period and base above each table, its header in sight while one scrolls.

    Args:
        path: The file; what stands there is replaced.
        sheets: At least one; names that are the same get a number.
    """
    import xlsxwriter  # noqa: PLC0415 - few notebooks write one

    # A text that begins with "=" stays a text, and so does an address.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(path, options) as book:
        look = {kind: book.add_format(facts) for kind, facts in _FORMATS.items()}
        bold = book.add_format({"bold": True, "font_size": 13})
        quiet = book.add_format({"font_color": "#5C5C5C"})
        header = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "bottom"})
        right = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "bottom", "align": "right"})
        taken: set[str] = set()
        for each in sheets:
            page = book.add_worksheet(_name(each.title, taken))
            page.write_string(0, 0, each.title, bold)
            for row, line in enumerate(each.lines, 1):
                page.write_string(row, 0, line, quiet)
            top = len(each.lines) + 2
            for place, column in enumerate(each.columns):
                page.write_string(top, place, column.heading, header if column.kind in {"text", "day"} else right)
                longest = max([len(word) for word in column.heading.split()] + [len(str(v)) for v in column.values])
                page.set_column(place, place, min(_WIDEST, longest if column.kind == "text" else 9) + 2)
                for row, value in enumerate(column.values, top + 1):
                    _write(page, row, place, value, look[column.kind])
            page.freeze_panes(top + 1, sum(column.kind == "text" for column in each.columns[:1]))
            page.set_landscape()
            page.fit_to_pages(1, 0)
            page.repeat_rows(top)


def _write(page: Any, row: int, place: int, value: Any, look: Any) -> None:  # noqa: ANN401 - xlsxwriter has no types
    if value is None:
        page.write_blank(row, place, None, look)
    elif isinstance(value, str):
        page.write_string(row, place, cleaned(value), look)
    elif isinstance(value, bool | int | float):
        page.write_number(row, place, value, look)
    else:
        page.write_datetime(row, place, value, look)


def _name(title: str, taken: set[str]) -> str:
    """Shorten a title to what a sheet can be called, and number it where another has that name."""
    base = _NO_NAME.sub(" ", cleaned(title)).strip() or "table"
    name, n = base[:_LONGEST].strip(), 1
    while name.casefold() in taken:
        n += 1
        end = f" {n}"
        name = base[: _LONGEST - len(end)].strip() + end
    taken.add(name.casefold())
    return name
