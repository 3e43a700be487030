"""The questions of a report as HTML: by themselves or in one file, which needs no other file and no internet."""

from __future__ import annotations

import base64
import json
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

import mistune
import vl_convert

from bookings_analytics.report.look import DRAW, STYLE
from bookings_analytics.report.parts import VEGA_LITE, Figure, Sheet, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bookings_analytics.report.parts import Part, Question

_MARKDOWN: Final = mistune.create_markdown(escape=True)
_EMBED: Final = {"renderer": "svg", "theme": None, "actions": {"source": False, "compiled": False, "editor": False}}
_TALL, _TALLEST = 400, 500  # pixels: a picture of more gets more of a printed page, so that its letters can be read
_SHORT: Final = 8  # rows: such a table stays on one page
_PHONE: Final = 350  # pixels that a table has on a phone
_LETTER, _GAP = 7.5, 16  # pixels of a letter of a table, and between two columns


def page(question: Question, *, about: str) -> str:
    """Write a question as a page of its own.

    Args:
        question: The question with its answer.
        about: What the report is about, in a line of text.
    """
    body = "\n".join(_part(part, level=2) for part in question.parts)
    nav = '<nav aria-label="Report"><a href="index.html">The whole report</a></nav>'
    head = f'<h1>{escape(question.title)}</h1>\n<p class="quiet">{escape(about)}</p>'
    return document(question.title, f"{nav}\n{head}\n{body}", [question])


def section(question: Question) -> str:
    """Write a question as a part of the first page.

    Args:
        question: The question with its answer.
    """
    body = "\n".join(_part(part, level=3) for part in question.parts)
    return (
        f'<article id="{question.key}">\n'
        f'<h2 id="{question.key}-title">{escape(question.title)}</h2>\n{body}\n</article>'
    )


def document(title: str, body: str, questions: Sequence[Question]) -> str:
    """Write a whole HTML document around what its body holds.

    Args:
        title: The title as text.
        body: What is shown, as HTML.
        questions: Those in it: their charts need a script.
    """
    charts = any(isinstance(part, Figure) for question in questions for part in question.parts)
    scripts = f"<script>{_bundle()}</script>\n<script>{DRAW}</script>" if charts else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts}\n</body>\n</html>\n"
    )


def prose(markdown: str) -> str:
    """Write Markdown as HTML; HTML in it is shown as text, since names of customers' lists may be part of it.

    Args:
        markdown: The text.
    """
    return str(_MARKDOWN(markdown)).strip()


def _part(part: Part, *, level: int) -> str:
    if isinstance(part, Words):
        return prose(part.markdown)
    if isinstance(part, Sheet):
        return _table(part, level)
    return _figure(part, level)


def _figure(figure: Figure, level: int) -> str:
    """Write a chart: its title as a heading, which wraps on a phone, its picture, and what it is drawn of."""
    spec = figure.spec
    title, lines = _title(spec)
    caption = f"<h{level}>{escape(title)}</h{level}>" + "".join(f"<p>{escape(line)}</p>" for line in lines)
    says = escape(str(spec.get("description", title)))
    height = spec.get("height", 0)
    tall = ' class="tallest"' if height > _TALLEST else ' class="tall"' if height > _TALL else ""
    source = base64.b64encode(figure.svg.encode()).decode()
    live = _for_script(figure.bare | {"usermeta": {"embedOptions": _EMBED} | spec.get("usermeta", {})})
    return (
        f'<figure{tall}><figcaption>{caption}</figcaption><img src="data:image/svg+xml;base64,{source}" alt="{says}">'
        f'{_beside(spec)}<script type="application/json">{live}</script></figure>'
    )


