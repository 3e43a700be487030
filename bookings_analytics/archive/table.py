"""Where an archive's Delta table is: opening it, and committing to it beside other writers."""

from __future__ import annotations

import re
import time
import warnings
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import polars as pl
from deltalake import DeltaTable
from deltalake._internal import DeltaFileSystemHandler
from deltalake.exceptions import DeltaError

from bookings_analytics.archive.class_tables import CLASS_TABLES, DIRECTORY, ClassTables
from bookings_analytics.archive.integrity import SUMS, DamagedFileError, Integrity
from bookings_analytics.archive.layout import ADD_NUMBER, COLUMNS, FILE, PARTITIONS
from bookings_analytics.archive.snapshot import RENEWED_EVERY, Snapshot
from bookings_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

FORMAT: Final = 2
_OLDER_FORMATS: Final = (1,)  # which can be read and added to; `compact` makes them the newest
_NAME: Final = "bookings_analytics archive"
FORMAT_KEY: Final = "bookings_analytics.format"
RETENTION_KEYS: Final = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
KEPT_HOURS: Final = 24  # what compaction replaces stays that long, for those who are still reading it
_LAST_CHECKPOINT: Final = "_delta_log/_last_checkpoint"
_PATIENCE: Final = 60.0  # seconds that a writer goes on trying against others
_LONGEST_PAUSE: Final = 0.2
_OPENINGS: Final = 6  # a log that another process is just cleaning up can be read a moment later
_UNREADABLE: Final = (DeltaError, OSError, pl.exceptions.ComputeError)
_UNFIT: Final = re.compile(r"[\[\]^|\\%\x00-\x1f]")
_BEING_ERASED: Final = (
    "customers are being erased from it. If no forget is running, one was interrupted: call it again with the same "
    "customers"
)


class OvertakenError(ArchiveError):
    """An erasure that another one has taken over."""


