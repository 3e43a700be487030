"""The engines that a frame can come from: what holds must hold on each of them."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = itertools.count()
_CONNECTION = duckdb.connect(config={"threads": 1})  # only relations of one connection can be joined
_CONNECTION.execute("SET TimeZone = 'UTC'")


def _duckdb_table(frame: pl.DataFrame) -> duckdb.DuckDBPyRelation:
    """Bring a frame into DuckDB over a Parquet file, which needs no further package; statuses arrive as text."""
    name = f"frame_{next(_NUMBERS)}"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "frame.parquet"
        frame.write_parquet(path)
        _CONNECTION.execute(f"CREATE TABLE {name} AS FROM read_parquet(?)", [str(path)])
    return _CONNECTION.table(name)


class Engine(NamedTuple):
    """How to bring a polars frame into an engine, and a result back out of it."""

    native: type[Any]  # what a function given one of its frames must return
    frame: Callable[[pl.DataFrame], Any]
    polars: Callable[[Any], pl.DataFrame]
    keeps_order: bool = True  # of rows, so that cohorts can come in the order of their list


ENGINES = {
    "polars": Engine(pl.DataFrame, lambda frame: frame, lambda result: result),
    "polars lazy": Engine(pl.LazyFrame, lambda frame: frame.lazy(), lambda result: result.collect()),
    "DuckDB": Engine(duckdb.DuckDBPyRelation, _duckdb_table, pl.DataFrame, keeps_order=False),
}
