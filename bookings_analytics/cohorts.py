"""Who is asked about: reading and checking lists of customers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import TypeAlias

import polars as pl

from bookings_analytics import schema
from bookings_analytics.errors import CohortError

CohortsSource: TypeAlias = str | Path | pl.DataFrame | pl.LazyFrame | Iterable[int]

_MAX_ID = 2**63 - 1
_KEY = ["studio", "customer_id", "cohort"]


def read_cohorts(source: CohortsSource, *, separator: str = ",") -> pl.DataFrame:
    """Read a list of customers, one row per customer and cohort.

    A customer may stand in several cohorts. The same studio, customer and cohort twice is read once, and a
    warning tells how many rows were dropped.

    Args:
        source: The path of a csv or parquet file, a polars frame, or customer ids. A file or frame needs a column
            `customer_id`; `cohort` ("all" if absent) and `studio` (empty if absent) are optional; every further
            column is kept, to group by. A frame may be `result.cohorts`; its `fetch_outcome` is dropped.
        separator: What stands between the values of a csv file.

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
    where, frame = _load(source, separator)
    if "customer_id" not in frame.columns:
        hint = '; if its values are separated by ";", pass separator=";"' if len(frame.columns) == 1 else ""
        raise CohortError(
            f"{where} has no column customer_id, only {', '.join(frame.columns) or 'none'}. "
            f"Name the column with the customers' ids customer_id{hint}."
        )
    if reserved := sorted(schema.RESERVED.intersection(frame.columns)):
        raise CohortError(
            f"{where} has the column {reserved[0]}, a name that results use. Rename or drop {', '.join(reserved)}."
        )
    if frame.is_empty():
        raise CohortError(f"{where} holds no customers. Give at least one row with a customer_id.")
    frame = frame.with_columns(
        _ids(where, frame["customer_id"]),
        _names(where, frame, "cohort", default="all"),
        _names(where, frame, "studio", default=None),
    )
    return _read_once(where, frame.select(*schema.COHORTS, pl.exclude(*schema.COHORTS)))


def _load(source: CohortsSource, separator: str) -> tuple[str, pl.DataFrame]:
    """Load any source into a frame as it stands, and say how messages call it."""
    match source:
        case pl.DataFrame():
            # A frame that a fetch gave back says how that fetch went; whoever asks again finds out anew.
            return "the cohorts frame", source.drop("fetch_outcome", strict=False)
        case pl.LazyFrame():
            return _load(source.collect(), separator)
        case str() | Path():
            return str(source), _load_file(Path(source), separator)
    ids: list[object] = list(source)
    for row, value in enumerate(ids, start=1):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise CohortError(_bad_id("the list of ids", row, repr(value)))
    # As text, so that an id of any size reaches the one check that all sources go through.
    return "the list of ids", pl.DataFrame({"customer_id": [str(value) for value in ids]}, {"customer_id": pl.String})


def _load_file(path: Path, separator: str) -> pl.DataFrame:
    if not path.is_file():
        raise CohortError(f"{path} is not a file. Pass the path of a csv or parquet file.")
    try:
        match path.suffix.lower():
            case ".parquet":
                return pl.read_parquet(path)
            case ".csv":
                return _with_numbers(pl.read_csv(path, separator=separator, infer_schema=False))
    except pl.exceptions.NoDataError:
        raise CohortError(f"{path} is empty. Give a header with customer_id, and a row per customer.") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CohortError(f"{path} can't be read: {error}. Save it as csv in UTF-8, or as parquet.") from error
    raise CohortError(f"{path} is neither .csv nor .parquet. Save it as one of them.")


def _with_numbers(text: pl.DataFrame) -> pl.DataFrame:
    """Turn the analyst's own columns into whole numbers where no value changes by it (a post code 01234 would)."""
    numbers = text.select(pl.exclude(*schema.COHORTS).cast(pl.Int64, strict=False))
    exact = [column.name for column in numbers if column.cast(pl.String).equals(text[column.name])]
    return text.with_columns(numbers.select(exact))


def _ids(where: str, column: pl.Series) -> pl.Series:
    """Check ids as text: no type in between may round, truncate or null one."""
    if column.dtype.is_nested():
        raise CohortError(f"{where}: customer_id holds {column.dtype}. Give one customer id a row.")
    text = column.cast(pl.String).str.strip_chars()
    valid = text.str.contains(r"^[1-9][0-9]*$") & text.cast(pl.Int64, strict=False).is_not_null()
    if bad := (~valid.fill_null(value=False)).arg_true().to_list():
        value = column[bad[0]]
        more = f" ({len(bad) - 1} more rows like it)" if len(bad) > 1 else ""
        raise CohortError(_bad_id(where, bad[0] + 1, "empty" if value is None else repr(value)) + more)
    return text.cast(pl.Int64)


def _bad_id(where: str, row: int, value: str) -> str:
    return (
        f"{where}, row {row}: customer_id is {value}. "
        f"Give every row a customer id as the API knows it: a whole number from 1 to {_MAX_ID}"
    )


def _names(where: str, frame: pl.DataFrame, column: str, *, default: str | None) -> pl.Series:
    if column not in frame.columns:
        return pl.Series(column, [default], pl.String).new_from_index(0, frame.height)
    names = frame[column].cast(pl.String).str.strip_chars()
    empty = names.is_null() | (names == "")
    if default is not None and empty.any():
        raise CohortError(
            f"{where}, row {empty.arg_true()[0] + 1}: {column} is empty. "
            f"Name a {column} in every row, or leave the whole column out."
        )
    return pl.select(pl.when(~empty).then(names)).to_series().alias(column)


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
