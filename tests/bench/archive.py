"""A year of daily snapshots in the archive: what an add costs as it ages, how big it gets, how fast it reads.

    uv run python tests/bench/archive.py [DAYS [CUSTOMERS]]

The same snapshots are kept beside it whole, one Parquet file a day. Bookings are simulated: a customer books every
fifth day, up to two weeks ahead; one in six waits, one in four cancels.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive import Archive
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 20260101
START = datetime(2026, 1, 1, 6, tzinfo=UTC)
WINDOW = 14  # days
AROUND = 5  # days before and after that an add's time is the median of
READS = 5


def main(days: int = 365, customers: int = 2000) -> None:
    with tempfile.TemporaryDirectory() as place:
        run(Path(place), days, customers)


def run(place: Path, days: int, customers: int) -> None:
    archive, snapshots = Archive(place / "archive"), place / "snapshots"
    snapshots.mkdir()
    took: list[float] = []
    rows = 0
    for day, result in enumerate(results(days, customers)):
        took.append(seconds(lambda result=result: archive.add(result)))  # type: ignore[misc]  # mypy can't infer it
        result.bookings.write_parquet(snapshots / f"{day}.parquet")
        rows += result.bookings.height
    observations = archive.history().collect().height
    print(
        f"{days} daily snapshots of {customers:,} customers: {rows:,} bookings seen, {observations:,} observations kept"
    )
    marks = [min(30, days - 1), days - 1]
    early, late = (statistics.median(took[max(0, day - AROUND) : day + AROUND + 1]) for day in marks)
    for day, median in zip(marks, (early, late), strict=True):
        print(f"  add about day {day + 1}: {1000 * median:.0f} ms (median of the days around it)")
    print(f"  ratio {late / early:.2f}; slowest add of all, with a compaction: {1000 * max(took):.0f} ms")
    for name, past in (("the last day", None), ("half-way", START + timedelta(days=days / 2))):
        reads = [seconds(lambda past=past: archive.bookings(past).collect()) for _ in range(READS)]  # type: ignore[misc]
        print(f"  bookings as of {name}: {1000 * statistics.median(reads):.0f} ms")
    archive.compact()
    print(
        f"  whole snapshots as Parquet: {bytes_in(snapshots) / 1e6:.1f} MB, {bytes_in(snapshots) / rows:.1f} bytes a row"
    )
    live = sum(Path(path).stat().st_size for path in files(archive))
    print(f"  archive: {live / 1e6:.1f} MB, {live / observations:.1f} bytes an observation, its fetches included")
    print(f"  with what compaction replaced and removes after a day: {bytes_in(place / 'archive') / 1e6:.1f} MB")


def results(days: int, customers: int) -> Iterator[FetchResult]:
    """Simulate what each day's fetch brings."""
    random = np.random.default_rng(SEED)
    n = customers * (days + 2 * WINDOW) // 5
    slot_day = random.integers(-WINDOW, days + WINDOW, n)
    waits, cancels = random.random(n) < 1 / 6, random.random(n) < 1 / 4
    lead = random.integers(0, WINDOW + 1, n)
    booked_day = slot_day - lead
    slot = slot_day * 40 + random.integers(0, 40, n) + 10**6
    bookings = pl.DataFrame(
        {
            "customer_id": random.integers(0, customers, n) + 14_000_000,
            "class_slot_id": slot,
            "class_id": slot % 40,
            "booking_id": np.arange(n) + 50_000_000,
            "_slot_day": slot_day,
            "_booked_day": booked_day,
            "_in_day": np.where(waits, booked_day + random.integers(0, 8, n), booked_day),
            "_cancel_day": np.where(cancels, slot_day - random.integers(0, 8, n), days * 2),
            "_attended": random.choice(schema.PARTICIPANT_STATUS.categories.to_list(), n, p=[0.7, 0.1, 0.2]),
        }
    )
    over = pl.col("_slot_day") < pl.lit(0) + pl.col("_day")
    for day in range(days):
        at = START + timedelta(days=day)
        shown = bookings.with_columns(_day=day).filter(
            (pl.col("_slot_day") - day).abs() <= WINDOW, pl.col("_booked_day") <= day
        )
        status = (
            pl.when(pl.col("_cancel_day") <= day)
            .then(pl.lit("CANCELED"))
            .when(pl.col("_in_day") <= pl.min_horizontal("_slot_day", "_day"))
            .then(pl.lit("BOOKED"))
            .otherwise(pl.lit("WAITING_LIST"))
        )
        seen = (
            shown.with_columns(booking_status=status)
            .with_columns(
                studio=pl.lit("mitte"),
                class_slot_status=pl.when(over).then(pl.lit("COMPLETED")).otherwise(pl.lit("PLANNED")),
                participant_status=pl.when(over & (pl.col("booking_status") == "BOOKED"))
                .then("_attended")
                .otherwise(pl.lit("UNSET")),
                observed_at=pl.lit(at),
                visible=True,
            )
            .select(pl.col(name).cast(dtype) for name, dtype in schema.BOOKINGS.items())
            .sort("customer_id", "booking_id")
        )
        yield FetchResult(seen, fetched(seen, customers, at), schema.RESULT_COHORTS.to_frame())


def fetched(seen: pl.DataFrame, customers: int, at: datetime) -> pl.DataFrame:
    counts = seen.group_by("customer_id").agg(n_bookings=pl.len().cast(pl.Int64))
    everybody = pl.DataFrame({"customer_id": np.arange(customers) + 14_000_000}).join(
        counts, on="customer_id", how="left", maintain_order="left"
    )
    rows = everybody.with_columns(
        pl.col("n_bookings").fill_null(0),
        studio=pl.lit("mitte"),
        fetched_at=pl.lit(at),
        outcome=pl.lit("ok"),
        http_status=200,
        attempts=1,
    )
    return pl.concat(
        [
            schema.FETCHES.to_frame(),
            rows.cast(
                {
                    "outcome": schema.FETCH_OUTCOME,
                    "fetched_at": schema.TIMESTAMP,
                    "http_status": pl.Int64,
                    "attempts": pl.Int64,
                }
            ),
        ],
        how="diagonal",
    )


def files(archive: Archive) -> list[str]:
    now = archive._table.open()
    return (
        []
        if now is None
        else pl.concat([now.rows("observations").select("file"), now.rows("fetches").select("file")])
        .unique()
        .collect()["file"]
        .to_list()
    )


def bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
