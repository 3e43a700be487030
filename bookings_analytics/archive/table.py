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
from deltalake.exceptions import DeltaError

from bookings_analytics.archive.class_tables import ClassTables
from bookings_analytics.archive.integrity import SUMS, DamagedFileError, Integrity
from bookings_analytics.archive.layout import ADD_NUMBER, COLUMNS, PARTITIONS
from bookings_analytics.archive.place import Place
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
        place: All files there, also those that are not the table's.
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
        self.place = Place(self.directory, self._root, self._storage_options)
        self.classes = ClassTables(self._root, self._storage_options)
        if self.directory and (unfit := _UNFIT.search(self.directory.as_posix())):
            raise ArchiveError(
                f"The path {self.directory} has the character {unfit[0]!r}, which Delta Lake can't handle in a path. "
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
                        "try again once that is fixed."
                    ) from error
                problem = f"others write to it. Try again when they are done ({_in_a_line(error)})"
            if time.monotonic() >= give_up_at:
                raise ArchiveError(f"The archive {self.location} could not be written for a minute: {problem}.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._record()
        return written

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
        if not self.exists():
            others = self.place.others()
            if not self.exists():  # else another writer has created it meanwhile
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

    def exists(self) -> bool:
        """Check whether an archive, or another Delta table, is there."""
        return DeltaTable.is_deltatable(self._root, self._storage_options)


def _pauses() -> Iterator[float | None]:
    """Yield the seconds to wait before opening again; None after the last time."""
    yield from (0.01 * 2**n for n in range(_OPENINGS - 1))
    yield None


def _in_a_line(error: Exception) -> str:
    """Return an error's message without the colors, line breaks and stack of a terminal."""
    plain = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())
    return re.split(r" 0: <unknown>| Backtrace:", plain)[0]
