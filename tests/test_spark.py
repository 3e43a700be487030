"""Every public function on Spark: the same numbers as on polars, from plans that stay small.

All Spark tests are in this file: a process runs one session, and a file runs in one process.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import pyspark
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql.classic.dataframe import DataFrame as ClassicFrame
from spark_engine import SPARK, plan_bytes, require_java, session

import bookings_analytics as ba
from bookings_analytics.schema import BOOKINGS, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

ROOT = Path(__file__).parents[1]
LARGEST_PLAN = 200_000  # bytes
START = datetime(2026, 5, 4, 2, tzinfo=UTC)  # a Monday, 4 o'clock in Berlin
NIGHTS = 56
CUSTOMERS = 120
KEY = ("studio", "customer_id", "class_slot_id", "class_id", "booking_id")


def history(places: int, seed: int) -> pl.DataFrame:
    """Make the change log of nightly fetches: about three observations of each place."""
    random = np.random.default_rng(seed)
    slot = random.integers(0, 6 * (NIGHTS - 14), places)  # six classes a day
    frame = pl.DataFrame(
        {
            "customer_id": 1 + np.floor(CUSTOMERS * random.random(places) ** 2).astype(int),
            "class_slot_id": slot,
            "day": slot // 6,
            "seen": slot // 6 - random.integers(0, 14, places),
            "change": random.random(places),
            "end": random.random(places),
            "waits": random.random(places) < 0.25,
        }
    )
    frame = frame.filter(pl.col("seen") >= 0).unique(
        ["customer_id", "class_slot_id"], keep="first", maintain_order=True
    )
    frame = frame.with_row_index("booking_id").select(
        pl.exclude("booking_id"),
        pl.col("booking_id").cast(pl.Int64),
        studio=pl.when(pl.col("customer_id") % 5 == 0).then(pl.lit("nord")).otherwise(pl.lit("mitte")),
        class_id=pl.col("class_slot_id") % 6,
        first=pl.when("waits").then(pl.lit("WAITING_LIST")).otherwise(pl.lit("BOOKED")),
        changes=(pl.col("change") < 0.4) & (pl.col("seen") < pl.col("day")),
        changed=pl.col("seen")
        + 1
        + ((pl.col("day") - pl.col("seen") - 1) * pl.col("change") / 0.4).floor().cast(pl.Int64),
        after=pl.when(pl.col("waits") & (pl.col("change") < 0.25)).then(pl.lit("BOOKED")).otherwise(pl.lit("CANCELED")),
        slot_status=pl.when(pl.col("class_slot_id") % 29 == 0).then(pl.lit("CANCELED")).otherwise(pl.lit("COMPLETED")),
    )
    frame = frame.with_columns(last=pl.when("changes").then("after").otherwise("first"))
    missed = pl.when(pl.col("end") < 0.85).then(pl.lit("NOT_PARTICIPATING")).otherwise(pl.lit("UNSET"))
    came = pl.when(pl.col("end") < 0.7).then(pl.lit("PARTICIPATING")).otherwise(missed)
    held = pl.when(pl.col("last") == "BOOKED").then(came).otherwise(pl.lit("UNSET"))

    def looked(
        rows: pl.DataFrame, night: str, booking: str, slot: str | None, came: pl.Expr, *, visible: bool
    ) -> pl.DataFrame:
        return rows.select(
            *KEY,
            booking_status=booking,
            class_slot_status=pl.col(slot) if slot else pl.lit("PLANNED"),
            participant_status=came,
            observed_at=pl.lit(START) + pl.duration(days=pl.col(night), seconds=pl.col("customer_id")),
            visible=pl.lit(visible),
        )

    unset = pl.lit("UNSET")
    over = frame.with_columns(over=pl.col("day") + 1, gone=pl.col("day") + 15).filter(pl.col("over") < NIGHTS)
    rows = pl.concat(
        [
            looked(frame, "seen", "first", None, unset, visible=True),
            looked(frame.filter("changes"), "changed", "after", None, unset, visible=True),
            looked(over, "over", "last", "slot_status", held, visible=True),
            looked(over.filter(pl.col("gone") < NIGHTS), "gone", "last", "slot_status", held, visible=False),
        ]
    )
    typed: pl.DataFrame = rows.select(pl.col(name).cast(kind) for name, kind in BOOKINGS.items())
    return typed


HISTORY = history(1_350, seed=1)
FETCHES = pl.DataFrame({"customer_id": range(1, CUSTOMERS + 1)}).join(
    pl.DataFrame({"night": range(NIGHTS)}), how="cross"
)
FETCHES = FETCHES.select(
    "customer_id",
    studio=pl.when(pl.col("customer_id") % 5 == 0).then(pl.lit("nord")).otherwise(pl.lit("mitte")),
    fetched_at=pl.lit(START) + pl.duration(days=pl.col("night"), seconds=pl.col("customer_id")),
    outcome=pl.lit("ok"),
)
ZONE: dict[str, Any] = {"timezone": "Europe/Berlin", "opens": "06:00", "closes": "23:00"}
DAYS = ba.class_days(HISTORY, FETCHES, **ZONE)
DATED = ba.classify(HISTORY, class_days=DAYS, fetches=FETCHES)
COHORTS = pl.DataFrame({"customer_id": range(1, CUSTOMERS + 5)}).select(
    "customer_id",
    studio=pl.when(pl.col("customer_id") % 5 == 0).then(pl.lit("nord")).otherwise(pl.lit("mitte")),
    cohort=pl.when(pl.col("customer_id") % 3 == 0).then(pl.lit("trial")).otherwise(pl.lit("long-term")),
    fetch_outcome=pl.when(pl.col("customer_id") > CUSTOMERS).then(pl.lit("not_found")).otherwise(pl.lit("ok")),
)
COHORTS = pl.concat([COHORTS, COHORTS.head(30).with_columns(cohort=pl.lit("corporate"))])  # who are in two


SLOTS = DATED.filter(pl.col("class_slot_id") % 7 > 0).select("studio", "class_id", "class_slot_id").unique()
SLOTS = SLOTS.sort(pl.all()).with_columns(
    starts_at=pl.lit(START) + pl.duration(days=pl.col("class_slot_id") // 6, hours=14),
    observed_at=pl.lit(START) + pl.duration(days=pl.col("class_slot_id") // 6, hours=12 + pl.col("class_id")),
    max_participants=20,
    booked_participants=pl.col("class_slot_id") % 20,
    additional_participants=pl.when(pl.col("class_id") > 1).then(1),
)


@pytest.fixture(scope="session", autouse=True)
def _java() -> None:
    require_java()


class Frames(NamedTuple):
    """What the functions are given, on one engine."""

    slots: Any
    history: Any
    fetches: Any
    outcomes: Any
    cohorts: Any


IN_POLARS = Frames(SLOTS, HISTORY, FETCHES, DATED, COHORTS)


@pytest.fixture(scope="session")
def on_spark() -> Frames:
    return Frames(*(SPARK.frame(frame) for frame in IN_POLARS))


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measure the plan of each frame that is computed on the way to a result."""
    sizes: list[int] = []
    compute = ClassicFrame.localCheckpoint

    def measured(frame: ClassicFrame) -> DataFrame:
        sizes.append(plan_bytes(frame))
        return compute(frame)

    monkeypatch.setattr(ClassicFrame, "localCheckpoint", measured)
    return sizes


