"""An archive checked from the command line: what is wrong with it, and which night was the last complete one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bookings_analytics import Archive, ArchiveError, ConfigurationError
from bookings_analytics.archive import holds_archive
from bookings_analytics.cli.endings import Exit
from bookings_analytics.cli.nights import night_lines
from bookings_analytics.studios import find_hours
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable


def refuse_no_archive(location: str) -> None:
    """Refuse a place that holds no archive, before one is made there.

    Args:
        location: The archive's directory or URL, or a directory of archives.

    Raises:
        ConfigurationError: There is no archive.
    """
    if not holds_archive(location):
        raise ConfigurationError(f"{location} holds no archive. Check the path.")


def check_archive(location: str, *, echo: Callable[[str], object]) -> Exit:
    """Check an archive and print what was found.

    Args:
        location: The archive's directory or URL, or a directory of archives.
        echo: Called with each line.

    Returns:
        `Exit.DONE`, or `Exit.DAMAGED` if anything is wrong.

    Raises:
        ConfigurationError: There is no archive.
    """
    refuse_no_archive(location)
    try:
        archive = Archive(location)
        found = archive.check()
        lines = [] if found.problems else [*night_lines(archive, find_hours())]
    except ArchiveError as error:  # so damaged that it can't even be opened
        echo(str(error))
        return Exit.DAMAGED
    unknown = f" ({found.n_without_checksum:,} without a checksum)" if found.n_without_checksum else ""
    problems = counted(len(found.problems), "problem") if found.problems else "nothing is wrong"
    echo(f"{counted(found.n_files, 'file')} checked{unknown}: {problems}.")
    for line in (*found.problems, *lines):
        echo(line)
    return Exit.DAMAGED if found.problems else Exit.DONE
