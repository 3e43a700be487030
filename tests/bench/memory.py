"""What an archive's outcomes, their rates, class days and coverage keep in memory, and what a second rate costs.

    uv run python tests/bench/memory.py [OBSERVATIONS [EAGER]]  # 10,000,000; EAGER 0 leaves out the whole frame

Simulated: studios of 10,000 customers, six weeks of nights, about three observations a booking. Each way runs in a
process of its own; its peak is of the whole process, all imports included. What all rates return is compared with what
they return of one frame.
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.archive.layout import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20260101
START = datetime(2026, 3, 2, 2, tzinfo=UTC)
NIGHTS = 42
CUSTOMERS = 10_000  # of a studio
PLACES = 17  # of a customer
CLASSES = 40  # a day
WINDOW = 14  # days
PER_SECOND = 16
HOURS: dict[str, Any] = {"timezone": "Europe/Berlin", "opens": "06:00", "closes": "23:00"}
MIB = 1024  # KiB


def main(observations: int = 10_000_000, eager: int = 1) -> None:
    studios = max(1, round(observations / (CUSTOMERS * PLACES * 2.3)))
    with tempfile.TemporaryDirectory() as place:
        print(run(place, "build", str(studios)), flush=True)
        for way in ("class_days", "coverage", "rates", *(["eager"] if eager else [])):
            print(f"  {run(place, way)}", flush=True)


def run(place: str, way: str, *more: str) -> str:
    return subprocess.check_output([sys.executable, __file__, "--run", place, way, *more], text=True).strip()


def build(place: str, studios: str) -> str:
    archive = ba.Archive(f"{place}/archive")
    for number in range(int(studios)):
        keep(archive, *studio(number))
    archive.compact()
    n = archive.history().select(pl.len()).collect().item()
    fetches = archive.fetches().select(pl.len()).collect().item()
    return f"{n:,} observations and {fetches:,} fetches of {int(studios) * CUSTOMERS:,} customers"


def keep(archive: ba.Archive, observations: pl.DataFrame, fetches: pl.DataFrame) -> None:
    archive._table.commit(lambda now: now.append(observations, fetches))


def studio(number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Simulate the change log and the fetches of one studio."""
    random = np.random.default_rng([SEED, number])
    n = CUSTOMERS * PLACES
    day = random.integers(-WINDOW, NIGHTS + WINDOW, n)  # the class is between this night and the next
    made = np.maximum(day - random.integers(0, WINDOW, n), 0)
    places = pl.DataFrame(
        {
            "each": np.repeat(np.arange(CUSTOMERS), PLACES),
            "class_slot_id": ((number * 1000 + day + WINDOW) * CLASSES + random.integers(0, CLASSES, n)),
            "booking_id": np.arange(n) + number * n,
            "waits": random.random(n) < 1 / 6,
            "cancels": random.random(n) < 1 / 4,
            "participant": random.choice(["PARTICIPATING", "NOT_PARTICIPATING", "UNSET"], n, p=[0.7, 0.1, 0.2]),
            "made": made,
            "seat": made + random.integers(1, 8, n),
            "canceled": np.maximum(day - random.integers(0, 8, n), made),
            "day": day,
        }
    ).unique(["each", "class_slot_id"], keep="first", maintain_order=True)
    status = pl.when("cancels", pl.col("canceled") <= pl.col("night")).then(pl.lit("CANCELED")).otherwise(
        pl.when("waits", pl.col("night") < pl.col("seat")).then(pl.lit("WAITING_LIST")).otherwise(pl.lit("BOOKED"))
    )  # fmt: skip
    over = pl.col("night") > pl.col("day")
    nights = [pl.col("made"), pl.col("day") + 1, pl.col("day") + WINDOW + 1]
    nights += [pl.when("waits").then("seat"), pl.when("cancels").then("canceled")]
    rows = (
        pl.concat(places.with_columns(night=night) for night in nights)
        .drop_nulls("night")
        .filter(pl.col("night").is_between("made", pl.min_horizontal(pl.col("day") + WINDOW + 1, NIGHTS - 1)))
        .unique(["booking_id", "night"])
        .with_columns(
            studio=pl.lit(f"studio {number}"),
            customer_id=pl.col("each") + 1 + number * CUSTOMERS,
            class_id=pl.col("class_slot_id") % CLASSES + number * CLASSES,
            booking_status=status,
            class_slot_status=pl.when(over).then(pl.lit("COMPLETED")).otherwise(pl.lit("PLANNED")),
            visible=pl.col("night") <= pl.col("day") + WINDOW,
            observed_at=stamp("night", "each"),
        )
        .with_columns(
            participant_status=pl.when(over, pl.col("booking_status") == "BOOKED")
            .then("participant")
            .otherwise(pl.lit("UNSET"))
        )
        .filter(pl.col("made") <= pl.col("day") + WINDOW)
        .sort("night", "each", "booking_id")
    )
    fetches = (
        pl.DataFrame({"night": range(NIGHTS)})
        .join(pl.DataFrame({"each": range(CUSTOMERS)}), how="cross", maintain_order="left_right")
        .with_columns(
            *(pl.lit(None).alias(name) for name in ("error_code", "message", "trace_id")),
            studio=pl.lit(f"studio {number}"),
            customer_id=pl.col("each") + 1 + number * CUSTOMERS,
            fetched_at=stamp("night", "each"),
            outcome=pl.lit("ok"),
            n_bookings=PLACES,
            http_status=200,
            attempts=1,
        )
    )
    return typed(rows, schema.BOOKINGS), typed(fetches, schema.FETCHES)


