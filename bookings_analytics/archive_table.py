"""The Delta table under an archive: how it is opened, read, appended to, compacted and erased from.

Delta Lake commits one table at a time, so the archive's tables share one, partitioned by ``table``: a single commit
writes the observations and the fetches of an `add`, and there is no state in between. Every row carries the number of
the add that wrote it. Numbers are taken in the commit itself (a Delta application transaction): of several writers that
take the same one, one commits, and the others read again what is known and try with the next.

=================== =================================================================================================
observations        the change log: BOOKINGS, statuses as text
fetches             FETCHES, the outcome as text
latest_observations what the last fetch of each customer showed, and
latest_fetches      the last fetch and the last successful one of each customer: both as of the last compaction. Later
                    adds are read from their own files, so that neither is needed, but an add need not read the whole
                    archive to know what to compare with.
=================== =================================================================================================
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from bookings_analytics import schema
from bookings_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind: TypeAlias = Literal["observations", "fetches"]
T = TypeVar("T")

FORMAT: Final = 1
ADD_NUMBER: Final = "add_number"
KINDS: Final[tuple[Kind, ...]] = ("observations", "fetches")

_NAME: Final = "bookings_analytics archive"
_FORMAT_KEY: Final = "bookings_analytics.format"
_PATIENCE: Final = 60.0  # seconds that a commit goes on trying against other writers
_WRITER: Final = WriterProperties(compression="ZSTD")


def as_text(columns: pl.Schema) -> pl.Schema:
    """Give a schema with text for its Enums, as the table has them: Delta knows no Enum."""
    return pl.Schema({name: pl.String() if isinstance(dtype, pl.Enum) else dtype for name, dtype in columns.items()})


ROWS: Final[Mapping[Kind, pl.Schema]] = {
    "observations": pl.Schema({**as_text(schema.BOOKINGS), ADD_NUMBER: pl.Int64()}),
    "fetches": pl.Schema({**as_text(schema.FETCHES), ADD_NUMBER: pl.Int64()}),
}
_COLUMNS: Final = pl.Schema({"table": pl.String(), **ROWS["observations"], **ROWS["fetches"]})


class Snapshot:
    """The table as one commit left it: what is read later from it is read as of that commit.

    Attributes:
        add_number: How many adds it holds.
    """

    def __init__(self, table: DeltaTable, root: str, storage_options: dict[str, str] | None) -> None:
        self.delta = table
        self.add_number = table.transaction_version("add") or 0
        self._root = root
        self._storage_options = storage_options
        files = pl.DataFrame(table.get_add_actions(flatten=True))
        if "max.add_number" not in files.columns:  # no file yet
            files = pl.DataFrame(schema={"path": pl.String, "max.add_number": pl.Int64, "partition.table": pl.String})
        self._files = files.select("path", table="partition.table", last_add=f"max.{ADD_NUMBER}")

    @property
    def compacted(self) -> int:
        """How many adds the latest tables know."""
        known = self._files.filter(pl.col("table").str.starts_with("latest_"))["last_add"].max()
        return known if isinstance(known, int) else 0

    def rows(self, kind: Kind) -> pl.LazyFrame:
        """Give all rows of a table."""
        return self._scan(pl.col("table") == kind, ROWS[kind])

    def latest(self, kind: Kind) -> pl.LazyFrame:
        """Give rows that hold the latest of each customer, and some that later ones have replaced."""
        # A file without statistics is read: what it holds is not known.
        later = (pl.col("last_add") > self.compacted).fill_null(value=True)
        return pl.concat(
            [
                self._scan(pl.col("table") == f"latest_{kind}", ROWS[kind]),
                self._scan((pl.col("table") == kind) & later, ROWS[kind]).filter(pl.col(ADD_NUMBER) > self.compacted),
            ]
        )

    def append(self, **rows: pl.DataFrame) -> None:
        """Add rows to tables, all in one commit.

        Raises:
            CommitFailedError: Another add was quicker, so that these rows may no longer be right.
        """
        number = self.add_number + 1
        frames = [
            frame.with_columns(pl.lit(kind).alias("table"), pl.lit(number, pl.Int64).alias(ADD_NUMBER))
            for kind, frame in rows.items()
        ]
        write_deltalake(
            self.delta,
            pl.concat([_COLUMNS.to_frame(), *frames], how="diagonal"),
            mode="append",
            writer_properties=_WRITER,
            commit_properties=CommitProperties(app_transactions=[Transaction("add", number)]),
        )

    def _scan(self, chosen: pl.Expr, columns: pl.Schema) -> pl.LazyFrame:
        paths = self._files.filter(chosen)["path"].to_list()
        if not paths:
            return columns.to_frame().lazy()
        return pl.scan_parquet(
            [f"{self._root}/{path}" for path in paths],
            storage_options=self._storage_options,
            glob=False,
            hive_partitioning=False,
        ).select(*columns)


class ArchiveTable:
    """Where the table is, and how it is changed there."""

    def __init__(self, location: str | Path, storage_options: Mapping[str, str] | None) -> None:
        self.location = str(location)
        self._local = None if "://" in self.location else Path(self.location).expanduser().resolve()
        self._root = str(self._local or self.location.rstrip("/"))
        self._storage_options = dict(storage_options) if storage_options else None

    def open(self) -> Snapshot | None:
        """Open the table as it is now; None if nothing has been added yet.

        Raises:
            ArchiveError: Something else is there, or a newer format.
        """
        if not DeltaTable.is_deltatable(self._root, self._storage_options):
            self._refuse_other_content()
            return None
        table = DeltaTable(self._root, storage_options=self._storage_options)
        written = table.metadata().configuration.get(_FORMAT_KEY)
        if written is None:
            raise ArchiveError(f"{self.location} holds another Delta table. Name an empty directory, or an archive.")
        if int(written) > FORMAT:
            raise ArchiveError(
                f"The archive {self.location} is of format {written}, and this version reads up to {FORMAT}. "
                "Update bookings_analytics."
            )
        return Snapshot(table, self._root, self._storage_options)

    def commit(self, write: Callable[[Snapshot], T]) -> T:
        """Do `write` on the table as it is now, and again when another writer was quicker.

        Raises:
            ArchiveError: Other writers were quicker for a whole minute.
        """
        give_up_at = time.monotonic() + _PATIENCE
        pause = 0.01
        while True:
            snapshot = self.open() or self._create()
            try:
                return write(snapshot)
            except CommitFailedError as error:
                if time.monotonic() > give_up_at:
                    raise ArchiveError(
                        f"The archive {self.location} could not be written for {_PATIENCE:.0f} seconds, because others "
                        f"write to it ({error}). Try again when they are done."
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _create(self) -> Snapshot:
        table = DeltaTable.create(
            self._root,
            _COLUMNS,
            mode="ignore",  # when another writer creates it at this moment
            partition_by=["table"],
            name=_NAME,
            configuration={_FORMAT_KEY: str(FORMAT), "delta.dataSkippingStatsColumns": ADD_NUMBER},
            storage_options=self._storage_options,
            raise_if_key_not_exists=False,
        )
        return Snapshot(table, self._root, self._storage_options)

    def _refuse_other_content(self) -> None:
        if self._local is None or not self._local.exists():
            return
        if not self._local.is_dir():
            raise ArchiveError(f"{self.location} is a file. Name a directory for the archive.")
        others = sorted(
            path.name for path in self._local.iterdir() if path.name[0] != "." and path.name != "_delta_log"
        )
        if others:
            raise ArchiveError(
                f"{self.location} holds something else than an archive: {', '.join(others[:3])}. "
                "Name an empty directory, or one that does not exist yet."
            )
