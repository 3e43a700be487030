"""How full the classes were, in a report: counted anew from what happened at the studio, and only where it is known."""

from __future__ import annotations

import re
import shutil
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest
from test_report import HOURS, LATE, Page, run
from timetables import timetable

import bookings_analytics as ba
from bookings_analytics.cli.demo_data import LATE_STUDIO, LATE_WEEKS, late_cohorts, late_world, look, nights
from bookings_analytics.demo.timetable import CLASSES, TIMEZONE

if TYPE_CHECKING:
    from pathlib import Path

FIRST, LAST = date(2026, 5, 4), date(2026, 5, 31)
WHEN = ["--since", str(FIRST), "--until", str(LAST)]
TITLES = {each.class_id: each.title for each in CLASSES}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the late studio, with its timetable."""
    place = tmp_path_factory.mktemp("full") / "archive"
    shutil.copytree(LATE / "archive", place)
    ba.Archive(place).add_classes(*timetable(late_world(), LATE_STUDIO))
    return place


@pytest.fixture(scope="module")
def listed() -> list[str]:
    return ["--cohorts", str(LATE / "cohorts.csv"), *HOURS, *WHEN]


@pytest.fixture(scope="module")
def report(archive: Path, listed: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full-report")
    assert "8 questions" in run(folder, *listed, "--archive", str(archive), "--xlsx")
    return folder


def counted() -> dict[str, list[int]]:
    """Count each class's places, seats, and seats of customers on the list, slot by slot."""
    world = late_world()
    on_list = set(ba.read_cohorts(LATE / "cohorts.csv")["customer_id"])
    sums: dict[str, list[int]] = {}
    slots = {
        slot.class_slot_id: slot
        for slot in world.slots
        if slot.canceled_at is None and FIRST <= slot.starts_at.astimezone(TIMEZONE).date() <= LAST
    }
    for slot in slots.values():
        of_class = sums.setdefault(slot.studio_class.title, [0, 0, 0, 0])
        of_class[0] += 1
        of_class[1] += slot.studio_class.capacity
    for booking in world.bookings:
        if booking.holds_seat and booking.slot.class_slot_id in slots:
            sums[booking.slot.studio_class.title][2] += 1
            sums[booking.slot.studio_class.title][3] += booking.person.customer_id in on_list
    return sums


def cells(page: Page) -> dict[str, list[str]]:
    """Read the page's last table: what stands beside each heading of a row."""
    found: dict[str, list[str]] = {}
    row: list[str] = []
    for element in page.all("th", "td"):
        if element.attributes.get("scope") == "row":
            row = found[element.text] = []
        elif "data-label" in element.attributes:
            row.append(element.text)
    return found


def test_places_seats_and_the_lists_part_of_them_are_those_counted_slot_by_slot(report: Path) -> None:
    page = Page((report / "fill.html").read_text("utf-8"))
    expected = counted()
    shown = cells(page)
    for title, (slots, places, taken, _) in expected.items():
        assert shown[title][:4] == [f"{slots}", f"{places}", f"{taken}", f"{taken / places:.0%}"]
    slots, places, taken, ours = (sum(each) for each in zip(*expected.values(), strict=True))
    text = page.all("main")[0].text
    assert f"{taken / places:.0%} of the places were taken: {taken:,} of {places:,}, in {slots} class slots" in text
    listed = int(re.search(r"held (\d+)% of the booked places", text)[1])  # type: ignore[index] # it is there
    assert abs(listed - 100 * ours / taken) < 1.5  # those opted out or deleted are on the list, and not read
    assert [each.text for each in page.all("h2")] == [
        "How full classes were, by class",
        "How full classes were, by hour",
        "Places taken, by class",
    ]
    share = {title: f"{taken / places:.0%}" for title, (_, places, taken, _) in expected.items()}
    most, least = ([title for title in share if share[title] == f"{end:.0%}"] for end in ends(expected))
    assert f"Fullest: {' and '.join(most)} (" in text or f"{len(most)} classes (" in text
    assert f"; emptiest: {' and '.join(least)} (" in text


