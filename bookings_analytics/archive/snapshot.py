"""The Delta table under an archive, as one commit left it: what is read from it, and added to it.

Delta Lake commits one table at a time, so the archive's tables share one, partitioned by ``table``: a single commit
writes the observations and the fetches of an `add`, and there is no state in between. Every row carries the number of
the add that wrote it. Numbers are taken in the commit itself (a Delta application transaction): of several writers that
take the same one, one commits, and the others read again what is known and try with the next.

=================== =================================================================================================
observations        the change log: BOOKINGS, statuses as text
fetches             FETCHES, the outcome as text
latest_observations what the last fetch of each customer showed, and
latest_fetches      the last fetch and the last successful one of each customer: both as of some add. Later ones
                    are read from their own files, so that neither is needed, but an add need not read the whole
                    archive to know what to compare with.
=================== =================================================================================================
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import polars as pl
from arro3.core import RecordBatchReader, Table
from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake

from bookings_analytics import schema
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from deltalake import DeltaTable

Kind: TypeAlias = Literal["observations", "fetches"]

ADD_NUMBER: Final = "add_number"
FILE: Final = "file"
STAMPED: Final[Mapping[Kind, str]] = {"observations": "observed_at", "fetches": "fetched_at"}
AHEAD: Final = timedelta(minutes=5)  # a stamp further ahead of the clock than this comes from a wrong clock

ERASING_KEY: Final = "bookings_analytics.erasing"
RENEWED_EVERY: Final = 20  # adds; how many of them an add has to read beside the latest tables, at most
WRITER: Final = WriterProperties(compression="ZSTD")
_ROWS_AT_ONCE: Final = 20_000  # of the latest tables in memory, when they are made anew
_LATEST_WRITER: Final = WriterProperties(compression="ZSTD", max_row_group_size=_ROWS_AT_ONCE)


def as_text(columns: pl.Schema) -> pl.Schema:
    """Return a schema with text in place of its Enums, as the table has them: Delta knows no Enum."""
    return pl.Schema({name: pl.String() if isinstance(dtype, pl.Enum) else dtype for name, dtype in columns.items()})


_ROWS: Final[Mapping[Kind, pl.Schema]] = {
    "observations": pl.Schema({**as_text(schema.BOOKINGS), ADD_NUMBER: pl.Int64()}),
    "fetches": pl.Schema({**as_text(schema.FETCHES), ADD_NUMBER: pl.Int64()}),
}
COLUMNS: Final = pl.Schema({"table": pl.String(), **_ROWS["observations"], **_ROWS["fetches"]})


def last_fetches(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Select each customer's last fetch; of two at one time the successful one."""
    by_time = rows.sort("fetched_at", pl.col("outcome") == "ok", maintain_order=True)
    return by_time.unique(CUSTOMER_KEY, keep="last", maintain_order=True)


