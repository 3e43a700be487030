"""The commands that remove people from an archive: `forget`, `forget-opted-out` and `retain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bookings_analytics import Archive, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bookings_analytics.archive import Erasure


def remove(location: str, erase: Callable[[Archive], Erasure], *, dry_run: bool, echo: Callable[[str], object]) -> None:
    """Remove something from an archive and print the receipt.

    Args:
        location: The archive's directory or URL.
        erase: What to call on the archive.
        dry_run: Whether that call only searches.
        echo: Called with each line.

    Raises:
        ArchiveError: The archive can't be read or written.
        ConfigurationError: There is no archive.
    """
    if "://" not in location and not Path(location, "_delta_log").is_dir():
        raise ConfigurationError(f"{location} holds no archive. Check the path.")
    receipt = erase(Archive(location, must_exist=True))
    if dry_run:
        echo(f"A dry run, nothing was changed: {receipt.hits_before:,} rows and other places would go.")
        return
    echo(str(receipt))