def test_there_are_three_thousand_observations_of_every_kind() -> None:
    assert 3_000 <= HISTORY.height <= 4_500
    assert {"attended", "no_show", "unrecorded", "waiting", "canceled", "slot_canceled"} <= set(DATED["outcome"])
    assert DATED["class_day"].null_count() < DATED.height / 20
    assert {"converted", "lapsed", "withdrawn"} <= set(DATED["wait_outcome"])


QUESTIONS: dict[str, Callable[[Frames], Any]] = {
    "classify": lambda on: ba.classify(on.history),
    "booking_vs_participation": lambda on: ba.booking_vs_participation(on.outcomes, on.cohorts, by="cohort"),
    "booking_vs_participation, weekly": lambda on: ba.booking_vs_participation(
        on.outcomes, on.cohorts, by=["studio", "week"], fetches=on.fetches
    ),
    "no_shows": lambda on: ba.no_shows(on.outcomes, on.cohorts, by=["cohort", "class_id"]),
    "cancellations": lambda on: ba.cancellations(on.outcomes, on.cohorts, by="cohort"),
    "cancellation_notice": lambda on: ba.cancellation_notice(on.outcomes, on.cohorts, by="cohort"),
    "outcome_counts": lambda on: ba.outcome_counts(on.outcomes, on.cohorts, by="cohort"),
    "waitlist_conversion": lambda on: ba.waitlist_conversion(on.outcomes, on.cohorts, by="cohort", fetches=on.fetches),
    "seats_lost_while_waiting": lambda on: ba.seats_lost_while_waiting(on.outcomes, on.cohorts, by="cohort"),
    "visits": lambda on: ba.visits(on.outcomes, on.cohorts, by="cohort", fetches=on.fetches),
    "no_show_funnel": lambda on: ba.no_show_funnel(on.outcomes, on.cohorts, by="class_id"),
    "compare": lambda on: ba.compare(on.outcomes, "no_show_rate", cohorts=on.cohorts, by="cohort"),
    "before_after": lambda on: ba.before_after(
        on.outcomes, "no_show_rate", on.cohorts, change=date(2026, 6, 1), weeks=2, by="cohort"
    ),
    "customers": lambda on: ba.customers(on.outcomes, on.cohorts),
    "class_fill": lambda on: ba.class_fill(on.slots, on.outcomes, by=["studio", "week"], timezone="Europe/Berlin"),
    "trend": lambda on: ba.trend(on.outcomes, "no_show_rate", on.cohorts, by="cohort"),
}
IN_POLARS_ONLY = {"class_days", "pseudonymize", "suppress_small", "waitlist_chances"}
KEYS = (*PLACE_KEY, "cohort", "class_id", "week", "outcome", "days_before")


