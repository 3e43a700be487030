"""What keeps an archive quick, and what removes customers from it."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bookings_analytics.archive.snapshot import ERASING_KEY, RENEWED_EVERY, WRITER, Snapshot
from bookings_analytics.archive.table import KEPT_HOURS, RETENTION_KEYS
from bookings_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deltalake import DeltaTable

    from bookings_analytics.archive.table import ArchiveTable

_COMPACTED_EVERY: Final = 100  # adds
_OWN_FILES: Final = re.compile(r"table=\w+/")
_UNFINISHED: Final = re.compile(r"#\d+$")  # how a file is called until it is complete; Delta's vacuum does not see it


def compact(archive: ArchiveTable) -> None:
    """Put the many small files together, make the latest tables anew, and remove what has been replaced."""
    if now := archive.open():
        archive.commit(lambda now: now.delta.optimize.compact(writer_properties=WRITER))
        archive.commit(Snapshot.replace_latest)
        _refuse_foreign_files(archive, now)
        archive.commit(lambda now: _clean(now.delta, KEPT_HOURS))


def tidy(archive: ArchiveTable, add_number: int) -> None:
    """Do what is due after that add, so that the next ones stay quick."""
    with suppress(ArchiveError):  # what was added is kept either way, and `compact` itself says what is wrong
        if add_number % _COMPACTED_EVERY == 0:
            compact(archive)
        elif add_number % RENEWED_EVERY == 0:
            archive.commit(Snapshot.replace_latest)


def erase(archive: ArchiveTable, customer_ids: Iterable[int], studio: str | None) -> None:
    """Remove customers' rows and all that still names them.

    Adds stop meanwhile: one under way fails at its commit, because the table's properties have changed since it began,
    and none begins before they are set back. So no file is removed that a commit is about to name.
    """
    now = archive.open()
    if now is None:
        return
    _refuse_foreign_files(archive, now)
    chosen = f"customer_id IN ({', '.join(map(str, customer_ids))})"
    if studio is not None:
        quoted = studio.replace("'", "''")
        chosen += f" AND studio = '{quoted}'"
    own = uuid.uuid4().hex
    _set(archive, erasing=own, kept_hours=0)
    archive.commit(lambda now: now.delta.delete(chosen, writer_properties=WRITER), amid_erasure=True)
    archive.commit(lambda now: _clean(now.delta, 0), amid_erasure=True)
    for path in archive.directory.rglob("*") if archive.directory else ():
        if _UNFINISHED.search(path.name):
            path.unlink()
    now = archive.open()
    if now and now.erasing == own:  # else another erasure has begun meanwhile
        _set(archive, erasing="", kept_hours=KEPT_HOURS)


def _set(archive: ArchiveTable, *, erasing: str, kept_hours: int) -> None:
    properties = {ERASING_KEY: erasing, **dict.fromkeys(RETENTION_KEYS, f"interval {kept_hours} hours")}
    archive.commit(
        lambda now: now.delta.alter.set_table_properties(properties, raise_if_not_exists=False), amid_erasure=True
    )


def _refuse_foreign_files(archive: ArchiveTable, now: Snapshot) -> None:
    """Refuse to remove unused files where some are not ours: Delta removes all or none."""
    if foreign := [path for path in _remove_unused(now.delta, 0, dry_run=True) if not _OWN_FILES.match(path)]:
        raise ArchiveError(
            f"The archive {archive.location} holds files of something else: {', '.join(foreign[:3])}. "
            "Move them elsewhere; until then nothing is removed."
        )


def _clean(table: DeltaTable, kept_hours: int) -> None:
    """Remove files and log entries that are no longer needed, also what killed writers left."""
    _remove_unused(table, kept_hours, dry_run=False)
    table.create_checkpoint()
    table.cleanup_metadata()


def _remove_unused(table: DeltaTable, kept_hours: int, *, dry_run: bool) -> list[str]:
    return table.vacuum(kept_hours, dry_run=dry_run, enforce_retention_duration=False, full=True)
