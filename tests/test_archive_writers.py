"""What becomes of an archive when writers are killed, meet each other, compact and erase."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from archive_writer import (
    COMMITS,
    CUSTOMERS,
    SHARED,
    add_beside_another,
    add_on,
    bookings_at,
    next_hour,
    own,
    snapshot,
    start,
)
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from snapshots import at, result

import bookings_analytics as ba
from bookings_analytics.archive import Archive, maintenance, table
from bookings_analytics.archive.changes import Added
from bookings_analytics.archive.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


# Killed


def test_a_writer_killed_at_any_moment_leaves_whole_adds(tmp_path: Path) -> None:
    place, random, hours, killed, longest = tmp_path / "archive", Random(20260301), 0, 0, 0.4
    while killed < 20 or hours <= 10:  # on a busy machine, until enough was written in between
        writer = start(add_on, place)
        time.sleep(random.uniform(0, longest))
        writer.kill()
        writer.join()
        killed += 1
        asked = Archive(place).fetches().collect().group_by("fetched_at").len()
        assert asked["len"].to_list() == [len(CUSTOMERS)] * asked.height
        assert asked.height >= hours
        longest *= 1 if asked.height > hours else 1.1  # seconds that a busy machine needs to write anything
        hours = asked.height
    archive, undisturbed = Archive(place), Archive(tmp_path / "undisturbed")
    archive.add(snapshot(next_hour(archive)))
    for hour in range(next_hour(archive)):
        undisturbed.add(snapshot(hour))
    assert_frame_equal(archive.history().collect(), undisturbed.history().collect())
    assert_frame_equal(archive.fetches().collect(), undisturbed.fetches().collect())
    assert_frame_equal(archive.latest_fetches().collect(), undisturbed.latest_fetches().collect())


# Copied


def problems_of(place: Path) -> tuple[str, ...]:
    try:
        return Archive(place).check().problems
    except ba.ArchiveError as error:
        return (str(error),)


def test_a_copy_made_while_somebody_writes_is_whole_or_says_that_it_is_not(tmp_path: Path) -> None:
    place = tmp_path / "archive"
    Archive(place).add(snapshot(0))
    writer = start(add_on, place)
    copies = []
    try:
        for number in range(8):
            copy = tmp_path / f"copy {number}"
            with suppress(shutil.Error, FileNotFoundError):  # the copying itself says that a file went away
                shutil.copytree(place, copy)
                copies.append(copy)
            time.sleep(0.1)
    finally:
        writer.kill()
        writer.join()
    for copy in copies:
        if not problems_of(copy):
            asked = Archive(copy).fetches().collect().group_by("fetched_at").len()
            assert asked["len"].to_list() == [len(CUSTOMERS)] * asked.height, "whole adds alone"
            hours = sorted(round((time - at(0)) / timedelta(hours=1)) for time in asked["fetched_at"])
            assert hours == list(range(len(hours))), "and none left out in between"
    assert copies


# Several at once


def test_two_processes_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    writers = [start(add_beside_another, tmp_path / "archive", number) for number in (0, 1)]
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    archive, one_by_one = Archive(tmp_path / "archive"), Archive(tmp_path / "one by one")
    fetches = archive.fetches().collect()
    for number in (0, 1):
        times = fetches.filter(pl.col("customer_id") == own(number))["fetched_at"].to_list()
        assert times == [at(hour / 24) for hour in range(number, 2 * COMMITS, 2)]
    shared = fetches.filter(pl.col("customer_id") == SHARED)["fetched_at"]
    assert shared.is_unique().all()
    assert shared.len() >= COMMITS, "all of the writer that was ahead"
    for moment, customers in fetches.group_by("fetched_at").agg("customer_id").sort("fetched_at").iter_rows():
        hour = round((moment - at(0)) / timedelta(hours=1))
        one_by_one.add(result(moment, {each: bookings_at(each, hour) for each in customers}))
    assert_frame_equal(archive.history().collect(), one_by_one.history().collect())


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen between the moment when the next add has read what is known and its commit."""
    append = Snapshot.append

    def after_that(*args: Any) -> int:
        monkeypatch.setattr(Snapshot, "append", append)
        happens()
        return append(*args)

    monkeypatch.setattr(Snapshot, "append", after_that)


def test_an_add_that_was_overtaken_compares_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    between(monkeypatch, lambda: Archive(tmp_path).add(result(at(1), {1: {10: "BOOKED"}})))
    assert archive.add(result(at(2), {1: {10: "BOOKED"}})) == Added(unchanged=1, fetches=1)
    assert archive.history().collect()["observed_at"].to_list() == [at(0), at(1)]


def test_an_add_that_was_overtaken_by_a_later_fetch_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    between(monkeypatch, lambda: Archive(tmp_path).add(result(at(2), {1: {10: "WAITING_LIST"}})))
    assert archive.add(result(at(1), {1: {10: "BOOKED"}})) == Added(skipped=1)
    assert archive.history().collect()["booking_status"].to_list() == ["WAITING_LIST"]


