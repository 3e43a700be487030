"""An archive whose files were damaged: never fewer or other rows in silence."""

from __future__ import annotations

import re
import shutil
import subprocess
from random import Random
from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal
from snapshots import at, result

import bookings_analytics as ba
from bookings_analytics.archive import Archive
from bookings_analytics.archive.integrity import SUMS
from bookings_analytics.archive.snapshot import ERASING_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAY_BACK = "Restore it from a backup of the archive"


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a checkpoint and three commits after it."""
    place = tmp_path_factory.mktemp("undamaged") / "archive"
    archive = Archive(place)
    for day in range(3):
        archive.add(result(at(day), {1: {10: ("BOOKED", "CANCELED")[day % 2]}, 2: {20 + day: "BOOKED"}}))
    archive.compact()
    for day in range(3, 6):
        archive.add(result(at(day), {1: {10: ("BOOKED", "CANCELED")[day % 2]}, 2: {20 + day: "BOOKED"}}))
    return place


@pytest.fixture
def place(undamaged: Path, tmp_path: Path) -> Path:
    return shutil.copytree(undamaged, tmp_path / "archive")


def newest_commit(place: Path) -> Path:
    return max((place / "_delta_log").glob("*.json"))


def data_files(place: Path) -> list[Path]:
    """The files in use: compaction leaves those it replaced for a day."""
    named = Archive(place)._table.open()
    assert named
    return [place / name for name in sorted(named.files())]


def everything(place: Path) -> object:
    """Read all that an archive holds and add to it."""
    archive = Archive(place)
    read = archive.history().collect(), archive.fetches().collect(), archive.latest_fetches().collect()
    archive.add(result(at(9), {1: {}}))
    return read


# The log


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def lose_a_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def lose_the_last_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("damage", [empty, zeros, cut_short, lose_a_line, lose_the_last_line])
def test_a_damaged_commit_is_named_with_the_way_back(place: Path, damage: Callable[[Path], None]) -> None:
    newest = newest_commit(place)
    damage(newest)
    with pytest.raises(ba.ArchiveError, match=rf"_delta_log/{newest.name} has .*{WAY_BACK}, or .*move it elsewhere"):
        Archive(place)
    newest.rename(place.parent / "elsewhere")
    with pytest.raises(ba.ArchiveError, match=rf"_delta_log/{newest.name} is missing\. {WAY_BACK}, or .*delete the li"):
        Archive(place)
    sums = place / SUMS
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if newest.name not in line))
    archive = Archive(place)
    assert archive.fetches().collect().height == 10, "as it was before that commit"
    assert archive.add(result(at(5), {1: {10: "CANCELED"}, 2: {25: "BOOKED"}})).fetches == 2
    assert archive.check().problems == ()


@pytest.mark.parametrize("damage", [empty, cut_short, lose_a_line])
def test_a_damaged_commit_is_noticed_without_checksums_too(place: Path, damage: Callable[[Path], None]) -> None:
    (place / SUMS).unlink()
    damage(newest_commit(place))
    with pytest.raises(ba.ArchiveError, match=WAY_BACK):
        Archive(place)


def test_a_commit_missing_in_between_is_an_error(place: Path) -> None:
    log = sorted((place / "_delta_log").glob("*.json"))
    log[-2].unlink()
    with pytest.raises(ba.ArchiveError, match=r"can't be opened|missing"):
        Archive(place).fetches()


def test_a_damaged_checkpoint_is_an_error_or_does_no_harm(place: Path, undamaged: Path) -> None:
    for checkpoint in (place / "_delta_log").glob("*.checkpoint.parquet"):
        checkpoint.write_bytes(b"")
    with pytest.raises(ba.ArchiveError, match="can't be opened"):
        Archive(place)
    (place / "_delta_log" / "_last_checkpoint").unlink()
    shutil.copytree(undamaged / "_delta_log", place / "_delta_log", dirs_exist_ok=True)
    (place / "_delta_log" / "_last_checkpoint").write_bytes(b"")
    assert_frame_equal(Archive(place).history().collect(), Archive(undamaged).history().collect())


# Data files


def test_a_missing_data_file_is_named(place: Path) -> None:
    for path in data_files(place):
        path.rename(place.parent / "away")
        name = re.escape(str(path.relative_to(place)))
        with pytest.raises(ba.ArchiveError, match=rf"the file {name} is missing\. {WAY_BACK}"):
            everything(place)
        assert any(path.name in problem for problem in Archive(place).check().problems)
        (place.parent / "away").rename(path)


def test_a_data_file_cut_short_is_named(place: Path) -> None:
    for path in data_files(place):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(ba.ArchiveError, match=rf"{path.name} has .* bytes, and was written with .*{WAY_BACK}"):
            everything(place)
        path.write_bytes(whole)


def test_no_flipped_bit_goes_unnoticed(place: Path) -> None:
    random = Random(20260301)
    for path in data_files(place):
        whole = path.read_bytes()
        for _ in range(5):
            flipped = bytearray(whole)
            flipped[random.randrange(len(whole))] ^= 1 << random.randrange(8)
            path.write_bytes(flipped)
            with pytest.raises(
                ba.ArchiveError, match=rf"{path.name} has been changed since it was written.*{WAY_BACK}"
            ):
                everything(place)
        path.write_bytes(whole)
    everything(place)


def test_damage_is_never_written_anew(place: Path) -> None:
    path = data_files(place)[0]
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 3] ^= 4
    path.write_bytes(flipped)
    archive = Archive(place)
    before = sorted(place.rglob("*"))
    for rewrites in (archive.compact, lambda: archive.forget([1]), lambda: archive.rename_studio("mitte", "nord")):
        with pytest.raises(
            ba.ArchiveError, match=rf"{path.name} has been changed .*{WAY_BACK}, or go on with it as it"
        ):
            rewrites()
    assert sorted(place.rglob("*")) == before


def test_nothing_is_added_to_an_archive_that_cannot_be_read(place: Path) -> None:
    archive = Archive(place)
    for path in data_files(place):
        path.unlink()
    before = sorted(place.rglob("*"))
    with pytest.raises(ba.ArchiveError, match=r"is missing.*Nothing was written"):
        archive.add(result(at(9), {1: {}}))
    assert sorted(place.rglob("*")) == before


def test_an_archive_without_checksums_is_read_and_gets_them_at_the_next_add(place: Path) -> None:
    (place / SUMS).unlink()
    archive = Archive(place)
    n = len(data_files(place))
    assert repr(archive.check()) == f"<ArchiveCheck: {n} files ({n} without a checksum), nothing wrong>"
    archive.add(result(at(9), {1: {}}))
    assert archive.check().problems == ()
    assert archive.check().n_without_checksum == 0, "the commits that wrote them are still in the log"


def test_checksums_are_those_of_sha256sum(place: Path) -> None:
    Archive(place).forget([2])  # so that files are rewritten, and those they replace removed
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=place, check=True)
    assert Archive(place).check().n_without_checksum == 0


# The check


def test_a_check_changes_nothing_and_says_what_it_looked_at(place: Path) -> None:
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    check = Archive(place).check()
    assert repr(check) == f"<ArchiveCheck: {len(data_files(place))} files, nothing wrong>"
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_check_names_every_damaged_file(place: Path) -> None:
    archive = Archive(place)
    files = data_files(place)
    first, second, *_ = files
    size = second.stat().st_size
    first.unlink()
    second.write_bytes(b"")
    changed = f"- The file {second.relative_to(place)} has 0 bytes, and was written with {size:,}. {WAY_BACK}.>"
    assert repr(archive.check()).splitlines() == [
        f"<ArchiveCheck: {len(files)} files, 2 problems:",
        f"- The file {first.relative_to(place)} is missing. {WAY_BACK}.",
        changed,
    ]


def test_a_check_reports_a_damaged_log_instead_of_raising(place: Path) -> None:
    archive = Archive(place)
    empty(newest_commit(place))
    (problem,) = archive.check().problems
    assert problem.startswith(f"The log file _delta_log/{newest_commit(place).name} has nothing in it. {WAY_BACK}")


def test_a_check_reports_an_interrupted_erasure(place: Path) -> None:
    archive = Archive(place)
    now = archive._table.open()
    assert now
    now.delta.alter.set_table_properties({ERASING_KEY: "another"}, raise_if_not_exists=False)
    assert any("call forget again" in problem for problem in archive.check().problems)
