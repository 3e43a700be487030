"""Rows on their way into an archive: what a fetch brought, or frames that another source made, checked alike.

Nothing is guessed: a missing column, a time without a zone and an unknown status are errors, which name the frame, the
row (from 1) and the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import polars as pl
import polars.selectors as cs

from bookings_analytics import schema
from bookings_analytics.archive.layout import as_text
from bookings_analytics.errors import ArchiveError
from bookings_analytics.metrics.engines import in_polars, lazy
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from narwhals.typing import IntoFrame

    from bookings_analytics.results import FetchResult

_Name: TypeAlias = Literal["bookings", "fetches"]

COLUMNS: Final[Mapping[_Name, pl.Schema]] = {"bookings": schema.BOOKINGS, "fetches": schema.FETCHES}
_ABOUT_THE_REQUEST: Final = ("http_status", "error_code", "message", "trace_id", "attempts")
_OPTIONAL: Final = frozenset({*_ABOUT_THE_REQUEST, "visible"})  # what another source may not have
_NULLABLE: Final = frozenset({*_ABOUT_THE_REQUEST, "fetched_at", "n_bookings"})  # the last two by the outcome
_EXACT: Final = 2**53  # whole numbers below are exact in a float, as which pandas keeps them beside a null
_HTTP_STATUSES: Final = (100, 999)
_ROW: Final = "row"  # its number, from 1


def incoming(
    result: FetchResult | None, bookings: IntoFrame | None, fetches: IntoFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return bookings and fetches as the table has them: of customers asked, in whole seconds, statuses as text.

    Args:
        result: What a fetch brought; None: the two frames.
        bookings: A frame of `schema.BOOKINGS`; None with a result.
        fetches: A frame of `schema.FETCHES`; None with a result.

    Raises:
        TypeError: Neither a result nor both frames are there, or one is not a frame.
        ArchiveError: They contradict the schema, each other or themselves; the message names row and value.
    """
    if result is not None and bookings is None and fetches is None:
        bookings, fetches = result.bookings, result.fetches
    elif result is not None or bookings is None or fetches is None:
        raise TypeError("add takes a result, or both frames: add(result), or add(bookings=…, fetches=…).")
    seen = _typed("bookings", bookings)
    asked = _typed("fetches", fetches).filter(pl.col("outcome") != "not_fetched")
    _check_values(seen, asked)
    _check_together(seen, asked)
    return seen.drop(_ROW).cast(as_text(schema.BOOKINGS)), asked.drop(_ROW).cast(as_text(schema.FETCHES))


def _typed(name: _Name, frame: IntoFrame) -> pl.DataFrame:
    """Convert a frame to its schema, with the number of each row."""
    rows = in_polars(lazy(frame))
    columns = COLUMNS[name]
    if missing := [column for column in columns if column not in rows.columns and column not in _OPTIONAL]:
        raise ArchiveError(f"{name} lacks the column {', '.join(missing)}. It has: {', '.join(rows.columns)}.")
    if unknown := [column for column in rows.columns if column not in columns]:
        raise ArchiveError(
            f"{name} has the column {', '.join(unknown)}, which the archive does not keep. Drop or rename it; "
            f"the columns are: {', '.join(columns)}."
        )
    found = [
        _column(name, rows[column], dtype) if column in rows.columns else _absent(column, dtype, rows.height)
        for column, dtype in columns.items()
    ]
    whole_seconds = cs.datetime().dt.truncate("1s")  # of 2.75 bytes of a kept fetch, 2.43 were microseconds
    return pl.DataFrame(found, schema=columns).with_columns(whole_seconds).with_row_index(_ROW, offset=1)


def _absent(column: str, dtype: pl.DataType, height: int) -> pl.Series:
    value = True if column == "visible" else None
    return pl.repeat(value, height, dtype=dtype, eager=True).alias(column)


