"""How full classes were, and what share of their participants is on a list of customers.

Both are counts of all there was, not of a sample, so neither has an interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import aggregate, in_polars, lazy
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.hours import CLOSES, opening_hours
from bookings_analytics.schema import CLASS_FILL, HELD, SLOT_KEY, WEEKDAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_CALENDAR: Final = ("class_day", "week", "weekday", "month", "hour")
_NEEDED: Final = (
    *("studio", "class_id", "class_slot_id", "starts_at", "observed_at"),
    *("max_participants", "booked_participants", "additional_participants"),
)
_OWN: Final = ("studio", "class_id", "class_slot_id")


def class_fill(
    slots: IntoFrame,
    outcomes: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    timezone: str | Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Compute the fill rate of classes, and the share of their participants who are customers of the outcomes.

    Counted are class slots that were last looked at when they had begun, and whose places the API tells: earlier looks
    show a class that still fills. Customers who are not on any list count in ``filled_share`` as well, since the studio
    itself counts them.

    Args:
        slots: What `archive.slots()` returns: SLOTS of `bookings_analytics.schema`; with ``class_title``, rates by
            ``class_id`` carry it.
        outcomes: What became of the places that the list's customers asked for; None: ``listed_share`` is null.
        by: Column or columns to group by: ``studio``, ``class_id``, ``class_slot_id``, or with a time zone
            ``class_day``, ``week``, ``weekday``, ``month`` and ``hour``; None: one row for all.
        timezone: The studio's time zone, such as "Europe/Berlin", or ``{studio: zone}``; None: no local times.

    Returns:
        One row per group: its columns, then CLASS_FILL of `bookings_analytics.schema`, in polars, sorted by group; with
        a time zone also PERIOD, the days of the slots that are counted, and TITLES where they are known.
        ``filled_share`` is n_taken / n_places, n_taken = booked and additional participants: above 1 where a class is
        overbooked. ``listed_share`` is n_listed / n_booked, n_listed = seats of the outcomes' customers in these
        slots (attended, no-show or not recorded).

    Raises:
        ValueError: A column is missing, ``by`` names none of these columns, or a local one without time zone, or a
            studio has no time zone.

    Example:
        >>> from datetime import datetime, timezone
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> starts = datetime(2026, 5, 4, 16, tzinfo=timezone.utc)
        >>> slots = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "class_id": [1, 1],
        ...     "class_slot_id": [10, 11],
        ...     "starts_at": starts,
        ...     "max_participants": 20,
        ...     "booked_participants": [18, 10],
        ...     "additional_participants": [2, 0],
        ...     "observed_at": starts.replace(hour=23),
        ... })
        >>> ba.class_fill(slots, by="hour", timezone="Europe/Berlin").select("hour", "n_places", "filled_share").row(0)
        (18, 40, 0.75)
    """
    columns = (by,) if isinstance(by, str) else tuple(dict.fromkeys(by or ()))
    there = _checked(slots, _NEEDED, "the slots")
    shown = in_polars(there.select(*_NEEDED, *(set(there.collect_schema().names()) & {"class_title"})))
    if wrong := [name for name in columns if name not in (*_OWN, *_CALENDAR)]:
        raise ValueError(f"by names {wrong[0]!r}. To choose from: {', '.join((*_OWN, *_CALENDAR))}.")
    if timezone is None and (local := [name for name in columns if name in _CALENDAR]):
        raise ValueError(f"by names {local[0]!r}, which is local time: pass timezone= as well.")
    if timezone is not None:
        shown = _with_calendar(shown, timezone)
    final = pl.col("observed_at") >= pl.col("starts_at")
    told = pl.col("max_participants").is_not_null() & pl.col("booked_participants").is_not_null()
    counted = shown.join(_listed(outcomes), on=SLOT_KEY, how="left").with_columns(
        _counts=(final & told).fill_null(value=False),
        _listed=pl.lit(None, pl.Int64) if outcomes is None else pl.col("_listed").fill_null(0),
    )
    _, groups = read_groups(counted.lazy(), None, columns, result=CLASS_FILL, counting=nw.col("_counts"))
    result: pl.LazyFrame = groups.result(lazy(_rates(counted, columns)), CLASS_FILL).to_native()
    return result.collect()


def _checked(frame: IntoFrame, columns: Sequence[str], what: str) -> nw.LazyFrame[Any]:
    there = lazy(frame)
    names = there.collect_schema().names()
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"{what} lack {', '.join(missing)}; their columns are {', '.join(names)}.")
    return there


def _with_calendar(shown: pl.DataFrame, timezone: str | Mapping[str, str]) -> pl.DataFrame:
    """Add the local day, week, weekday, month and hour of each slot's start."""
    zones = opening_hours(shown["studio"].unique().sort(), timezone, "00:00", CLOSES)
    starts = pl.col("starts_at")
    local = pl.coalesce(
        pl.lit(None, pl.Datetime("us")),
        *(pl.when(studio=name).then(each.local(starts)) for name, each in zones.items()),
    )
    names = dict(enumerate(WEEKDAY.categories))
    return shown.with_columns(_local=local).with_columns(
        class_day=pl.col("_local").dt.date(),
        week=pl.col("_local").dt.date().dt.truncate("1w"),
        weekday=(pl.col("_local").dt.weekday() - 1).replace_strict(names, default=None, return_dtype=WEEKDAY),
        month=pl.col("_local").dt.date().dt.truncate("1mo"),
        hour=pl.col("_local").dt.hour().cast(pl.Int64),
    )


def _listed(outcomes: IntoFrame | None) -> pl.DataFrame:
    """Count the seats held in each slot by customers of the outcomes, on whatever engine these are."""
    if outcomes is None:
        return pl.DataFrame(schema={"studio": pl.String, "class_slot_id": pl.Int64, "_listed": pl.Int64})
    held = _checked(outcomes, [*SLOT_KEY, "outcome"], "the outcomes").filter(nw.col("outcome").is_in(HELD))
    return in_polars(aggregate(held, SLOT_KEY, {"_listed": nw.len()}))


def _rates(slots: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    counts = pl.col("_counts")
    taken = pl.col("booked_participants") + pl.col("additional_participants").fill_null(0)
    listed = pl.col("_listed").filter(counts)
    sums = {
        "n_slots": counts.sum(),
        "n_slots_left_out": (~counts).sum(),
        "n_places": pl.col("max_participants").filter(counts).sum(),
        "n_taken": taken.filter(counts).sum(),
        "n_booked": pl.col("booked_participants").filter(counts).sum(),
        "n_listed": pl.when(listed.null_count() == 0).then(listed.sum()),
    }
    totals = slots.group_by(by).agg(**sums) if by else slots.select(**sums)
    return totals.with_columns(
        filled_share=pl.when(pl.col("n_places") > 0).then(pl.col("n_taken") / pl.col("n_places")),
        listed_share=pl.when(pl.col("n_booked") > 0).then(pl.col("n_listed") / pl.col("n_booked")),
    ).select(*by, *(pl.col(name).cast(kind) for name, kind in CLASS_FILL.items()))
