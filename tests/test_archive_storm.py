"""Writers, readers and erasures at once: nothing fails, nothing is lost or doubled, and all end in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import polars as pl
from archive_writer import bookings_at, start
from snapshots import at, result

from bookings_analytics.archive import Archive
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from pathlib import Path

ADDS = 25  # of each of two writers
ERASURES = 5
STAYING, LEAVING = (1, 2), 3
PATIENCE = 100  # seconds for everybody; a few are enough


def hourly(studio: str, hour: int, customers: tuple[int, ...]) -> FetchResult:
    fetched = result(at(hour / 24), {each: bookings_at(each, hour) for each in customers}, studio=studio)
    slots = pl.col("class_slot_id") + (100 if studio == "nord" else 0)  # no two studios share their slots
    return FetchResult(fetched.bookings.with_columns(slots), fetched.fetches, fetched.cohorts)


def write(place: Path, studio: str) -> None:
    archive = Archive(place)
    for hour in range(ADDS):
        added = archive.add(hourly(studio, hour, (*STAYING, LEAVING)))
        assert added.fetches == len(STAYING) + 1


def read(place: Path) -> None:
    archive = Archive(place)
    n_complete = 0
    while n_complete < len(STAYING) * 2:
        assert archive.cohorts(pl.DataFrame({"customer_id": [1], "studio": ["mitte"]})).collect().height == 1
        archive.coverage(by="studio")
        problems = [each for each in archive.check().problems if "erasure" not in each]
        assert not problems
        latest = archive.latest_fetches().filter(pl.col("customer_id").is_in(STAYING)).collect()
        n_complete = latest.filter(pl.col("fetched_at") == at((ADDS - 1) / 24)).height


def erase(place: Path) -> None:
    archive = Archive(place)
    for _ in range(ERASURES):
        archive.forget([LEAVING])
        time.sleep(0.1)


def test_writers_readers_and_erasures_at_once(tmp_path: Path) -> None:
    place = tmp_path / "archive"
    Archive(place).add(result(at(-1), dict.fromkeys((*STAYING, LEAVING), "failed")))
    storm = [start(write, place, "mitte"), start(write, place, "nord"), start(read, place), start(erase, place)]
    end = time.monotonic() + PATIENCE
    for process in storm:
        process.join(timeout=max(0, end - time.monotonic()))
    assert [process.exitcode for process in storm] == [0, 0, 0, 0]
    archive = Archive(place)
    archive.forget([LEAVING])
    assert archive.check().problems == ()
    stayed = archive.fetches().collect().filter(outcome="ok").group_by("studio", "customer_id").len().sort(pl.all())
    assert stayed.rows() == [(studio, each, ADDS) for studio in ("mitte", "nord") for each in STAYING]
    alone = Archive(tmp_path / "alone")
    for hour in range(ADDS):
        for studio in ("mitte", "nord"):
            alone.add(hourly(studio, hour, STAYING))
    assert archive.history().collect().equals(alone.history().collect())
