"""What an archive costs as its customers become more, and how many bytes a kept fetch takes.

    uv run python tests/bench/archive_growth.py [CUSTOMERS [MANY]]  # 15,000 against four times as many, and 1,000,000

Customers are simulated: each has five bookings within four weeks of now, and every tenth row changes from one night to
the next. CPU time of this process, all threads. The two sizes take turns, so that whatever else the machine does slows
both.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive import Archive, buckets, maintenance, table
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = datetime(2026, 1, 1, 2, tzinfo=UTC)
CHUNK = 300  # customers of an add
BOOKINGS = 5
ADDS = 40
HOURS = 400
HOURLY = 600  # customers
SEED = 20260101


def main(customers: int = 15_000, many: int = 1_000_000) -> None:
    # Nights pass in moments here: what would stay for a day after a compaction goes at once.
    with patch.object(table, "KEPT_HOURS", 0), patch.object(maintenance, "KEPT_HOURS", 0):
        growth(customers)
        hourly()
        if many:
            million(many)


def growth(customers: int) -> None:
    sizes = (customers, 4 * customers)
    with tempfile.TemporaryDirectory() as place:
        archives = {n: Archive(Path(place) / str(n)) for n in sizes}
        for n, archive in archives.items():
            with patch.object(maintenance, "_COMPACTED_EVERY", 10**9):
                for chunk in chunks(n):
                    archive.add(night(0, chunk))
            archive.compact()
        single: dict[int, list[float]] = {n: [] for n in sizes}
        for add in range(ADDS):
            for n, archive in archives.items():
                ids = spread(n, ADDS)[add]
                single[n].append(cpu(partial(archive.add, night(1, ids))))
        print(f"{sizes[0]:,} customers against {sizes[1]:,}")
        ratio("one add", *(statistics.median(single[n]) for n in sizes))
        ratio(f"{ADDS} adds with renewals", *(sum(single[n]) for n in sizes))
        for n, archive in archives.items():
            with patch.object(maintenance, "_COMPACTED_EVERY", 10**9):
                for chunk in chunks(n):
                    archive.add(night(2, chunk))
        ratio("a compaction after a night", *(cpu(archives[n].compact) for n in sizes))


def hourly() -> None:
    ids = np.arange(1, HOURLY + 1)
    with tempfile.TemporaryDirectory() as place:
        archive = Archive(Path(place) / "archive")
        times = [cpu(partial(archive.add, night(hour / 24, ids, per_second=10))) for hour in range(HOURS)]
        archive.compact()
        kept = archive.fetches().select(pl.len()).collect().item()
        of_fetches = size((Path(place) / "archive").glob("table=fetches/**/*.parquet"))
        whole = size((Path(place) / "archive").rglob("*"))
        rows = archive.history().select(pl.len()).collect().item()
        print(f"{HOURS} hourly fetches of {HOURLY} customers: {kept:,} fetches, {rows:,} observations kept")
        print(f"  a kept fetch: {of_fetches / kept:.2f} bytes; the whole archive: {whole / kept:.1f} bytes a fetch")
        early, late = times[20:60], times[-60:-20]
        ratio("add, hours 20 to 60 and the last but twenty", statistics.median(early), statistics.median(late))


def million(customers: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        archive = Archive(Path(place) / "archive")
        with patch.object(maintenance, "_COMPACTED_EVERY", 10**9), patch.object(maintenance, "RENEWED_EVERY", 10**9):
            for chunk in chunks(customers, customers // 40):
                archive.add(night(0, chunk))
            started = cpu(archive.compact)
            for chunk in chunks(6_000):
                archive.add(night(1, chunk + customers // 2))
            last = np.arange(300) + customers // 2 + 6_000
            added = cpu(partial(archive.add, night(1, last)))
        renewal = cpu(lambda: archive._table.commit(lambda now: buckets.renew(now, START + timedelta(days=365))))
        print(
            f"{customers:,} customers: the first compaction {started:.1f} CPU-s, an add {added:.2f} CPU-s, "
            f"a renewal after 20 adds {renewal:.2f} CPU-s; {size((Path(place) / 'archive').rglob('*')) / 1e6:.0f} MB"
        )


def chunks(customers: int, size: int = CHUNK) -> Iterator[np.ndarray]:
    return (np.arange(first + 1, min(first + size, customers) + 1) for first in range(0, customers, size))


def spread(customers: int, n: int) -> list[np.ndarray]:
    """Choose so many chunks of neighbors, spread over all customers."""
    return [np.arange(CHUNK) + 1 + each * (customers - CHUNK) // n for each in range(n)]


def night(day: float, ids: np.ndarray, *, per_second: int = 16) -> FetchResult:
    """Simulate what a fetch of some customers brings on a day."""
    at = START + timedelta(days=day)
    stamps = pl.Series(np.arange(len(ids)) // per_second) * timedelta(seconds=1) + at
    n = len(ids) * BOOKINGS
    rows = pl.DataFrame({"customer_id": np.repeat(ids, BOOKINGS), "each": np.tile(np.arange(BOOKINGS), len(ids))})
    slot = pl.col("customer_id").hash(SEED) % 997 * 13 + pl.col("each") * 200 + int(day) // 7
    mixed = (pl.col("customer_id") * BOOKINGS + pl.col("each")).hash(SEED)
    seen = rows.with_columns(
        studio=pl.lit("mitte"),
        class_slot_id=slot,
        class_id=slot % 40,
        booking_id=pl.col("customer_id") * 1000 + pl.col("each") + int(day) // 7,
        booking_status=pl.when(mixed % 10 == int(day) % 10).then(pl.lit("CANCELED")).otherwise(pl.lit("BOOKED")),
        class_slot_status=pl.lit("PLANNED"),
        participant_status=pl.lit("UNSET"),
        observed_at=pl.Series(stamps).gather(np.repeat(np.arange(len(ids)), BOOKINGS)),
        visible=pl.lit(value=True),
    )
    assert seen.height == n
    fetches = pl.DataFrame({"customer_id": ids}).with_columns(
        *(pl.lit(None).alias(name) for name in ("error_code", "message", "trace_id")),
        studio=pl.lit("mitte"),
        fetched_at=stamps,
        outcome=pl.lit("ok"),
        n_bookings=BOOKINGS,
        http_status=200,
        attempts=1,
    )
    return FetchResult(
        seen.select(pl.col(name).cast(dtype) for name, dtype in schema.BOOKINGS.items()),
        fetches.select(pl.col(name).cast(dtype) for name, dtype in schema.FETCHES.items()),
        schema.RESULT_COHORTS.to_frame(),
    )


def ratio(what: str, few: float, many: float) -> None:
    print(f"  {what}: {few:.3f} CPU-s against {many:.3f}: {many / few:.2f}", flush=True)


def cpu(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def size(paths: Iterator[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(*map(int, sys.argv[1:]))
