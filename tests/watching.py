"""The demo studio watched from time to time: what fetches see of its waits, and what really became of them.

`snapshots` reads the world directly, as fast as many seeds need; `test_truth.py` shows that fetching over HTTP into an
archive gives the same outcomes. The worlds' office is tidy: every class is marked as completed when it ends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

import bookings_analytics as ba
from bookings_analytics import demo, schema
from bookings_analytics.schema import API_WINDOW

if TYPE_CHECKING:
    from datetime import datetime

    from bookings_analytics.demo import World

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
PLACE = ["customer_id", "class_slot_id"]
NIGHT = demo.NOW.replace(hour=2, minute=15)  # a nightly look: 04:15 at the studio
ENDED = ["converted", "lapsed", "withdrawn"]  # the outcomes that a conversion rate is of


def fetch_times(every: timedelta, *, span: timedelta = 8 * WEEK) -> list[datetime]:
    return [NIGHT - n * every for n in reversed(range(span // every))]


def in_progress(world: World, times: list[datetime]) -> pl.DataFrame:
    """Select the waits that were in progress at a fetch, of customers who can be read: the first of each place.

    `world.waits`, and `first_fetch`, the first time at which one saw it.
    """
    readable = [customer_id for customer_id, person in world.people.items() if person.access == "open"]
    return (
        world.waits.filter(pl.col("customer_id").is_in(readable))
        .join_where(
            _frame(times, "first_fetch"),
            pl.col("started_at") <= pl.col("first_fetch"),
            pl.col("ended_at") > pl.col("first_fetch"),
        )
        .sort("first_fetch", "started_at")
        .unique(PLACE, keep="first", maintain_order=True)
    )


def truth(world: World, times: list[datetime]) -> pl.DataFrame:
    """Find what became of each wait in progress at a fetch: PLACE and

    `outcome`: what `domain.md` calls it, where a seat counts as got if it was held at any later fetch; `got`, `kept`:
    whether there was a seat at all, however short, and whether there was one in the end (or they were let in).
    """
    statuses = world.changes.sort("changed_at").with_columns(
        until=pl.col("changed_at").shift(-1, fill_value=demo.NOW + 4 * WEEK).over("booking_id")
    )
    seats = statuses.filter(pl.col("booking_status").is_in(schema.SEAT_STATUSES)).join_where(
        _frame(times, "fetch"), pl.col("changed_at") <= pl.col("fetch"), pl.col("until") > pl.col("fetch")
    )
    last = statuses.group_by("booking_id", maintain_order=True).last().group_by(PLACE)
    places = (
        in_progress(world, times)
        .join(seats.group_by(PLACE).agg(pl.max("fetch")), on=PLACE, how="left")
        .join(last.agg(finally_=pl.col("booking_status").cast(pl.String)), on=PLACE)
        .join(world.attendance.filter("came", "recorded").select(*PLACE, came=True), on=PLACE, how="left")
    )
    holds_seat = pl.col("finally_").list.set_intersection(list(schema.SEAT_STATUSES)).list.len() > 0
    waits = pl.col("finally_").list.contains("WAITING_LIST")
    outcome = (
        pl.when(pl.col("closed_at") > times[-1])
        .then(pl.lit("pending"))
        .when(pl.col("wait_outcome") == "slot_canceled")
        .then(pl.lit("slot_canceled"))
        .when((pl.col("fetch") > pl.col("first_fetch")) | pl.col("came"))
        .then(pl.lit("converted"))
        .when(waits)
        .then(pl.lit("lapsed"))
        .otherwise(pl.lit("withdrawn"))
    )
    return places.select(
        *PLACE,
        outcome=outcome,
        got=pl.col("wait_outcome") == "converted",
        kept=holds_seat | pl.col("came").fill_null(value=False),
    ).sort(PLACE)


def snapshots(world: World, times: list[datetime], late: timedelta = timedelta()) -> pl.DataFrame:
    """Compute what fetching everybody at those times would, as far as it is of places that somebody waited for.

    `late`: how long after its end a class is marked as completed.
    """
    slots = pl.DataFrame(
        [(slot.class_slot_id, slot.starts_at, slot.ends_at, slot.canceled_at) for slot in world.slots],
        schema={"class_slot_id": pl.Int64, **dict.fromkeys(("starts_at", "ends_at", "canceled_at"), schema.TIMESTAMP)},
        orient="row",
    )
    readable = [customer_id for customer_id, person in world.people.items() if person.access == "open"]
    came = pl.when("came").then(pl.lit("PARTICIPATING")).otherwise(pl.lit("NOT_PARTICIPATING"))
    at = pl.col("observed_at")
    slot_status = (
        pl.when(pl.col("canceled_at") <= at)
        .then(pl.lit("CANCELED"))
        .when(pl.col("ends_at") + late <= at)
        .then(pl.lit("COMPLETED"))
        .otherwise(pl.lit("PLANNED"))
    )
    return (
        world.changes.filter(pl.col("customer_id").is_in(readable))
        .join(world.waits, on=PLACE, how="semi")
        .join(slots, on="class_slot_id")
        .join_where(
            _frame(times, "observed_at"),
            pl.col("changed_at") <= at,
            pl.col("starts_at") >= at - API_WINDOW,
            pl.col("ends_at") <= at + API_WINDOW,
        )
        .sort("changed_at")
        .unique(["booking_id", "observed_at"], keep="last", maintain_order=True)
        .join(world.attendance.filter("recorded").select("booking_id", noted=came), on="booking_id", how="left")
        .with_columns(studio=pl.lit("demo"), class_slot_status=slot_status, visible=True)
        .with_columns(
            participant_status=pl.when(class_slot_status="COMPLETED").then("noted").fill_null(pl.lit("UNSET"))
        )
        .select(schema.BOOKINGS.names())
        .cast(schema.BOOKINGS)
    )


def log(world: World, times: list[datetime], late: timedelta = timedelta()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compute what an archive of those fetches holds of such places: its history and its fetches.

    The history has every row of every snapshot, and one more at the fetch that missed a booking.
    """
    shown = snapshots(world, times, late)
    following = pl.DataFrame({"observed_at": times[:-1], "next": times[1:]}).cast(schema.TIMESTAMP)
    gone = (
        shown.sort("observed_at")
        .unique("booking_id", keep="last", maintain_order=True)
        .join(following, on="observed_at")
        .with_columns(observed_at="next", visible=pl.lit(False))  # noqa: FBT003 - a literal
        .select(shown.columns)
    )
    readable = pl.DataFrame({"customer_id": [who for who, person in world.people.items() if person.access == "open"]})
    fetches = readable.join(_frame(times, "fetched_at"), how="cross")
    return pl.concat([shown, gone]), fetches.with_columns(studio=pl.lit("demo"), outcome=pl.lit("ok"))


