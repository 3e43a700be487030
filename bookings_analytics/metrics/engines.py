"""Speaking to any engine: the few operations that all metrics are made of, on whatever Narwhals reads.

Each works the same on polars, DuckDB and Spark, eager or lazy; pandas and pyarrow frames go through polars. What an
engine can't do is solved here and nowhere else.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Concatenate, Final, Literal, ParamSpec, Protocol, cast, overload

import narwhals as nw
import polars as pl

from bookings_analytics.schema import DATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_DAYS: Final = [name for name, kind in DATED.items() if kind == pl.Date]  # moments at midnight in pandas
_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_DIGITS: Final = 20  # numbers in names are compared as numbers up to this many digits


P = ParamSpec("P")


class KeptOutcomes(Protocol):
    """Outcomes that an archive keeps: no frame, but what gives one."""

    def lazy(self) -> pl.LazyFrame:
        """Return them as a lazy frame."""

    def frame(self) -> pl.DataFrame:
        """Return them as a frame."""


class Rate(Protocol[P]):
    """A function of outcomes as type checkers see it: an archive's give eager polars, any frame its own kind."""

    @overload
    def __call__(self, outcomes: KeptOutcomes, /, *args: P.args, **kwargs: P.kwargs) -> pl.DataFrame: ...
    @overload
    def __call__(self, outcomes: IntoFrameT, /, *args: P.args, **kwargs: P.kwargs) -> IntoFrameT: ...


def of_outcomes(function: Callable[Concatenate[IntoFrameT, P], IntoFrameT]) -> Rate[P]:
    """Declare that a function of outcomes takes those of an archive as well; it is returned as it is."""
    return cast("Rate[P]", function)


def lazy(frame: IntoFrame) -> nw.LazyFrame[Any]:
    """Convert a frame to a lazy one of its engine: any that Narwhals reads, or an object whose ``lazy()`` gives one."""
    if nw.dependencies.is_pandas_dataframe(frame):
        converted = pl.from_pandas(frame)
        days = [name for name in _DAYS if isinstance(converted.schema.get(name), pl.Datetime)]
        return nw.from_native(converted.with_columns(pl.col(days).cast(pl.Date)).lazy())
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
    return in_polars(small).rows()


def in_polars(result: nw.LazyFrame[Any]) -> pl.DataFrame:
    """Compute a frame, on whatever engine, and bring it into polars."""
    if result.implementation.is_duckdb():
        return pl.DataFrame(result.to_native())  # Narwhals' own way asks for pyarrow, as it does on Spark
    if result.implementation.is_spark_like():
        return _from_spark(result)
    return cast("pl.DataFrame", result.collect("polars").to_native())


def _from_spark(result: nw.LazyFrame[Any]) -> pl.DataFrame:
    """Read Spark's rows as Python tuples, whose times are local and without a zone."""
    schema = result.collect_schema()
    timed = [place for place, kind in enumerate(schema.values()) if kind == nw.Datetime("us", "UTC")]
    rows = [list(row) for row in result.to_native().collect()]
    for row in rows:
        for place in timed:
            row[place] = row[place] and row[place].astimezone(UTC)
    return pl.DataFrame(rows, schema=schema.to_polars(), orient="row")


def settled(small: nw.LazyFrame[Any], *, in_polars: bool = True) -> nw.LazyFrame[Any]:
    """Compute a small frame now, which would otherwise be computed, and on Spark planned, at each of its uses.

    Args:
        small: A frame of few rows.
        in_polars: Whether polars computes it now, too; it finds some repeated work by itself.
    """
    if in_polars and small.implementation.is_polars():
        return cast("nw.LazyFrame[Any]", nw.from_native(small.to_native().collect().lazy()))
    return kept(small)


