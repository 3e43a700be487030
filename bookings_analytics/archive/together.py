"""A directory that holds nothing but archives: what it takes to read them as one, and to change each."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import polars as pl

from bookings_analytics.archive.parts import Parts
from bookings_analytics.archive.table import ArchiveTable
from bookings_analytics.errors import ArchiveError
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from bookings_analytics.archive.layout import Kind
    from bookings_analytics.archive.parts import Part

T = TypeVar("T")
Each = TypeVar("Each")

_NAMED: Final = 3  # archives in a message


def archives_at(location: str | Path, storage_options: Mapping[str, str] | None) -> list[ArchiveTable]:
    """Find the archives at a place: itself or, where a directory holds nothing but archives, these, by name.

    Raises:
        ArchiveError: Something lies beside archives, or the place can't be one of an archive.
    """
    itself = ArchiveTable(location, storage_options)
    if itself.directory is None or not itself.directory.is_dir() or itself.exists():
        return [itself]
    inside = sorted(path for path in itself.directory.iterdir() if not path.name.startswith("."))
    found = {path: ArchiveTable(path, storage_options) for path in inside if path.is_dir()}
    archives = {path: table for path, table in found.items() if table.exists()}
    if not archives:
        return [itself]
    if others := [path.name for path in inside if path not in archives]:
        raise ArchiveError(
            f"{location} holds {_names(archives)} and {', '.join(others[:_NAMED])}, which is not an archive. To read "
            f"archives together, move {others[0]} elsewhere; to read one, name it."
        )
    return list(archives.values())


def holds_archive(location: str) -> bool:
    """Check whether there is an archive, or a directory with archives in it; an object store is not asked.

    Args:
        location: The directory or URL.
    """
    if "://" in location:
        return True
    place = Path(location).expanduser()
    return any(log.is_dir() for log in (place / "_delta_log", *place.glob("*/_delta_log")))


def no_single_one(location: str, tables: Sequence[ArchiveTable]) -> ArchiveError:
    """Explain that an archive can be changed only by itself, not as one of several."""
    first = tables[0].location
    return ArchiveError(
        f"{location} holds {len(tables)} archives, which are read together, while this changes one of them. Name "
        f"it, such as {first}."
    )


def in_each(archives: Mapping[str, Each], change: Callable[[Each], T], summary: Callable[[Mapping[str, T]], T]) -> T:
    """Change one archive after another, and go on with the others where that fails.

    Args:
        archives: The archives by name.
        change: What to do to each.
        summary: Sums up what it returned, by the archive's name.

    Raises:
        ArchiveError: It failed in some, which the message names, with what was done in the others.
    """
    done, failed = {}, []
    for name, archive in archives.items():
        try:
            done[name] = change(archive)
        except ArchiveError as error:
            failed.append(f"{name}: {error}")
    if failed:
        others = f"\nDone in {counted(len(done), 'archive')}. {summary(done) or ''}" if done else ""
        raise ArchiveError(
            f"It failed in {len(failed)} of {counted(len(archives), 'archive')}; fix these and call it again.\n"
            + "\n".join(failed)
            + others.rstrip()
        )
    return summary(done)


class PartsTogether(Parts):
    """All rows of several archives, by whole customers: each archive's parts, one archive after another.

    Args:
        all_parts: The parts of each archive.
    """

    def __init__(self, all_parts: Sequence[Parts]) -> None:
        self._all = all_parts

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts, archive by archive."""
        for parts in self._all:
            yield from parts

    def studios(self, kind: Kind) -> list[str]:
        """Return the studios that have rows of a table, sorted."""
        return sorted({studio for parts in self._all for studio in parts.studios(kind)})

    def outermost_fetches(self) -> pl.DataFrame:
        """Read each studio's first and last successful fetch, of whichever customer: `schema.FETCHES`."""
        return pl.concat([parts.outermost_fetches() for parts in self._all])


@contextmanager
def reading_all(tables: Sequence[ArchiveTable]) -> Iterator[None]:
    """Describe what went wrong while files of any of some archives were read.

    Raises:
        ArchiveError: One can't be read, or is not there any more.
    """
    with ExitStack() as each:
        for table in tables:
            each.enter_context(table.reading())
        yield


def refuse_shared_studios(tables: Sequence[ArchiveTable], until: datetime) -> None:
    """Refuse archives of which two hold the same studio: its customers would count twice.

    Raises:
        ArchiveError: Two do.
    """
    known = {table.location: set(Parts(table.open(), until).studios("fetches")) for table in tables}
    for (first, studios), (second, others) in combinations(known.items(), 2):
        if shared := sorted(studios & others):
            raise ArchiveError(
                f"The archives {first} and {second} both hold the studio {shared[0]!r}: read together, its customers "
                "would count twice. Keep a studio in one archive."
            )


def _names(archives: Mapping[Path, ArchiveTable]) -> str:
    several = ", ".join(path.name for path in list(archives)[:_NAMED])
    return f"archives ({several}{', …' if len(archives) > _NAMED else ''})"
