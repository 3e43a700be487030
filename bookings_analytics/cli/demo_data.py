"""The demo data, made again: ``python -m bookings_analytics.cli.demo_data archive DIR``, or ``cohorts FILE``."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from bookings_analytics.archive import Archive
from bookings_analytics.demo.server import NOW, serve
from bookings_analytics.demo.world import make_world
from bookings_analytics.fetch import fetch_bookings

if TYPE_CHECKING:
    import polars as pl

DAYS: Final = 56


def take(archive: Archive, cohorts: pl.DataFrame | None = None) -> None:
    """Fetch the demo studio into an archive at noon of each of the eight weeks' days up to `NOW`, over HTTP.

    Args:
        archive: Where to keep what is fetched.
        cohorts: Whom to ask for; None: all the studio's customers.
    """
    with serve(limit=None) as studio:
        for days_ago in reversed(range(DAYS)):
            studio.now = NOW - timedelta(days=days_ago)
            fetch_bookings(
                studio.cohorts if cohorts is None else cohorts,
                studios=studio,
                archive=archive,
                progress=False,
                requests_per_minute=1_000_000,
                clock=studio.clock,
            )
    archive.compact()
    archive.forget([1])  # nobody's id: it removes at once what compacting keeps for another day


if __name__ == "__main__":
    what, where = sys.argv[1:]
    if what == "archive":
        take(Archive(where))
    else:
        make_world().cohorts.write_csv(where)