def kept(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Compute rows of any number once for several uses: on Spark, which would otherwise compute them at each.

    The workers keep them, in memory or on disk, until no frame refers to them any more. Nothing is planned twice then,
    and no Python runs on the workers.
    """
    if rows.implementation.is_spark_like():
        return cast("nw.LazyFrame[Any]", nw.from_native(rows.to_native().localCheckpoint()))
    return rows


def ordered(
    result: nw.LazyFrame[Any],
    by: Sequence[str],
    columns: Iterable[str],
    *,
    listed: Mapping[str, nw.LazyFrame[Any]] | None = None,
    then: Sequence[str] = (),
) -> nw.LazyFrame[Any]:
    """Select the group columns and those of the result, and sort by the group columns, null first.

    On polars, Enums sort in their order and numbers in text as numbers (cohort 2 before cohort 10). Other engines keep
    no order of rows; there all columns ascend.

    Args:
        result: One or several rows per group.
        by: The group columns.
        columns: The columns of the result.
        listed: Group column → frame of its values and their places in ``_place``, for columns in the order of a list
            (polars only).
        then: Further columns to sort by inside a group.
    """
    chosen = result.select(*by, *columns, *(name for name in then if name.startswith("_")))
    keys = [*by, *then]
    if result.implementation.is_polars():
        schema = chosen.collect_schema()
        for name in by:
            if name in (listed or {}):
                places = (listed or {})[name].rename({"_place": f"_order({name})"})
                chosen = chosen.join(places, on=name, how="left")
            elif schema[name] in (nw.String, nw.Categorical):
                text = nw.col(name).cast(nw.String)
                padded = text.str.replace_all("([0-9]+)", "0" * 20 + "${1}").str.replace_all(
                    "[0-9]*([0-9]{20})", "${1}"
                )
                chosen = chosen.with_columns(padded.alias(f"_order({name})"))
        there = set(chosen.collect_schema().names())
        keys = [key for name in by for key in (f"_order({name})", name) if key in there] + list(then)
    if keys:
        chosen = chosen.sort(*keys)
    return chosen.select(*by, *columns)


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


def day_number(frame: nw.LazyFrame[Any], column: str) -> nw.Expr:
    """Number days from 1970-01-01, day 0: those of a Date column, or a time's day in UTC.

    Args:
        frame: Where the column is.
        column: A column of dates, or of times with a time zone.
    """
    if frame.collect_schema()[column] == nw.Date:
        if frame.implementation.is_spark_like():
            return (nw.col(column) - nw.lit(_EPOCH)).cast(nw.Int64)  # an interval of whole days
        midnight = datetime(_EPOCH.year, _EPOCH.month, _EPOCH.day)  # noqa: DTZ001 - a date has no time zone
        return (nw.col(column).cast(nw.Datetime("us")) - nw.lit(midnight)).dt.total_seconds() // _DAY_S
    return seconds(frame, column) // _DAY_S


def seconds(frame: nw.LazyFrame[Any], column: str) -> nw.Expr:
    """Count the whole seconds from 1970-01-01 00:00 UTC to the times in a column."""
    if frame.implementation.is_spark_like():
        return nw.col(column).cast(nw.Int64)
    epoch = datetime(_EPOCH.year, _EPOCH.month, _EPOCH.day, tzinfo=UTC)
    return (nw.col(column) - nw.lit(epoch)).dt.total_seconds()


def as_enum(frame: nw.LazyFrame[Any], column: str, enum: pl.Enum) -> nw.LazyFrame[Any]:
    """Cast text to one of the schema's Enums on polars, whose own they are; other engines keep the text."""
    kind = nw.Enum(enum.categories.to_list())
    return frame.with_columns(nw.col(column).cast(kind)) if frame.implementation.is_polars() else frame


def count(holds: nw.Expr) -> nw.Expr:
    """Count the rows for which something holds: an aggregation that every engine knows."""
    return nw.when(holds).then(1).otherwise(0).sum()


def aggregate(
    rows: nw.LazyFrame[Any],
    by: Sequence[str],
    counts: Mapping[str, nw.Expr],
    amounts: Mapping[str, nw.Expr] | None = None,
) -> nw.LazyFrame[Any]:
    """Aggregate for any number of group columns; by none gives one row, also of an empty frame.

    Args:
        rows: What to aggregate.
        by: The group columns.
        counts: Name → aggregation that gives a whole number.
        amounts: Name → aggregation that gives any number.
    """
    named = [aggregation.cast(nw.Int64).alias(name) for name, aggregation in counts.items()]
    named += [aggregation.cast(nw.Float64).alias(name) for name, aggregation in (amounts or {}).items()]
    return rows.group_by(*by).agg(*named) if by else rows.select(*named)


def merge(by: Sequence[str], *totals: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Set frames of one row per group side by side, null where one lacks a group; null names a group like any other."""
    both = nw.concat(totals, how="diagonal")
    values = [nw.col(name).max() for name in both.collect_schema().names() if name not in by]
    return both.group_by(*by).agg(*values) if by else both.select(*values)


def join_groups(
    left: nw.LazyFrame[Any],
    right: nw.LazyFrame[Any],
    by: Sequence[str],
    *,
    how: Literal["inner", "left"] = "inner",
) -> nw.LazyFrame[Any]:
    """Join on group columns, of which null names a group like any other; by none, on nothing."""
    keys = ["_all", *(f"_{part}({name})" for name in by for part in ("null", "text"))]

    def keyed(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        texts = {f"_text({name})": nw.col(name).cast(nw.String).fill_null("") for name in by}
        nulls = {f"_null({name})": nw.when(nw.col(name).is_null()).then(1).otherwise(0) for name in by}
        return frame.with_columns(_all=nw.lit(1), **texts, **nulls)

    return keyed(left).join(keyed(right).drop(*by), on=keys, how=how).drop(*keys)


def first_that_fits(rules: dict[str, nw.Expr], dtype: nw.dtypes.DType) -> nw.Expr:
    """Name the first rule that fits, null where none does."""
    answer = nw.lit(None, dtype)
    for name, fits in reversed(list(rules.items())):
        answer = nw.when(fits).then(nw.lit(name, dtype)).otherwise(answer)
    return answer
