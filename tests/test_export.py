"""`ba.notebook.save`: a chart as a picture that says what it shows, and as the numbers behind it."""

from __future__ import annotations

import struct
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
    assert (tmp_path / "own.csv").read_text("utf-8") == "a,b\n1,x\n"
    assert ET.parse(tmp_path / "own.svg").getroot()[0].text == "two lines"


@pytest.mark.parametrize("name", ["chart.pdf", "chart"])
def test_another_ending_is_refused(chart: alt.LayerChart, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"use \.png, \.svg or \.csv"):
        save(chart, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_chart_of_data_from_elsewhere_has_no_numbers_to_save(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data of its own"):
        save(alt.Chart("https://acme.example/data.csv").mark_point(), tmp_path / "chart.csv")
