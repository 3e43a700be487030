"""`bookings-analytics check`: what it says of a whole archive, of a damaged one, and of none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from snapshots import at, result
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli
from bookings_analytics.cli.endings import Exit


@pytest.fixture
def place(tmp_path: Path) -> Path:
    archive = ba.Archive(tmp_path / "archive")
    for day in range(3):
        archive.add(result(at(day), {1: {10: "BOOKED"}, 2: {20: "WAITING_LIST"}}))
    return tmp_path / "archive"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKINGS_TIMEZONE", "UTC")


def check(place: Path) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, ["check", str(place)], catch_exceptions=False)
    return done.exit_code, done.output


def test_a_whole_archive_is_exit_code_0_and_says_until_when_nothing_is_lost(place: Path) -> None:
    code, said = check(place)
    assert code == Exit.DONE
    assert "checked: nothing is wrong." in said
    assert f"Last complete night: {at(2):%Y-%m-%d}.\nFetch again before {at(16):%Y-%m-%d %H:%M} UTC: later," in said


def test_a_damaged_file_is_exit_code_6_and_named(place: Path) -> None:
    damaged = max(place.rglob("*.parquet"), key=lambda path: path.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    code, said = check(place)
    assert code == Exit.DAMAGED
    assert damaged.name in said
    assert "Fetch again before" not in said


def test_a_torn_log_is_exit_code_6(place: Path) -> None:
    last = max((place / "_delta_log").glob("*.json"))
    last.write_bytes(last.read_bytes()[:40])
    code, said = check(place)
    assert code == Exit.DAMAGED
    assert last.name in said


def test_a_directory_of_archives_is_checked_whole(place: Path, tmp_path: Path) -> None:
    for name in ("north", "south"):
        shutil.copytree(place, tmp_path / "chain" / name)
    ba.Archive(tmp_path / "chain" / "south").rename_studio("mitte", "south")
    assert check(tmp_path / "chain")[0] == Exit.DONE
    damaged = Path(ba.Archive(tmp_path / "chain" / "south").files("observations")[0])  # not one that was replaced
    damaged.write_bytes(damaged.read_bytes()[:-9])
    code, said = check(tmp_path / "chain")
    assert code == Exit.DAMAGED
    assert damaged.name in said


def test_no_archive_is_told_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(ba.ConfigurationError, match=r"typo holds no archive\. Check the path"):
        check(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_a_url_with_one_slash_is_no_directory_to_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ba.ArchiveError, match="Write the URL with two slashes"):
        ba.Archive("s3:/bucket/archive")
    assert list(tmp_path.iterdir()) == []
