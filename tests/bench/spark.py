"""CPU of `classify` and `no_shows` on Spark against Spark SQL by hand, in one run: `spark.py [observations]`.

Two peers. The short one is what an analyst would write first: the latest state of each booking, one booking a place,
the rules of outcomes, and Wilson's interval on seats clustered by customer. The whole one computes every column that
`classify` and `no_shows` do: the course of each wait, the slots' correlation and term, t, effective customers and
bounds. Its sums are SQL over outcomes cached once, its formulas of forty rows the numpy of `rates.py`. It must agree
with the library to 1e-9 before anything is timed. Neither looks for values that no rule knows, as the library does.

CPU is that of this process and its JVM, the best of three runs after one to warm up.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

sys.path.insert(0, str(Path(__file__).parents[1]))

import test_spark
from rates import design_effect, slot_term, with_interval
from spark_engine import LOCAL, session

import bookings_analytics as ba
from bookings_analytics.metrics.engines import in_polars
from bookings_analytics.schema import BOOKINGS, DATED, PERIOD, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

SHORT = """
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


OUTCOMES = """
WITH observed AS (
    SELECT *, struct(booking_status, class_slot_status, participant_status, visible) AS state,
        CASE WHEN booking_status LIKE 'BOOKED%' THEN 2 WHEN booking_status = 'WAITING_LIST' THEN 1 ELSE 0 END AS holds
    FROM history),
courses AS (
    SELECT *, max_by(state, observed_at) OVER booking AS last_state,
        row_number() OVER (PARTITION BY studio, customer_id, booking_id ORDER BY observed_at DESC) AS latest,
        min(observed_at) OVER booking AS first_at, min(observed_at) OVER place AS first_seen_at,
        max(visible AND holds = 1 AND class_slot_status = 'PLANNED') OVER place AS waited,
        min(CASE WHEN visible AND holds = 1 THEN observed_at END) OVER place AS first_waiting_at,
        max(CASE WHEN visible AND holds = 2 THEN observed_at END) OVER place AS last_seat_at
    FROM observed WINDOW booking AS (PARTITION BY studio, customer_id, booking_id),
        place AS (PARTITION BY studio, customer_id, class_slot_id)),
others AS (
    SELECT *, max(CASE WHEN state <> last_state THEN observed_at END)
        OVER (PARTITION BY studio, customer_id, booking_id) AS other_until FROM courses),
returned AS (
    SELECT *, coalesce(min(CASE WHEN observed_at > other_until THEN observed_at END)
        OVER (PARTITION BY studio, customer_id, booking_id), first_at) AS last_changed_at FROM others),
places AS (
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY studio, customer_id, class_slot_id ORDER BY visible DESC,
        CASE WHEN NOT visible THEN observed_at END DESC, holds DESC, booking_id DESC) AS place FROM returned
        WHERE latest = 1) WHERE place = 1),
judged AS (
    SELECT *, class_slot_status = 'COMPLETED' AS ended, CASE WHEN class_slot_status = 'CANCELED' THEN 'slot_canceled'
        WHEN class_slot_status = 'COMPLETED' AND participant_status = 'PARTICIPATING' AND booking_status <> 'CANCELED'
            THEN 'attended'
        WHEN booking_status = 'CANCELED' THEN 'canceled' WHEN class_slot_status = 'PLANNED' AND NOT visible THEN 'lost'
        WHEN booking_status = 'WAITING_LIST' THEN 'waiting' WHEN class_slot_status = 'PLANNED' THEN 'upcoming'
        WHEN participant_status = 'NOT_PARTICIPATING' THEN 'no_show' ELSE 'unrecorded' END AS outcome FROM places)
SELECT studio, customer_id, class_slot_id, class_id, booking_id, booking_status, class_slot_status, participant_status,
    observed_at, visible, first_seen_at, last_changed_at, outcome, CASE WHEN waited THEN
        CASE WHEN ended AND (last_seat_at > first_waiting_at OR outcome = 'attended' OR holds = 2) THEN 'converted'
            WHEN class_slot_status = 'CANCELED' THEN 'slot_canceled'
            WHEN ended AND booking_status = 'CANCELED' THEN 'withdrawn' WHEN ended AND holds = 1 THEN 'lapsed'
            WHEN NOT ended AND visible THEN 'pending' WHEN NOT ended THEN 'lost' END END AS wait_outcome
FROM judged
"""
COUNTS = """
SELECT {key}, count_if(outcome = 'attended') AS attended, count_if(outcome = 'no_show') AS no_show,
    count_if(outcome = 'unrecorded') AS unrecorded, count_if(outcome IN ('attended', 'no_show')) AS recorded
FROM seats GROUP BY {key}
"""
SUMS = """sum(recorded) AS recorded, sum(no_show) AS no_show, count_if(recorded > 0) AS recorded_clusters,
    sum(recorded * recorded) AS `recorded*recorded`, sum(no_show * recorded) AS `no_show*recorded`,
    sum(no_show * no_show) AS `no_show*no_show`"""
