"""The Delta table under an archive: how it is opened, read and written.

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

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from bookings_analytics import schema
from bookings_analytics.errors import ArchiveError
from bookings_analytics.results import CUSTOMER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind: TypeAlias = Literal["observations", "fetches"]
T = TypeVar("T")

FORMAT: Final = 1
ADD_NUMBER: Final = "add_number"
FILE: Final = "file"
BOOKING: Final = (*CUSTOMER, "booking_id")

_NAME: Final = "bookings_analytics archive"
_FORMAT_KEY: Final = "bookings_analytics.format"
ERASING_KEY: Final = "bookings_analytics.erasing"
RETENTION_KEYS: Final = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
KEPT_HOURS: Final = 24  # what compaction replaces stays that long, for those who are still reading it
RENEWED_EVERY: Final = 20  # adds; how many of them an add has to read beside the latest tables, at most
_PATIENCE: Final = 60.0  # seconds that a writer goes on trying against others
_LONGEST_PAUSE: Final = 0.2
_UNFIT: Final = re.compile(r"[\[\]^|\\%\x00-\x1f]")
WRITER: Final = WriterProperties(compression="ZSTD")


def as_text(columns: pl.Schema) -> pl.Schema:
    """Give a schema with text for its Enums, as the table has them: Delta knows no Enum."""
    return pl.Schema({name: pl.String() if isinstance(dtype, pl.Enum) else dtype for name, dtype in columns.items()})


_ROWS: Final[Mapping[Kind, pl.Schema]] = {
    "observations": pl.Schema({**as_text(schema.BOOKINGS), ADD_NUMBER: pl.Int64()}),
    "fetches": pl.Schema({**as_text(schema.FETCHES), ADD_NUMBER: pl.Int64()}),
}
_COLUMNS: Final = pl.Schema({"table": pl.String(), **_ROWS["observations"], **_ROWS["fetches"]})


def last_fetches(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Choose each customer's last fetch; of two at one time the successful one."""
    by_time = rows.sort("fetched_at", pl.col("outcome") == "ok", maintain_order=True)
    return by_time.unique(CUSTOMER, keep="last", maintain_order=True)


