"""The chance to get in, night by night, and the hours of the looks, against waits that are all known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics.schema import BOOKINGS, PERIOD, WAITLIST_CHANCES, WAITLIST_CONVERSION

ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2026, 3, 1)
DAYS = 50
DAY = timedelta(days=1)


def local(day: float, hour: float) -> datetime:
    time = datetime.combine(FIRST, datetime.min.time()) + timedelta(days=day, hours=hour)
    return time.replace(tzinfo=ZONE).astimezone(UTC)


def waits(late: timedelta, seed: int = 1, slots: int = 90) -> pl.DataFrame:
    """Draw waits for classes at 18:00: when each began, and when and how it ended."""
    random = np.random.default_rng(seed)
    rows = []
    for slot in range(slots):
        starts = local(slot % 30 + 2, 18)
        for customer in random.choice(40, 5, replace=False).tolist():
            begun = starts - timedelta(hours=float(random.exponential(50)) + 1)
            ends = begun + (starts - begun) * float(random.random())
            kind = str(random.choice(["BOOKED", "CANCELED", "WAITING_LIST"], p=[0.5, 0.1, 0.4]))
            rows.append((customer, slot, slot % 3, starts, begun, ends, kind, starts + timedelta(hours=1) + late))
    columns = ["customer_id", "class_slot_id", "class_id", "starts", "begun", "ends", "kind", "marked"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_row_index("booking_id")


def seen(waited: pl.DataFrame, hours: list[float]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Show what looks at these local hours saw: the history and the fetches."""
    times = [local(day, hour) for day in range(DAYS) for hour in hours]
    looks = pl.DataFrame({"observed_at": times}).join(pl.DataFrame({"customer_id": range(40)}), how="cross")
    looks = looks.with_columns(pl.col("observed_at") + pl.duration(seconds=pl.col("customer_id") * 10))
    at = pl.col("observed_at")
    every = waited.join(looks, on="customer_id").filter(at >= pl.col("begun"))
    shown = ((at - pl.col("starts")).abs() <= 14 * DAY).alias("visible")
    over = at >= pl.col("marked")
    history = every.select(
        "customer_id", "class_slot_id", "class_id", "booking_id", "observed_at", shown,
        studio=pl.lit("mitte"),
        booking_status=pl.when(at >= pl.col("ends")).then("kind").otherwise(pl.lit("WAITING_LIST")),
        class_slot_status=pl.when(over).then(pl.lit("COMPLETED")).otherwise(pl.lit("PLANNED")),
        participant_status=pl.lit("UNSET"),
    )  # fmt: skip
    booking = ["customer_id", "booking_id"]
    began = pl.col("class_slot_id").replace_strict(dict(waited.select("class_slot_id", "starts").unique().rows()))
    first_gone = history.filter(~pl.col("visible") & (at > began))
    gone = first_gone.sort("observed_at").unique(booking, keep="first", maintain_order=True)
    rows = pl.concat([history.filter("visible"), gone]).select(pl.col(name).cast(BOOKINGS[name]) for name in BOOKINGS)
    fetches = looks.select("customer_id", studio=pl.lit("mitte"), fetched_at="observed_at", outcome=pl.lit("ok"))
    return rows, fetches


def chances(waited: pl.DataFrame, hours: list[float], **options: Any) -> pl.DataFrame:
    history, fetches = seen(waited, hours)
    days = ba.class_days(history, fetches, timezone="Europe/Berlin")
    return ba.waitlist_chances(history, days, fetches=fetches, **options)


