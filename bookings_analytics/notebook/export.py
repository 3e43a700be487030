"""A chart as a file: a picture that says its title and finding, or the numbers behind it."""

from __future__ import annotations

import codecs
import zlib
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import vl_convert

from bookings_analytics.schema import RESULTS
from bookings_analytics.wording import drawable, in_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

    import altair as alt

_KNOWN: Final = {name for frame in RESULTS for name in frame} | {"day", "week", "weekday", "first_day", "last_day"}
_SCALE: Final = 2  # pixels of the picture for each of the chart's
_BEFORE_TEXT: Final = 33  # bytes: a PNG's signature and header


def save(chart: alt.TopLevelMixin, path: str | Path) -> None:
    """Save a chart: as a picture (``.png``, ``.svg``) that carries its title and finding, or its numbers (``.csv``).

    The numbers are those of its marks: a row for each group, with every count, rate and interval. A csv opens in any
    spreadsheet: it is UTF-8 with a mark that says so, and a text that would be taken for a formula starts with ``'``.

    Args:
        chart: Any Altair chart.
        path: Where to; what stands there is replaced. Its ending says what is wanted.

    Raises:
        ValueError: The ending is another one, or the chart has no data of its own for a csv.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> chart = charts.seats_lost_while_waiting(pl.DataFrame({"class_id": [7], "n_seats": [12], "n_slots": [40]}))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(chart, f"{folder}/seats.csv")
        ...     print(Path(folder, "seats.csv").read_text("utf-8-sig").splitlines()[0])
        group,n_seats,n_slots
    """
    path = Path(path)
    spec = drawable(chart.to_dict())
    match path.suffix.lower():
        case ".png":
            path.write_bytes(with_texts(vl_convert.vegalite_to_png(spec, scale=_SCALE), spec))
        case ".svg":
            path.write_text(_with_title(vl_convert.vegalite_to_svg(spec), spec), "utf-8")
        case ".csv":
            path.write_bytes(codecs.BOM_UTF8 + _numbers(spec).write_csv().encode())
        case other:
            raise ValueError(
                f"a chart can't be saved as {other or 'a file without an ending'}: use .png, .svg or .csv."
            )


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
    numbers = [name for name in frame.columns if name in _KNOWN or name.startswith("n_")]
    # One of ours has its groups' names, and texts for its tooltips beside the numbers; any other is kept whole.
    if {"group", "name"} <= widest and numbers:
        frame = frame.select(pl.col("name").alias("group"), *numbers).sort("group", maintain_order=True)
    texts = pl.col(pl.String).map_elements(in_csv, return_dtype=pl.String)
    return frame.with_columns(texts).rename(in_csv)
