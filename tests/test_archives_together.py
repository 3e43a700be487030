"""A directory of archives read as one: everything is what one archive of all studios would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from snapshots import at, result
from test_class_tables import class_rows, slot_rows

import bookings_analytics as ba

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STUDIOS = ("mitte", "nord", "süd")


def add_all(archives: dict[str, ba.Archive]) -> None:
    for number, (studio, archive) in enumerate(archives.items()):
        for day in range(4):
            people = {7: {1 + day: "BOOKED", 40: "WAITING_LIST"}, 8 + number: {2: "BOOKED" if day < 2 else "CANCELED"}}
            archive.add(result(at(day), people, studio=studio))
        look = {"studio": studio, "title": "Yoga" if number < 2 else "Flow"}
        archive.add_classes(class_rows(look, look | {"class_id": 2, "title": "Box"}), slot_rows({"studio": studio}))


@pytest.fixture
def both(tmp_path: Path) -> tuple[ba.Archive, ba.Archive]:
    """An archive of all studios, and a directory with an archive of each."""
    one = ba.Archive(tmp_path / "one")
    add_all(dict.fromkeys(STUDIOS, one))
    add_all({studio: ba.Archive(tmp_path / "chain" / studio) for studio in STUDIOS})
    (tmp_path / "chain" / ".DS_Store").write_bytes(b"what a file manager leaves")
    return one, ba.Archive(tmp_path / "chain", must_exist=True)


FRAMES: dict[str, Callable[[ba.Archive], Any]] = {
    "history": lambda archive: archive.history().collect(),
    "history as text": lambda archive: archive.history(statuses_as_text=True).collect(),
    "bookings": lambda archive: archive.bookings().collect(),
    "bookings as of a day": lambda archive: archive.bookings(at(1.5)).collect(),
    "fetches": lambda archive: archive.fetches().collect(),
    "latest fetches": lambda archive: archive.latest_fetches().collect(),
    "cohorts": lambda archive: archive.cohorts(
        pl.DataFrame({"customer_id": [7, 9, 11], "studio": ["nord", "nord", "süd"]})
    ).collect(),
    "coverage": lambda archive: archive.coverage(by="studio"),
    "class days": lambda archive: archive.class_days(timezone="Europe/Berlin"),
    "outcomes": lambda archive: archive.outcomes().frame(),
    "dated outcomes": lambda archive: archive.outcomes(archive.class_days(timezone="UTC")).frame(),
    "classes": lambda archive: archive.classes().collect(),
    "slots": lambda archive: archive.slots().collect(),
    "counts": lambda archive: ba.outcome_counts(archive.outcomes(), by=["studio", "class_id"]),
}


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
class TestReading:
    @pytest.mark.parametrize("name", FRAMES)
    def test_a_frame_is_that_of_one_archive(self, both: tuple[ba.Archive, ba.Archive], name: str) -> None:
        one, together = (FRAMES[name](archive) for archive in both)
        assert one.height > 0
        assert_frame_equal(together, one)

    def test_titles_files_and_check_are_those_of_all(self, both: tuple[ba.Archive, ba.Archive], tmp_path: Path) -> None:
        one, together = both
        assert together.titles() == one.titles() == {2: "Box"}
        each = [ba.Archive(tmp_path / "chain" / studio) for studio in STUDIOS]
        files = together.files("observations")
        assert files == sorted(path for archive in each for path in archive.files("observations"))
        found = together.check()
        assert (found.n_files, found.problems) == (sum(archive.check().n_files for archive in each), ())
        assert all(studio in together._repr_html_() for studio in STUDIOS)
        next(iter((tmp_path / "chain" / "nord").rglob("table=fetches/**/*.parquet"))).write_bytes(b"torn")
        assert together.check().problems


CHANGES: dict[str, Callable[[ba.Archive], object]] = {
    "add": lambda archive: archive.add(result(at(9), {7: {1: "BOOKED"}})),
    "add_classes": lambda archive: archive.add_classes(class_rows({}), slot_rows()),
    "forget": lambda archive: archive.forget([7]),
    "forget_opted_out": lambda archive: archive.forget_opted_out(),
    "retain": lambda archive: archive.retain(weeks=1),
    "rename_studio": lambda archive: archive.rename_studio("nord", "west"),
    "compact": lambda archive: archive.compact(),
}


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_an_archive_asks_for_a_single_one(both: tuple[ba.Archive, ba.Archive], name: str) -> None:
    _, together = both
    before = together.history().collect()
    with pytest.raises(
        ba.ArchiveError, match=r"holds 3 archives, .* changed one by one\. Name one of them, such as .*mitte"
    ):
        CHANGES[name](together)
    assert_frame_equal(together.history().collect(), before)


def test_something_else_beside_archives_is_refused_and_named(tmp_path: Path) -> None:
    add_all({studio: ba.Archive(tmp_path / studio) for studio in ("mitte", "nord")})
    (tmp_path / "members.csv").write_text("customer_id\n7\n")
    with pytest.raises(ba.ArchiveError, match=r"holds archives \(mitte, nord\) and members\.csv, .* move members\.csv"):
        ba.Archive(tmp_path)


def test_a_studio_in_two_archives_is_refused_and_both_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ba.Archive(tmp_path / name).add(result(at(1), {7: {1: "BOOKED"}}))
    with pytest.raises(ba.ArchiveError, match=r"archives .*a and .*b both hold the studio 'mitte'.*count twice"):
        ba.Archive(tmp_path)


def test_a_directory_of_one_archive_is_that_archive(tmp_path: Path) -> None:
    ba.Archive(tmp_path / "mitte").add(result(at(1), {7: {1: "BOOKED"}}))
    assert ba.Archive(tmp_path).history().collect().height == 1
