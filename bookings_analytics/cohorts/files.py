"""The cells of a csv or a spreadsheet file, however it is written."""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl

from bookings_analytics.cohorts.header import listed
from bookings_analytics.errors import CohortError

if TYPE_CHECKING:
    from pathlib import Path

    from bookings_analytics.cohorts.header import Header

Cells: TypeAlias = list[tuple[int, list[str]]]  # the number and the values of each row that is not blank

_SEPARATORS: Final = (",", ";", "\t", "|")
_BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_EXACT_DIGITS: Final = 15  # of a number in a spreadsheet; from the 16th on it holds zeros


def csv_cells(path: Path, known: Header, separator: str | None) -> Cells:
    """Read the cells of a csv file, the separator being the one whose header holds the id.

    Args:
        path: The file.
        known: The columns that the list may have.
        separator: What stands between two values; None finds it.

    Raises:
        CohortError: It is not text, or its quotes do not close.
    """
    text = _decoded(path, path.read_bytes())
    first, _, rest = text.partition("\n")
    skipped = 0
    if said := re.fullmatch(r'"?sep=(.)"?', first.strip(), re.IGNORECASE):
        separator, text, skipped = separator or said[1], rest, 1
    elif first.strip().casefold() == "sep=":  # a tab, which strip took away
        separator, text, skipped = separator or "\t", rest, 1
    if separator is not None and len(separator) != 1:
        raise CohortError(f"the separator is {separator!r}: give the one character that stands between two values.")
    tried = [separator] if separator else list(_SEPARATORS)
    fitting = [each for each in tried if known.holds_id(_first_row(text, each))]
    chosen = max(fitting or tried, key=lambda each: len(_first_row(text, each)))
    cells: Cells = []
    number = skipped
    try:
        for number, row in enumerate(
            csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True), start=1 + skipped
        ):
            if any(map(str.strip, row)):
                cells.append((number, row))
    except csv.Error as error:
        raise CohortError(
            f"{path} can't be read near row {number + 1}: {error}. Save it again as csv from the "
            "spreadsheet, or as xlsx."
        ) from error
    return cells


def _first_row(text: str, separator: str) -> list[str]:
    try:
        return next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)), [])
    except csv.Error:
        return []


def _decoded(path: Path, raw: bytes) -> str:
    """Decode text as spreadsheets write it: by its byte order mark, else UTF-8, else cp1252."""
    marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if raw.startswith(mark)), None)
    guessed = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be" if raw[:1] == b"\0" else None
    for encoding in filter(None, [marked or guessed] if marked or guessed else ["utf-8", "cp1252"]):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CohortError(f"{path} is not text in UTF-8, UTF-16 or cp1252. Save it as csv in UTF-8, or as xlsx.")


def sheet_cells(path: Path, known: Header, sheet: str | None) -> tuple[str, Cells]:
    """Read the cells of a sheet, and say what messages call it.

    Args:
        path: The spreadsheet file.
        known: The columns that the list may have.
        sheet: The sheet's name; None takes the first whose header holds the id.

    Raises:
        CohortError: The file or the sheet can't be read, or a number in it has been rounded.
    """
    import fastexcel  # noqa: PLC0415 - only who has a spreadsheet waits for it

    try:
        book = fastexcel.read_excel(path)
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            raise CohortError(f"{path} has no sheet {sheet!r}, only {listed(names)}. Name one of these.")
        found = [(name, _cells_of(book, name)) for name in ([sheet] if sheet is not None else names)]
    except fastexcel.FastExcelError as error:
        why = str(error).partition("\n")[0]
        raise CohortError(f"{path} can't be read: {why}. Save it again as xlsx, or as csv.") from error
    fitting = [(name, cells) for name, cells in found if cells and known.holds_id(cells[0][1])]
    name, cells = (fitting or found)[0]
    for number, values in cells:
        for value in values:
            if re.fullmatch(r"[0-9]+(\.0)?", value) and len(value.partition(".")[0]) > _EXACT_DIGITS:
                raise CohortError(
                    f"{path}, sheet {name}, row {number}: {value} has more than {_EXACT_DIGITS} digits, and a "
                    "spreadsheet rounds longer numbers. Export the list as csv from where it comes from."
                )
    return f"{path}, sheet {name}" if len(names) > 1 else str(path), cells


def _cells_of(book: Any, name: str) -> Cells:  # noqa: ANN401 - a fastexcel.ExcelReader, which is imported when needed
    if not (loaded := book.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")).height:
        return []
    rows = pl.DataFrame(loaded).fill_null("").rows()
    return [(number, list(row)) for number, row in enumerate(rows, start=1) if any(map(str.strip, row))]
