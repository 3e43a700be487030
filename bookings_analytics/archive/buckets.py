"""Rewriting an archive's buckets: the latest tables of those that adds touched, and all rows when the width changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from arro3.core import RecordBatchReader, Table
from deltalake import write_deltalake

from bookings_analytics.archive.layout import (
    ADD_NUMBER,
    PARTITIONS,
    STAMPED,
    WRITER,
    bucket_of,
    fitting_width,
    last_fetches,
    last_seen,
    stacked,
)
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from bookings_analytics.archive.snapshot import Snapshot

_ROWS_AT_ONCE: Final = 2_000_000  # in memory, when all are moved


def renew(now: Snapshot, until: datetime) -> None:
    """Rewrite the latest tables of the buckets that adds have touched, so that they know every add so far.

    Args:
        now: The table.
        until: Rows stamped later are ahead of the clock: they are kept beside the latest ones before them.

    Raises:
        DeltaError: Another writer committed something that this does not know of.
    """
    buckets = now.later_buckets()
    if not buckets:
        return
    predicate = "table IN ('latest_observations', 'latest_fetches')"
    if now.has_buckets:
        predicate += f" AND bucket IN ({', '.join(map(str, buckets))})"
    write_deltalake(
        now.delta,
        _reader(now.stacked(), (_latest(now, bucket, until) for bucket in buckets)),
        mode="overwrite",
        predicate=predicate,
        writer_properties=WRITER,
        commit_properties=now.as_renewal(),
    )


def fit(now: Snapshot) -> bool:
    """Move all rows to buckets of a fitting width, and return whether that was needed.

    Raises:
        DeltaError: Another writer committed something that this does not know of.
    """
    ids = now.customer_ids()
    width = fitting_width(now.width, ids, now.latest_rows())
    if width is None or width == now.width:
        return False
    write_deltalake(
        now.delta,
        _reader(stacked(width), _moved(now, ids, width)),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=list(PARTITIONS),
        writer_properties=WRITER,
        commit_properties=now.as_rewriting(width),
    )
    return True


def _reader(empty: pl.DataFrame, frames: Iterable[pl.DataFrame]) -> RecordBatchReader:
    """Read frames one after the other, each made when it is its turn."""
    batches = (batch for frame in frames for batch in Table.from_arrow(frame).to_batches())
    return RecordBatchReader.from_batches(Table.from_arrow(empty).schema, batches)


def _latest(now: Snapshot, bucket: int, until: datetime) -> pl.DataFrame:
    """Return the rows of the latest tables for one bucket."""
    observations, fetches = now.latest("observations", buckets=[bucket]), now.latest("fetches", buckets=[bucket])
    seen_ahead, fetched_ahead = pl.col("observed_at") > until, pl.col("fetched_at") > until
    past = fetches.filter(~fetched_ahead)
    latest_fetches = [last_fetches(past), last_fetches(past.filter(outcome="ok")), fetches.filter(fetched_ahead)]
    latest_observations = [last_seen(observations.filter(~seen_ahead)), observations.filter(seen_ahead)]
    return now.stacked(
        latest_observations=pl.concat(latest_observations).sort(*BOOKING_KEY, "observed_at").collect(),
        latest_fetches=pl.concat(latest_fetches).unique().sort(*CUSTOMER_KEY, "fetched_at").collect(),
    )


def _moved(now: Snapshot, ids: pl.Series, width: int) -> Iterator[pl.DataFrame]:
    """Yield all rows of all tables in their new buckets, a number of them at once."""
    buckets = ids.to_frame("customer_id").select(bucket_of(width).alias("bucket").unique().sort())["bucket"]
    n_rows = now.n_rows()
    at_once = max(1, len(buckets) * _ROWS_AT_ONCE // max(1, n_rows))
    for part in buckets.to_frame().iter_slices(at_once):
        first, last = part["bucket"][0] * width, (part["bucket"][-1] + 1) * width
        old = now.buckets_between(first, last)
        chosen = pl.col("customer_id").is_between(first, last, closed="left")
        for kind, stamp in STAMPED.items():
            for name, rows in ((kind, now.rows(kind, buckets=old)), (f"latest_{kind}", now.renewed(kind, buckets=old))):
                order = [ADD_NUMBER, stamp, *CUSTOMER_KEY] if name == kind else [*CUSTOMER_KEY, stamp]
                yield stacked(width, **{name: rows.filter(chosen).sort(order).collect()})