def _column(name: _Name, values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Convert a column to its type without loss; what can't be is refused by row and value."""
    column, given = values.name, values.dtype
    wanted = f"a column of {dtype}"
    if given == pl.Null and (column in _NULLABLE or values.is_empty()):
        converted = values.cast(dtype)
    elif dtype == pl.Int64 and given.is_integer():
        converted = values.cast(dtype, strict=False)
    elif dtype == pl.Int64 and given.is_float():
        whole = (values == values.round()) & (values.abs() < _EXACT)
        converted = values.set(~whole, None).cast(dtype)
        wanted = "a whole number"
    elif isinstance(dtype, pl.Enum) and isinstance(given, (pl.String, pl.Categorical, pl.Enum)):
        converted = values.cast(pl.String).cast(dtype, strict=False)
        wanted = f"one of {', '.join(dtype.categories)}"
    elif dtype == pl.String and isinstance(given, (pl.String, pl.Categorical, pl.Enum)):
        converted = values.cast(pl.String)
    elif isinstance(dtype, pl.Datetime) and isinstance(given, pl.Datetime) and given.time_zone:
        converted = values.dt.convert_time_zone("UTC").cast(dtype)
    elif given == dtype:
        converted = values
    else:
        example = next(iter(values.drop_nulls().head(1)), None)
        raise ArchiveError(
            f"{name}: {column} is of type {given}, such as {str(example)!r}, and must be of {dtype}. Cast it"
            + (": a time needs its time zone." if isinstance(given, pl.Datetime) else ".")
        )
    for row in (converted.is_null() & values.is_not_null()).arg_true().head(1):
        raise ArchiveError(f"Row {row + 1} of {name}: {column} is {values[row]!r}, which is not {wanted}.")
    for row in converted.is_null().arg_true().head(1) if column not in _NULLABLE else ():
        raise ArchiveError(f"Row {row + 1} of {name}: {column} is empty. Fill it in, or leave the row out.")
    return _names(name, converted) if column == "studio" else converted


def _names(name: _Name, studios: pl.Series) -> pl.Series:
    """Clean the studios' names as those of every list are, so that one studio is one."""
    known = studios.unique()
    clean = {each: cleaned(each) for each in known}
    for row in (studios.is_in([each for each, cleaner in clean.items() if not cleaner])).arg_true().head(1):
        raise ArchiveError(f"Row {row + 1} of {name}: studio is {studios[row]!r}, which is not a name.")
    return studios.replace_strict(clean, return_dtype=pl.String)


def _check_values(bookings: pl.DataFrame, fetches: pl.DataFrame) -> None:
    """Refuse values that no fetch could bring."""
    ok = pl.col("outcome") == "ok"
    positive = "an id is a positive whole number"
    rules: Iterable[tuple[_Name, pl.DataFrame, str, pl.Expr, str]] = (
        ("bookings", bookings, "customer_id", pl.col("customer_id") < 1, positive),
        ("fetches", fetches, "customer_id", pl.col("customer_id") < 1, positive),
        ("bookings", bookings, "visible", ~pl.col("visible"), "leave out what was gone: the archive finds it"),
        ("fetches", fetches, "fetched_at", pl.col("fetched_at").is_null(), "write when the answer arrived"),
        ("fetches", fetches, "n_bookings", ok & pl.col("n_bookings").is_null(), "write how many an ok fetch showed"),
        ("fetches", fetches, "n_bookings", ~ok & pl.col("n_bookings").is_not_null(), "only an ok fetch shows any"),
        ("fetches", fetches, "http_status", ~pl.col("http_status").is_between(*_HTTP_STATUSES), "write 100 to 999"),
        ("fetches", fetches, "attempts", pl.col("attempts") < 0, "a count is not negative"),
    )
    for name, frame, column, wrong, advice in rules:
        for row, value in frame.filter(wrong).select(_ROW, column).head(1).iter_rows():
            shown = "empty" if value is None else value
            raise ArchiveError(f"Row {row} of {name}: {column} is {shown}; {advice}.")


def _check_together(bookings: pl.DataFrame, fetches: pl.DataFrame) -> None:
    """Refuse doubles, bookings without a fetch or of another time, and fetches without their bookings."""
    read = fetches.filter(pl.col("outcome") == "ok")
    counts = bookings.group_by(CUSTOMER_KEY).agg(held=pl.len())
    held = pl.col("held").fill_null(0)
    counted = read.join(counts, on=CUSTOMER_KEY, how="left", maintain_order="left")
    fetched = bookings.join(
        read.select(*CUSTOMER_KEY, "fetched_at"), on=CUSTOMER_KEY, how="left", maintain_order="left"
    )
    doubles = "there are two fetches of it. Add one after the other"
    unfetched = "there are bookings of it, but no successful fetch. Add bookings with the fetch that showed them"
    miscounted = (
        "n_bookings is not the number of its bookings. Those of fetch_bookings(archive=…) are in that archive already"
    )
    problems: Iterable[tuple[_Name, pl.DataFrame, str]] = (
        ("fetches", fetches.filter(_repeated(CUSTOMER_KEY)), doubles),
        ("bookings", fetched.filter(pl.col("fetched_at").is_null()), unfetched),
        ("bookings", bookings.filter(_repeated(BOOKING_KEY)), "there is a booking of it twice. Leave one out"),
        ("fetches", counted.filter(pl.col("n_bookings") != held), miscounted),
    )
    for name, rows, problem in problems:
        for row, studio, customer_id in rows.select(_ROW, *CUSTOMER_KEY).head(1).iter_rows():
            raise ArchiveError(f"Customer {customer_id} of studio {studio!r}, row {row} of {name}: {problem}.")
    for row, seen, at in (
        fetched.filter(pl.col("observed_at") != pl.col("fetched_at"))
        .select(_ROW, "observed_at", "fetched_at")
        .head(1)
        .iter_rows()
    ):
        raise ArchiveError(
            f"Row {row} of bookings: observed_at is {seen}, and that customer's fetched_at is {at}. A booking is seen "
            "when its customer is fetched: write one time, and add one fetch after the other."
        )


def _repeated(key: tuple[str, ...]) -> pl.Expr:
    """Find every row whose key stands in an earlier one."""
    return ~pl.struct(key).is_first_distinct()
