"""How long an archive keeps what it knows: the rows that are older than that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.archive.erasure import decoded
from bookings_analytics.archive.layout import STAMPED, WRITER, last_fetches
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY

if TYPE_CHECKING:
    from datetime import datetime

    from bookings_analytics.archive.snapshot import Snapshot

_SAME_BOOKING: Final = " AND ".join(f"kept.{name} = gone.{name}" for name in BOOKING_KEY)


class Outdated:
    """What an archive has not seen since a time: fetches of before, and bookings last seen before.

    A booking was last seen when its newest row was written or, while it is shown unchanged, at its customer's last
    successful fetch: so what the next fetch is compared with stays.

    Args:
        now: The archive.
        cutoff: The time.
    """

    unsearched = ""  # it is rows alone that are too old

    def __init__(self, now: Snapshot | None, cutoff: datetime) -> None:
        self._cutoff = cutoff
        self.bookings = _outdated(now, cutoff) if now else pl.DataFrame(schema=dict.fromkeys(BOOKING_KEY, pl.String))

    def delete(self, now: Snapshot) -> None:
        """Delete the bookings' rows, and the fetches."""
        if self.bookings.height:
            merge = now.delta.merge(
                self.bookings, _SAME_BOOKING, source_alias="gone", target_alias="kept", writer_properties=WRITER
            )
            merge.when_matched_delete().execute()
        now.delta.delete(f"fetched_at < '{self._cutoff:%Y-%m-%dT%H:%M:%SZ}'", writer_properties=WRITER)

    def hits(self, name: str, content: bytes) -> int:
        """Count a data file's rows that are too old."""
        rows = decoded(name, content)
        if rows is None or not set(STAMPED.values()) <= set(rows.columns):
            return 0
        fetches = rows.filter(pl.col("fetched_at") < self._cutoff).height
        return fetches + rows.join(self.bookings, on=BOOKING_KEY, how="semi").height


def _outdated(now: Snapshot, cutoff: datetime) -> pl.DataFrame:
    rows = now.rows("observations").sort("observed_at", "add_number")
    newest = rows.unique(BOOKING_KEY, keep="last", maintain_order=True)
    read = last_fetches(now.latest("fetches").filter(outcome="ok")).select(*CUSTOMER_KEY, "fetched_at")
    seen = pl.when("visible").then(pl.max_horizontal("observed_at", "fetched_at")).otherwise("observed_at")
    last_seen = newest.join(read, on=CUSTOMER_KEY, how="left").with_columns(seen=seen)
    return last_seen.filter(pl.col("seen") < cutoff).select(BOOKING_KEY).collect()
