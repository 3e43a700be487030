"""All that lies where an archive is: its own files and any others, in a directory or an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import DeltaTable
from deltalake._internal import DeltaFileSystemHandler

from bookings_analytics.archive.class_tables import CLASS_TABLES, DIRECTORY
from bookings_analytics.archive.layout import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LAST_CHECKPOINT: Final = "_delta_log/_last_checkpoint"


class Place:
    """The place of one archive.

    Args:
        directory: The directory; None in an object store.
        root: The directory or the URL.
        storage_options: How to reach the object store.
    """

    def __init__(self, directory: Path | None, root: str, storage_options: dict[str, str] | None) -> None:
        self._directory = directory
        self._root = root
        self._storage_options = storage_options

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file, also one that no commit names: its path below the archive, and what it holds."""
        if self._directory is None:
            for below in ("", *(f"{DIRECTORY}/{name}/" for name in CLASS_TABLES)):
                yield from ((below + name, content) for name, content in self._objects(below))
            store = DeltaFileSystemHandler(self._root, self._storage_options)
            yield from ((name, _content(store, name)) for name in self.unfinished_commits())
            return
        for path in sorted(self._directory.rglob("*")):
            try:
                if path.is_file():
                    yield path.relative_to(self._directory).as_posix(), path.read_bytes()
            except FileNotFoundError:  # another process has just removed it
                continue

    def unfinished_commits(self) -> list[str]:
        """List the commits in an object store that a writer left before they were in the log."""
        pattern = f"{self._root}/_delta_log/*.tmp"
        lines = pl.scan_lines(pattern, storage_options=self._storage_options, include_file_paths=FILE)
        found = lines.select(pl.col(FILE).unique()).collect()[FILE].sort()
        return [f"_delta_log/{path.rsplit('/', 1)[1]}" for path in found]

    def remove_object(self, name: str) -> None:
        """Remove one object of the store."""
        DeltaFileSystemHandler(self._root, self._storage_options).delete_file(name)

    def others(self) -> list[str]:
        """List what is there, but for what a writer that was killed left and what file managers put everywhere."""
        if self._directory is None:
            return self._any_object()
        found = self._directory.iterdir() if self._directory.exists() else ()
        return sorted(path.name for path in found if not path.name.startswith(("_delta_log", ".")))

    def _any_object(self) -> list[str]:
        """Find any object below the URL by reading a line of it: neither Delta Lake nor polars gives a list."""
        lines = pl.scan_lines(f"{self._root}/**/*", storage_options=self._storage_options, include_file_paths=FILE)
        try:
            return lines.head(1).collect()[FILE].to_list()
        except pl.exceptions.ComputeError:
            return ["binary files"]

    def _objects(self, below: str) -> Iterator[tuple[str, bytes]]:
        """Yield the objects of one Delta table in a store: those a commit names or none does, and the log."""
        root = f"{self._root}/{below}".rstrip("/")
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
                yield name, _content(store, name)
            except FileNotFoundError:  # most of the log is cleaned up
                continue


def _content(store: DeltaFileSystemHandler, name: str) -> bytes:
    file = store.open_input_file(name)
    return bytes(file.read(file.size()))
