"""Lists as people have them: csv of any Excel, xlsx, parquet, frames. What can't be read surely is refused."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.cohorts.files import csv_cells, sheet_cells
from bookings_analytics.cohorts.header import Header, listed
from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.engines import in_polars, lazy
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

    from bookings_analytics.cohorts.files import Cells


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
    known = Header(needs, optional, columns or {})
    if not isinstance(source, (str, Path)):
        return _framed("the frame", in_polars(lazy(source)), known)
    path = _existing(source)
    match path.suffix.lower():
        case ".csv" | ".txt" | ".tsv":
            return _tabled(str(path), csv_cells(path, known, separator), known)
        case ".xlsx" | ".xlsm" | ".xls" | ".xlsb" | ".ods":
            where, cells = sheet_cells(path, known, sheet)
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


def _existing(source: str | Path) -> Path:
    if "://" in str(source):
        raise CohortError(f"{source} is an address: lists are read from files. Download it and pass its path.")
    path = Path(source).expanduser()
    if not path.is_file():
        raise CohortError(f"{path} is not a file. Pass the path of a csv, xlsx or parquet file.")
    return path


def _tabled(where: str, cells: Cells, known: Header) -> ReadList:
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


def _framed(where: str, frame: pl.DataFrame, known: Header) -> ReadList:
    named = frame.rename(dict(zip(frame.columns, known.renamed(where, frame.columns), strict=True)))
    return ReadList(where, _clean(where, named.with_columns(_trimmed(named)), known), range(1, frame.height + 1))


def _trimmed(frame: pl.DataFrame) -> Iterator[pl.Series]:
    for column in frame.iter_columns():
        if column.dtype == pl.String:
            text = column.str.strip_chars()
            yield text.set(text == "", None) if column.name else text


def _clean(where: str, frame: pl.DataFrame, known: Header) -> pl.DataFrame:
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
        warnings.warn(f"{where}: control characters and line breaks were removed from {listed(changed)}.", stacklevel=5)
    return frame.with_columns(**changed)
