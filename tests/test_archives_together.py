"""A directory of archives read as one: everything is what one archive of all studios would give."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from snapshots import at, result
from test_class_tables import class_rows, slot_rows

import bookings_analytics as ba

if TYPE_CHECKING:
    from collections.abc import Callable

    from bookings_analytics.archive import Erasure

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
    "rename_studio": lambda archive: archive.rename_studio("nord", "west"),
}


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_an_archive_asks_for_a_single_one(both: tuple[ba.Archive, ba.Archive], name: str) -> None:
    _, together = both
    before = together.history().collect()
    with pytest.raises(ba.ArchiveError, match=r"holds 3 archives, .* changes one of them\. Name it, such as .*mitte"):
        CHANGES[name](together)
    assert_frame_equal(together.history().collect(), before)


ERASURES: dict[str, Callable[[ba.Archive, bool], Erasure]] = {
    "forget in all studios": lambda archive, dry_run: archive.forget([7, 9], dry_run=dry_run),
    "forget in one studio": lambda archive, dry_run: archive.forget([7, 9], studio="nord", dry_run=dry_run),
    "forget_opted_out": lambda archive, dry_run: archive.forget_opted_out(dry_run=dry_run),
    "retain": lambda archive, dry_run: archive.retain(weeks=1, dry_run=dry_run),
}


def opt_out(*archives: ba.Archive) -> None:
    """Let customer 7 of nord refuse access, as the last thing that was fetched."""
    for archive in archives:
        archive.add(result(at(20), {7: "access_disabled"}, studio="nord"))


def everything(archive: ba.Archive) -> list[pl.DataFrame]:
    return [archive.history().collect(), archive.fetches().collect()]


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
@pytest.mark.parametrize("name", ERASURES)
def test_an_erasure_goes_to_each_archive_and_removes_what_it_would_from_one(
    both: tuple[ba.Archive, ba.Archive], tmp_path: Path, name: str
) -> None:
    one, together = both
    opt_out(one, ba.Archive(tmp_path / "chain" / "nord"))
    before = everything(together)
    tried = ERASURES[name](together, True)  # noqa: FBT003 - a dry run
    assert tried.hits_before == tried.hits_after > 0
    for frame, was in zip(everything(together), before, strict=True):
        assert_frame_equal(frame, was)
    receipt, of_one = (ERASURES[name](archive, False) for archive in (together, one))  # noqa: FBT003 - no dry run
    assert (receipt.hits_before, receipt.hits_after) == (tried.hits_before, 0)
    assert of_one.hits_after == 0
    for frame, wanted in zip(everything(together), everything(one), strict=True):
        assert frame.height < max(was.height for was in before)
        assert_frame_equal(frame, wanted)


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
def test_the_receipt_of_a_directory_adds_up_those_of_its_archives(
    both: tuple[ba.Archive, ba.Archive], tmp_path: Path
) -> None:
    receipt = both[1].forget([8])  # a customer of mitte alone
    assert list(receipt.archives) == list(STUDIOS)
    parts = receipt.archives.values()
    assert receipt.hits_before == receipt.archives["mitte"].hits_before > 0
    assert receipt.files == sum(each.files for each in parts)
    assert receipt.bytes == sum(each.bytes for each in parts)
    for studio, each in receipt.archives.items():
        again = ba.Archive(tmp_path / "chain" / studio).forget([8], dry_run=True)
        assert (again.files, again.bytes, again.sha256) == (each.files, each.bytes, each.sha256)
    listed = "".join(f"{studio} {receipt.archives[studio].sha256}\n" for studio in sorted(STUDIOS))
    assert receipt.sha256 == sha256(listed.encode()).hexdigest()
    first, *named, last = str(receipt).split("\n")
    assert f"{receipt.files} files of 3 archives" in first
    assert named == [f"mitte: found in {receipt.hits_before} places before, 0 after."]
    assert last.count("Not promised") == last.count("backups") == 1


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
def test_where_one_archive_fails_the_others_are_erased_from_and_it_is_named(
    both: tuple[ba.Archive, ba.Archive], tmp_path: Path
) -> None:
    chain = tmp_path / "chain"
    (chain / "nord" / "members.csv").write_text("customer_id\n14925548\n")
    for studio in STUDIOS:
        ba.Archive(chain / studio).add(result(at(9), {14925548: {3: "BOOKED"}}, studio=studio))
    with pytest.raises(
        ba.ArchiveError,
        match=r"(?s)^It failed in 1 of 3 archives; .* again\.\nnord: .* in members\.csv: .*"
        r"\nDone in 2 archives\. Found in .*\nmitte: found .*\nsüd: found",
    ):
        both[1].forget([14925548])
    for studio in ("mitte", "süd"):
        assert 14925548 not in ba.Archive(chain / studio).fetches().collect()["customer_id"]
    (chain / "nord" / "members.csv").unlink()
    assert both[1].forget([14925548]).hits_after == 0
    assert 14925548 not in both[1].fetches().collect()["customer_id"]


@pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")
def test_compacting_goes_to_each_archive(both: tuple[ba.Archive, ba.Archive], tmp_path: Path) -> None:
    _, together = both
    before, files = everything(together), len(together.files("observations"))
    together.compact()
    assert files == 12
    assert len(together.files("observations")) == 3
    for frame, was in zip(everything(together), before, strict=True):
        assert_frame_equal(frame, was)
    Path(ba.Archive(tmp_path / "chain" / "nord").files("observations")[0]).write_bytes(b"torn")
    with pytest.raises(ba.ArchiveError, match=r"^It failed in 1 of 3 archives; (?s:.*)\nnord: .* Restore it"):
        together.compact()


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
