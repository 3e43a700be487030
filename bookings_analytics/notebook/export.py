"""Charts and tables as files: a picture that says its title and finding, or the numbers."""

from __future__ import annotations

import codecs
import zlib
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import polars as pl
import vl_convert

from bookings_analytics.notebook._columns import KNOWN_OF_TRENDS
from bookings_analytics.notebook.sheets import Column, Sheet, columns_of, write_workbook
from bookings_analytics.notebook.tables import ShownTable, table
from bookings_analytics.schema import PERIOD, RESULTS, TREND
from bookings_analytics.wording import drawable, in_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

_OURS: Final = {name for frame in (*RESULTS, TREND, PERIOD) for name in frame} | {"day", "week", "weekday"}
_PICTURES: Final = (".png", ".svg", ".pdf")
_NUMBERS: Final = (".csv", ".xlsx")
_SCALE: Final = 2  # pixels of the picture for each of the chart's
_BEFORE_TEXT: Final = 33  # bytes: a PNG's signature and header


def save(shown: alt.TopLevelMixin | ShownTable | IntoFrame, path: str | Path) -> None:
    """Save a chart as a picture, or a chart, a table or a frame of rates as numbers; the file's ending decides.

    ``.png``, ``.svg``, ``.pdf``: a chart as a picture; a png and an svg carry its title and finding for those who can't
    see it. ``.csv``, ``.xlsx``: the numbers, a row for each group, with every count, rate and interval, and the groups'
    names as the list has them. A csv is UTF-8 with a mark that says so, and a text that would be taken for a formula
    starts with ``'``. In a workbook title, period and base stand on top, shares are in percent,
    and the header stays in sight.

    Args:
        shown: Any Altair chart, what `table` returned, or a frame of rates.
        path: The file; what stands there is replaced.

    Raises:
        ValueError: The ending is another one, a table is to be a picture, or the chart has no data of its own.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({"class_id": [7], "n_seats": [12], "n_slots": [40]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(charts.seats_lost_while_waiting(frame), f"{folder}/seats.csv")
        ...     save(frame, f"{folder}/seats.xlsx")
        ...     print(Path(folder, "seats.csv").read_text("utf-8-sig").splitlines()[0])
        group,n_seats,n_slots
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (*_PICTURES, *_NUMBERS):
        raise ValueError(
            f"nothing can be saved as {ending or 'a file without an ending'}: use .png, .svg or .pdf for a picture, "
            ".csv or .xlsx for numbers."
        )
    if not isinstance(shown, alt.TopLevelMixin):
        _save_table(shown if isinstance(shown, ShownTable) else table(shown), path, ending)
        return
    spec = drawable(shown.to_dict())
    match ending:
        case ".png":
            path.write_bytes(with_texts(vl_convert.vegalite_to_png(spec, scale=_SCALE), spec))
        case ".svg":
            path.write_text(_with_title(vl_convert.vegalite_to_svg(spec), spec), "utf-8")
        case ".pdf":
            path.write_bytes(vl_convert.vegalite_to_pdf(spec))
        case ".csv":
            path.write_bytes(_as_csv(_numbers(spec)))
        case _:
            write_workbook(path, [_sheet(spec)])


def _save_table(shown: ShownTable, path: Path, ending: str) -> None:
    if ending in _PICTURES:
        raise ValueError(f"a table can't be saved as {ending}: use .csv or .xlsx, or save its chart.")
    if ending == ".xlsx":
        write_workbook(path, [shown.sheet])
        return
    columns = {column.heading: list(column.values) for column in shown.sheet.columns}
    path.write_bytes(_as_csv(pl.DataFrame(columns, strict=False)))


def _as_csv(frame: pl.DataFrame) -> bytes:
    texts = pl.col(pl.String).map_elements(in_csv, return_dtype=pl.String)
    return codecs.BOM_UTF8 + frame.with_columns(texts).rename(in_csv).write_csv().encode()


def _sheet(spec: Mapping[str, Any]) -> Sheet:
    """Make a sheet of a chart's numbers, under its title and subtitle."""
    frame = _numbers(spec)
    rows = frame.rows(named=True)
    known = [name for name in frame.columns if name in KNOWN_OF_TRENDS]
    rest = [
        Column(name, "text" if frame.schema[name] == pl.String else "amount", frame[name].to_list())
        for name in frame.columns
        if name not in KNOWN_OF_TRENDS
    ]
    subtitle = spec["title"].get("subtitle", []) if isinstance(spec.get("title"), dict) else []
    lines = [subtitle] if isinstance(subtitle, str) else subtitle
    return Sheet(_title(spec), lines, [*rest, *columns_of(rows, [], known, {})])


def _title(spec: Mapping[str, Any]) -> str:
    title = spec.get("title", "")
    text = title.get("text", "") if isinstance(title, dict) else title
    return text if isinstance(text, str) else " ".join(text)


def _with_title(svg: str, spec: Mapping[str, Any]) -> str:
    """Add the elements to an SVG that a screen reader reads first."""
    start = svg.index("<svg")
    inside = svg.index(">", start) + 1
    told = f"<title>{escape(_title(spec))}</title><desc>{escape(spec.get('description', ''))}</desc>"
    return (
        f'{svg[:start]}<svg role="img" aria-label="{escape(_title(spec))}"{svg[start + 4 : inside]}{told}{svg[inside:]}'
    )


def with_texts(png: bytes, spec: Mapping[str, Any]) -> bytes:
    """Add title and description to a PNG: PNG specification, 11.3.3.4 iTXt."""
    texts = {"Title": _title(spec), "Description": spec.get("description", "")}
    chunks = b""
    for keyword, text in texts.items():
        body = b"iTXt" + keyword.encode() + b"\0\0\0\0\0" + text.encode()
        chunks += (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:_BEFORE_TEXT] + chunks + png[_BEFORE_TEXT:]


def _numbers(spec: Mapping[str, Any]) -> pl.DataFrame:
    """Collect the widest of a chart's data sets: the others hold its labels and its lines."""
    sets = [rows for rows in spec.get("datasets", {}).values() if rows]
    if not sets:
        raise ValueError("the chart has no data of its own: save the frame that it was made of.")
    widest = max((set(rows[0]) for rows in sets), key=len)
    frame = pl.DataFrame([row for rows in sets if set(rows[0]) == widest for row in rows], infer_schema_length=None)
    numbers = [name for name in frame.columns if name in _OURS or name.startswith("n_")]
    # One of ours has its groups' names, and texts for its tooltips beside the numbers; any other is kept whole.
    if {"group", "name"} <= widest and numbers:
        frame = frame.select(pl.col("name").alias("group"), *numbers).sort(
            "group", *("week",) * ("week" in numbers), maintain_order=True
        )
    return frame
