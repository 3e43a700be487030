"""CPU of `classify` and `no_shows` on Spark against Spark SQL by hand, in one run: `spark.py [observations]`.

The SQL is what an analyst would write: the latest state of each booking, one booking a place, the rules of outcomes,
and Wilson's interval on seats clustered by customer. It has neither the checks of the input, nor the course of a
wait, nor the terms of slots and days.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from spark_engine import session

import bookings_analytics as ba
from bookings_analytics.schema import BOOKINGS

if TYPE_CHECKING:
    from collections.abc import Callable

SQL = """
WITH latest AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY studio, customer_id, booking_id ORDER BY observed_at DESC) AS r,
            min(observed_at) OVER (PARTITION BY studio, customer_id, class_slot_id) AS first_seen_at FROM history)
    WHERE r = 1),
places AS (
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY studio, customer_id, class_slot_id ORDER BY visible DESC,
        CASE WHEN booking_status LIKE 'BOOKED%' THEN 2 WHEN booking_status = 'WAITING_LIST' THEN 1 ELSE 0 END DESC,
        booking_id DESC) AS place FROM latest) WHERE place = 1),
outcomes AS (
    SELECT *, CASE WHEN class_slot_status = 'CANCELED' THEN 'slot_canceled'
        WHEN class_slot_status = 'COMPLETED' AND participant_status = 'PARTICIPATING' AND booking_status <> 'CANCELED'
            THEN 'attended'
        WHEN booking_status = 'CANCELED' THEN 'canceled' WHEN class_slot_status = 'PLANNED' AND NOT visible THEN 'lost'
        WHEN booking_status = 'WAITING_LIST' THEN 'waiting' WHEN class_slot_status = 'PLANNED' THEN 'upcoming'
        WHEN participant_status = 'NOT_PARTICIPATING' THEN 'no_show' ELSE 'unrecorded' END AS outcome FROM places),
customers AS (
    SELECT studio, customer_id, class_id, count_if(outcome = 'no_show') AS y,
        count_if(outcome IN ('no_show', 'attended')) AS n FROM outcomes GROUP BY ALL),
sums AS (
    SELECT class_id, sum(y) AS y, sum(n) AS n, sum(n) / count_if(n > 0) AS b, count_if(n > 0) AS m,
        sum(y * y) AS yy, sum(y * n) AS yn, sum(n * n) AS nn FROM customers GROUP BY class_id),
shrunk AS (SELECT *, (y + b) / (n + 2 * b) AS q FROM sums),
effective AS (
    SELECT *, greatest(1, (m + 2) / (m + 1) * (yy - 2 * q * yn + q * q * nn + b * b * ((1 - q) * (1 - q) + q * q))
        / ((n + 2 * b) * q * (1 - q))) * 3.8414588206941236 / n AS w, y / n AS p FROM shrunk)
SELECT class_id, y AS n_no_show, p, (p + w / 2 - sqrt(w * (p * (1 - p) + w / 4))) / (1 + w) AS low,
    (p + w / 2 + sqrt(w * (p * (1 - p) + w / 4))) / (1 + w) AS high FROM effective ORDER BY class_id
"""


def history(observations: int) -> pl.DataFrame:
    """Make snapshots of places: each seen once before its class and once after it."""
    random = np.random.default_rng(1)
    places = observations // 2
    places_frame = pl.DataFrame(
        {
            "customer_id": random.integers(0, places // 20, places),
            "class_slot_id": random.integers(0, places // 15, places),
            "end": random.choice(["PARTICIPATING", "NOT_PARTICIPATING", "UNSET"], places, p=[0.75, 0.12, 0.13]),
            "status": random.choice(["BOOKED", "CANCELED", "WAITING_LIST"], places, p=[0.7, 0.22, 0.08]),
        }
    ).with_row_index("booking_id")
    common = (
        *(pl.col(name) for name in ("customer_id", "class_slot_id", "booking_id")),
        (pl.col("class_slot_id") % 40).alias("class_id"),
        pl.lit("mitte").alias("studio"),
        pl.lit(value=True).alias("visible"),
    )
    before = places_frame.select(
        *common,
        booking_status=pl.lit("BOOKED"),
        class_slot_status=pl.lit("PLANNED"),
        participant_status=pl.lit("UNSET"),
        observed_at=pl.datetime(2026, 5, 1),
    )
    after = places_frame.select(
        *common,
        booking_status="status",
        class_slot_status=pl.lit("COMPLETED"),
        participant_status=pl.when(pl.col("status") == "BOOKED").then("end").otherwise(pl.lit("UNSET")),
        observed_at=pl.datetime(2026, 5, 9),
    )
    rows = pl.concat([before, after]).with_columns(pl.col("observed_at").dt.replace_time_zone("UTC"))
    return rows.select(pl.col(name).cast(kind) for name, kind in BOOKINGS.items())


def cpu() -> float:
    """Return the CPU seconds of this process and of its JVM so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # a process that has just ended
            continue
        ticks += int(fields[11]) + int(fields[12]) if int(fields[1]) == os.getpid() else 0
    return ticks / os.sysconf("SC_CLK_TCK") + sum(os.times()[:2])


def main(observations: int) -> None:
    spark = session("local[2]", codegen=True)
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/history.parquet"
        history(observations).write_parquet(path)
        spark.read.parquet(path).createOrReplaceTempView("history")
        ways: dict[str, Callable[[], list[Any]]] = {
            "Spark SQL by hand": lambda: spark.sql(SQL).collect(),
            "this library": lambda: ba.no_shows(ba.classify(spark.read.parquet(path)), by="class_id").collect(),
        }
        print(f"{observations:,} observations, the best of 3 runs after one to warm up")
        spent, misses = {}, {}
        for way, run in ways.items():
            runs = []
            for _ in range(4):
                start = cpu()
                misses[way] = sum(row.n_no_show for row in run())
                runs.append(cpu() - start)
            spent[way] = min(runs[1:])
            print(f"{way:20} {spent[way]:6.1f} CPU s (first run {runs[0]:.1f})", flush=True)
        if len(set(misses.values())) > 1:
            raise SystemExit(f"the ways disagree: {misses}")
        print(f"ratio {spent['this library'] / spent['Spark SQL by hand']:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
