"""Every file of an archive, damaged in every way: the same rows, or an error that says so, never other rows."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from snapshots import at, result

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.archive import Archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def shown(kind: pl.Schema, row: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([row | {name: row.get(name) for name in kind}], schema=kind)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a checkpoint and commits after it, and with two looks at the timetable."""
    place = tmp_path_factory.mktemp("whole") / "archive"
    archive = Archive(place, clock=lambda: NOW)
    for day in range(4):
        archive.add(result(at(day), {1: {10: ("BOOKED", "CANCELED")[day % 2]}, 2: {20 + day: "BOOKED"}}))
        if day == 1:
            archive.compact()
        titled = {"studio": "mitte", "class_id": 1, "title": f"Yoga {day}", "observed_at": at(day)}
        slot = {"studio": "mitte", "class_id": 1, "class_slot_id": 3, "starts_at": at(day), "observed_at": at(day)}
        archive.add_classes(shown(schema.CLASSES, titled), shown(schema.SLOTS, slot))
    return place


Rows = dict[str, list[tuple[Any, ...]]]


def everything(place: Path) -> Rows:
    """Read all that an archive holds."""
    archive = Archive(place, clock=lambda: NOW)
    names = ("history", "fetches", "latest_fetches", "bookings", "classes", "slots")
    frames = {name: getattr(archive, name)() for name in names}
    return {name: frame.collect().sort(pl.all()).rows() for name, frame in frames.items()}


@pytest.fixture(scope="module")
def expected(whole: Path) -> Rows:
    return everything(whole)


# Which file, and what happens to it

FILES = {
    "data of the bookings": "table=observations/**/*.parquet",
    "data of the fetches": "table=fetches/**/*.parquet",
    "what was known at the checkpoint": "table=latest_*/**/*.parquet",
    "the log": "_delta_log/*.json",
    "the checkpoint": "_delta_log/*.checkpoint.parquet",
    "where the checkpoint is": "_delta_log/_last_checkpoint",
    "the checksums": "_sha256sums",
    "data of the classes": "_classes/classes/*.parquet",
    "data of the slots": "_classes/slots/*.parquet",
    "the log of the classes": "_classes/classes/_delta_log/*.json",
    "the checksums of the slots": "_classes/slots/_sha256sums",
}


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "missing": None,
    "empty": lambda _: b"",
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "a bit flipped": flip_a_bit,
    "something else": lambda _: b"<!DOCTYPE html><title>404</title>",
}
"""What a file has come to; None: it is not there any more."""


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES.keys())
def test_a_damaged_file_never_gives_other_rows(
    whole: Path, expected: Rows, tmp_path: Path, pattern: str, damage: Callable[[bytes], bytes] | None
) -> None:
    names = sorted(path.relative_to(whole) for path in whole.glob(pattern))
    assert names, "there is such a file"
    for number, name in enumerate(dict.fromkeys([names[0], names[-1]])):
        place = shutil.copytree(whole, tmp_path / str(number) / "archive")
        content = (place / name).read_bytes()
        (place / name).unlink() if damage is None else (place / name).write_bytes(damage(content))
        try:
            found: Rows | str = everything(place)
        except ba.ArchiveError as error:
            advice = re.search(r"Restore it|Check that it can be reached|or remove it", str(error))
            found = expected if advice and check_finds_it(place) else str(error)
        assert found == expected, name


def check_finds_it(place: Path) -> bool:
    try:
        return bool(Archive(place, clock=lambda: NOW).check().problems)
    except ba.ArchiveError:  # as it says itself: the log can't be read
        return True