def stamp(night: str, each: str) -> pl.Expr:
    seconds = pl.col(night).cast(pl.Int64) * 86_400 + pl.col(each).cast(pl.Int64) // PER_SECOND
    return pl.lit(START).dt.cast_time_unit("us") + pl.duration(seconds=seconds)


def typed(frame: pl.DataFrame, columns: pl.Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(kind) for name, kind in as_text(columns).items())


def class_days(place: str) -> str:
    days = ba.Archive(f"{place}/archive").class_days(**HOURS)
    days.write_parquet(f"{place}/days.parquet")
    return measured(f"class_days: {days.height:,} slots, {days['class_day'].null_count():,} not dated")


def coverage(place: str) -> str:
    rows = ba.Archive(f"{place}/archive").coverage(by=["studio", "day"], timezone="Europe/Berlin")
    return measured(f"coverage by studio and day: {rows.height:,} rows")


def rates(place: str, *, eager: bool = False) -> str:
    archive = ba.Archive(f"{place}/archive")
    days = pl.read_parquet(f"{place}/days.parquet")
    ids = archive.latest_fetches().select("studio", "customer_id", cohort=pl.col("customer_id") % 4).collect()
    cohorts = archive.cohorts(ids).collect()
    begun = time.process_time()
    outcomes: Any = archive.outcomes(days)
    if eager:
        outcomes = ba.classify(archive.history().collect(), class_days=days, fetches=archive.fetches().collect())
    digest = hashlib.sha256()
    times = []
    for rate in every_rate(outcomes, cohorts):
        rows = rate()
        digest.update(rows.with_columns(pl.selectors.float().round(10)).write_csv().encode())
        times.append(time.process_time() - begun)
        begun = time.process_time()
    way = "one frame" if eager else "by parts"
    first, *others = times
    return measured(
        f"outcomes and {len(times)} rates, {way}: digest {digest.hexdigest()[:12]}; the first {first:.1f} CPU-s, the "
        f"same again {others[0]:.2f}: {others[0] / first:.2f}; the slowest {max(others):.2f}, all {sum(times):.1f}"
    )


def every_rate(outcomes: Any, cohorts: pl.DataFrame) -> list[Callable[[], pl.DataFrame]]:
    return [
        lambda: ba.no_shows(outcomes, cohorts, by="cohort"),
        lambda: ba.no_shows(outcomes, cohorts, by="cohort"),
        lambda: ba.no_shows(outcomes, cohorts, by=["cohort", "week"]),
        lambda: ba.booking_vs_participation(outcomes, cohorts, by="cohort"),
        lambda: ba.outcome_counts(outcomes, cohorts, by="weekday"),
        lambda: ba.cancellations(outcomes, cohorts, by="cohort"),
        lambda: ba.cancellation_notice(outcomes, cohorts, by="cohort"),
        lambda: ba.waitlist_conversion(outcomes, cohorts, by="cohort"),
        lambda: ba.seats_lost_while_waiting(outcomes, cohorts, by="cohort"),
        lambda: ba.compare(outcomes, "no_show_rate", cohorts=cohorts, by="cohort"),
    ]


def measured(what: str) -> str:
    return f"{what}; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB:.0f} MiB"


WAYS: dict[str, Callable[..., str]] = {
    "build": build,
    "class_days": class_days,
    "coverage": coverage,
    "rates": rates,
    "eager": lambda place: rates(place, eager=True),
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        place, way, *more = sys.argv[2:]
        print(WAYS[way](place, *more))
    else:
        main(*map(int, sys.argv[1:]))
