"""Processes that write, read, compact and erase in one archive at once, or are killed: nothing may fail or be lost.

`tests/faults/test_archive_storm.py` lets them run briefly, `tests/bench/storm.py` for as long as asked.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final

import polars as pl
from archive_writer import bookings_at, start
from snapshots import at, result

from bookings_analytics.archive import Archive
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STAYING: Final = (1, 2, 3)
LEAVING: Final = 1_415_926_535_897  # who is forgotten again and again; found in any file if anything of it is left
STUDIOS: Final = ("mitte", "nord")
PATIENCE: Final = 120  # seconds after its end that a process of a storm may take, on however busy a machine
_LONGEST_LIFE: Final = 0.8  # seconds from the first acknowledged fetch of a process until it is killed
_START: Final = 30  # seconds that one may take until then


def hourly(studio: str, hour: int, customers: tuple[int, ...]) -> FetchResult:
    """Make what a studio's fetch at an hour brings; no two studios share their slots."""
    fetched = result(at(hour / 24), {each: bookings_at(each % 1000, hour) for each in customers}, studio=studio)
    slots = pl.col("class_slot_id") + (100 if studio == "nord" else 0)
    return FetchResult(fetched.bookings.with_columns(slots), fetched.fetches, fetched.cohorts)


def _note(notes: Path, what: str) -> None:
    """Write down what was acknowledged, for whoever looks after this process has been killed."""
    with notes.open("a") as file:
        file.write(f"{what}\n")


def _noted(notes: Path) -> list[str]:
    return notes.read_text().split() if notes.exists() else []


# A storm


def _write(place: Path, notes: Path, until: float, studio: str) -> None:
    archive = Archive(place)
    for hour in count():
        added = archive.add(hourly(studio, hour, (*STAYING, LEAVING)))
        assert added.fetches == len(STAYING) + 1
        _note(notes, str(hour))
        if time.time() >= until:
            return


def _read(place: Path, notes: Path, until: float) -> None:
    archive, seen = Archive(place), 0
    while time.time() < until:
        fetches = archive.fetches().filter(pl.col("customer_id").is_in(STAYING)).collect()
        assert fetches.height >= seen, "what was there is gone"
        assert fetches.group_by("studio", "fetched_at").len()["len"].to_list() == [3] * (fetches.height // 3)
        seen = fetches.height
        archive.coverage(by="studio")
        archive.bookings().collect()
        assert [each for each in archive.check().problems if "erasure" not in each] == []
        _note(notes, "read")


def _compact(place: Path, notes: Path, until: float) -> None:
    while time.time() < until:
        Archive(place).compact()
        _note(notes, "compacted")
        time.sleep(0.1)


def _forget(place: Path, notes: Path, until: float) -> None:
    while time.time() < until:
        Archive(place).forget([LEAVING])
        _note(notes, "forgotten")
        time.sleep(0.1)


def storm(place: Path, seconds: float) -> Counter[str]:
    """Let two writers, a reader, a compactor and a forgetter at one archive, and check what is left.

    Args:
        place: An empty directory.
        seconds: How long.

    Returns:
        How often each of them did what it does.

    Raises:
        AssertionError: One of them failed, an acknowledged fetch is lost, or an id that was forgotten is still there.
    """
    archive = Archive(place / "archive")
    archive.add(result(at(-1), dict.fromkeys((*STAYING, LEAVING), "failed")))
    works: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
        **{studio: (_write, (studio,)) for studio in STUDIOS},
        "reads": (_read, ()),
        "compactions": (_compact, ()),
        "erasures": (_forget, ()),
    }
    until = time.time() + seconds
    processes = {
        name: start(work, place / "archive", place / f"{name}.txt", until, *arguments)
        for name, (work, arguments) in works.items()
    }
    for process in processes.values():
        process.join(timeout=max(0.0, until + PATIENCE - time.time()))
        process.kill()
    ends = {name: process.exitcode for name, process in processes.items()}
    assert ends == dict.fromkeys(processes, 0), f"exit codes: {ends}"
    archive.forget([LEAVING])
    noted = {name: _noted(place / f"{name}.txt") for name in works}
    hours = {studio: [int(hour) for hour in noted[studio]] for studio in STUDIOS}
    alone = Archive(place / "alone")
    for studio in STUDIOS:
        for hour in hours[studio]:
            alone.add(hourly(studio, hour, STAYING))
    assert archive.history().collect().equals(alone.history().collect())
    kept = archive.fetches().filter(outcome="ok").collect()
    assert kept.drop("message").sort(pl.all()).equals(alone.fetches().collect().drop("message").sort(pl.all()))
    assert traces(place / "archive") == []
    assert archive.check().problems == ()
    return Counter(
        {"fetches acknowledged": sum(map(len, hours.values()))} | {n: len(noted[n]) for n in list(works)[2:]}
    )


