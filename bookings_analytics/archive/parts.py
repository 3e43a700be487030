"""An archive's rows by whole customers, a part at a time: what is computed from them needs the memory of one part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive.layout import FILE, STAMPED, Kind
from bookings_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bookings_analytics.archive.snapshot import Snapshot

_ROWS_AT_ONCE: Final = 500_000  # of a part, about; a bucket of more is several parts
_DECLARED: Final = {"observations": schema.BOOKINGS, "fetches": schema.FETCHES}


def with_types(rows: pl.LazyFrame, kind: Kind) -> pl.LazyFrame:
    """Select the columns of the schema, in its types.

    Raises:
        ArchiveError: A status is not known to this version.
    """
    declared = _DECLARED[kind]
    for name, dtype in declared.items():
        if isinstance(dtype, pl.Enum):
            _refuse_unknown(rows.filter(~pl.col(name).is_in(dtype.categories.to_list())), name)
    return rows.select(declared.names()).cast(declared)


def _refuse_unknown(unknown: pl.LazyFrame, name: str) -> None:
    """Refuse rows with statuses that this version does not know, if there are any."""
    for row in unknown.head(1).collect().iter_rows(named=True):
        booking = f"booking {row['booking_id']} of " if "booking_id" in row else ""
        raise ArchiveError(
            f"{name} is {row[name]!r} in {booking}customer {row['customer_id']}, studio {row['studio']!r}, in the file "
            f"{row[FILE]}: a status that this version does not know. Update bookings_analytics, or read with "
            "statuses_as_text=True."
        )


@dataclass(frozen=True)
class Part:
    """The rows of some customers: all of a bucket, or one of several equal parts of a large one.

    Attributes:
        now: The archive.
        until: Rows stamped later are ahead of the clock, and left out.
        bucket: The bucket.
        number: Which of its parts.
        of: How many it has.
    """

    now: Snapshot
    until: datetime
    bucket: int
    number: int
    of: int

    def rows(self, kind: Kind) -> pl.DataFrame:
        """Read the rows of a table, in the order they were written.

        Raises:
            ArchiveError: A status is not known to this version.
        """
        rows = self.now.rows(kind, buckets=[self.bucket]).filter(pl.col(STAMPED[kind]) <= self.until)
        if self.of > 1:
            rows = rows.filter(pl.col("customer_id") % self.of == self.number)
        return with_types(rows.collect().lazy(), kind).collect()


class Parts:
    """All rows of an archive as one commit left it, by whole customers.

    Args:
        now: The archive; None: nothing has been added yet.
        until: Rows stamped later are ahead of the clock, and left out.
    """

    def __init__(self, now: Snapshot | None, until: datetime) -> None:
        self._now = now
        self._until = until

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts, by their buckets."""
        if self._now is None:
            return
        for bucket in self._now.buckets():
            of = 1 + self._now.n_rows(bucket) // _ROWS_AT_ONCE
            for number in range(of):
                yield Part(self._now, self._until, bucket, number, of)

    def studios(self, kind: Kind) -> list[str]:
        """Return the studios that have rows of a table, sorted."""
        if self._now is None:
            return []
        rows = self._now.rows(kind).filter(pl.col(STAMPED[kind]) <= self._until)
        return rows.select(pl.col("studio").unique()).collect()["studio"].sort().to_list()

    def outermost_fetches(self) -> pl.DataFrame:
        """Read each studio's first and last successful fetch, of whichever customer: `schema.FETCHES`."""
        if self._now is None:
            return schema.FETCHES.to_frame()
        at = pl.col("fetched_at")
        rows = self._now.rows("fetches").filter(at <= self._until, pl.col("outcome") == "ok")
        limits = rows.group_by("studio").agg(at.min().alias("_first"), at.max().alias("_last")).collect()
        outermost = rows.join(limits.lazy(), on="studio").filter((at == pl.col("_first")) | (at == pl.col("_last")))
        one_each = outermost.collect().unique(["studio", "fetched_at"], keep="first", maintain_order=True)
        return with_types(one_each.lazy(), "fetches").collect()
