"""Who saw a booking when: sightings, and the looks around them.

A *look* is a successful fetch of a customer. A row of the change log is a sighting that holds until the customer's last
look before the booking's next row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.metrics.engines import lazy
from bookings_analytics.schema import BOOKINGS, CUSTOMER_KEY, FETCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame


def looks_of(fetches: IntoFrame) -> pl.DataFrame:
    """Select the successful fetches, each customer's once, sorted by ``fetched_at``."""
    return (
        eager(fetches, [*CUSTOMER_KEY, "outcome", "fetched_at"])
        .filter(pl.col("outcome").cast(pl.String) == "ok")
        .select(*CUSTOMER_KEY, "fetched_at")
        .unique()
        .sort("fetched_at")
    )


def sightings(rows: pl.DataFrame, looks: pl.DataFrame) -> pl.DataFrame:
    """Find until when each visible row of a change log holds.

    Args:
        rows: Observations.
        looks: Each customer's successful fetches, sorted by ``fetched_at``.

    Returns:
        The visible rows with ``holds_until``: the last successful fetch of the customer before the booking's next row,
        or of all if there is none.
    """
    key = [*CUSTOMER_KEY, "booking_id"]
    following = pl.col("observed_at").shift(-1).over(key, order_by="observed_at")
    last = looks.group_by(CUSTOMER_KEY).agg(_last=pl.max("fetched_at"))
    seen = rows.with_columns(_next=following).filter("visible").sort("_next", nulls_last=True)
    until = pl.when(pl.col("_next").is_null()).then("_last").otherwise("_before")
    return (
        look_beside(seen, looks, "_next", "_before", strategy="backward")
        .join(last, on=CUSTOMER_KEY, how="left")
        .with_columns(holds_until=pl.max_horizontal(until, "observed_at"))
        .drop("_next", "_before", "_last")
    )


def look_beside(frame: pl.DataFrame, looks: pl.DataFrame, time: str, name: str, *, strategy: str) -> pl.DataFrame:
    """Join the customer's nearest successful fetch strictly before or after a time, null where there is none."""
    timed = frame.filter(pl.col(time).is_not_null()).sort(time)
    beside = timed.join_asof(
        looks.rename({"fetched_at": name}),
        left_on=time,
        right_on=name,
        by=CUSTOMER_KEY,
        strategy="backward" if strategy == "backward" else "forward",
        allow_exact_matches=False,
        coalesce=False,
        check_sortedness=False,
    )
    return pl.concat([beside, frame.filter(pl.col(time).is_null())], how="diagonal")


def eager(frame: IntoFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Collect columns of a frame to polars, in the types of the schema, statuses as text.

    Args:
        frame: Any frame.
        columns: The columns.

    Raises:
        ValueError: It lacks one of them.
    """
    there = lazy(frame)
    names = there.collect_schema().names()
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"a frame lacks {', '.join(missing)}; it has {', '.join(names)}.")
    collected: pl.DataFrame = there.select(*columns).collect("polars").to_native()
    kinds = {
        name: kind
        for name, kind in {**FETCHES, **BOOKINGS}.items()
        if name in columns and kind != collected[name].dtype
    }
    return collected.cast({name: pl.String() if isinstance(kind, pl.Enum) else kind for name, kind in kinds.items()})
