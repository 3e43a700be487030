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

import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from bookings_analytics import schema
from bookings_analytics.errors import ArchiveError
from bookings_analytics.results import CUSTOMER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Kind: TypeAlias = Literal["observations", "fetches"]
T = TypeVar("T")

FORMAT: Final = 1
ADD_NUMBER: Final = "add_number"
FILE: Final = "file"
BOOKING: Final = (*CUSTOMER, "booking_id")

_NAME: Final = "bookings_analytics archive"
_FORMAT_KEY: Final = "bookings_analytics.format"
_ERASING_KEY: Final = "bookings_analytics.erasing"
_RETENTION_KEYS: Final = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
_KEPT_HOURS: Final = 24  # what compaction replaces stays that long, for those who are still reading it
_COMPACTED_AFTER: Final = 100  # adds
_PATIENCE: Final = 60.0  # seconds that a writer goes on trying against others
_LONGEST_PAUSE: Final = 0.2
_WRITER: Final = WriterProperties(compression="ZSTD")
_OWN_FILES: Final = re.compile(r"table=\w+/")
_UNFINISHED: Final = re.compile(r"#\d+$")  # how a file is called until it is complete; Delta's vacuum does not see it


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
        self.erasing = table.metadata().configuration.get(_ERASING_KEY, "")
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

    def append(self, observations: pl.DataFrame, fetches: pl.DataFrame) -> None:
        """Add rows to both tables in one commit.

        Raises:
            DeltaError: Another add was quicker, so that these rows may no longer be right.
        """
        number = self.add_number + 1
        write_deltalake(
            self.delta,
            _with_table(observations=observations, fetches=fetches).with_columns(pl.lit(number).alias(ADD_NUMBER)),
            mode="append",
            writer_properties=_WRITER,
            commit_properties=CommitProperties(app_transactions=[Transaction("add", number)]),
        )

    def replace_latest(self) -> None:
        """Make the latest tables anew, so that they know every add."""
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
            self.delta, latest, mode="overwrite", predicate=f"table IN ({tables})", writer_properties=_WRITER
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
    """Where the table is, and how it is changed there."""

    def __init__(self, location: str | Path, storage_options: Mapping[str, str] | None) -> None:
        self.location = str(location)
        self._directory = None if "://" in self.location else Path(self.location).expanduser().resolve()
        self._root = str(self._directory or self.location.rstrip("/"))
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
                        f"The archive {self.location} can't be written: {error}. Nothing was written; when that is "
                        "put right, try again."
                    ) from error
                problem = f"others write to it. Try again when they are done ({error})"
            if time.monotonic() > give_up_at:
                raise ArchiveError(f"The archive {self.location} could not be written for a minute: {problem}.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def compact(self) -> None:
        """Put the many small files together, make the latest tables anew, and remove what has been replaced."""
        now = self.open()
        if now is None:
            return
        self.commit(lambda now: now.delta.optimize.compact(writer_properties=_WRITER))
        self.commit(Snapshot.replace_latest)
        self._refuse_foreign_files(now)
        self._clean(_KEPT_HOURS)

    def compact_if_due(self) -> None:
        """Compact about every hundred adds; not while another process does, or erases."""
        now = self.open()
        if now and not now.erasing and now.add_number - now.compacted >= _COMPACTED_AFTER:
            with suppress(ArchiveError):  # what was added is kept either way, and `compact` itself says what is wrong
                self.compact()

    def erase(self, customer_ids: Iterable[int], studio: str | None) -> None:
        """Remove customers' rows and all that still names them.

        Adds stop meanwhile: one under way fails at its commit, because the table's properties have changed since it
        began, and none begins before they are set back. So no file is removed that a commit is about to name.
        """
        now = self.open()
        if now is None:
            return
        self._refuse_foreign_files(now)
        chosen = f"customer_id IN ({', '.join(map(str, customer_ids))})"
        if studio is not None:
            chosen += " AND studio = '{}'".format(studio.replace("'", "''"))
        own = uuid.uuid4().hex
        self._set({_ERASING_KEY: own, **dict.fromkeys(_RETENTION_KEYS, "interval 0 days")})
        self.commit(lambda now: now.delta.delete(chosen, writer_properties=_WRITER), amid_erasure=True)
        self._clean(0, amid_erasure=True)
        if self._directory is not None:
            for path in self._directory.rglob("*"):
                if _UNFINISHED.search(path.name):
                    path.unlink()
        now = self.open()
        if now and now.erasing == own:  # no other erasure has begun meanwhile
            self._set({_ERASING_KEY: "", **dict.fromkeys(_RETENTION_KEYS, f"interval {_KEPT_HOURS} hours")})

    def _set(self, properties: dict[str, str]) -> None:
        self.commit(
            lambda now: now.delta.alter.set_table_properties(properties, raise_if_not_exists=False), amid_erasure=True
        )

    def _clean(self, kept_hours: int, *, amid_erasure: bool = False) -> None:
        """Remove files and log entries that the table no longer needs, also what writers that were killed left."""

        def remove(now: Snapshot) -> None:
            _unused(now.delta, kept_hours, dry_run=False)
            now.delta.create_checkpoint()
            now.delta.cleanup_metadata()

        self.commit(remove, amid_erasure=amid_erasure)

    def _refuse_foreign_files(self, now: Snapshot) -> None:
        """Refuse to remove unused files where some are not ours: Delta can only remove all."""
        if foreign := [path for path in _unused(now.delta, 0, dry_run=True) if not _OWN_FILES.match(path)]:
            raise ArchiveError(
                f"The archive {self.location} holds files of something else: {', '.join(foreign[:3])}. "
                "Move them elsewhere; until then nothing is removed."
            )

    def _create(self) -> None:
        DeltaTable.create(
            self._root,
            _COLUMNS,
            mode="ignore",  # when another writer creates it at this moment
            partition_by=["table"],
            name=_NAME,
            configuration={
                _FORMAT_KEY: str(FORMAT),
                "delta.dataSkippingStatsColumns": ADD_NUMBER,  # so that the log names no customer
                **dict.fromkeys(_RETENTION_KEYS, f"interval {_KEPT_HOURS} hours"),
            },
            storage_options=self._storage_options,
            raise_if_key_not_exists=False,
        )

    def _refuse_other_content(self) -> None:
        if self._directory is None or not self._directory.exists():
            return
        if not self._directory.is_dir():
            raise ArchiveError(f"{self.location} is a file. Name a directory for the archive.")
        own = ("_delta_log", ".")
        others = sorted(path.name for path in self._directory.iterdir() if not path.name.startswith(own))
        if others:
            raise ArchiveError(
                f"{self.location} holds something else than an archive: {', '.join(others[:3])}. "
                "Name an empty directory, or one that does not exist yet."
            )


def _unused(table: DeltaTable, kept_hours: int, *, dry_run: bool) -> list[str]:
    return table.vacuum(kept_hours, dry_run=dry_run, enforce_retention_duration=False, full=True)


def _with_table(**frames: pl.DataFrame) -> pl.DataFrame:
    """Put rows of several tables into one frame, as the Delta table has them."""
    rows = [frame.with_columns(pl.lit(name).alias("table")) for name, frame in frames.items()]
    return pl.concat([_COLUMNS.to_frame(), *rows], how="diagonal").select(_COLUMNS.names())