class ArchiveTable:
    """The table's place, and how it is read and changed there.

    Attributes:
        location: As the analyst named it.
        directory: The directory it is in; None if it is in an object store.
        integrity: The checks of its files.
        classes: The tables of classes and slots that lie beside it.
    """

    def __init__(self, location: str | Path, storage_options: Mapping[str, str] | None) -> None:
        self.location = str(location)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)", self.location):  # a drive of Windows has one letter
            raise ArchiveError(f"{self.location} is neither a directory nor a URL. Write the URL with two slashes: ://")
        self.directory = None if "://" in self.location else Path(self.location).expanduser().resolve()
        self._root = str(self.directory or self.location.rstrip("/"))
        self._storage_options = dict(storage_options) if storage_options else None
        self.integrity = Integrity(self.directory)
        self.classes = ClassTables(self._root, self._storage_options)
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
        for pause in _pauses():
            try:
                return self._opened()
            except (DeltaError, OSError) as error:
                if pause is None:
                    raise self._unreadable(error) from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def read(self, use: Callable[[Snapshot | None], T]) -> T:
        """Run `use` on the current snapshot; again if an erasure or a compaction meanwhile removed its files.

        Raises:
            ArchiveError: The archive can't be read; the message names the file.
        """
        for attempt in count(1):
            snapshot = self.open()
            try:
                return use(snapshot)
            except _UNREADABLE as error:
                now = self.open()
                if attempt == _OPENINGS or snapshot is None or now is None or now.version == snapshot.version:
                    raise self._unreadable(error) from error
        raise AssertionError  # count never ends

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Describe what went wrong while files of an earlier commit were read.

        Raises:
            ArchiveError: One can't be read, or is not there any more.
        """
        try:
            yield
        except _UNREADABLE as error:
            raise ArchiveError(
                f"{self._unreadable(error)} If customers were erased from it meanwhile, ask for the frame again."
            ) from error

    def commit(self, write: Callable[[Snapshot], T], *, amid: str | None = "", once: bool = False) -> T:
        """Run `write` on the current snapshot; retry if another writer commits first.

        Args:
            write: Writes, and returns what `commit` is to return.
            amid: The erasure this belongs to; empty: none, and it waits while there is one; None: whatever is going on.
            once: Fail when another writer commits first.

        Raises:
            OvertakenError: That erasure is not the current one any more.
            ArchiveError: It can't be written, other writers were first for a minute, or an erasure has not ended.
        """
        give_up_at = time.monotonic() + (0 if once else _PATIENCE)
        pause = 0.01
        while True:
            snapshot = self.open()
            if amid and snapshot is not None and snapshot.erasing != amid:
                raise OvertakenError
            try:
                if snapshot is None:
                    self._create()
                    continue
                if amid in (None, snapshot.erasing):
                    written = write(snapshot)
                    break
                problem = _BEING_ERASED
            except OvertakenError:
                if amid != "":
                    raise
                problem = _BEING_ERASED  # it has begun since this was opened: wait for its end
            except _UNREADABLE as error:
                now = self.open()
                if now is None or (snapshot is not None and now.version == snapshot.version):
                    raise ArchiveError(
                        f"The archive {self.location} can't be written: {_in_a_line(error)}. Nothing was written; "
                        "try again when that is put right."
                    ) from error
                problem = f"others write to it. Try again when they are done ({_in_a_line(error)})"
            if time.monotonic() >= give_up_at:
                raise ArchiveError(f"The archive {self.location} could not be written for a minute: {problem}.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._record()
        return written

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file below the archive, also one that no commit names: its path there, and what it holds."""
        if self.directory is None:
            for below in ("", *(f"{DIRECTORY}/{name}/" for name in CLASS_TABLES)):
                yield from (
                    (below + name, content) for name, content in self._objects(f"{self._root}/{below}".rstrip("/"))
                )
            store = DeltaFileSystemHandler(self._root, self._storage_options)
            for name in self.unfinished_commits():
                file = store.open_input_file(name)
                yield name, bytes(file.read(file.size()))
            return
        for path in sorted(self.directory.rglob("*")):
            try:
                if path.is_file():
                    yield path.relative_to(self.directory).as_posix(), path.read_bytes()
            except FileNotFoundError:  # another process has just removed it
                continue

    def unfinished_commits(self) -> list[str]:
        """List the commits in an object store that a writer left before they were in the log.

        Raises:
            ArchiveError: The store can't be reached, or one is not text.
        """
        pattern = f"{self._root}/_delta_log/*.tmp"
        lines = pl.scan_lines(pattern, storage_options=self._storage_options, include_file_paths=FILE)
        with self.reading():
            found = lines.select(pl.col(FILE).unique()).collect()[FILE].sort()
        return [f"_delta_log/{path.rsplit('/', 1)[1]}" for path in found]

    def remove_object(self, name: str) -> None:
        """Remove one object of the store."""
        DeltaFileSystemHandler(self._root, self._storage_options).delete_file(name)

    def _objects(self, root: str) -> Iterator[tuple[str, bytes]]:
        """Yield the objects of one Delta table in a store: those a commit names or none does, and the log."""
        if not DeltaTable.is_deltatable(root, self._storage_options):
            return
        table = DeltaTable(root, storage_options=self._storage_options)
        unused = table.vacuum(0, dry_run=True, enforce_retention_duration=False, full=True)
        used = pl.DataFrame(table.get_add_actions())["path"].to_list() if table.file_uris() else []
        commits = [f"_delta_log/{version:020}" for version in range(table.version() + 1)]
        log = [*(f"{each}{kind}" for each in commits for kind in (".json", ".checkpoint.parquet")), _LAST_CHECKPOINT]
        store = DeltaFileSystemHandler(root, self._storage_options)
        for name in sorted({*used, *unused, *log}):
            try:
                file = store.open_input_file(name)
                yield name, bytes(file.read(file.size()))
            except FileNotFoundError:  # most of the log is cleaned up
                continue

    def _record(self) -> None:
        """Record the checksums of what was written; it is in the archive either way."""
        try:
            self.integrity.record()
        except (OSError, ValueError) as error:
            warnings.warn(
                f"What was written to {self.location} is there, but its checksums could not be recorded in {SUMS}: "
                f"{_in_a_line(error)}.",
                stacklevel=4,
            )

    def _opened(self) -> Snapshot | None:
        if not self._exists():
            others = self._content()
            if not self._exists():  # else another writer has created it meanwhile
                if others:
                    raise ArchiveError(
                        f"{self.location} holds something other than an archive: {', '.join(others[:3])}. "
                        "Name an empty directory, or one that does not exist yet."
                    )
                return None
        self.integrity.verify_log()
        table = DeltaTable(self._root, storage_options=self._storage_options)
        written = table.metadata().configuration.get(FORMAT_KEY)
        if written is None:
            raise ArchiveError(f"{self.location} holds another Delta table. Name an empty directory, or an archive.")
        if written not in map(str, (FORMAT, *_OLDER_FORMATS)):
            raise ArchiveError(
                f"The archive {self.location} is of format {written}, and this version knows {FORMAT}. "
                "Update bookings_analytics."
            )
        return Snapshot(table, self._root, self._storage_options, self.integrity.verify)

    def _unreadable(self, error: Exception) -> ArchiveError:
        if isinstance(error, DamagedFileError):
            return ArchiveError(f"The archive {self.location} is damaged: {error}.")
        return ArchiveError(
            f"The archive {self.location} can't be opened: {_in_a_line(error)}. Check that it can be reached and "
            "read (an object store with storage_options=); if a newer version wrote it, update bookings_analytics."
        )

    def _create(self) -> None:
        DeltaTable.create(
            self._root,
            COLUMNS,
            mode="ignore",  # when another writer creates it at this moment
            partition_by=list(PARTITIONS),
            name=_NAME,
            configuration={
                FORMAT_KEY: str(FORMAT),
                "delta.checkpointInterval": str(RENEWED_EVERY),
                "delta.dataSkippingStatsColumns": ADD_NUMBER,  # so that the log names no customer
                **dict.fromkeys(RETENTION_KEYS, f"interval {KEPT_HOURS} hours"),
            },
            storage_options=self._storage_options,
            raise_if_key_not_exists=False,
        )

    def _exists(self) -> bool:
        return DeltaTable.is_deltatable(self._root, self._storage_options)

    def _content(self) -> list[str]:
        """List what is there, but for what a writer that was killed left and what file managers put everywhere."""
        if self.directory is None:
            return self._object()
        found = self.directory.iterdir() if self.directory.exists() else ()
        return sorted(path.name for path in found if not path.name.startswith(("_delta_log", ".")))

    def _object(self) -> list[str]:
        """Find any object below the URL by reading a line of it: neither Delta Lake nor polars gives a list."""
        lines = pl.scan_lines(f"{self._root}/**/*", storage_options=self._storage_options, include_file_paths=FILE)
        try:
            return lines.head(1).collect()[FILE].to_list()
        except pl.exceptions.ComputeError:
            return ["binary files"]


def _pauses() -> Iterator[float | None]:
    """Yield the seconds to wait before opening again; None after the last time."""
    yield from (0.01 * 2**n for n in range(_OPENINGS - 1))
    yield None


def _in_a_line(error: Exception) -> str:
    """Return an error's message without the colors, line breaks and stack of a terminal."""
    plain = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())
    return re.split(r" 0: <unknown>| Backtrace:", plain)[0]
