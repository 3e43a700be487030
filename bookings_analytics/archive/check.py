"""What `Archive.check` looks at and finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.errors import ArchiveError
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.wording import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bookings_analytics.archive.class_tables import ClassTables
    from bookings_analytics.archive.layout import Kind
    from bookings_analytics.archive.snapshot import Snapshot
    from bookings_analytics.archive.table import ArchiveTable

_FEW_SLOTS: Final = 5  # two studios may share this many ids by accident
_ATTEMPTS: Final = 5  # files that another writer has just removed are not damage
_NAMED: Final = 3  # examples a message names


@dataclass(frozen=True, repr=False)
class ArchiveCheck:
    """The findings of one `Archive.check`.

    Attributes:
        n_files: Data files checked.
        n_without_checksum: Those of them whose checksum was never recorded: only their size was checked, and that
            they can be read.
        problems: What is wrong and how it can be mended, a sentence or two each; empty if nothing is.
    """

    n_files: int
    n_without_checksum: int
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        """Return the counts, and a line for each problem."""
        files = counted(self.n_files, "file") + (
            f" ({self.n_without_checksum:,} without a checksum)" if self.n_without_checksum else ""
        )
        found = counted(len(self.problems), "problem") + ":" if self.problems else "nothing wrong"
        return "\n".join([f"<ArchiveCheck: {files}, {found}", *(f"- {each}" for each in self.problems)]) + ">"


def check(archive: ArchiveTable, until: datetime) -> ArchiveCheck:
    """Check an archive, as `Archive.check` defines it.

    Args:
        archive: What to check.
        until: Rows stamped later are ahead of the clock.
    """
    for _ in range(_ATTEMPTS):
        found, version = _checked(archive, until)
        if not found.problems or version is None or version == _version(archive):
            return found
    return found  # it is written to all the time, and what is wrong is found every time


def _version(archive: ArchiveTable) -> int | None:
    now = archive.open()
    return None if now is None else now.version


def _checked(archive: ArchiveTable, until: datetime) -> tuple[ArchiveCheck, int | None]:
    """Check an archive once, and return the version that was checked: another writer may have gone on meanwhile."""
    log_problems = [_sentence(each) for each in archive.integrity.log_problems()]
    try:
        now = archive.open()
    except ArchiveError as error:
        return ArchiveCheck(0, 0, tuple(log_problems or [str(error)])), None
    if now is None:
        return ArchiveCheck(0, 0, ()), None
    files = now.files()
    file_problems = [_sentence(each) for each in archive.integrity.file_problems(files)]
    unrecorded = files.keys() - archive.integrity.recorded().keys()
    problems = (*log_problems, *file_problems)
    if not problems:
        problems = tuple(_content_problems(now, until, archive.classes))
    return ArchiveCheck(len(files), len(unrecorded), problems), now.version


def _content_problems(now: Snapshot, until: datetime, classes: ClassTables) -> Iterator[str]:
    if now.erasing:
        yield "An erasure was interrupted, or is running: call forget again with the same customers."
    kinds: tuple[Kind, ...] = ("observations", "fetches")
    try:
        for bucket in now.buckets():
            for rows in (read(kind, buckets=[bucket]) for kind in kinds for read in (now.rows, now.latest)):
                rows.select(pl.all().hash().sum()).collect(engine="streaming")  # decodes every value
        yield from _ahead(now, until)
        yield from alike_studios(now.latest("observations"))
        yield from classes.problems(until)
    except (pl.exceptions.ComputeError, OSError, ArchiveError) as error:
        yield f"A file can't be read: {error}. Restore it from a backup of the archive."


def _ahead(now: Snapshot, until: datetime) -> Iterator[str]:
    ahead = now.rows("fetches").filter(pl.col("fetched_at") > until).sort(*CUSTOMER_KEY, "fetched_at")
    found = ahead.select(*CUSTOMER_KEY, pl.col("fetched_at").dt.strftime("%Y-%m-%d %H:%M UTC")).collect()
    if found.height:
        named = [f"customer {customer} of {studio!r} at {time}" for studio, customer, time in found.head(_NAMED).rows()]
        more = ", …" if found.height > _NAMED else ""
        yield (
            f"Kept fetches ahead of the clock: {found.height:,} ({', '.join(named)}{more}). They are left out until "
            "then; check the clock of this computer and of the one that fetched."
        )


def alike_studios(observations: pl.LazyFrame, *, new: pl.LazyFrame | None = None) -> Iterator[str]:
    """Describe pairs of studios that share most of their class slots: one studio under two names, probably.

    Args:
        observations: Rows with ``studio`` and ``class_slot_id``.
        new: Rows of studios to compare with these; None: compares these with each other.
    """
    slots = observations.select("studio", "class_slot_id").unique()
    others = slots if new is None else new.select("studio", "class_slot_id").unique()
    shared = slots.join(others, on="class_slot_id", suffix="_other").filter(
        pl.col("studio") < pl.col("studio_other") if new is None else pl.col("studio") != pl.col("studio_other")
    )
    pairs = shared.group_by("studio", "studio_other").agg(n=pl.len())
    sizes, other_sizes = (each.group_by("studio").agg(size=pl.len()) for each in (slots, others))
    found = (
        pairs.join(sizes, on="studio")
        .join(other_sizes, left_on="studio_other", right_on="studio", suffix="_other")
        .with_columns(share=pl.col("n") / pl.min_horizontal("size", "size_other"))
        .filter(pl.col("share") > 1 / 2, pl.col("n") > _FEW_SLOTS)
        .sort("studio", "studio_other")
        .collect()
    )
    for studio, other, share in found.select("studio", "studio_other", "share").iter_rows():
        yield (
            f"The studios {studio!r} and {other!r} share {percent(share)} of their class slots, so they are probably "
            f"one studio under two names, and its customers count twice. Fetch under {studio!r} again; or forget the "
            f"customers of {other!r}, call rename_studio({studio!r}, {other!r}), and fetch under {other!r}."
        )


def _sentence(problem: str) -> str:
    return f"{problem[0].upper()}{problem[1:]}."
