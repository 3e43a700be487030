"""Whether an archive's files are still as they were written: their sizes and checksums, and a log without holes.

Delta Lake takes an empty or shortened commit for a whole one, and Parquet decodes many a flipped bit to other values.
So the checksum of every file a commit wrote is recorded beside the table, in ``_sha256sums``; ``sha256sum --check
_sha256sums`` verifies it without this package. Files written before the record began have none. Object stores verify
what they hold themselves: nothing is recorded there.
"""

from __future__ import annotations

import json
import os
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SUMS: Final = "_sha256sums"
LOG: Final = "_delta_log"
_SUM: Final = re.compile(r"^([0-9a-f]{64})  (.+)\n", re.MULTILINE)  # a line that was cut short is none
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
_ADDED: Final = ("num_added_files", "numFilesAdded")  # how commits call the number of files they add
_FROM_BACKUP: Final = "Restore it from a backup of the archive"


class DamagedFileError(OSError):
    """A file of the archive that is not what was written. The message names it and the way back."""


class Integrity:
    """The checks of one archive's files, which read a file that was whole again only after it changes.

    Args:
        directory: The archive's directory; None in an object store, where nothing is checked or recorded.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._whole: set[tuple[str, int, int]] = set()
        self._structured: set[tuple[str, int, int]] = set()

    def verify(self, files: Mapping[str, int]) -> None:
        """Check data files before they are read.

        Args:
            files: The paths below the archive, each with its size in bytes as the log has it.

        Raises:
            DamagedFileError: A file is missing, or its size or checksum is another.
        """
        for problem in self.file_problems(files):
            raise DamagedFileError(problem)

    def verify_log(self) -> None:
        """Check that every commit since the last checkpoint is there and whole.

        Raises:
            DamagedFileError: One is not.
        """
        for problem in self.log_problems():
            raise DamagedFileError(problem)

    def recorded(self) -> dict[str, str]:
        """Read the checksums on record, by path; of two for one path the later."""
        if self._directory is None or not (path := self._directory / SUMS).exists():
            return {}
        return {name: digest for digest, name in _SUM.findall(path.read_text(encoding="utf-8"))}

    def file_problems(self, files: Mapping[str, int]) -> Iterator[str]:
        """Describe each data file that is missing or was changed."""
        if self._directory is None:
            return
        sums = self.recorded()
        for name, size in sorted(files.items()):
            path = self._directory / name
            if not path.exists():
                yield f"the file {name} is missing. {_FROM_BACKUP}"
                continue
            key = _state(path)
            if key in self._whole:
                continue
            if key[1] != size:
                yield f"the file {name} has {key[1]:,} bytes, and was written with {size:,}. {_FROM_BACKUP}"
            elif name in sums and _digest(path) != sums[name]:
                yield (
                    f"the file {name} has been changed since it was written: its checksum differs. {_FROM_BACKUP}, or "
                    f"go on with it as it is: delete the line that names it in {SUMS}"
                )
            else:
                self._whole.add(key)

    def log_problems(self) -> Iterator[str]:
        """Describe each commit since the last checkpoint that is missing, empty, cut short or changed."""
        if self._directory is None or not (log := self._directory / LOG).exists():
            return
        sums = self.recorded()  # before the listing: what is recorded has been written
        names = [path.name for path in log.iterdir()]
        commits = {int(match[1]) for name in names if (match := _COMMIT.fullmatch(name))}
        checkpoint = max((int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name))), default=-1)
        noted = {int(match[1]) for name in sums if (match := _COMMIT.fullmatch(name.removeprefix(f"{LOG}/")))}
        for version in range(checkpoint + 1, max(commits | noted, default=-1) + 1):
            name = f"{LOG}/{version:020}.json"
            way_back = f"{_FROM_BACKUP}, or go on without what that commit wrote: "
            remove_line = f"delete the lines that name it in {SUMS}, and fetch again"
            if version not in commits:
                if version > max(commits, default=-1):  # else Delta Lake itself refuses the log, or is past it
                    yield f"the log file {name} is missing. {way_back}{remove_line}"
                continue
            path = log / f"{version:020}.json"
            key = _state(path)
            if key in self._structured:
                continue
            if (damage := _damage(path)) or (name in sums and _digest(path) != sums[name]):
                damage = damage or "been changed since it was written: its checksum differs"
                yield f"the log file {name} has {damage}. {way_back}move it elsewhere, {remove_line}"
            else:
                self._structured.add(key)

    def record(self) -> None:
        """Record the checksums of all commits that have none yet, and of the files they wrote."""
        if self._directory is None:
            return
        sums = self.recorded()
        lines = []
        for path in sorted((self._directory / LOG).glob("*.json")):
            if f"{LOG}/{path.name}" in sums:
                continue
            added = [action["add"]["path"] for action in _actions(path) if "add" in action]
            lines += [f"{LOG}/{path.name}", *(name for name in added if (self._directory / name).exists())]
        written = "".join(f"{_digest(self._directory / name)}  {name}\n" for name in lines)
        if written:
            with (self._directory / SUMS).open("a", encoding="utf-8", newline="\n") as file:
                file.write(written)

    def prune(self) -> None:
        """Remove the checksums of files that are no longer there."""
        if self._directory is None:
            return
        kept = {name: digest for name, digest in self.recorded().items() if (self._directory / name).exists()}
        new = self._directory / f"{SUMS}.{os.getpid()}"
        new.write_text("".join(f"{digest}  {name}\n" for name, digest in kept.items()), encoding="utf-8", newline="\n")
        new.replace(self._directory / SUMS)


def _state(path: Path) -> tuple[str, int, int]:
    now = path.stat()
    return str(path), now.st_size, now.st_mtime_ns


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _actions(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _damage(path: Path) -> str | None:
    """Describe what a commit has come to, to follow the word has; None if it is whole."""
    try:
        actions = _actions(path)
    except ValueError:  # of json, and of text that is not UTF-8
        return "been cut short or overwritten"
    if not actions:
        return "nothing in it"
    infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
    metrics: dict[str, Any] = infos[0].get("operationMetrics", {}) if infos else {}
    expected = [metrics[name] for name in _ADDED if name in metrics]
    if expected and sum("add" in action for action in actions) < expected[0]:
        return "lost lines"
    return None
