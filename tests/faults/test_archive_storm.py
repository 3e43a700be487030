"""Writers, a reader, a compactor and a forgetter at once, and processes killed at any moment: nothing fails or is lost.

Brief here; `tests/bench/storm.py` runs the same for longer and prints what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive_storm import LEAVING, kills, storm, traces
from archive_writer import start
from snapshots import at, result

from bookings_analytics.archive import Archive

if TYPE_CHECKING:
    from pathlib import Path


def add(place: Path) -> None:
    Archive(place).add(result(at(0), {1: {}}))


def test_a_process_that_has_loaded_the_archive_can_be_forked(tmp_path: Path) -> None:
    """If loading used polars' threads, whatever is forked afterwards would wait for them for ever."""
    process = start(add, tmp_path)
    process.join(timeout=100)
    process.kill()
    assert process.exitcode == 0


def test_all_at_once(tmp_path: Path) -> None:
    assert min(storm(tmp_path, seconds=4).values()) > 0


def test_killed_at_any_moment(tmp_path: Path) -> None:
    assert kills(tmp_path, 9).total() > 9, "some fetches were kept"


def test_the_search_would_find_an_id(tmp_path: Path) -> None:
    (tmp_path / "left.bin").write_bytes(b"..." + LEAVING.to_bytes(8, "little"))
    (tmp_path / "left.txt").write_text(f"customer {LEAVING}")
    assert sorted(traces(tmp_path)) == ["left.bin", "left.txt"]
