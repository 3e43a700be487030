"""Lists as people have them: csv of any Excel, xlsx, parquet, frames. What can't be read surely is refused."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.engines import lazy
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_SEPARATORS: Final = (",", ";", "\t", "|")
_BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_EXACT_DIGITS: Final = 15  # of a number in a spreadsheet; from the 16th on it holds zeros
_NAMES: Final = {  # what people call the columns, without spaces, hyphens and dots
    "customer_id": {
        *("customerid", "customernumber", "customerno", "customernr"),
        *("memberid", "membernumber", "memberno", "membershipid"),
        *("kundennummer", "kundenid", "kundennr", "kdnr"),
        *("mitgliedsnummer", "mitgliedid", "mitgliedsid", "mitgliednr", "mitgliedsnr"),
    },
    "class_id": {"classid", "kursid", "kursnummer", "kursnr"},
    "title": {"title", "titel", "name", "kurs", "kursname", "class", "classname"},
}


@dataclass(frozen=True)
class ReadList:
    """A list as it was read.

    Attributes:
        where: What messages call it: the path, or what kind of object it was.
        frame: Its rows under trimmed names, the columns asked for under the names of `schema`; a file's as text.
        rows: The number of each row, as the spreadsheet shows it for a file, from 1 for anything else.
    """

    where: str
    frame: pl.DataFrame
    rows: Sequence[int]


def read_list(
    source: str | Path | IntoFrame,
    *,
    needs: Sequence[str],
    optional: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    sheet: str | None = None,
) -> ReadList:
    """Read a list from a file or a frame, finding by its header how the file is written.

    Args:
        source: The path of a csv, xlsx or parquet file, or a frame that Narwhals knows.
        needs: The columns that the list must have; the first of them, the id, is what its header is known by.
        optional: Further columns that are known in any case and with spaces around them.
        columns: The list's own name of a column → the name it has here.
        separator: What stands between the values of a csv file; None finds it.
        sheet: The sheet of an xlsx file; None takes the first whose header has the id.

    Raises:
        CohortError: The list can't be read as it stands; the message says what to do.
    """
    known = _Header(needs, optional, columns or {})
    if not isinstance(source, (str, Path)):
        return _framed("the frame", lazy(source).collect("polars").to_native(), known)
    path = _existing(source)
    match path.suffix.lower():
        case ".csv" | ".txt" | ".tsv":
            return _tabled(str(path), _csv_cells(path, known, separator), known)
        case ".xlsx" | ".xlsm" | ".xls" | ".xlsb" | ".ods":
            where, cells = _sheet_cells(path, known, sheet)
            return _tabled(where, cells, known)
        case ".parquet":
            try:
                return _framed(str(path), pl.read_parquet(path, glob=False), known)
            except (pl.exceptions.PolarsError, OSError) as error:
                raise CohortError(f"{path} can't be read: {error}. Save it again, or as csv.") from error
    raise CohortError(f"{path} is not a csv, xlsx or parquet file. Save it as one of them.")


def read_titles(source: str | Path | IntoFrame) -> dict[int, str]:
    """Read the titles of classes, to name them in charts and tables.

    Args:
        source: A file or frame with the columns ``class_id`` and ``title``.

    Returns:
        Class id → title, cleaned of control characters.

    Raises:
        CohortError: The list can't be read as it stands.

    Example:
        >>> import polars as pl
        >>> read_titles(pl.DataFrame({"class_id": [3101], "title": ["Yoga "]}))
        {3101: 'Yoga'}
    """
    titles = read_list(source, needs=("class_id", "title"))
    text = titles.frame.select(pl.col("class_id", "title").cast(pl.String).str.strip_chars())
    for row, (class_id, title) in zip(titles.rows, text.iter_rows(), strict=True):
        if not re.fullmatch("[0-9]{1,18}", class_id or "") or not title:
            raise CohortError(
                f"{titles.where}, row {row}: class_id is {class_id!r} and title {title!r}. Give every row the class's "
                "number and its title."
            )
    return {int(class_id): cleaned(title) for class_id, title in text.iter_rows()}


class _Header:
    """The columns that a list may have, by all the names they go by."""

    def __init__(self, needs: Sequence[str], optional: Sequence[str], columns: Mapping[str, str]) -> None:
        self.needs = tuple(needs)
        self.names = (*needs, *optional)
        self.given = {_folded(old): new.strip() for old, new in columns.items()}
        self.spelled = {_folded(old): old for old in columns}

    def holds_id(self, header: Iterable[str]) -> bool:
        """Check whether a header has the id, under whatever name."""
        named = {_folded(name) for name in header}
        wanted = self.needs[0]
        return bool(
            wanted in named
            or any(self.given[name] == wanted for name in named & set(self.given))
            or any(_bare(name) in _NAMES.get(wanted, ()) for name in named)
        )

    def renamed(self, where: str, header: Sequence[str]) -> list[str]:
        """Name the columns of a list.

        Raises:
            CohortError: Two columns have one name, one that was named is not there, or one that is needed is missing.
        """
        names = [cleaned(name) for name in header]
        folded = [_folded(name) for name in names]
        if lost := [self.spelled[name] for name in self.given if name not in folded]:
            raise CohortError(
                f"{where} has no column {lost[0]}, only {_listed(names)}. Name one of these, spelled as in the list."
            )
        called = [
            self.given.get(fold, fold if fold in self.names else name) for name, fold in zip(names, folded, strict=True)
        ]
        for wanted in self.needs:
            if wanted in called:
                continue
            likely = [i for i, name in enumerate(called) if _bare(name) in _NAMES.get(wanted, ())]
            if len(likely) != 1:
                choice = f"{_listed([names[i] for i in likely])} may all be it" if likely else f"only {_listed(names)}"
                raise CohortError(
                    f"{where} has no column {wanted}: {choice}. Name the column {wanted} in the list, or say which one "
                    "it is (--id-column on the command line, columns={'…': '" + wanted + "'} in Python)."
                )
            if _folded(called[likely[0]]) != wanted.replace("_", ""):
                warnings.warn(f"{where}: column {names[likely[0]]} is read as {wanted}.", stacklevel=5)
            called[likely[0]] = wanted
        alike = [_folded(name) for name in called]
        if twice := [name for name in dict.fromkeys(alike) if alike.count(name) > 1]:
            raise CohortError(
                f"{where} has the column {twice[0]} {alike.count(twice[0])} times ({_listed(names)}). Rename or delete "
                "all but one: nobody can say which is meant."
            )
        return called


def _folded(name: str) -> str:
    return cleaned(name).casefold()


def _bare(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", _folded(name))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name or "(no name)" for name in names) or "none"


def _existing(source: str | Path) -> Path:
    if "://" in str(source):
        raise CohortError(f"{source} is an address: lists are read from files. Download it and pass its path.")
    path = Path(source).expanduser()
    if not path.is_file():
        raise CohortError(f"{path} is not a file. Pass the path of a csv, xlsx or parquet file.")
    return path


_Cells = list[tuple[int, list[str]]]  # the number and the values of each row that is not blank


def _csv_cells(path: Path, known: _Header, separator: str | None) -> _Cells:
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
    cells: _Cells = []
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


def _sheet_cells(path: Path, known: _Header, sheet: str | None) -> tuple[str, _Cells]:
    import fastexcel  # noqa: PLC0415 - only who has a spreadsheet waits for it

    try:
        book = fastexcel.read_excel(path)
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            raise CohortError(f"{path} has no sheet {sheet!r}, only {_listed(names)}. Name one of these.")
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


def _cells_of(book: Any, name: str) -> _Cells:  # noqa: ANN401 - a fastexcel.ExcelReader, which is imported when needed
    if not (loaded := book.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")).height:
        return []
    rows = pl.DataFrame(loaded).fill_null("").rows()
    return [(number, list(row)) for number, row in enumerate(rows, start=1) if any(map(str.strip, row))]


def _tabled(where: str, cells: _Cells, known: _Header) -> ReadList:
    """Make a frame of text of a header and its rows."""
    if not cells:
        raise CohortError(f"{where} is empty. Give a header with {known.needs[0]}, and a row for each one.")
    (_, header), *rows = cells
    while header and not header[-1].strip() and not any(_beyond(values, len(header) - 1) for _, values in rows):
        header = header[:-1]  # a spreadsheet's empty columns
    names = known.renamed(where, header)
    for number, values in rows:
        if _beyond(values, len(names)):
            raise CohortError(
                f"{where}, row {number} has {len(values)} values and the header {len(names)}: put a value that holds "
                "the separator into quotes, or save the list as xlsx."
            )
    # Spreadsheets leave out the last values of a row where they are empty.
    padded = [[*values[: len(names)], *[""] * (len(names) - len(values))] for _, values in rows]
    frame = pl.DataFrame(padded, schema=dict.fromkeys(names, pl.String), orient="row")
    return ReadList(where, _clean(where, frame.with_columns(_trimmed(frame)), known), [number for number, _ in rows])


def _beyond(values: Sequence[str], width: int) -> bool:
    return any(value.strip() for value in values[width:])


def _framed(where: str, frame: pl.DataFrame, known: _Header) -> ReadList:
    named = frame.rename(dict(zip(frame.columns, known.renamed(where, frame.columns), strict=True)))
    return ReadList(where, _clean(where, named.with_columns(_trimmed(named)), known), range(1, frame.height + 1))


def _trimmed(frame: pl.DataFrame) -> Iterator[pl.Series]:
    for column in frame.iter_columns():
        if column.dtype == pl.String:
            text = column.str.strip_chars()
            yield text.set(text == "", None) if column.name else text


def _clean(where: str, frame: pl.DataFrame, known: _Header) -> pl.DataFrame:
    """Remove control characters from text; an id with one is for the reader of ids to refuse."""
    changed = {}
    for column in frame.iter_columns():
        if column.dtype == pl.String and column.name != known.needs[0]:
            distinct = column.drop_nulls().unique()
            names = pl.Series([cleaned(name) for name in distinct], dtype=pl.String)
            if not names.equals(distinct):
                clean = column.replace_strict(distinct, names, default=None)
                changed[column.name] = clean.set(clean == "", None)
    if changed:
        warnings.warn(
            f"{where}: control characters and line breaks were removed from {_listed(changed)}.", stacklevel=5
        )
    return frame.with_columns(**changed)