OF_CUSTOMERS = f"""
SELECT class_id, count(*) AS n_customers, sum(attended) AS attended, sum(unrecorded) AS unrecorded, {SUMS}
FROM ({COUNTS.format(key="class_id, studio, customer_id")}) GROUP BY class_id
"""
OF_SLOTS = f"""
SELECT class_id, studio, {SUMS}, count_if(recorded > 1) AS recorded_paired,
    sum(recorded * (recorded - 1)) AS recorded_pairs
FROM ({COUNTS.format(key="class_id, studio, class_slot_id")}) GROUP BY class_id, studio
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


def whole_peer(spark: SparkSession) -> pl.DataFrame:
    """Compute `no_shows` by class as SQL by hand."""
    kept = "class_id, studio, customer_id, class_slot_id, outcome"
    seats = f"SELECT {kept} FROM ({OUTCOMES}) WHERE outcome IN ('attended', 'no_show', 'unrecorded')"
    cached = spark.sql(seats).persist()
    cached.createOrReplaceTempView("seats")
    customers, classes = (collected(spark.sql(query)).sort("class_id") for query in (OF_CUSTOMERS, OF_SLOTS))
    cached.unpersist()
    c = {name: customers[name].cast(pl.Float64).to_numpy() for name in customers.columns}
    classes = classes.with_columns(cohort="class_id")  # a group in `rates.py`; here each class is one
    term, correlation = slot_term({"classes": classes, "shared": classes}, "no_show", "recorded")
    deff, effective = design_effect(c, "no_show", "recorded", term)
    held = c["recorded"] + c["unrecorded"]
    columns = {f"n_{name}": c[name] for name in ("attended", "no_show", "unrecorded")}
    columns |= {"n_customers": c["n_customers"], "recorded_share": c["recorded"] / held}
    columns |= {"n_effective_customers": effective, "slot_correlation": correlation}
    for kind in ("attended", "no_show"):
        bounds = held, c[kind], c[kind] + c["unrecorded"]
        name = "attendance_rate" if kind == "attended" else "no_show_rate"
        columns |= with_interval(name, c[kind], c["recorded"], deff, effective, bounds)
    return pl.DataFrame({"class_id": customers["class_id"], **columns})


def library(spark: SparkSession) -> pl.DataFrame:
    return collected(ba.no_shows(ba.classify(spark.table("history")), by="class_id"))


def collected(frame: DataFrame) -> pl.DataFrame:
    return in_polars(nw.from_native(frame))


def check(spark: SparkSession) -> None:
    """Refuse to time ways that do not agree with the library in every column, of the outcomes and of the rates."""
    key = list(PLACE_KEY)
    ours, theirs = (collected(each).sort(key) for each in (ba.classify(spark.table("history")), spark.sql(OUTCOMES)))
    assert_frame_equal(ours.drop(DATED), theirs.select(ours.drop(DATED).columns), check_dtypes=False)
    rates = library(spark).drop(*PERIOD, "day_correlation", strict=False)  # null without class days
    assert_frame_equal(rates, whole_peer(spark).select(rates.columns), check_dtypes=False, rel_tol=1e-9, abs_tol=1e-9)


def main(observations: int) -> None:
    spark = session("local[2]", settings=LOCAL)
    with tempfile.TemporaryDirectory() as directory:
        frames = {"every kind": test_spark.HISTORY, "few": history(30_000), "all": history(observations)}
        for name, frame in frames.items():
            frame.write_parquet(f"{directory}/{name}.parquet")
            spark.read.parquet(f"{directory}/{name}.parquet").createOrReplaceTempView("history")
            if name != "all":
                check(spark)
        ways: dict[str, Callable[[], object]] = {
            "this library": lambda: library(spark),
            "SQL by hand, all columns": lambda: whole_peer(spark),
            "SQL by hand, short": lambda: spark.sql(SHORT).collect(),  # planned anew each time, as the others
        }
        print(f"{observations:,} observations", flush=True)
        spent = {way: measured(run) for way, run in ways.items()}
        for way, seconds in spent.items():
            print(f"{way:25} {seconds:6.1f} CPU s   ours / theirs {spent['this library'] / seconds:.2f}")


def measured(run: Callable[[], object]) -> float:
    runs = []
    for _ in range(4):
        start = cpu()
        run()
        runs.append(cpu() - start)
    return min(runs[1:])


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
