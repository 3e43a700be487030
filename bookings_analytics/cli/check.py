"""An archive checked from the command line: what is wrong with it, and until when the next fetch loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.archive import Archive
from bookings_analytics.cli.endings import Exit
from bookings_analytics.errors import ArchiveError, ConfigurationError
from bookings_analytics.schema import API_WINDOW
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable


def check_archive(location: str, *, echo: Callable[[str], object]) -> Exit:
    """Check an archive and print what was found.

    Args:
        location: The archive's directory or URL.
        echo: Called with each line.

    Returns:
        `Exit.DONE`, or `Exit.DAMAGED` if anything is wrong.

    Raises:
        ConfigurationError: There is no archive.
    """
    if "://" not in location and not Path(location, "_delta_log").is_dir():
        raise ConfigurationError(f"{location} holds no archive. Check the path.")
    try:
        archive = Archive(location)
        found = archive.check()
        lines = [] if found.problems else _until(archive)
    except ArchiveError as error:  # so damaged that it can't even be opened
        echo(str(error))
        return Exit.DAMAGED
    unknown = f" ({found.n_without_checksum:,} without a checksum)" if found.n_without_checksum else ""
    problems = counted(len(found.problems), "problem") if found.problems else "nothing is wrong"
    echo(f"{counted(found.n_files, 'file')} checked{unknown}: {problems}.")
    for line in (*found.problems, *lines):
        echo(line)
    return Exit.DAMAGED if found.problems else Exit.DONE


def _until(archive: Archive) -> list[str]:
    """Name, for each studio, the last fetch and the time from which bookings go by unseen if nobody fetches."""
    last = archive.fetches().filter(outcome="ok").group_by("studio").agg(pl.max("fetched_at")).sort("studio")
    return [
        f"{studio}: last fetched {at:%Y-%m-%d %H:%M} UTC. Fetch again before {at + API_WINDOW:%Y-%m-%d %H:%M} UTC: "
        "later, bookings go by unseen."
        for studio, at in last.collect().iter_rows()
    ]
