"""Known times of classes against what the fetches say of them: each source proves the other."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.metrics.sightings import eager
from bookings_analytics.schema import CLASS_DAYS, SLOT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.hours import Hours

_AGREE: Final = 0.99  # of the known times lie where the fetches say, unless something is wrong


def with_known(dated: pl.DataFrame, known: IntoFrame, hours: Mapping[str, Hours]) -> pl.DataFrame:
    """Replace what the fetches say by known times, and print how many of these it confirms.

    Args:
        dated: What the fetches say, `schema.CLASS_DAYS`, with ``shown_from``, where the last sighting's window begins.
        known: Times from elsewhere: ``studio``, ``class_slot_id`` and ``starts_at``; null: not known.
        hours: Each studio's time zone and hours.

    Raises:
        ValueError: A column is missing, or the times have no time zone.
    """
    known = eager(known, [*SLOT_KEY, "starts_at"])
    kind = known.schema["starts_at"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise ValueError(f"known: starts_at is of type {kind}: give it times with a time zone.")
    times = known.drop_nulls().unique(SLOT_KEY, keep="last", maintain_order=True)
    both = dated.join(
        times.with_columns(pl.col("starts_at").dt.convert_time_zone("UTC").dt.cast_time_unit("us")),
        on=SLOT_KEY,
        how="left",
        maintain_order="left",
    )
    at = pl.col("starts_at")
    _compare(both.filter(at.is_not_null()))
    local = pl.coalesce(
        pl.lit(None, pl.Date),
        *(pl.when(studio=name).then(at.dt.convert_time_zone(each.timezone).dt.date()) for name, each in hours.items()),
    )
    given = at.is_not_null()
    return both.with_columns(
        **{name: pl.when(given).then(at).otherwise(name) for name in ("starts_after", "starts_before")},
        **{name: pl.when(given).then(local).otherwise(name) for name in ("first_day", "last_day", "class_day")},
        dated_by=pl.when(given).then(pl.lit("known", CLASS_DAYS["dated_by"])).otherwise("dated_by"),
        left_window=given | pl.col("left_window"),
        closed_after_h=pl.when(~given).then("closed_after_h"),
    ).drop("starts_at", "shown_from")


def _compare(slots: pl.DataFrame) -> None:
    """Print the share of known times that lie inside the fetches' brackets; a small one is a warning."""
    at = pl.col("starts_at")
    compared = slots.filter(pl.col("shown_from").is_not_null() | pl.col("starts_before").is_not_null())
    # Not starts_after, which a class still PLANNED an hour after its start moves: its day is right, its hour is not.
    outside = compared.filter((at < pl.col("shown_from")) | (at >= pl.col("starts_before")))
    if compared.is_empty():
        return
    inside = compared.height - outside.height
    print(  # noqa: T201 - for the analyst, as the counts of a fetch are
        f"Known times: {inside:,} of {compared.height:,} ({inside / compared.height:.1%}) inside what the fetches say."
    )
    if inside < _AGREE * compared.height:
        warn(outside, "have a known time that the fetches exclude; the known time was taken")


def warn(slots: pl.DataFrame, what: str) -> None:
    """Warn of class slots, if there are any.

    Args:
        slots: The slots.
        what: What is wrong with them, to follow their number.
    """
    if slots.height:
        first = slots.sort(SLOT_KEY).row(0, named=True)
        warnings.warn(
            f"{slots.height} class slots {what}: slot {first['class_slot_id']} of studio {first['studio']}, say. "
            "Check timezone, opens and closes, and whether classes were moved.",
            stacklevel=4,
        )
