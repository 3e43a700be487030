"""A studio whose every class time is known, and what looks at the API would have shown of it: no code of the package.

Everything is drawn and looked at with numpy and polars alone, as a change log: a row where what a customer's look shows
differs from their look before, and one with ``visible = false`` where a booking is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

ZONE = "Europe/Berlin"
WINDOW = timedelta(days=14)
_KEY = ["customer_id", "booking_id"]
_MARKS = ["PARTICIPATING", "NOT_PARTICIPATING", "UNSET"]
_STATE = ["booking_status", "class_slot_status", "participant_status"]


@dataclass(frozen=True)
class Watched:
    """What an archive would hold, and what was true.

    Attributes:
        history: The change log.
        fetches: Every look at every customer.
        truth: One row per slot: ``class_slot_id``, ``starts_at``, ``day`` and whether it was ``canceled``.
        bookings: One row per booking, with ``booked_at`` and ``canceled_at``.
    """

    history: pl.DataFrame
    fetches: pl.DataFrame
    truth: pl.DataFrame
    bookings: pl.DataFrame


def nightly(hour: int = 4, minute: int = 15) -> list[timedelta]:
    return [timedelta(hours=hour, minutes=minute)]


def watch(
    looks: list[timedelta],
    *,
    seed: int = 0,
    first_day: datetime = datetime(2026, 3, 9),  # noqa: DTZ001 - a local day
    days: int = 42,
    every: int = 1,
    spread: timedelta = timedelta(minutes=10),
    late: timedelta = timedelta(0),
    deleted: float = 0.0,
    failed: float = 0.0,
    failed_nights: int = 0,
    canceled: float = 0.03,
    moved: float = 0.0,
    customers: int = 120,
    per_day: int = 8,
    seats: int = 6,
) -> Watched:
    """Let a studio run, and look at it."""
    random = np.random.default_rng(seed)
    zone = ZoneInfo(ZONE)

    def at(day: int, time: timedelta) -> datetime:
        """Find the moment of a local time: what a clock on the wall shows."""
        return (first_day + timedelta(days=int(day)) + time).replace(tzinfo=zone).astimezone(UTC)

    n_slots = (days + 20) * per_day
    day = np.repeat(np.arange(-10, days + 10), per_day).tolist()
    times = [timedelta(minutes=minute) for minute in random.integers(6 * 60, 22 * 60, n_slots).tolist()]
    shift = np.where(random.random(n_slots) < moved, random.choice([-1, 1], n_slots), 0)
    noticed = random.uniform(1, 5, n_slots)  # days before the first of both times that the class is moved
    slots = pl.DataFrame(
        {
            "class_slot_id": np.arange(n_slots) + 1000,
            "class_id": np.arange(n_slots) % per_day + 1,
            "planned_at": [at(each, time) for each, time in zip(day, times, strict=True)],
            "starts_at": [at(each + by, time) for each, by, time in zip(day, shift.tolist(), times, strict=True)],
            "canceled": random.random(n_slots) < canceled,
            "notice": noticed * 86_400,
        }
    ).with_columns(
        moved_at=pl.min_horizontal("planned_at", "starts_at") - pl.duration(seconds=pl.col("notice")),
        completed_at=pl.col("starts_at") + timedelta(hours=1) + late,
    )
    n = n_slots * seats
    bookings = pl.DataFrame(
        {
            "booking_id": np.arange(n) + 1,
            "customer_id": random.integers(1, customers + 1, n),
            "class_slot_id": np.repeat(np.arange(n_slots) + 1000, seats),
            "_before": random.exponential(4 * 86_400, n) + 600,
            "_cancels": random.random(n) < 0.3,
            "_part": random.random(n),
            "_goes": random.random(n) < deleted,
            "_gone": random.random(n),
            "participant_status": random.choice(
                ["PARTICIPATING", "NOT_PARTICIPATING", "UNSET"], n, p=[0.75, 0.1, 0.15]
            ),
        }
    ).unique(["customer_id", "class_slot_id"], keep="first", maintain_order=True)
    first_of_both = pl.min_horizontal("planned_at", "starts_at")
    bookings = (
        bookings.join(slots, on="class_slot_id")
        .with_columns(
            booked_at=first_of_both - pl.duration(seconds=pl.col("_before")),
        )
        .with_columns(
            canceled_at=pl.when("_cancels").then(
                pl.col("booked_at") + pl.duration(seconds=pl.col("_part") * pl.col("_before"))
            ),
            deleted_at=pl.when("_goes").then(
                pl.col("booked_at") + pl.duration(seconds=pl.col("_gone") * (pl.col("_before") + 14 * 86_400))
            ),
        )
    )
    rounds = [(each, time) for each in range(0, days, every) for time in looks]
    begun = [at(each, time) for each, time in rounds for _ in range(customers)]
    offsets = random.uniform(0, spread.total_seconds(), len(begun))
    lost = random.choice(days, failed_nights, replace=False)
    nights = np.repeat([each for each, _ in rounds], customers)
    fetches = pl.DataFrame(
        {
            "studio": "s",
            "customer_id": np.tile(np.arange(1, customers + 1), len(rounds)),
            "fetched_at": [time + timedelta(seconds=int(later)) for time, later in zip(begun, offsets, strict=True)],
            "outcome": np.where((random.random(len(begun)) < failed) | np.isin(nights, lost), "failed", "ok"),
        }
    )
    return Watched(_seen(bookings, fetches), fetches, _truth(slots), bookings)


def _truth(slots: pl.DataFrame) -> pl.DataFrame:
    return slots.select(
        "class_slot_id", "starts_at", "canceled", day=pl.col("starts_at").dt.convert_time_zone(ZONE).dt.date()
    )


def _seen(bookings: pl.DataFrame, fetches: pl.DataFrame) -> pl.DataFrame:
    """Show every look what the API would have shown, and keep what changed."""
    now = pl.col("fetched_at")
    starts = pl.when(now >= pl.col("moved_at")).then("starts_at").otherwise("planned_at")
    shown = (
        (now >= pl.col("booked_at"))
        & ((now < pl.col("deleted_at")) | pl.col("deleted_at").is_null())
        & ((starts - now).abs() <= WINDOW)
    )
    completed = now >= pl.col("completed_at")
    canceled_slot = pl.col("canceled") & (now >= pl.col("starts_at") - timedelta(days=2))
    looks = fetches.filter(outcome="ok").select("customer_id", "fetched_at").sort("customer_id", "fetched_at")
    looks = looks.with_columns(n=pl.int_range(pl.len()).over("customer_id"))
    seen = (
        bookings.join(looks, on="customer_id")
        .filter(shown)
        .select(
            *_KEY, "class_slot_id", "class_id", "n", observed_at="fetched_at",
            booking_status=pl.when(pl.col("canceled_at") <= now).then(pl.lit("CANCELED")).otherwise(pl.lit("BOOKED")),
            class_slot_status=pl.when(canceled_slot)
            .then(pl.lit("CANCELED"))
            .when(completed)
            .then(pl.lit("COMPLETED"))
            .otherwise(pl.lit("PLANNED")),
            participant_status=pl.when(completed).then("participant_status").otherwise(pl.lit("UNSET")),
        )
        .sort(*_KEY, "n")
    )  # fmt: skip
    before = pl.struct(*_STATE).shift(1).over(_KEY)
    changed = seen.filter(
        (before != pl.struct(*_STATE)) | before.is_null() | (pl.col("n") - pl.col("n").shift(1).over(_KEY) > 1)
    )
    following = seen.with_columns(_then=pl.col("n").shift(-1).over(_KEY)).filter(
        pl.col("_then").is_null() | (pl.col("_then") > pl.col("n") + 1)
    )
    gone = (
        following.with_columns(n=pl.col("n") + 1)
        .join(looks, on=["customer_id", "n"])
        .with_columns(observed_at="fetched_at")
        .select(seen.columns)
    )
    log = pl.concat([changed.with_columns(visible=True), gone.with_columns(visible=False)])
    return log.with_columns(studio=pl.lit("s")).drop("n").sort(*_KEY, "observed_at")
