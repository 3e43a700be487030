"""The classes, fetched after the bookings: nothing about them changes how a fetch of bookings ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bookings_analytics import ArchiveError, FetchInterrupted, fetch_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bookings_analytics import Archive, Studio


def fetch_timetable(
    studios: Sequence[Studio], archive: Archive, *, echo: Callable[[str], object]
) -> FetchInterrupted | None:
    """Fetch classes and slots into an archive; what can't be read becomes a warning, one line per studio.

    Args:
        studios: The studios to fetch from, all at once.
        archive: Where to keep them.
        echo: Called with each line for whoever reads the log.

    Returns:
        The interrupt, if one stopped it.
    """
    try:
        fetch_classes(studios, archive=archive)
    except KeyboardInterrupt:
        return FetchInterrupted("Stopped while the classes were fetched; the bookings are in the archive.")
    except ArchiveError as error:
        echo(f"The bookings are kept, the classes are not: {error}")
    return None
