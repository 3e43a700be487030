"""`ba.notebook.save`: a chart as a picture that says what it shows, and as the numbers behind it."""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import altair as alt
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bookings_analytics import charts, schema
from bookings_analytics.notebook import save, table

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


def test_a_pdf_is_one(chart: alt.LayerChart, tmp_path: Path) -> None:
    save(chart, tmp_path / "seats.pdf")
    assert (tmp_path / "seats.pdf").read_bytes().startswith(b"%PDF-")


@dataclass(frozen=True)
class Book:
    """A sheet as a spreadsheet reads it: its cells, their number formats, and what is frozen."""

    cells: list[list[str | float | None]]
    formats: list[list[str]]
    frozen: int
    name: str
    formulas: bool


def read_book(path: Path) -> Book:
    """Read the first sheet of an xlsx file by its XML alone: what is a number there, and how it is shown."""
    main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(path) as parts:
        sheet, styles, shared, book = (
            ET.fromstring(parts.read(f"xl/{name}.xml"))
            for name in ("worksheets/sheet1", "styles", "sharedStrings", "workbook")
        )
    texts = ["".join(part.itertext()) for part in shared]
    own = {int(each.get("numFmtId", 0)): each.get("formatCode", "") for each in styles.iter(f"{main}numFmt")}
    builtin = {0: "", 2: "0.00", 3: "#,##0", 9: "0%", 10: "0.00%"} | own
    looks = [builtin[int(each.get("numFmtId", 0))] for each in styles.find(f"{main}cellXfs") or ()]
    cells: list[list[str | float | None]] = []
    formats: list[list[str]] = []
    for row in sheet.iter(f"{main}row"):
        cells.append([])
        formats.append([])
        for cell in row:
            value = cell.findtext(f"{main}v")
            known = None if value is None else texts[int(value)] if cell.get("t") == "s" else float(value)
            cells[-1].append(known)
            formats[-1].append(looks[int(cell.get("s", 0))])
    pane = sheet.find(f".//{main}pane")
    return Book(
        cells,
        formats,
        int(pane.get("ySplit", 0)) if pane is not None else 0,
        next(book.iter(f"{main}sheet")).get("name", ""),
        any(True for _ in sheet.iter(f"{main}f")),
    )


RATES = pl.DataFrame(
    {
        "cohort": ["=HYPERLINK(1)", "Größe & Co"],
        "n_attended": [1200, 20],
        "n_no_show": [34, 0],
        "no_show_rate": [34 / 1234, None],
        "no_show_rate_ci_low": [0.001, None],
        "no_show_rate_ci_high": [0.04, None],
        "n_effective_customers": [212.4, 3.0],
        "first_day": [date(2026, 5, 4)] * 2,
        "last_day": [date(2026, 5, 31)] * 2,
    }
)


@pytest.mark.parametrize("as_table", [True, False])
def test_a_workbook_of_a_table_has_period_and_base_on_top_and_numbers_as_numbers(
    tmp_path: Path, *, as_table: bool
) -> None:
    save(table(RATES, title="No-shows/by: cohort") if as_table else RATES, tmp_path / "rates.xlsx")
    book = read_book(tmp_path / "rates.xlsx")

    title = "No-shows/by: cohort" if as_table else "Attended, by cohort"
    assert [row[0] for row in book.cells[:3]] == [title, "4 May to 31 May 2026.", "1,254 seats in 2 cohorts."]
    assert book.name == title.replace("/", " ").replace(":", " ")
    header, first, second = book.cells[3:]
    assert header == [
        *("cohort", "attended", "no-show", "no-show rate", "no-show rate, interval from"),
        *("no-show rate, interval to", "effective customers"),
    ]
    assert first == ["=HYPERLINK(1)", 1200, 34, pytest.approx(34 / 1234), 0.001, 0.04, 212.4]
    assert second == ["Größe & Co", 20, 0, None, None, None, 3]
    assert book.formats[4] == ["", "#,##0", "#,##0", "0.0%", "0.0%", "0.0%", "0.00"]
    assert book.frozen == 5, "three rows, an empty one, the header"
    assert not book.formulas


def test_a_workbook_of_a_chart_has_its_title_its_subtitle_and_its_numbers(tmp_path: Path) -> None:
    counts = pl.DataFrame({"outcome": ["attended", "canceled"], "n": [2, 1], "share": [2 / 3, 1 / 3]})
    save(charts.outcome_counts(counts), tmp_path / "mix.xlsx")
    book = read_book(tmp_path / "mix.xlsx")

    assert [row[0] for row in book.cells[:3]] == [
        *("What became of bookings", "3 requests.", "Thin bars: fewer than 30 requests.")
    ]
    shares = {row[1]: row[2] for row in book.cells[4:]}
    assert shares == {"attended": pytest.approx(2 / 3), "canceled": pytest.approx(1 / 3)}


def test_a_csv_of_a_table_has_the_lists_names_and_plain_numbers(tmp_path: Path) -> None:
    save(table(RATES), tmp_path / "rates.csv")
    assert (tmp_path / "rates.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    read = pl.read_csv(tmp_path / "rates.csv")
    assert read["cohort"].to_list() == ["'=HYPERLINK(1)", "Größe & Co"]
    assert read["attended"].to_list() == [1200, 20]
    assert read["no-show rate"].to_list() == [pytest.approx(34 / 1234), None]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_table_is_no_picture(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ValueError, match=rf"a table can't be saved as \.{ending}: use \.csv or \.xlsx"):
        save(RATES, tmp_path / f"rates.{ending}")
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("name", ["chart.docx", "chart"])
def test_another_ending_is_refused(chart: alt.LayerChart, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"use \.png, \.svg or \.pdf .*, \.csv or \.xlsx"):
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
