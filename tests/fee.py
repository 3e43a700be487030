"""The demo's fee for no-shows, in worlds of other seeds: read from the world itself, without a fetch."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

import bookings_analytics as ba
from bookings_analytics.demo.timetable import FEE_FROM, TIMEZONE

if TYPE_CHECKING:
    from bookings_analytics.demo import World

PLACEBO: Final = date(2025, 12, 15)  # eight weeks on both sides without a fee, a storm or new customers
PLACEBO_WEEKS: Final = 8
FEE_WEEKS: Final = 12
LATE_JOINERS: Final = "joined this quarter"  # they would change the rate by joining


class Found(NamedTuple):
    """Whether a change is found on a day: by the interval of `before_after`, by a signal of `trend` from then on."""

    interval: bool
    signal: bool


def outcomes_of(world: World) -> pl.DataFrame:
    """Make the outcomes of all seats of customers who were there from the first day, dated as they really were."""
    day = pl.col("starts_at").dt.convert_time_zone(TIMEZONE.key).dt.date()
    came = pl.when("came").then(pl.lit("attended")).otherwise(pl.lit("no_show"))
    people = world.cohorts.filter(pl.col("cohort") != LATE_JOINERS).select("customer_id")
    return (
        world.attendance.join(people, on="customer_id", how="semi")
        .join(world.timetable.select("class_slot_id", "starts_at"), on="class_slot_id")
        .select(
            *("customer_id", "class_slot_id", "class_id"),
            studio=pl.lit("demo"),
            class_day=day,
            week=day.dt.truncate("1w"),
            weekday=day.dt.strftime("%a"),
            week_complete=pl.lit(True),  # noqa: FBT003 - a literal
            outcome=pl.when("recorded").then(came).otherwise(pl.lit("unrecorded")),
        )
    )


def look_for(outcomes: pl.DataFrame, change: date, weeks: int) -> Found:
    """Look for a change on a day, with `before_after` and with `trend`, in so many weeks on both sides."""
    length = timedelta(weeks=weeks)
    [row] = ba.before_after(outcomes, "no_show_rate", change=change, weeks=weeks).to_dicts()
    inside = outcomes.filter(pl.col("class_day").is_between(change - length, change + length, closed="left"))
    signals = ba.trend(inside, "no_show_rate").filter(pl.col("week") >= change)["signal"]
    return Found(
        interval=row["difference_ci_low"] > 0 or row["difference_ci_high"] < 0,
        signal=bool((signals != "within").any()),
    )


def search(world: World) -> tuple[Found, Found]:
    """Look for a change on the day the fee began, and on one on which nothing did."""
    outcomes = outcomes_of(world)
    return look_for(outcomes, FEE_FROM, FEE_WEEKS), look_for(outcomes, PLACEBO, PLACEBO_WEEKS)