def _title(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Read the title and the sentences under it, which a chart breaks into lines for its own width."""
    title = spec.get("title", "")
    if not isinstance(title, dict):
        return (title if isinstance(title, str) else " ".join(title)), []
    text, lines = title.get("text", ""), title.get("subtitle", [])
    return (
        text if isinstance(text, str) else " ".join(text),
        [lines if isinstance(lines, str) else " ".join(lines)] if lines else [],
    )


def _beside(spec: Mapping[str, Any]) -> str:
    """Write the columns of numbers that stand right of a chart's rows as a table, for where there is no room."""
    columns = list(_columns_beside(spec))
    if not columns:
        return ""
    rows = columns[0][2]
    labels = [part for row in rows for part in row["group"].split("\n")]
    wide = _width([("", labels), *((heading, [str(row[field]) for row in rows]) for heading, field, _ in columns)])
    kinds = "beside many" if wide > _PHONE else "beside"
    head = "".join(f'<th scope="col" class="number">{escape(heading)}</th>' for heading, _, _ in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row["name"])}</th>'
        + "".join(_cell(1, str(row[field]), heading, ' class="number"') for heading, field, _ in columns)
        + "</tr>"
        for row in rows
    )
    return f'<table class="{kinds}"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'


def _columns_beside(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Find the columns: for each its heading, its field and the rows, in the order in which they are drawn."""
    layers = [layer for layer in spec.get("layer", ()) if _stands_right(layer)]
    data = spec.get("datasets", {})

    def rows_of(layer: Mapping[str, Any]) -> list[dict[str, Any]]:
        source = layer["data"]
        rows: list[dict[str, Any]] = data[source["name"]] if "name" in source else source["values"]
        return rows

    for column, heading in zip(layers[::2], layers[1::2], strict=True):
        rows = rows_of(column)
        if all("name" in row for row in rows):
            field = column["encoding"]["text"]["field"]
            yield rows_of(heading)[0]["says"], field, rows


def _stands_right(layer: Mapping[str, Any]) -> bool:
    mark = layer.get("mark", {})
    at = layer.get("encoding", {}).get("x", {})
    return at.get("value") == "width" and isinstance(mark, dict) and mark.get("align") == "right"


def _table(sheet: Sheet, level: int) -> str:
    texts, numbers = sheet.table.texts, set(sheet.table.numbers)
    kind = [' class="number"' if name in numbers else "" for name in texts.columns]
    head = "".join(f'<th scope="col"{css}>{escape(name)}</th>' for name, css in zip(texts.columns, kind, strict=True))
    body = "\n".join(
        "<tr>" + "".join(_cell(i, text, texts.columns[i], kind[i]) for i, text in enumerate(row)) + "</tr>"
        for row in texts.iter_rows()
    )
    note = f'<p class="note">{escape(sheet.table.note)}</p>' if sheet.table.note else ""
    lines = " ".join(sheet.table.sheet.lines)
    caption = f"<caption><h{level}>{escape(sheet.title)}</h{level}><span>{escape(lines)}</span></caption>"
    wide = _width((column.name, column) for column in texts) > _PHONE
    kinds = " ".join(["short"] * (texts.height <= _SHORT) + ["many"] * wide)
    return f'<table class="{kinds}">{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>{note}'


def _cell(place: int, text: str, heading: str, css: str) -> str:
    if place == 0 and not css:
        return f'<th scope="row">{escape(text)}</th>'
    return f'<td{css} data-label="{escape(heading)}">{escape(text)}</td>'


def _width(columns: Iterable[tuple[str, Iterable[str]]]) -> float:
    """Estimate how many pixels the columns of a table need, their headings broken into words."""
    return sum(
        max([*map(len, heading.split()), *map(len, texts)], default=0) * _LETTER + _GAP for heading, texts in columns
    )


def _for_script(spec: object) -> str:
    """Write JSON that can neither end the script element it stands in nor begin a comment or another one in it."""
    return json.dumps(spec, ensure_ascii=False).replace("<", "\\u003c")


@cache
def _bundle() -> str:
    """Bundle Vega, Vega-Lite and Vega-Embed as one script, which takes a second."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