def traces(directory: Path) -> list[str]:
    """Find the id that was forgotten in the bytes of every file, as text and as the integer it is, and in its rows."""
    found = []
    for path in (each for each in directory.rglob("*") if each.is_file()):
        raw = path.read_bytes()
        rows = str(pl.read_parquet(path, hive_partitioning=False).rows()) if path.suffix == ".parquet" else ""
        if str(LEAVING).encode() in raw or LEAVING.to_bytes(8, "little") in raw or str(LEAVING) in rows:
            found.append(path.name)
    return found


# Killed


def _next_hour(place: Path) -> int:
    last = Archive(place).fetches().filter(outcome="ok").select(pl.col("fetched_at").max()).collect().item()
    return 0 if last is None else round((last - at(0)).total_seconds() / 3600) + 1


def _keep_adding(place: Path, notes: Path) -> None:
    archive = Archive(place)
    for hour in count(_next_hour(place)):
        archive.add(hourly("mitte", hour, (*STAYING, LEAVING)))
        _note(notes, str(hour))


def _keep_compacting(place: Path, notes: Path) -> None:
    archive = Archive(place)
    for hour in count(_next_hour(place)):
        archive.add(hourly("mitte", hour, (*STAYING, LEAVING)))
        _note(notes, str(hour))
        archive.compact()


def _keep_forgetting(place: Path, notes: Path) -> None:
    archive = Archive(place)
    for hour in count(_next_hour(place)):
        archive.forget([LEAVING])
        archive.add(hourly("mitte", hour, (*STAYING, LEAVING)))
        _note(notes, str(hour))


def kills(place: Path, number: int, seed: int = 20260617) -> Counter[str]:
    """Kill processes that add, compact and forget, at random moments, and check after each what is left.

    Args:
        place: An empty directory.
        number: How many are killed.
        seed: Of the moments.

    Returns:
        How many of each kind were killed, and how many fetches they had been told are kept.

    Raises:
        AssertionError: An acknowledged fetch is lost, an add is there in part, or an id that was forgotten is left.
    """
    random, killed = Random(seed), Counter[str]()
    archive, notes = Archive(place / "archive"), place / "hours.txt"
    while killed.total() < number:
        work = (_keep_adding, _keep_compacting, _keep_forgetting)[killed.total() % 3]
        before = len(_noted(notes))
        process = start(work, place / "archive", notes)
        if killed.total() % 4:  # the others are killed as they start
            end = time.monotonic() + _START
            while len(_noted(notes)) == before and process.is_alive() and time.monotonic() < end:
                time.sleep(0.01)
        time.sleep(random.uniform(0, _LONGEST_LIFE))
        assert process.exitcode is None, "it failed before it was killed"
        process.kill()
        process.join()
        killed[work.__name__.removeprefix("_keep_")] += 1
        archive.forget([LEAVING])  # completes one that was killed
        assert traces(place / "archive") == []
        adds = archive.fetches().collect().group_by("fetched_at").len()
        assert adds["len"].to_list() == [len(STAYING)] * adds.height, "an add is there whole or not at all"
        assert {at(int(hour) / 24) for hour in _noted(notes)} <= set(adds["fetched_at"])
        assert archive.check().problems == ()
    alone = Archive(place / "alone")
    for time_of_fetch in archive.fetches().select(pl.col("fetched_at").unique().sort()).collect()["fetched_at"]:
        alone.add(hourly("mitte", round((time_of_fetch - at(0)).total_seconds() / 3600), STAYING))
    assert archive.history().collect().equals(alone.history().collect())
    return killed + Counter({"fetches acknowledged": len(_noted(notes))})
