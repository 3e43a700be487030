"""Where an archive's Delta table is: opening it, and committing to it beside other writers."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from bookings_analytics.archive.snapshot import ADD_NUMBER, COLUMNS, FILE, RENEWED_EVERY, Snapshot
from bookings_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

FORMAT: Final = 1
_NAME: Final = "bookings_analytics archive"
_FORMAT_KEY: Final = "bookings_analytics.format"
RETENTION_KEYS: Final = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
KEPT_HOURS: Final = 24  # what compaction replaces stays that long, for those who are still reading it
_PATIENCE: Final = 60.0  # seconds that a writer goes on trying against others
_LONGEST_PAUSE: Final = 0.2
_UNFIT: Final = re.compile(r"[\[\]^|\\%\x00-\x1f]")


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
            if not self._exists():
                others = self._content()
                if not self._exists():  # else another writer has created it meanwhile
                    if others:
                        raise ArchiveError(
                            f"{self.location} holds something else than an archive: {', '.join(others[:3])}. "
                            "Name an empty directory, or one that does not exist yet."
                        )
                    return None
            table = DeltaTable(self._root, storage_options=self._storage_options)
        except (DeltaError, OSError) as error:
            raise ArchiveError(
                f"The archive {self.location} can't be opened: {_in_a_line(error)}. Check that it can be reached and "
                "read (an object store with storage_options=); if a newer version wrote it, update bookings_analytics."
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
                    continue
                if amid_erasure or not snapshot.erasing:
                    return write(snapshot)
                problem = (
                    "customers are being erased from it. If no forget is running, one was interrupted: call it again "
                    "with the same customers"
                )
            except (DeltaError, OSError) as error:
                now = self.open()
                if now is None or (snapshot is not None and now.version == snapshot.version):
                    raise ArchiveError(
                        f"The archive {self.location} can't be written: {_in_a_line(error)}. Nothing was written; "
                        "try again when that is put right."
                    ) from error
                problem = f"others write to it. Try again when they are done ({_in_a_line(error)})"
            if time.monotonic() > give_up_at:
                raise ArchiveError(f"The archive {self.location} could not be written for a minute: {problem}.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _create(self) -> None:
        DeltaTable.create(
            self._root,
            COLUMNS,
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


def _in_a_line(error: Exception) -> str:
    """Give an error's message without the colours and line breaks of a terminal."""
    return " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())