def last_seen(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Select the bookings that each customer's last successful fetch showed."""
    return rows.sort("observed_at", ADD_NUMBER).unique(BOOKING_KEY, keep="last", maintain_order=True).filter("visible")


class Snapshot:
    """The table as one commit left it: what is read later from it is read as of that commit.

    Attributes:
        delta: The Delta table.
        version: The number of that commit.
        add_number: The number of the last add.
        compacted: The last add that the latest tables know.
        erasing: Which erasure is under way; empty if none is.
    """

    def __init__(
        self,
        table: DeltaTable,
        root: str,
        storage_options: dict[str, str] | None,
        verify: Callable[[Mapping[str, int]], None],
    ) -> None:
        self.delta = table
        self.version = table.version()
        self.add_number = table.transaction_version("add") or 0
        self.erasing = table.metadata().configuration.get(ERASING_KEY, "")
        self._root = root
        self._storage_options = storage_options
        self._verify = verify
        # Without a file, Delta does not name all columns.
        numbers = dict.fromkeys(("size_bytes", "num_records", f"max.{ADD_NUMBER}"), pl.Int64)
        columns = {"path": pl.String, "partition.table": pl.String, **numbers}
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        self._files = actions if actions.height else pl.DataFrame(schema=columns)
        known = self._files.filter(pl.col("partition.table").str.starts_with("latest_"))[f"max.{ADD_NUMBER}"].max()
        self.compacted = known if isinstance(known, int) else 0
        # A file without statistics is read: nothing says that the latest tables know it.
        self._later = (pl.col(f"max.{ADD_NUMBER}") > self.compacted).fill_null(value=True)

    def files(self) -> dict[str, int]:
        """Return every data file, by its path below the archive, with its size in bytes."""
        return dict(self._files.select("path", "size_bytes").iter_rows())

    def verify(self) -> None:
        """Check all files, before Delta Lake rewrites some: a damaged one would become a new one without a trace.

        Raises:
            DamagedFileError: One is missing or was changed.
        """
        self._verify(self.files())

    def paths(self, kind: Kind) -> list[str]:
        """Return the full paths of a table's files, sorted."""
        return sorted(self._checked_paths(pl.col("partition.table") == kind))

    def studios(self) -> list[str]:
        """Return the studios that have fetches, sorted."""
        return self.latest("fetches").select(pl.col("studio").unique().sort()).collect()["studio"].to_list()

    def rows(self, kind: Kind) -> pl.LazyFrame:
        """Return all rows of a table, each with its file."""
        return self._scan(pl.col("partition.table") == kind, _ROWS[kind])

    def latest(self, kind: Kind) -> pl.LazyFrame:
        """Return rows that hold the latest of each customer, and some that later ones have replaced."""
        since = self._scan((pl.col("partition.table") == kind) & self._later, _ROWS[kind])
        return pl.concat(
            [
                self._scan(pl.col("partition.table") == f"latest_{kind}", _ROWS[kind]),
                since.filter(pl.col(ADD_NUMBER) > self.compacted),
            ]
        )

    def append(self, observations: pl.DataFrame, fetches: pl.DataFrame) -> int:
        """Add rows to both tables in one commit, and return its number.

        Raises:
            DeltaError: Another add committed first, so that these rows may no longer be right.
        """
        number = self.add_number + 1
        write_deltalake(
            self.delta,
            _with_table(observations=observations, fetches=fetches).with_columns(pl.lit(number).alias(ADD_NUMBER)),
            mode="append",
            writer_properties=WRITER,
            commit_properties=self.as_add(),
        )
        return number

    def as_add(self) -> CommitProperties:
        """Return what makes a commit the next add, so that another add under way has to compare again."""
        return CommitProperties(app_transactions=[Transaction("add", self.add_number + 1)])

    def replace_latest(self, until: datetime) -> None:
        """Rewrite the latest tables, so that they know every add so far, a part of the customers at a time.

        Args:
            until: Rows stamped later are ahead of the clock: they are kept beside the latest ones before them.
        """
        of_latest = self._files.filter(pl.col("partition.table").str.starts_with("latest_") | self._later)
        n_rows: int = of_latest.select(pl.col("num_records").sum()).item()
        n_parts = 1 + n_rows // _ROWS_AT_ONCE
        parts = (self._latest_part(part, n_parts, until) for part in range(n_parts))
        batches = (batch for part in parts for batch in Table.from_arrow(part).to_batches())
        write_deltalake(
            self.delta,
            RecordBatchReader.from_batches(Table.from_arrow(COLUMNS.to_frame()).schema, batches),
            mode="overwrite",
            predicate="table IN ('latest_observations', 'latest_fetches')",
            writer_properties=_LATEST_WRITER,
        )

    def _latest_part(self, part: int, n_parts: int, until: datetime) -> pl.DataFrame:
        """Return the rows of the latest tables for one of so many parts of the customers."""
        observations, fetches = (
            self.latest(kind).filter(pl.col("customer_id") % n_parts == part) for kind in ("observations", "fetches")
        )
        seen_ahead, fetched_ahead = pl.col("observed_at") > until, pl.col("fetched_at") > until
        past = fetches.filter(~fetched_ahead)
        latest_fetches = [last_fetches(past), last_fetches(past.filter(outcome="ok")), fetches.filter(fetched_ahead)]
        latest_observations = [last_seen(observations.filter(~seen_ahead)), observations.filter(seen_ahead)]
        return _with_table(
            latest_observations=pl.concat(latest_observations).sort(*BOOKING_KEY, "observed_at").collect(),
            latest_fetches=pl.concat(latest_fetches).unique().sort(*CUSTOMER_KEY, "fetched_at").collect(),
        )

    def _scan(self, chosen: pl.Expr, columns: pl.Schema) -> pl.LazyFrame:
        paths = self._checked_paths(chosen)
        if not paths:
            return pl.LazyFrame(schema={**columns, FILE: pl.String()})
        return pl.scan_parquet(
            paths,
            storage_options=self._storage_options,
            glob=False,
            hive_partitioning=False,
            include_file_paths=FILE,
        ).select(*columns, FILE)

    def _checked_paths(self, chosen: pl.Expr) -> list[str]:
        files = dict(self._files.filter(chosen).select("path", "size_bytes").iter_rows())
        self._verify(files)
        return [f"{self._root}/{path}" for path in files]


def _with_table(**frames: pl.DataFrame) -> pl.DataFrame:
    """Stack rows of several tables in one frame, as the Delta table has them."""
    rows = [frame.with_columns(pl.lit(name).alias("table")) for name, frame in frames.items()]
    return pl.concat([COLUMNS.to_frame(), *rows], how="diagonal").select(COLUMNS.names())
