"""`ba.notebook.save`: a chart as a picture that says what it shows, and as the numbers behind it."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from datetime import date
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import altair as alt
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bookings_analytics import charts, schema
from bookings_analytics.notebook import save

if TYPE_CHECKING:
    from pathlib import Path

SEATS = pl.DataFrame({"class_id": [7, 8], "n_seats": [12, 0], "n_slots": [40, 22]})
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def chart() -> alt.LayerChart:
    return charts.seats_lost_while_waiting(SEATS, names={7: "Yoga & <more>"})


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Read a PNG's chunks, checking the sum of each."""
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        at += length + 12
    return found


def test_a_png_carries_title_and_finding(chart: alt.LayerChart, tmp_path: Path) -> None:
    save(chart, tmp_path / "seats.png")
    read = chunks((tmp_path / "seats.png").read_bytes())
    texts = dict(body.split(b"\0\0\0\0\0", 1) for kind, body in read if kind == b"iTXt")

    assert (read[0][0], read[-1][0]) == (b"IHDR", b"IEND")
    assert texts[b"Title"] == b"Seats that stayed empty while somebody waited, by class"
    assert texts[b"Description"].decode() == chart.to_dict()["description"]


def test_an_svg_carries_title_and_finding(chart: alt.LayerChart, tmp_path: Path) -> None:
    save(chart, str(tmp_path / "seats.SVG"))
    root = ET.parse(tmp_path / "seats.SVG").getroot()

    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root.get("role") == "img"
    assert root.get("aria-label") == root[0].text == "Seats that stayed empty while somebody waited, by class"
    assert root[1].text == chart.to_dict()["description"]


def test_a_csv_has_a_row_a_group_with_its_numbers(chart: alt.LayerChart, tmp_path: Path) -> None:
    save(chart, tmp_path / "seats.csv")
    read = pl.read_csv(tmp_path / "seats.csv").rows()
    assert sorted(read) == [("8", 0, 22), ("Yoga & <more>", 12, 40)]


def test_marks_drawn_in_two_layers_are_all_in_the_csv(tmp_path: Path) -> None:
    funnel = pl.DataFrame(
        {
            "class_id": [1, 2],
            "n_attended": [95, 70],
            "n_no_show": [5, 30],
            "n_recorded": 100,
            "no_show_rate": [0.05, 0.3],
            "center": 0.175,
            "dispersion": 1.0,
            "position": ["below_998", "within"],
        }
    )
    save(charts.no_show_funnel(funnel), tmp_path / "funnel.csv")
    assert pl.read_csv(tmp_path / "funnel.csv")["no_show_rate"].to_list() == [0.05, 0.3]


def test_of_coverage_over_time_the_csv_has_a_row_a_day(tmp_path: Path) -> None:
    days = pl.DataFrame(
        [("b", date(2026, 3, 1), 2, 2, 2, None, None, 0), ("a", date(2026, 3, 2), 4, 1, 3, 24.0, 25.0, 0)],
        schema={"cohort": pl.String(), "day": pl.Date(), **schema.COVERAGE},
        orient="row",
    )
    save(charts.coverage(days), tmp_path / "days.csv")
    read = pl.read_csv(tmp_path / "days.csv", try_parse_dates=True).rename({"group": "cohort"})
    assert_frame_equal(read, days.sort("cohort"))


def test_an_analysts_own_chart_is_saved_whole(tmp_path: Path) -> None:
    own = alt.Chart(alt.InlineData([{"a": 1, "b": "x"}]), title=["two", "lines"]).mark_point().encode(x="a:Q")
    for ending in ("png", "svg", "csv"):
        save(own, tmp_path / f"own.{ending}")
    assert (tmp_path / "own.csv").read_bytes() == b"\xef\xbb\xbfa,b\n1,x\n"
    assert ET.parse(tmp_path / "own.svg").getroot()[0].text == "two lines"


@pytest.mark.parametrize("name", ["chart.pdf", "chart"])
def test_another_ending_is_refused(chart: alt.LayerChart, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"use \.png, \.svg or \.csv"):
        save(chart, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_chart_of_data_from_elsewhere_has_no_numbers_to_save(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data of its own"):
        save(alt.Chart("https://acme.example/data.csv").mark_point(), tmp_path / "chart.csv")


def test_a_spreadsheet_calculates_nothing_of_a_csv_and_reads_its_numbers(tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "+1-800", "@SUM(A1)", "-5", "Größe", "corporate members of the largest company next door"]
    rates = pl.DataFrame({"cohort": names, "n_seats": 1, "n_slots": 2})
    save(charts.seats_lost_while_waiting(rates), tmp_path / "seats.csv")
    read = pl.read_csv(tmp_path / "seats.csv", infer_schema=False)

    assert set(read["group"]) == {"'=HYPERLINK(1)", "'+1-800", "'@SUM(A1)", *names[3:]}
    assert set(read["n_seats"]) == {"1"}


def test_a_negative_number_stays_one(tmp_path: Path) -> None:
    own = alt.Chart(alt.InlineData([{"difference": -0.5, "=name": "-0,5"}])).mark_point()
    save(own, tmp_path / "own.csv")

    assert pl.read_csv(tmp_path / "own.csv", infer_schema=False).to_dicts() == [
        {"difference": "-0.5", "'=name": "-0,5"}
    ]


def test_of_a_mix_the_csv_has_counts_and_shares_as_numbers(tmp_path: Path) -> None:
    counts = pl.DataFrame({"outcome": ["attended", "canceled"], "n": [2, 1], "share": [2 / 3, 1 / 3]})
    save(charts.outcome_counts(counts), tmp_path / "mix.csv")
    read = pl.read_csv(tmp_path / "mix.csv").sort("n")

    assert read["n"].to_list() == [1, 2]
    assert read["share"].to_list() == pytest.approx([1 / 3, 2 / 3])


FUZZ = r"""
import random, sys, warnings
from pathlib import Path
import altair as alt, polars as pl
from bookings_analytics import charts, notebook
from bookings_analytics.notebook.renderer import _bundle
warnings.simplefilter("ignore")
chance = random.Random(11)
odd = [*map(chr, range(32)), *"\"'\\", "<img src=x>", "=1"]
odd += ["\x7f", "\x9b", "\ufffe", "\uffff", "\u2028", "\u2029", "\u202e"]
for turn in range(8):
    names = ["".join(chance.choices([*odd, "a", "b", " "], k=chance.randint(1, 12))) for _ in range(12)]
    names += odd[turn::8]
    column = "c" + "".join(chance.choices(odd, k=4))
    rates = pl.DataFrame({column: names, "n_seats": 1, "n_slots": 2}).unique(column, maintain_order=True)
    own = alt.Chart(alt.InlineData([{"x": name} for name in names]), title=names[0]).mark_text().encode(text="x:N")
    for i, chart in enumerate([charts.seats_lost_while_waiting(rates), own]):
        for ending in ("png", "svg", "csv"):
            notebook.save(chart, Path(sys.argv[1], f"{turn}-{i}.{ending}"))
        _bundle(chart.to_dict())
    read = pl.read_csv(Path(sys.argv[1], f"{turn}-0.csv"))
    print(notebook.table(rates)._repr_html_().count("<img"), rates.height, read.height)
"""


def test_no_name_ends_the_process_on_any_way_out(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FUZZ, str(tmp_path)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr[-2000:]
    told = [line.split() for line in run.stdout.splitlines()]
    assert len(told) == 8
    assert all(images == "0" and rows == read for images, rows, read in told)
    for picture in tmp_path.glob("*.svg"):
        assert ET.parse(picture).getroot().tag == f"{SVG}svg"
