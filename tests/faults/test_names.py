"""Names nobody should give, through every way out: terminal, Markdown, HTML, csv, workbook and chart.

They go through in a process of their own, since some characters end the process that draws a chart. A name that is
found later is one more entry of `KNOWN`.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl

import bookings_analytics as ba
from bookings_analytics.fetch.mask import masker
from bookings_analytics.report.page import prose
from bookings_analytics.results import FetchResult
from bookings_analytics.schema import BOOKINGS, FETCHES
from bookings_analytics.studios import ApiKey
from bookings_analytics.wording import cleaned, in_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = [
    *(f"a{chr(code)}b" for code in (*range(32), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF, 0x2028, 0x2029, 0xAD, 0x202E)),
    *('<img src=x onerror="alert(1)">', "<script>alert(1)</script>", "</script><b>", "&lt;b&gt;", "&#60;b&#62;"),
    *("<!--", "A*B", "_x_ **y**", "[x](javascript:alert(1))", "![x](y)", "`x`", "$x$", "# x", "- x", "1. x", "|x|"),
    *("=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "'=1", '"', '"",', "a,b;c", "a\r\nb", "x\ty", "\\", "\\n", "{", "}"),
    *("", " ", "\x00", "null", "None", "NaN", "undefined", "0", "true", "e\u0301", "\U0001f469\u200d\U0001f467"),
    *("\u0645\u0631", "x" * 300, "a." * 40, "~~x~~", "javascript:alert(1)", "https://x.example", "x\\.y"),
    *("datum['x']", "datum.x", "a[0]", "__proto__", "constructor"),
]
ALPHABET = "ab <>&\"'`*_[]()#-=+@|\\/$~{}:;,.%\n\t\x00\x1b\x07\x9b\u2028\ufffe\ufffd\u200f\U0001f600\xdf\ud800\udfff"
RANDOM = 60
PER_CHART = 24


def names() -> list[str]:
    random = Random(20260617)
    made = ("".join(random.choices(ALPHABET, k=random.randint(1, 20))) for _ in range(RANDOM))
    return list(dict.fromkeys([*KNOWN, *made]))


def in_a_frame(name: str) -> bool:
    """Check if polars can hold a name: no half of a pair of surrogates is a character."""
    return re.search("[\ud800-\udfff]", name) is None


class Tags(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def spaced(text: str) -> str:
    return " ".join(text.split())


def controls(text: str) -> list[str]:
    return [each for each in text if unicodedata.category(each) == "Cc" and each not in "\n\t"]


def rates(groups: list[str]) -> pl.DataFrame:
    """Make the rates of a frame nobody has cleaned, one group for each name."""
    seats = [
        (i * 10 + j, group, "attended" if j % 3 else "no_show") for i, group in enumerate(groups) for j in range(9)
    ]
    frame = pl.DataFrame(seats, schema=["customer_id", "group", "outcome"], orient="row")
    return ba.no_shows(frame.with_columns(studio=pl.lit("mitte"), class_id=1), by="group")


def through_terminal(name: str) -> None:
    assert controls(masker(ApiKey("made-up"))(name)) == []
    read = cleaned(name)
    if read:
        studio = ba.Studio(name, base_url="https://acme.example", api_key="made-up")
        assert controls(f"{studio!r} {studio.name}") == []
        named = name if in_a_frame(name) else read
        cohorts = ba.read_cohorts(pl.DataFrame({"customer_id": [1, 2], "studio": [named, "mitte"], "cohort": named}))
        asked = cohorts.with_columns(fetch_outcome=pl.lit("failed"))
        assert controls(FetchResult(BOOKINGS.to_frame(), FETCHES.to_frame(), asked).summary(each_studio=True)) == []


def through_markdown(frame: pl.DataFrame) -> None:
    said = ba.notebook.findings(frame).text
    assert controls(said) == []
    shown = Tags(prose(said))
    assert shown.tags <= {"p", "strong", "ul", "li"}, shown.tags
    for name in named(frame):
        assert spaced(Tags(prose(f"**x {in_markdown(name)} x**")).text) == spaced(f"x {cleaned(name)} x")


def through_html(frame: pl.DataFrame) -> None:
    shown = Tags(ba.notebook.table(frame).html)
    assert not shown.tags & {"script", "img", "b", "a", "iframe"}
    assert not {each for each in shown.attributes if each.startswith("on")}
    for name in named(frame):
        assert spaced(cleaned(name)) in spaced(shown.text)


def through_files(frame: pl.DataFrame, folder: Path) -> None:
    for shown, file in ((frame, "frame"), (ba.charts.no_shows(frame), "chart")):
        for ending in ("csv", "xlsx"):
            ba.notebook.save(shown, folder / f"{file}.{ending}")
        rows = list(csv.reader((folder / f"{file}.csv").read_text("utf-8-sig").splitlines()))
        assert len(rows) == frame.height + 1
        assert len({len(row) for row in rows}) == 1
        for row in rows[1:]:
            assert not [cell for cell in row if cell[:1] in "=+@" and cell], "a spreadsheet would calculate it"
            assert controls("".join(row)) == []


def through_chart(frame: pl.DataFrame, folder: Path) -> None:
    chart = ba.charts.no_shows(frame)
    bundle: Any = chart._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data
    for ending in ("png", "svg"):
        ba.notebook.save(chart, folder / f"chart.{ending}")
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert not Tags((folder / "chart.svg").read_text("utf-8")).tags & {"script", "img", "a", "iframe"}


def named(frame: pl.DataFrame) -> Iterator[str]:
    yield from frame["group"].drop_nulls()


def main() -> None:
    every = names()
    for name in every:
        through_terminal(name)
    in_frames = [name for name in every if in_a_frame(name)]
    with tempfile.TemporaryDirectory() as place:
        for first in range(0, len(in_frames), PER_CHART):
            frame = rates(in_frames[first : first + PER_CHART])
            through_markdown(frame)
            through_html(frame)
            through_files(frame, Path(place))
            through_chart(frame, Path(place))
        for column in (*KNOWN[:32:8], '"', "\u2028", "a.b", "a[0]", "<b>"):
            frame = rates(["x", "y"]).rename({"group": column})
            through_chart(frame, Path(place))
            assert "b" not in Tags(ba.notebook.table(frame).html).tags
    print(f"{len(every)} names")  # noqa: T201 - for the process that waits


def test_every_name_goes_through_every_way_out_and_the_process_survives() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, f"{len(names())} names\n"), done.stderr[-3000:]


if __name__ == "__main__":
    ba.notebook.setup()
    main()
