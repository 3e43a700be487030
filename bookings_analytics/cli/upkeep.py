"""The commands that remove people from an archive: `forget`, `forget-opted-out` and `retain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bookings_analytics import Archive
from bookings_analytics.cli.check import refuse_no_archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from bookings_analytics.archive import Erasure


def remove(location: str, erase: Callable[[Archive], Erasure], *, dry_run: bool, echo: Callable[[str], object]) -> None:
    """Remove something from an archive and print the receipt.

    Args:
        location: The archive's directory or URL, or a directory of archives.
        erase: What to call on the archive.
        dry_run: Whether that call only searches.
        echo: Called with each line.

    Raises:
        ArchiveError: The archive can't be read or written.
        ConfigurationError: There is no archive.
    """
    refuse_no_archive(location)
    receipt = erase(Archive(location, must_exist=True))
    if dry_run:
        echo(f"A dry run, nothing was changed: {receipt.hits_before:,} rows and other places would go.")
        for name, each in receipt.archives.items():
            if each.hits_before:
                echo(f"{name}: {each.hits_before:,}")
        return
    echo(str(receipt))