def truth(waited: pl.DataFrame, by: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """Count who waited at 04:15 so many nights before, and of these who got a seat, wait by wait."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for wait in waited.rows(named=True):
        day = wait["starts"].astimezone(ZONE).date()
        for n in range(14):
            night = local((day - FIRST).days - n, 4.25) + timedelta(seconds=10 * wait["customer_id"])
            if night < local(0, 4.25) or not wait["begun"] <= night:
                continue
            if night < wait["ends"] or wait["kind"] == "WAITING_LIST":
                counts = found.setdefault((*(wait[name] for name in by), n), [0, 0])
                counts[0] += 1
                counts[1] += wait["kind"] == "BOOKED"
    return [(*key, *counts) for key, counts in sorted(found.items())]


COUNTS = ["nights_before", "n_waits", "n_converted"]


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=6), DAY, 3 * DAY], ids=str)
@pytest.mark.parametrize("hours", [[4.25], [4.25, 12.25, 18.25]], ids=["nightly", "three looks"])
def test_the_chance_is_the_truth_whenever_classes_are_marked(late: timedelta, hours: list[float]) -> None:
    waited = waits(late)
    found = chances(waited, hours)
    assert found.schema == {**WAITLIST_CHANCES, **{name: PERIOD[name] for name in ("first_day", "last_day")}}
    assert found.select(COUNTS).rows() == truth(waited)
    assert found.height > 3
    assert found.filter((pl.col("chance") - pl.col("n_converted") / pl.col("n_waits")).abs() > 1e-9).is_empty()
    assert found.filter(~pl.col("chance").is_between("chance_ci_low", "chance_ci_high")).is_empty()


def test_groups_are_those_of_the_list_and_of_the_classes() -> None:
    waited = waits(timedelta(0))
    assert chances(waited, [4.25], by="class_id").select("class_id", *COUNTS).rows() == truth(waited, ("class_id",))
    cohorts = pl.DataFrame({"customer_id": range(20), "cohort": "new", "studio": "mitte"})
    of_cohort = truth(waited.filter(pl.col("customer_id") < 20).with_columns(cohort=pl.lit("new")), ("cohort",))
    assert chances(waited, [4.25], by="cohort", cohorts=cohorts).select("cohort", *COUNTS).rows() == of_cohort
    with pytest.raises(ValueError, match="by names 'nights_before', which every row of the result has already"):
        chances(waited, [4.25], by=["class_id", "nights_before"])


def test_looks_in_opening_hours_show_no_night() -> None:
    assert chances(waits(timedelta(0)), [12.25]).is_empty()


def test_a_lazy_history_gives_a_lazy_result() -> None:
    history, fetches = seen(waits(timedelta(0)), [4.25])
    days = ba.class_days(history, fetches, timezone="Europe/Berlin")
    found = ba.waitlist_chances(history.lazy(), days, fetches=fetches.lazy())
    assert isinstance(found, pl.LazyFrame)
    assert found.collect().equals(ba.waitlist_chances(history, days, fetches=fetches))


@pytest.mark.parametrize(
    ("hours", "per_day", "named"),
    [
        ([4.25], 1, "04"),
        ([4.25, 12.25, 18.25], 3, "04, 12, 18"),
        ([4.25, 4.75, 12.25], 2, "04, 12"),  # a second fetch within the hour is the same look
        (list(range(24)), 24, None),  # no hour has a tenth of them
    ],
)
def test_conversion_says_when_the_looks_were(hours: list[float], per_day: float, named: str | None) -> None:
    history, fetches = seen(waits(timedelta(0)), hours)
    found = ba.waitlist_conversion(ba.classify(history), fetches=fetches, timezone="Europe/Berlin")
    assert found.drop("first_day", "last_day").schema == WAITLIST_CONVERSION
    assert found.select("looks_per_day", "fetch_hours").row(0) == (per_day, named)
    unzoned = ba.waitlist_conversion(ba.classify(history), fetches=fetches)
    assert unzoned["fetch_hours"].to_list() == [None]


def test_each_studio_has_its_own_zone_and_each_group_its_own_looks() -> None:
    history, fetches = seen(waits(timedelta(0)), [4.25])
    east = pl.lit("east")
    both = pl.concat([history, history.with_columns(studio=east)])
    asked = pl.concat([fetches, fetches.with_columns(studio=east).filter(pl.col("fetched_at").dt.day() % 2 == 0)])
    zones = {"mitte": "Europe/Berlin", "east": "Asia/Tokyo"}
    found = ba.waitlist_conversion(ba.classify(both), fetches=asked, by="studio", timezone=zones)
    assert found.select("studio", "fetch_hours").rows() == [("east", "11, 12"), ("mitte", "04")]  # two with summer time
    assert found["looks_per_day"].to_list() == [1, 1]
    outcomes = ba.classify(both)
    with pytest.raises(ValueError, match="timezone= names no studio 'mitte'"):
        ba.waitlist_conversion(outcomes, fetches=asked, timezone={"east": "Asia/Tokyo"})
    with pytest.raises(ValueError, match="timezone is 'Berlin' for studio 'east', which does not exist"):
        ba.waitlist_conversion(outcomes, fetches=asked, timezone="Berlin")
    with pytest.raises(ValueError, match="pass fetches= as well"):
        ba.waitlist_conversion(outcomes, timezone="Europe/Berlin")
