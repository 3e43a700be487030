"""Who is asked about: reading and checking lists of customers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, cast

import narwhals as nw
import polars as pl
from narwhals.typing import IntoFrame

from bookings_analytics import schema
from bookings_analytics.cohorts.lists import ReadList, read_list
from bookings_analytics.errors import CohortError

CohortsSource: TypeAlias = str | Path | IntoFrame | Iterable[int]

_MAX_ID = 2**63 - 1
_EXACT_FLOAT = 2**53
_KEY = [*schema.CUSTOMER_KEY, "cohort"]


def read_cohorts(
    source: CohortsSource,
    *,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    sheet: str | None = None,
) -> pl.DataFrame:
    """Read a list of customers, one row per customer and cohort.

    A customer may stand in several cohorts. The same studio, customer and cohort twice is read once, and a
    warning says how many rows were dropped.

    Args:
        source: The path of a csv, xlsx or parquet file, a frame (polars, pandas, pyarrow …), or customer ids. A file or
            frame needs a column ``customer_id``, or one that goes by a usual name for it (Kundennummer, Member ID …);
            ``cohort`` ("all" if absent) and ``studio`` (empty if absent) are optional, in any case; every further
            column is kept, to group by. A frame may be `result.cohorts`; its ``fetch_outcome`` is dropped. How a csv
            file is written (separator, encoding) is found by looking.
        columns: What the list calls a column → what it is here, as in ``{"Nr": "customer_id"}``.
        separator: What stands between the values of a csv file, where looking does not find it.
        sheet: The sheet of an xlsx file; None takes the first that has the ids.

    Returns:
        The columns of `schema.COHORTS` and the further ones (text, or whole numbers), in the order of the list.

    Raises:
        CohortError: The list can't be used as it stands; the message names file, row and value.

    Examples:
        >>> import bookings_analytics as ba
        >>> ba.read_cohorts([14925548, 14925549])
        shape: (2, 3)
        ┌─────────────┬────────┬────────┐
        │ customer_id ┆ cohort ┆ studio │
        │ ---         ┆ ---    ┆ ---    │
        │ i64         ┆ str    ┆ str    │
        ╞═════════════╪════════╪════════╡
        │ 14925548    ┆ all    ┆ null   │
        │ 14925549    ┆ all    ┆ null   │
        └─────────────┴────────┴────────┘
    """
    read = _load(source, columns, separator, sheet)
    where, frame = read.where, read.frame
    if reserved := sorted(schema.RESERVED.intersection(frame.columns)):
        raise CohortError(
            f"{where} has the column {reserved[0]}, a name that results use. Rename or drop {', '.join(reserved)}."
        )
    if frame.is_empty():
        raise CohortError(f"{where} holds no customers. List at least one row with a customer_id.")
    frame = frame.with_columns(
        _ids(read),
        _names(read, "cohort", default="all"),
        _names(read, "studio", default=None),
    )
    return _read_once(where, frame.select(*schema.COHORTS, pl.exclude(*schema.COHORTS)))


def _load(
    source: CohortsSource, columns: Mapping[str, str] | None, separator: str | None, sheet: str | None
) -> ReadList:
    """Read any source as it stands."""
    if isinstance(source, (str, Path)) or _is_frame(source):
        read = read_list(
            source,
            needs=("customer_id",),
            optional=("cohort", "studio"),
            columns=columns,
            separator=separator,
            sheet=sheet,
        )
        if isinstance(source, (str, Path)):
            return replace(read, frame=_with_numbers(read.frame) if Path(source).suffix != ".parquet" else read.frame)
        # A frame that a fetch gave back says how that fetch went; whoever asks again finds out anew.
        return replace(read, where="the cohorts frame", frame=read.frame.drop("fetch_outcome", strict=False))
    if isinstance(source, (bytes, bytearray)) or not isinstance(source, Iterable):
        raise CohortError(
            f"a {type(source).__name__} is not a list of customers: pass the path of a file, a frame, or customer ids."
        )
    ids: list[object] = list(source)
    for row, value in enumerate(ids, start=1):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise CohortError(_bad_id("the list of ids", row, repr(value)))
    # As text, so that an id of any size reaches the one check that all sources go through.
    frame = pl.DataFrame({"customer_id": [str(value) for value in ids]}, {"customer_id": pl.String})
    return ReadList("the list of ids", frame, range(1, len(ids) + 1))


def _is_frame(source: object) -> TypeGuard[IntoFrame]:
    known = nw.from_native(cast("Any", source), pass_through=True)
    return isinstance(known, (nw.DataFrame, nw.LazyFrame))


def _with_numbers(text: pl.DataFrame) -> pl.DataFrame:
    """Turn the analyst's own columns into whole numbers where no value changes by it (a post code 01234 would)."""
    numbers = text.select(pl.exclude(*schema.COHORTS).cast(pl.Int64, strict=False))
    exact = [column.name for column in numbers if column.cast(pl.String).equals(text[column.name])]
    return text.with_columns(numbers.select(exact))


def _ids(read: ReadList) -> pl.Series:
    """Check ids as text: no type in between may round, truncate or null one."""
    column = read.frame["customer_id"]
    if column.dtype.is_nested():
        raise CohortError(f"{read.where}: customer_id holds {column.dtype}. Give one customer id per row.")
    text = column.cast(pl.String).str.strip_chars()
    if column.dtype.is_float():  # a table program's whole numbers, exact below 2^53
        text = pl.select(
            pl.when(column.abs() < _EXACT_FLOAT).then(text.str.strip_suffix(".0")).otherwise(text)
        ).to_series()
    valid = text.str.contains(r"^[1-9][0-9]*$") & text.cast(pl.Int64, strict=False).is_not_null()
    if bad := (~valid.fill_null(value=False)).arg_true().to_list():
        value = column[bad[0]]
        more = f" ({len(bad) - 1} more rows like it)" if len(bad) > 1 else ""
        raise CohortError(_bad_id(read.where, read.rows[bad[0]], "empty" if value is None else repr(value)) + more)
    return text.cast(pl.Int64).alias("customer_id")


def _bad_id(where: str, row: int, value: str) -> str:
    return (
        f"{where}, row {row}: customer_id is {value}. "
        f"Give every row a customer id as the API knows it: a whole number from 1 to {_MAX_ID}"
    )


def _names(read: ReadList, column: str, *, default: str | None) -> pl.Series:
    if column not in read.frame.columns:
        return pl.Series(column, [default], pl.String).new_from_index(0, read.frame.height)
    names = read.frame[column].cast(pl.String)
    if default is not None and names.has_nulls():
        raise CohortError(
            f"{read.where}, row {read.rows[names.is_null().arg_true()[0]]}: {column} is empty. "
            f"Name a {column} in every row, or leave the whole column out."
        )
    return names


def _read_once(where: str, frame: pl.DataFrame) -> pl.DataFrame:
    once = frame.unique(_KEY, keep="first", maintain_order=True)
    if dropped := frame.height - once.height:
        differing = frame.unique(maintain_order=True).height - once.height
        but = f" {differing} of them differ in another column; the first row of each was kept." if differing else ""
        warnings.warn(
            f"{where}: {dropped} rows name a studio, customer and cohort that an earlier row names; "
            f"each was read once.{but}",
            stacklevel=3,
        )
    return once