def last_seen(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Choose the bookings that each customer's last successful fetch showed."""
    return rows.sort(ADD_NUMBER).unique(BOOKING, keep="last", maintain_order=True).filter("visible")


class Snapshot:
    """The table as one commit left it: what is read later from it is read as of that commit.

    Attributes:
        delta: The Delta table.
        version: The number of that commit.
        add_number: The number of the last add.
        compacted: The last add that the latest tables know.
        erasing: Which erasure is under way; empty if none is.
    """

    def __init__(self, table: DeltaTable, root: str, storage_options: dict[str, str] | None) -> None:
        self.delta = table
        self.version = table.version()
        self.add_number = table.transaction_version("add") or 0
        self.erasing = table.metadata().configuration.get(ERASING_KEY, "")
        self._root = root
        self._storage_options = storage_options
        # Without a file, Delta does not name all columns.
        columns = {"path": pl.String, "partition.table": pl.String, f"max.{ADD_NUMBER}": pl.Int64}
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        self._files = actions if actions.height else pl.DataFrame(schema=columns)
        known = self._files.filter(pl.col("partition.table").str.starts_with("latest_"))[f"max.{ADD_NUMBER}"].max()
        self.compacted = known if isinstance(known, int) else 0

    def rows(self, kind: Kind) -> pl.LazyFrame:
        """Give all rows of a table, each with its file."""
        return self._scan(pl.col("partition.table") == kind, _ROWS[kind])

    def latest(self, kind: Kind) -> pl.LazyFrame:
        """Give rows that hold the latest of each customer, and some that later ones have replaced."""
        # A file without statistics is read: nothing says that the latest tables know it.
        later = (pl.col(f"max.{ADD_NUMBER}") > self.compacted).fill_null(value=True)
        since = self._scan((pl.col("partition.table") == kind) & later, _ROWS[kind])
        return pl.concat(
            [
                self._scan(pl.col("partition.table") == f"latest_{kind}", _ROWS[kind]),
                since.filter(pl.col(ADD_NUMBER) > self.compacted),
            ]
        )

    def append(self, observations: pl.DataFrame, fetches: pl.DataFrame) -> int:
        """Add rows to both tables in one commit, and give its number.

        Raises:
            DeltaError: Another add was quicker, so that these rows may no longer be right.
        """
        number = self.add_number + 1
        write_deltalake(
            self.delta,
            _with_table(observations=observations, fetches=fetches).with_columns(pl.lit(number).alias(ADD_NUMBER)),
            mode="append",
            writer_properties=WRITER,
            commit_properties=CommitProperties(app_transactions=[Transaction("add", number)]),
        )
        return number

    def replace_latest(self) -> None:
        """Make the latest tables anew, so that they know every add so far."""
        fetches = self.latest("fetches")
        successful = last_fetches(fetches.filter(pl.col("outcome") == "ok"))
        latest = _with_table(
            latest_observations=last_seen(self.latest("observations")).sort(BOOKING).collect(),
            latest_fetches=pl.concat([last_fetches(fetches), successful])
            .unique()
            .sort(*CUSTOMER, "fetched_at")
            .collect(),
        )
        tables = ", ".join(f"'{name}'" for name in latest["table"].unique())
        write_deltalake(
            self.delta, latest, mode="overwrite", predicate=f"table IN ({tables})", writer_properties=WRITER
        )

    def _scan(self, chosen: pl.Expr, columns: pl.Schema) -> pl.LazyFrame:
        paths = self._files.filter(chosen)["path"].to_list()
        if not paths:
            return pl.LazyFrame(schema={**columns, FILE: pl.String()})
        return pl.scan_parquet(
            [f"{self._root}/{path}" for path in paths],
            storage_options=self._storage_options,
            glob=False,
            hive_partitioning=False,
            include_file_paths=FILE,
        ).select(*columns, FILE)


class ArchiveTable:
    """Where the table is, and how it is changed there.

    Attributes:
        location: As the analyst named it.
        directory: The directory it is in; None if it is in an object store.
    """

    def __init__(self, location: str | Path, storage_options: Mapping[str, str] | None) -> None:
        self.location = str(location)
        self.directory = None if "://" in self.location else Path(self.location).expanduser().resolve()
        self._root = str(self.directory or self.location.rstrip("/"))
        self._storage_options = dict(storage_options) if storage_options else None
        if self.directory and (unfit := _UNFIT.search(self.directory.as_posix())):
            raise ArchiveError(
                f"The path {self.directory} has the character {unfit[0]!r}, with which Delta Lake finds no directory. "
                "Name another directory."
            )

    def open(self) -> Snapshot | None:
        """Open the table as it is now; None if nothing has been added yet.

        Raises:
            ArchiveError: It can't be read, something else is there, or a newer format.
        """
        if self.directory and self.directory.is_file():
            raise ArchiveError(f"{self.location} is a file. Name a directory for the archive.")
        try:
            if not DeltaTable.is_deltatable(self._root, self._storage_options):
                self._refuse_other_content()
                return None
            table = DeltaTable(self._root, storage_options=self._storage_options)
        except (DeltaError, OSError) as error:
            raise ArchiveError(
                f"The archive {self.location} can't be opened: {_in_a_line(error)}. Check that it can be reached and read (for an "
                "object store: storage_options), and update bookings_analytics if a newer version wrote it."
            ) from error
        written = table.metadata().configuration.get(_FORMAT_KEY)
        if written is None:
            raise ArchiveError(f"{self.location} holds another Delta table. Name an empty directory, or an archive.")
        if written != str(FORMAT):
            raise ArchiveError(
                f"The archive {self.location} is of format {written}, and this version knows {FORMAT}. "
                "Update bookings_analytics."
            )
        return Snapshot(table, self._root, self._storage_options)

    def commit(self, write: Callable[[Snapshot], T], *, amid_erasure: bool = False) -> T:
        """Do `write` on the table as it is now, and again when another writer was quicker.

        Raises:
            ArchiveError: It can't be written, other writers were quicker for a minute, or an erasure has not ended.
        """
        give_up_at = time.monotonic() + _PATIENCE
        pause = 0.01
        while True:
            snapshot = self.open()
            try:
                if snapshot is None:
                    self._create()
                elif amid_erasure or not snapshot.erasing:
                    return write(snapshot)
                problem = (
                    "customers are being erased from it. If no forget is running, one was interrupted: call it again "
                    "with the same customers"
                )
            except (DeltaError, OSError) as error:
                now = self.open()
                if now is None or (snapshot is not None and now.version == snapshot.version):
                    raise ArchiveError(
                        f"The archive {self.location} can't be written: {_in_a_line(error)}. Nothing was written; when that is "
                        "put right, try again."
                    ) from error
                problem = f"others write to it. Try again when they are done ({_in_a_line(error)})"
            if time.monotonic() > give_up_at:
                raise ArchiveError(f"The archive {self.location} could not be written for a minute: {problem}.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _create(self) -> None:
        DeltaTable.create(
            self._root,
            _COLUMNS,
            mode="ignore",  # when another writer creates it at this moment
            partition_by=["table"],
            name=_NAME,
            configuration={
                _FORMAT_KEY: str(FORMAT),
                "delta.checkpointInterval": str(RENEWED_EVERY),
                "delta.dataSkippingStatsColumns": ADD_NUMBER,  # so that the log names no customer
                **dict.fromkeys(RETENTION_KEYS, f"interval {KEPT_HOURS} hours"),
            },
            storage_options=self._storage_options,
            raise_if_key_not_exists=False,
        )

    def _refuse_other_content(self) -> None:
        if self.directory is None:
            others = self._in_object_store()
        elif self.directory.exists():
            own = ("_delta_log", ".")  # what a writer that was killed left, and what file managers put everywhere
            others = sorted(path.name for path in self.directory.iterdir() if not path.name.startswith(own))
        else:
            others = []
        if others:
            raise ArchiveError(
                f"{self.location} holds something else than an archive: {', '.join(others[:3])}. "
                "Name an empty directory, or one that does not exist yet."
            )

    def _in_object_store(self) -> list[str]:
        """Look for any object below the URL, by reading a line: neither Delta nor polars only lists them."""
        lines = pl.scan_lines(f"{self._root}/**/*", storage_options=self._storage_options, include_file_paths=FILE)
        try:
            return lines.head(1).collect()[FILE].to_list()
        except pl.exceptions.ComputeError:
            return ["binary files"]


def _in_a_line(error: Exception) -> str:
    """Give an error's message without the colours and line breaks of a terminal."""
    return " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())


def _with_table(**frames: pl.DataFrame) -> pl.DataFrame:
    """Put rows of several tables into one frame, as the Delta table has them."""
    rows = [frame.with_columns(pl.lit(name).alias("table")) for name, frame in frames.items()]
    return pl.concat([_COLUMNS.to_frame(), *rows], how="diagonal").select(_COLUMNS.names())