def test_an_add_during_a_compaction_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    between(monkeypatch, Archive(tmp_path).compact)
    assert archive.add(result(at(1), {1: {10: "BOOKED"}})) == Added(changed=1, fetches=1)
    assert archive.add(result(at(2), {1: {}})) == Added(gone=1, fetches=1)


def test_an_add_during_an_erasure_does_not_build_on_what_was_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {10: "BOOKED"}, 2: {20: "BOOKED"}}))
    between(monkeypatch, lambda: Archive(tmp_path).forget([1]))
    assert archive.add(result(at(1), {1: {10: "BOOKED"}, 2: {20: "BOOKED"}})) == Added(new=1, unchanged=1, fetches=2)


def test_a_writer_that_others_keep_from_committing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {}}))
    monkeypatch.setattr(table, "_PATIENCE", 0)
    between(monkeypatch, lambda: Archive(tmp_path).add(result(at(1), {2: {}})))
    with pytest.raises(ba.ArchiveError, match="others write to it"):
        archive.add(result(at(2), {1: {}}))
    assert archive.add(result(at(2), {1: {}})) == Added(fetches=1)


# Compacted


def test_a_hundred_adds_are_compacted(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    lazily = archive.fetches()
    for hour in range(100):
        archive.add(snapshot(hour, range(1, 3)))
        if hour == 50:
            lazily = archive.fetches()
    table = DeltaTable(tmp_path)
    assert len(table.file_uris()) == 4, "one file for each of the tables and latest tables"
    assert archive.fetches().collect().height == 200
    assert lazily.collect().height == 102, "a frame asked for before a compaction can be collected after it"
    log = [path for path in files(tmp_path / "_delta_log") if path.suffix == ".parquet"]
    assert log, "the log has a checkpoint"


def test_what_compaction_replaced_goes_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "KEPT_HOURS", 0)
    archive = Archive(tmp_path)
    for hour in range(5):
        archive.add(snapshot(hour))
    before = archive.history().collect()
    left_behind = tmp_path / "table=fetches" / "part-00000-killed.parquet"
    left_behind.write_bytes(b"half a fi")
    archive.compact()
    archive.compact()
    assert len(list(tmp_path.glob("table=*/bucket=*/*"))) == 4
    assert_frame_equal(archive.history().collect(), before)


def test_compacting_or_forgetting_in_an_empty_archive_creates_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archive.compact()
    archive.forget([1])
    assert not (tmp_path / "archive").exists()


def test_files_of_something_else_are_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_COMPACTED_EVERY", 3)
    archive = Archive(tmp_path)
    archive.add(snapshot(0))
    names = ["notes.txt", "plan#1", "_delta_log/members.csv#1", "desktop.ini", "Thumbs.db", "~$plan.xlsx", ".DS_Store"]
    names += ["table=fetches/desktop.ini", "table=fetches/members.csv"]
    for name in names:
        (tmp_path / name).write_text("mine")
    for hour in (1, 2, 3):
        assert archive.add(snapshot(hour)).fetches == len(CUSTOMERS)
    archive.forget([1])
    archive.compact()
    assert [name for name in names if (tmp_path / name).read_text() != "mine"] == []
    assert 1 not in archive.fetches().collect()["customer_id"]


# Forgotten

FORGOTTEN = 1_415_926_535_897
KEPT = 1_618_033_988_749
BOOKING = 2_718_281_828_459


def traces(directory: Path, ids: list[int]) -> set[str]:
    """Find ids in the bytes of every file, as text and as the integers they are, and in what Parquet files hold."""
    found = set()
    for path in files(directory):
        raw = path.read_bytes()
        rows = str(pl.read_parquet(path).rows()) if path.suffix == ".parquet" else ""
        for each in ids:
            if str(each).encode() in raw or each.to_bytes(8, "little") in raw or str(each) in rows:
                found.add(path.parent.name)
    return found


