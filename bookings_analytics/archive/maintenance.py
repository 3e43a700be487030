"""What keeps an archive quick, removes what it no longer needs, and renames studios."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bookings_analytics.archive.buckets import fit, renew
from bookings_analytics.archive.layout import WRITER
from bookings_analytics.archive.snapshot import ERASING_KEY, RENEWED_EVERY, Snapshot
from bookings_analytics.archive.table import FORMAT, FORMAT_KEY, KEPT_HOURS, RETENTION_KEYS, OvertakenError
from bookings_analytics.errors import ArchiveError
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from datetime import datetime

    from deltalake import DeltaTable

    from bookings_analytics.archive.table import ArchiveTable

_COMPACTED_EVERY: Final = 100  # adds
_DATA_FILE: Final = re.compile(r"table=\w+/(bucket=[^/]+/)?[^/]+\.parquet")
# Delta's names for files that are not complete yet; its vacuum does not see them.
_UNFINISHED: Final = ("table=*/**/*.parquet#*", "_delta_log/*.json#*", "_delta_log/*.parquet#*", "_delta_log/*.tmp")


def compact(archive: ArchiveTable, until: datetime) -> None:
    """Merge the many small files, rewrite the latest tables, and remove what has been replaced.

    Only what has changed since the last time is read and written, bucket by bucket, unless the buckets' width changes.

    Args:
        archive: What to compact.
        until: Rows stamped later are ahead of the clock.
    """
    if archive.open():
        archive.commit(_merge)
        archive.commit(lambda now: renew(now, until))
        archive.commit(lambda now: clean(archive, now, KEPT_HOURS))


def _merge(now: Snapshot) -> None:
    now.verify()
    if now.delta.metadata().configuration[FORMAT_KEY] != str(FORMAT):
        # First: an earlier version can't read buckets, while this one reads the new format without them as well.
        now.delta.alter.set_table_properties({FORMAT_KEY: str(FORMAT)}, raise_if_not_exists=False)
    if not fit(now):
        now.delta.optimize.compact(writer_properties=WRITER)


def tidy(archive: ArchiveTable, add_number: int, renewed: int, until: datetime) -> None:
    """Run what is due after an add, so that the next ones stay quick.

    Args:
        archive: The archive.
        add_number: The number of the add.
        renewed: The last add that the latest tables know.
        until: Rows stamped later are ahead of the clock.
    """
    with suppress(ArchiveError):  # what was added is kept either way, and `compact` itself reports what is wrong
        if add_number % _COMPACTED_EVERY == 0:
            compact(archive, until)
        elif add_number - renewed >= RENEWED_EVERY:  # one that loses to another writer is left to the next add
            archive.commit(lambda now: renew(now, until), once=True)


def rename_studio(archive: ArchiveTable, old: str, new: str) -> None:
    """Rename a studio in every row, in one commit.

    Raises:
        ArchiveError: `old` is not a studio of the archive, or `new` is one already or empty.
    """
    name = cleaned(new)
    if not name:
        raise ArchiveError(
            f"The new name {new!r} is empty. Pass the name that the studio is fetched under from now on."
        )

    def write(now: Snapshot) -> None:
        studios = now.studios()
        if old not in studios:
            raise ArchiveError(
                f"The archive has no studio {old!r}. It has: {', '.join(map(repr, studios))}. Pass one of these as old."
            )
        if name in studios:
            raise ArchiveError(
                f"The archive has a studio {name!r} already, and rows of two studios can't be told apart once they "
                "share a name. Pass a new name; or forget that studio's customers first, if they are not needed."
            )
        now.verify()
        now.delta.update(
            predicate=f"studio = {quoted(old)}",
            updates={"studio": quoted(name)},
            writer_properties=WRITER,
            commit_properties=now.as_rewriting(),  # an add under way compares again, under the names as they are then
        )

    if archive.open() is None:
        raise ArchiveError(f"The archive {archive.location} is empty, so it has no studio {old!r}. Check its path.")
    archive.commit(write)


def quoted(text: str) -> str:
    """Write text as a literal of a predicate."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def set_erasing(now: Snapshot, erasing: str, *, kept_hours: int) -> None:
    """Note in the table which erasure is under way, and how long what it replaces stays.

    Args:
        now: The table.
        erasing: The erasure; empty: none is.
        kept_hours: Hours that replaced files and old log entries stay.
    """
    properties = {ERASING_KEY: erasing, **dict.fromkeys(RETENTION_KEYS, f"interval {kept_hours} hours")}
    now.delta.alter.set_table_properties(properties, raise_if_not_exists=False)


def clean(archive: ArchiveTable, now: Snapshot, kept_hours: int) -> None:
    """Remove files and log entries that are no longer needed, also what killed writers left.

    In a directory, files that are not the archive's own stay where they are. In an object store Delta Lake removes all
    unused objects below the URL or none.

    Args:
        archive: The archive.
        now: The table.
        kept_hours: Hours since which a file must have been unused.
    """
    unused = _unused(archive, now.delta, kept_hours)
    # What is in use is asked after the listing: only another erasure writes files meanwhile, and it is noticed here.
    current = archive.open()
    if current is None or current.erasing != now.erasing:
        raise OvertakenError
    if archive.directory is None:
        _remove_unused(current.delta, kept_hours, dry_run=False)
    else:
        for name in filter(is_data_file, set(unused) - current.files().keys()):
            (archive.directory / name).unlink(missing_ok=True)
    current.delta.create_checkpoint()
    current.delta.cleanup_metadata()
    if archive.directory is None:
        with archive.reading():
            left = archive.place.unfinished_commits() if kept_hours == 0 else []
        for name in left:
            archive.place.remove_object(name)
        return
    if kept_hours == 0:
        for path in (path for pattern in _UNFINISHED for path in archive.directory.glob(pattern)):
            path.unlink(missing_ok=True)
    archive.integrity.prune()


def is_data_file(name: str) -> bool:
    """Check whether a path below the archive is one that its commits name, or would."""
    return bool(_DATA_FILE.fullmatch(name))


def refuse_foreign(archive: ArchiveTable) -> None:
    """Refuse an object store in which some objects are not the archive's.

    Raises:
        ArchiveError: There are some.
    """
    now = archive.open()
    if now is not None:
        _unused(archive, now.delta, 0)


def _unused(archive: ArchiveTable, table: DeltaTable, kept_hours: int) -> list[str]:
    """List files that no commit names; refuse an object store in which some are not the archive's."""
    unused = _remove_unused(table, kept_hours, dry_run=True)
    foreign = [path for path in unused if not is_data_file(path)]
    if archive.directory is None and foreign:
        raise ArchiveError(
            f"The archive {archive.location} holds files of something else: {', '.join(foreign[:3])}. "
            "Move them elsewhere; until then nothing is removed."
        )
    return unused


def _remove_unused(table: DeltaTable, kept_hours: int, *, dry_run: bool) -> list[str]:
    return table.vacuum(kept_hours, dry_run=dry_run, enforce_retention_duration=False, full=True)