def naive(history: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Count every booking ever seen waiting, also if first seen after the class: what `classify` does not do."""
    places = ["studio", *PLACE]
    outcome = pl.when(outcome="attended").then(pl.lit("converted")).otherwise(pl.lit("lapsed"))
    return (
        outcomes.filter(class_slot_status="COMPLETED")
        .join(history.filter(booking_status="WAITING_LIST"), on=places, how="semi")
        .with_columns(pl.coalesce("wait_outcome", outcome.cast(schema.WAIT_OUTCOME)))
    )


def watch(world: World, every: timedelta) -> list[dict[str, Any]]:
    """Follow a world for eight weeks: its rate and the naive one with their intervals, and the numbers of the truth."""
    times = fetch_times(every)
    history = snapshots(world, times)
    outcomes = ba.classify(history)
    true = truth(world, times).filter(pl.col("outcome").is_in(ENDED))
    ended = world.waits.filter(
        pl.col("wait_outcome").is_in(ENDED), pl.col("closed_at").is_between(times[0], times[-1])
    ).unique(PLACE)
    seen = true.select(
        n=pl.len(), n_seat=(pl.col("outcome") == "converted").sum(), n_got=pl.sum("got"), n_kept=pl.sum("kept")
    )
    every_wait = {"n_all": ended.height, "n_all_got": ended.filter(wait_outcome="converted").height}
    return [
        ba.waitlist_conversion(frame).row(0, named=True) | seen.row(0, named=True) | every_wait | {"rate": rate}
        for rate, frame in (("conversion_rate", outcomes), ("naive", naive(history, outcomes)))
    ]


def _frame(times: list[datetime], name: str) -> pl.DataFrame:
    return pl.DataFrame({name: times}, schema={name: schema.TIMESTAMP})