def ends(expected: dict[str, list[int]]) -> tuple[float, float]:
    shares = [taken / places for _, places, taken, _ in expected.values()]
    return max(shares), min(shares)


def test_the_table_is_a_sheet_of_the_workbook_and_says_its_days_once(report: Path) -> None:
    sheets = pl.read_excel(report / "report.xlsx", sheet_id=0, has_header=False)
    (found,) = [frame for frame in sheets.values() if "Places taken" in str(frame.row(0))]
    texts = [str(value) for row in found.rows() for value in row if value is not None]
    assert {"class slots", "places", "taken", "filled", "by the list", "share of the booked"} <= set(texts)
    assert set(TITLES.values()) <= set(texts)
    assert [text for text in texts if "May 2026" in text] == ["4 May to 31 May 2026."]


def test_with_small_groups_left_out_a_class_of_few_listed_customers_is_in_no_table_and_no_chart(
    archive: Path, listed: list[str], tmp_path: Path
) -> None:
    everything = ba.Archive(archive)
    days = everything.class_days(timezone="Europe/Berlin", opens="06:00", closes="23:00", known=everything.slots())
    outcomes = everything.outcomes(class_days=days, since=FIRST, until=LAST).frame()
    on_list = ba.read_cohorts(LATE / "cohorts.csv").select("customer_id")
    sizes = outcomes.join(on_list, on="customer_id").group_by("class_id").agg(pl.col("customer_id").n_unique())
    least = sizes.sort("customer_id", "class_id").row(0)
    run(tmp_path / "pages", *listed, "--archive", str(archive), "--suppress-small", str(least[1] + 1))
    page = Page((tmp_path / "pages" / "fill.html").read_text("utf-8"))
    assert TITLES[least[0]] not in page.all("main")[0].text
    assert not [image for image in page.all("img") if TITLES[least[0]] in str(image.attributes["alt"])]
    assert "Cycling" in page.all("main")[0].text


def test_several_studios_are_shown_side_by_side_and_only_those_of_the_list(
    archive: Path, listed: list[str], tmp_path: Path
) -> None:
    place = tmp_path / "archive"
    shutil.copytree(archive, place)
    both = ba.Archive(place)
    for night in nights(LATE_WEEKS)[::7]:
        both.add(look(late_world(), late_cohorts(), night, "nord"))
    for studio in ("nord", "elsewhere"):
        both.add_classes(*timetable(late_world(), studio))
    cohorts = ba.read_cohorts(LATE / "cohorts.csv")
    chain = pl.concat([cohorts.with_columns(studio=pl.lit(studio)) for studio in (LATE_STUDIO, "nord")])
    chain.write_csv(tmp_path / "chain.csv")
    run(tmp_path / "pages", *listed[2:], "--cohorts", str(tmp_path / "chain.csv"), "--archive", str(place))
    page = Page((tmp_path / "pages" / "fill.html").read_text("utf-8"))
    assert next(each.text for each in page.all("h2")) == "How full classes were, by studio"
    text = page.all("main")[0].text
    assert "nord" in text
    assert "elsewhere" not in text
    slots = sum(each[0] for each in counted().values())
    assert f"in {2 * slots} class slots" in text


def test_without_a_timetable_the_question_is_not_asked(listed: list[str], tmp_path: Path) -> None:
    assert "7 questions" in run(tmp_path / "pages", *listed, "--archive", str(LATE / "archive"))
    assert not (tmp_path / "pages" / "fill.html").exists()


def test_a_timetable_that_was_only_seen_ahead_says_nothing_of_how_full_classes_got(
    listed: list[str], tmp_path: Path
) -> None:
    place = tmp_path / "archive"
    shutil.copytree(LATE / "archive", place)
    classes, slots = timetable(late_world(), LATE_STUDIO)
    early = slots.with_columns(pl.col("starts_at").dt.offset_by("-1d").alias("observed_at"))
    ba.Archive(place).add_classes(classes, early)
    assert "7 questions" in run(tmp_path / "pages", *listed, "--archive", str(place))
