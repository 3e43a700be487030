"""The fourth engine: Spark, in one session that is as cheap as a JVM can be. Only tests/test_spark.py uses it."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import narwhals as nw
import pytest
from engines import Engine
from pyspark.sql import DataFrame, SparkSession

from bookings_analytics.metrics.engines import in_polars

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

LOCAL: Final = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.debug.maxToStringFields": "10000",  # a plan's text is the whole plan
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
FOR_FEW_ROWS: Final = LOCAL | {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.python.sql.dataFrameDebugging.enabled": "false",  # which asks the JVM twice for each part of an expression
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",  # a few thousand rows are sooner interpreted than compiled for
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.constraintPropagation.enabled": "false",  # which tries every alias of every step for every filter
    "spark.sql.subexpressionElimination.enabled": "false",
}


def require_java() -> None:
    """Skip without Java, which no Python package brings; in CI it must be there."""
    if shutil.which("java") or os.environ.get("JAVA_HOME"):
        return
    reason = "Spark needs Java 17 or later: install one, or see .ci/run"
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def session(master: str = "local[1]", *, settings: Mapping[str, str] = FOR_FEW_ROWS) -> SparkSession:
    """Start the session, or return the one that runs."""
    if running := SparkSession.getActiveSession():
        return running
    builder = SparkSession.builder.master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark


def plan_bytes(frame: DataFrame) -> int:
    """Measure the text of a frame's analyzed plan."""
    return len(frame._jdf.queryExecution().analyzed().toString().encode())


@cache
def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="spark-tests-"))


def _frame(frame: pl.DataFrame) -> DataFrame:
    """Bring a frame into Spark over a Parquet file, as on a cluster; statuses arrive as text."""
    path = _directory() / f"{len(list(_directory().iterdir()))}.parquet"
    frame.write_parquet(path)
    return session().read.parquet(str(path))


SPARK = Engine(DataFrame, _frame, lambda result: in_polars(nw.from_native(result)), keeps_order=False)
