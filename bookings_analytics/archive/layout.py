"""How an archive's tables lie in one Delta table: their columns, their buckets, how they are encoded.

Delta Lake commits one table at a time, so the archive's tables share one, partitioned by ``table`` and by ``bucket``: a
single commit writes the observations and the fetches of an `add`, and there is no state in between. Every row carries
the number of the add that wrote it. Numbers are taken in the commit itself (a Delta application transaction): of
several writers that take the same one, one commits, and the others read again what is known and try with the next.

=================== =================================================================================================
observations        the change log: BOOKINGS, statuses as text
fetches             FETCHES, the outcome as text
latest_observations what the last fetch of each customer showed, and
latest_fetches      the last fetch and the last successful one of each customer: both as of some add. Later ones
                    are read from their own files, so that neither is needed, but an add need not read the whole
                    archive to know what to compare with.
=================== =================================================================================================

A bucket holds neighboring customers: ``customer_id // width``. The width is chosen at the first compaction; until then
all are in bucket 0. An add reads and a renewal writes the buckets of its own customers, however many others there are.
The width is an application transaction as well, so that it changes in the commit that moves the rows. Archives of
format 1 have no buckets until they are compacted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import polars as pl
from deltalake import ColumnProperties, WriterProperties

from bookings_analytics import schema
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["observations", "fetches"]

ADD_NUMBER: Final = "add_number"
FILE: Final = "file"
PARTITIONS: Final = ("table", "bucket")
STAMPED: Final[Mapping[Kind, str]] = {"observations": "observed_at", "fetches": "fetched_at"}
AHEAD: Final = timedelta(minutes=5)  # a stamp further ahead of the clock than this comes from a wrong clock

CUSTOMERS: Final = 10_000  # of a bucket, when its width is chosen
LEAST_WIDTH: Final = 1_000  # so that the number of a bucket, which the log names, is nobody's id
LATEST_ROWS: Final = (25_000, 400_000)  # of a bucket on average; beyond, its width is doubled or halved


def as_text(columns: pl.Schema) -> pl.Schema:
    """Return a schema with text in place of its Enums, as the table has them: Delta knows no Enum."""
    return pl.Schema({name: pl.String() if isinstance(dtype, pl.Enum) else dtype for name, dtype in columns.items()})


ROWS: Final[Mapping[Kind, pl.Schema]] = {
    "observations": pl.Schema({**as_text(schema.BOOKINGS), ADD_NUMBER: pl.Int64()}),
    "fetches": pl.Schema({**as_text(schema.FETCHES), ADD_NUMBER: pl.Int64()}),
}
COLUMNS: Final = pl.Schema({"table": pl.String(), "bucket": pl.Int64(), **ROWS["observations"], **ROWS["fetches"]})

# Neighbors differ by little in these, so their differences take a fraction of the bytes.
_SORTED: Final = ("customer_id", "booking_id", "class_slot_id", "observed_at", "fetched_at", ADD_NUMBER)
_DIFFERENCES: Final = dict.fromkeys(_SORTED, ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED"))
WRITER: Final = WriterProperties(
    compression="ZSTD",
    column_properties=_DIFFERENCES,
    max_row_group_size=50_000,  # this many are in memory for each file that is written
)


def bucket_of(width: int | None) -> pl.Expr:
    """Find the bucket of each ``customer_id``; without a width all are in bucket 0."""
    return pl.lit(0, pl.Int64) if width is None else pl.col("customer_id") // width


def stacked(width: int | None, **frames: pl.DataFrame) -> pl.DataFrame:
    """Stack rows of several tables in one frame, as the Delta table has them."""
    rows = [frame.with_columns(pl.lit(name).alias("table")) for name, frame in frames.items()]
    together = pl.concat([COLUMNS.to_frame(), *rows], how="diagonal")
    return together.with_columns(bucket_of(width).alias("bucket")).select(COLUMNS.names())


def fitting_width(width: int | None, customer_ids: pl.Series, latest_rows: int) -> int | None:
    """Choose the width of the buckets: the old one, unless they hold too much or too little on average.

    Args:
        width: The width now; None: none was chosen yet.
        customer_ids: Every customer's id, each once.
        latest_rows: How many rows the latest tables have.
    """
    if customer_ids.is_empty():
        return width
    least, most = int(customer_ids.min()), int(customer_ids.max())  # type: ignore[arg-type]  # they are whole numbers
    chosen = width or -(-CUSTOMERS * (most - least + 1) // len(customer_ids))

    def mean_rows() -> float:
        return latest_rows / (customer_ids // chosen).n_unique()

    while mean_rows() > LATEST_ROWS[1] and chosen // 2 >= LEAST_WIDTH:
        chosen //= 2
    while mean_rows() < LATEST_ROWS[0] and chosen <= most:  # else all are in one bucket
        chosen *= 2
    return chosen


def last_fetches(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Select each customer's last fetch; of two at one time the successful one."""
    by_time = rows.sort("fetched_at", pl.col("outcome") == "ok", maintain_order=True)
    return by_time.unique(CUSTOMER_KEY, keep="last", maintain_order=True)


def last_seen(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Select the bookings that each customer's last successful fetch showed."""
    return rows.sort("observed_at", ADD_NUMBER).unique(BOOKING_KEY, keep="last", maintain_order=True).filter("visible")
