"""A year of daily snapshots in the archive: what an add costs as it ages, how big it gets, how fast it reads.

    uv run python tests/bench/archive.py [DAYS [CUSTOMERS]]  # 50 days at least

The same snapshots are kept beside it whole, one Parquet file a day. Bookings are simulated: a customer books every
fifth day, up to two weeks ahead; one in six waits at first, one in four cancels.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive import Archive, maintenance, table
from bookings_analytics.archive.snapshot import RENEWED_EVERY
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 20260101
START = datetime(2026, 1, 1, 6, tzinfo=UTC)
WINDOW = 14  # days
CLASSES = 40
READS = 5
MONTH = 30  # days


def main(days: int = 365, customers: int = 2000) -> None:
    # A year passes in a minute here: what would stay for a day after a compaction goes at once.
    with (
        tempfile.TemporaryDirectory() as place,
        patch.object(table, "KEPT_HOURS", 0),
        patch.object(maintenance, "KEPT_HOURS", 0),
    ):
        run(Path(place) / "archive", Path(place) / "young", Path(place), days, customers)


def run(directory: Path, young_directory: Path, snapshots: Path, days: int, customers: int) -> None:
    """Add day after day; the last adds take turns with those of a copy that is only a month old.

    So whatever else the machine does slows both.
    """
    archive = Archive(directory)
    month: deque[FetchResult] = deque(maxlen=RENEWED_EVERY)  # one period of what adds do now and then
    times: dict[str, list[float]] = {"30": [], str(days): [], "all": []}
    seen = 0
    for day, result in enumerate(results(days, customers)):
        if day == MONTH - RENEWED_EVERY:
            shutil.copytree(directory, young_directory)
        if day < MONTH:
            month.append(result)
        if day >= days - RENEWED_EVERY:
            times["30"].append(seconds(partial(Archive(young_directory).add, month.popleft())))
            times[str(days)].append(seconds(partial(archive.add, result)))
        else:
            times["all"].append(seconds(partial(archive.add, result)))
        result.bookings.write_parquet(snapshots / f"{day}.parquet")
        seen += result.bookings.height
    kept = archive.history().collect().height
    print(f"{days} daily snapshots of {customers:,} customers: {seen:,} bookings seen, {kept:,} observations kept")

    medians = {name: statistics.median(times[name]) for name in ("30", str(days))}
    for name, median in medians.items():
        print(f"  add, up to day {name}: {1000 * median:.0f} ms, median of {RENEWED_EVERY} days")
    print(f"  ratio: {medians[str(days)] / medians['30']:.2f}; slowest, with a compaction: {max(times['all']):.1f} s")

    print(f"  bookings as of now: {milliseconds(lambda: archive.bookings().collect())}")
    half_way = START + timedelta(days=days / 2)
    print(f"  bookings as of half-way: {milliseconds(lambda: archive.bookings(half_way).collect())}")
    print(f"  last fetches: {milliseconds(lambda: archive.latest_fetches().collect())}")

    archive.compact()
    archive_size, snapshots_size = size(directory.rglob("*")), size(snapshots.glob("*.parquet"))
    print(f"  archive with fetches and log: {archive_size / 1e6:.1f} MB, {archive_size / kept:.1f} bytes/observation")
    print(f"  whole snapshots as Parquet: {snapshots_size / 1e6:.1f} MB, {snapshots_size / seen:.1f} bytes/booking")
    print(f"  ratio: {snapshots_size / archive_size:.1f}")


def results(days: int, customers: int) -> Iterator[FetchResult]:
    """Simulate what each day's fetch brings."""
    courses = simulate(days, customers)
    for day in range(days):
        at = START + timedelta(days=day)
        seen = snapshot(courses, day).with_columns(
            studio=pl.lit("mitte"), class_id=pl.col("class_slot_id") % CLASSES, observed_at=pl.lit(at), visible=True
        )
        bookings = seen.select(pl.col(name).cast(dtype) for name, dtype in schema.BOOKINGS.items())
        fetches = (
            pl.DataFrame({"customer_id": range(1, customers + 1)})
            .join(bookings.group_by("customer_id").agg(n_bookings=pl.len()), on="customer_id", how="left")
            .with_columns(
                pl.col("n_bookings").fill_null(0),
                *(pl.lit(None).alias(name) for name in ("error_code", "message", "trace_id")),
                studio=pl.lit("mitte"),
                fetched_at=pl.lit(at),
                outcome=pl.lit("ok"),
                http_status=200,
                attempts=1,
            )
            .select(pl.col(name).cast(dtype) for name, dtype in schema.FETCHES.items())
        )
        yield FetchResult(
            bookings.sort("customer_id", "booking_id"), fetches.sort("customer_id"), schema.RESULT_COHORTS.to_frame()
        )


def simulate(days: int, customers: int) -> pl.DataFrame:
    """Draw every booking's course: the days on which it is made, gets a seat, is canceled, and takes place."""
    random = np.random.default_rng(SEED)
    n = customers * (days + 2 * WINDOW) // 5
    slot_day = random.integers(-WINDOW, days + WINDOW, n)
    made = slot_day - random.integers(0, WINDOW + 1, n)
    waits, cancels = random.random(n) < 1 / 6, random.random(n) < 1 / 4
    return pl.DataFrame(
        {
            "customer_id": random.integers(1, customers + 1, n),
            "class_slot_id": (slot_day + WINDOW) * CLASSES + random.integers(0, CLASSES, n),
            "booking_id": np.arange(n),
            "slot_day": slot_day,
            "made": made,
            "seat": np.where(waits, made + random.integers(1, 8, n), made),
            "canceled": np.where(cancels, slot_day - random.integers(0, 8, n), days + WINDOW),
            "attendance": random.choice(schema.PARTICIPANT_STATUS.categories.to_list(), n, p=[0.7, 0.1, 0.2]),
        }
    )


def snapshot(courses: pl.DataFrame, day: int) -> pl.DataFrame:
    over = pl.col("slot_day") < day
    seat = pl.col("seat") <= pl.min_horizontal("slot_day", pl.lit(day))
    status = pl.when(seat).then(pl.lit("BOOKED")).otherwise(pl.lit("WAITING_LIST"))
    return (
        courses.filter((pl.col("slot_day") - day).abs() <= WINDOW, pl.col("made") <= day)
        .with_columns(
            booking_status=pl.when(pl.col("canceled") <= day).then(pl.lit("CANCELED")).otherwise(status),
            class_slot_status=pl.when(over).then(pl.lit("COMPLETED")).otherwise(pl.lit("PLANNED")),
        )
        .with_columns(
            participant_status=pl.when(over & (pl.col("booking_status") == "BOOKED"))
            .then("attendance")
            .otherwise(pl.lit("UNSET"))
        )
    )


def size(paths: Iterator[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def milliseconds(work: Callable[[], object]) -> str:
    return f"{1000 * statistics.median(seconds(work) for _ in range(READS)):.0f} ms"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