def test_every_public_function_of_outcomes_is_asked_on_spark() -> None:
    routines = [getattr(ba, name) for name in ba.__all__ if inspect.isroutine(getattr(ba, name))]
    metrics = {each.__name__ for each in routines if each.__module__.startswith("bookings_analytics.metrics")}
    assert metrics == {question.split(",")[0] for question in QUESTIONS} | IN_POLARS_ONLY


@pytest.mark.parametrize("question", QUESTIONS)
def test_spark_agrees_with_polars_by_small_plans(question: str, on_spark: Frames, plans: list[int]) -> None:
    expected = QUESTIONS[question](IN_POLARS)
    found = QUESTIONS[question](on_spark)
    if not isinstance(found, pl.DataFrame):  # as a trend and class_fill are, on every engine
        assert isinstance(found, SPARK.native)
        plans.append(plan_bytes(found))
        found = SPARK.polars(found)
    assert max(plans, default=0) < LARGEST_PLAN
    key = [name for name in expected.columns if name in KEYS and (name != "class_id" or question != "classify")]
    text = {name: pl.String for name, kind in expected.schema.items() if isinstance(kind, pl.Enum)}
    found, expected = (frame.cast(text).sort(key) for frame in (found, expected))
    assert_frame_equal(found, expected, check_dtypes=False, check_exact=False, rel_tol=0, abs_tol=1e-9)


def test_scale_md_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / ".github/SCALE.md").read_text("utf-8"), re.DOTALL)
    shutil.copytree(ROOT / "data/archive", tmp_path / "archive")
    monkeypatch.chdir(tmp_path)
    assert '.parquet("no_shows")' in program
    exec(program.replace('"no_shows"', repr(str(tmp_path / "no_shows"))), {})  # a JVM stays in its own directory
    found = session().read.parquet(str(tmp_path / "no_shows"))
    expected = ba.no_shows(ba.classify(ba.Archive("archive").history()), by=["studio", "class_id"]).collect()
    key = ["studio", "class_id"]
    assert_frame_equal(
        SPARK.polars(found).sort(key),
        expected.sort(key),
        check_dtypes=False,
        check_exact=False,
        rel_tol=0,
        abs_tol=1e-9,
    )


ON_A_CLUSTER = """
import sys
import bookings_analytics as ba
from spark_engine import FOR_FEW_ROWS, SPARK, session
cheap = {"spark.executor.extraJavaOptions": FOR_FEW_ROWS["spark.driver.extraJavaOptions"]}
two_each = {"spark.sql.shuffle.partitions": "2"}  # so that both workers have a part of every step
spark = session("local-cluster[2,1,1024]", settings=FOR_FEW_ROWS | cheap | two_each)
outcomes = ba.classify(spark.read.parquet(sys.argv[1]).repartition(2))
SPARK.polars(ba.no_shows(outcomes, by="class_id")).write_parquet(sys.argv[2])
"""


def test_two_workers_agree_with_one_machine(tmp_path: Path) -> None:
    history, rates = tmp_path / "history.parquet", tmp_path / "rates.parquet"
    HISTORY.write_parquet(history)
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
    }
    subprocess.run(
        [sys.executable, "-c", ON_A_CLUSTER, str(history), str(rates)], check=True, env=environment, capture_output=True
    )
    expected = ba.no_shows(ba.classify(HISTORY), by="class_id")
    found = pl.read_parquet(rates)
    assert_frame_equal(found, expected, check_dtypes=False, check_exact=False, rel_tol=0, abs_tol=1e-9)
