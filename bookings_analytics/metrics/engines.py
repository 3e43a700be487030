"""Speaking to any engine: the few operations that all metrics are made of, on whatever Narwhals reads.

Each works the same on polars, DuckDB and Spark, eager or lazy; pandas and pyarrow frames go through polars. What an
engine can't do is solved here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import narwhals as nw
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame, IntoFrameT


def lazy(frame: IntoFrame) -> nw.LazyFrame[Any]:
    """Take a frame as a lazy one of its engine: any that Narwhals reads, or an object whose ``lazy()`` gives one."""
    if nw.dependencies.is_pandas_dataframe(frame):
        return nw.from_native(pl.from_pandas(frame).lazy())
    if nw.dependencies.is_pyarrow_table(frame):
        return nw.from_native(cast("pl.DataFrame", pl.from_arrow(frame)).lazy())
    known = nw.from_native(cast("Any", frame), pass_through=True)
    if isinstance(known, (nw.DataFrame, nw.LazyFrame)):
        return known.lazy()
    native = getattr(frame, "lazy", None)
    if native is None:
        raise TypeError(
            f"a {type(frame).__name__} is not a frame: pass a polars, pandas, pyarrow, DuckDB or Spark frame."
        )
    return cast("nw.LazyFrame[Any]", nw.from_native(native()))


def rows_of(small: nw.LazyFrame[Any]) -> list[tuple[Any, ...]]:
    """Compute a frame of few rows, to look at them."""
    if small.implementation.is_duckdb():
        return pl.DataFrame(small.to_native()).rows()  # Narwhals' own way asks for pyarrow
    return [tuple(row) for row in small.collect().rows()]


def ordered(result: nw.LazyFrame[Any], by: Sequence[str], columns: Iterable[str]) -> nw.LazyFrame[Any]:
    """Take the group columns and those of the result, and sort by the group columns, null first."""
    columns = list(columns)
    there = result.collect_schema().names()
    # columns that are declared and not computed yet
    kinds: dict[str, Any] = {"n_shared_customers": nw.Int64, "simultaneous": nw.Boolean}
    absent = {name: nw.lit(None, kinds.get(name, nw.Float64)) for name in columns if name not in there}
    chosen = result.with_columns(_none=nw.lit(None, nw.Float64), **absent).select(*by, *columns)
    return chosen.sort(*by) if by else chosen


def like(given: IntoFrameT, result: nw.LazyFrame[Any]) -> IntoFrameT:
    """Hand a result back as the kind of frame that was given: eager for eager, lazy for lazy, pandas for pandas."""
    if nw.dependencies.is_pandas_dataframe(given):
        return cast("IntoFrameT", _eager(result).to_pandas())
    if nw.dependencies.is_pyarrow_table(given):
        return cast("IntoFrameT", _eager(result).to_arrow())
    known = nw.from_native(cast("Any", given), pass_through=True)
    return cast("IntoFrameT", result.to_native() if isinstance(known, nw.LazyFrame) else _eager(result))


def _eager(result: nw.LazyFrame[Any]) -> pl.DataFrame:
    return cast("pl.DataFrame", result.collect().to_native())


def as_enum(frame: nw.LazyFrame[Any], column: str, enum: pl.Enum) -> nw.LazyFrame[Any]:
    """Cast text to one of the schema's Enums on polars, whose own they are; other engines keep the text."""
    kind = nw.Enum(enum.categories.to_list())
    return frame.with_columns(nw.col(column).cast(kind)) if frame.implementation.is_polars() else frame


def count(holds: nw.Expr) -> nw.Expr:
    """Count the rows for which something holds: an aggregation that every engine knows."""
    return nw.when(holds).then(1).otherwise(0).sum()


def aggregate(rows: nw.LazyFrame[Any], by: Sequence[str], counts: Mapping[str, nw.Expr]) -> nw.LazyFrame[Any]:
    """Aggregate counts, by name, for any number of group columns; by none gives one row, also of an empty frame."""
    named = [aggregation.cast(nw.Int64).alias(name) for name, aggregation in counts.items()]
    return rows.group_by(*by).agg(*named) if by else rows.select(*named)


def merge(by: Sequence[str], *totals: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Put frames of one row per group side by side, null where one lacks a group; null names a group like any other."""
    both = nw.concat(totals, how="diagonal")
    values = [nw.col(name).max() for name in both.collect_schema().names() if name not in by]
    return both.group_by(*by).agg(*values) if by else both.select(*values)


def first_that_fits(rules: dict[str, nw.Expr], dtype: nw.dtypes.DType) -> nw.Expr:
    """Give the name of the first rule that fits, null where none does."""
    answer = nw.lit(None, dtype)
    for name, fits in reversed(list(rules.items())):
        answer = nw.when(fits).then(nw.lit(name, dtype)).otherwise(answer)
    return answer