def test_forgetting_leaves_no_trace_of_a_customer(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for hour in range(110):  # so that there are compacted files and checkpoints
        status = ("WAITING_LIST", "BOOKED")[hour % 2]
        archive.add(result(at(hour / 24), {FORGOTTEN: {BOOKING: status, BOOKING + 1: status}, KEPT: {99: status}}))
    (tmp_path / "table=fetches" / "part-1.parquet#1").write_bytes(FORGOTTEN.to_bytes(8, "little"))  # as if killed
    stays = pl.col("customer_id") == KEPT
    before = [rows.filter(stays).collect() for rows in (archive.history(), archive.fetches(), archive.latest_fetches())]
    (tmp_path / "table=fetches" / "part-2.parquet").write_bytes(FORGOTTEN.to_bytes(8, "little"))
    archive.forget([FORGOTTEN])
    assert traces(tmp_path, [FORGOTTEN, BOOKING, BOOKING + 1]) == set()
    assert traces(tmp_path, [KEPT]) != set()
    after = [rows.collect() for rows in (archive.history(), archive.fetches(), archive.latest_fetches())]
    for kept, now in zip(before, after, strict=True):
        assert_frame_equal(kept, now)
    again = archive.add(result(at(200), {FORGOTTEN: {BOOKING: "BOOKED"}, KEPT: {99: "BOOKED"}}))
    assert again == Added(new=1, unchanged=1, fetches=2)


def test_the_log_never_names_a_customer(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for hour in range(25):
        archive.add(result(at(hour / 24), {FORGOTTEN: {BOOKING: ("BOOKED", "CANCELED")[hour % 2]}}))
    archive.compact()
    assert traces(tmp_path / "_delta_log", [FORGOTTEN, BOOKING]) == set()


def test_a_customer_is_forgotten_in_one_studio_only(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for studio in ("mitte", "o'hara"):
        archive.add(result(at(0), {1: {10: "BOOKED"}}, studio=studio))
    archive.forget([1], studio="o'hara")
    assert archive.history().collect()["studio"].to_list() == ["mitte"]
    archive.forget([1], studio="nowhere")
    archive.forget([])
    assert archive.fetches().collect()["studio"].to_list() == ["mitte"]


def test_only_ids_can_be_forgotten(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.add(snapshot(0))
    with pytest.raises(ba.CohortError, match="'1 OR true'"):
        archive.forget(["1 OR true"])  # type: ignore[list-item]  # no id, which is the point
    assert archive.fetches().collect().height == len(CUSTOMERS)


def test_an_interrupted_erasure_stops_adds_until_it_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {FORGOTTEN: {10: "BOOKED"}, KEPT: {11: "BOOKED"}}))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(DeltaTable, "delete", interrupt)
        with pytest.raises(KeyboardInterrupt):
            archive.forget([FORGOTTEN])
    with monkeypatch.context() as impatient:
        impatient.setattr(table, "_PATIENCE", 0)
        with pytest.raises(ba.ArchiveError, match="one was interrupted: call it again with the same customers"):
            archive.add(result(at(1), {KEPT: {}}))
    archive.forget([FORGOTTEN])
    assert traces(tmp_path, [FORGOTTEN]) == set()
    assert archive.add(result(at(1), {KEPT: {}})) == Added(gone=1, fetches=1)


def interrupt(*_args: object, **_options: object) -> None:
    raise KeyboardInterrupt


def test_of_two_erasures_the_later_sets_the_archive_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {10: "BOOKED"}, 2: {}, 3: {}}))
    clean = maintenance.clean

    def overtaken(*args: Any) -> None:
        monkeypatch.setattr(maintenance, "clean", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Archive(tmp_path).forget([2])
        monkeypatch.setattr(maintenance, "clean", clean)
        clean(*args)

    monkeypatch.setattr(maintenance, "clean", overtaken)
    monkeypatch.setattr(table, "_PATIENCE", 0)
    with pytest.raises(ba.ArchiveError, match="one was interrupted: call it again"):
        archive.forget([1])
    with pytest.raises(ba.ArchiveError, match="being erased"):
        archive.add(result(at(1), {3: {}}))
    archive.forget([2])
    assert archive.fetches().collect()["customer_id"].to_list() == [3]
    assert archive.add(result(at(1), {3: {}})) == Added(fetches=1)


def test_a_compaction_waits_for_an_erasure_that_begins_while_it_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {FORGOTTEN: {10: "BOOKED"}, KEPT: {}}))
    unused = maintenance._unused

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(maintenance, "_unused", unused)
        with monkeypatch.context() as interrupted:
            interrupted.setattr(DeltaTable, "delete", interrupt)
            with pytest.raises(KeyboardInterrupt):
                Archive(tmp_path).forget([FORGOTTEN])
        threading.Timer(0.3, lambda: Archive(tmp_path).forget([FORGOTTEN])).start()
        return unused(*args)

    monkeypatch.setattr(maintenance, "_unused", overtaken)
    archive.compact()
    assert traces(tmp_path, [FORGOTTEN]) == set()
    assert archive.check().problems == ()


def test_two_erasures_at_once_both_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {FORGOTTEN: {10: "BOOKED"}, KEPT: {}, 3: {30: "BOOKED"}}))
    clean = maintenance.clean

    def overtaken(*args: Any) -> None:
        monkeypatch.setattr(maintenance, "clean", clean)
        Archive(tmp_path).forget([KEPT])
        clean(*args)

    monkeypatch.setattr(maintenance, "clean", overtaken)
    archive.forget([FORGOTTEN])
    assert traces(tmp_path, [FORGOTTEN, KEPT]) == set()
    assert archive.add(result(at(1), {3: {30: "BOOKED"}})) == Added(unchanged=1, fetches=1)
    assert archive.check().problems == ()
