"""The demo data, made again: ``python -m bookings_analytics.cli.demo_data``, and what and where (`main`).

What a fetch over HTTP would bring is read from the world directly: a test shows that both are the same.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import Archive, FetchResult, schema
from bookings_analytics.demo.refusals import Refusal
from bookings_analytics.demo.timetable import TIMEZONE, local
from bookings_analytics.demo.world import World, make_world
from bookings_analytics.fetch.retry import MAX_ATTEMPTS
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

STUDIO: Final = "demo"
LATE_STUDIO: Final = "late"
LATE_SEED: Final = 15

WEEKS: Final = 30
LATE_WEEKS: Final = 12
LAST_NIGHT: Final = date(2026, 6, 17)

_LATE_LISTED: Final = 2  # every second customer is on the list of the late studio
_OUTCOMES: Final = {403: "access_disabled", 404: "not_found", 503: "failed"}


def nights(weeks: int) -> list[datetime]:
    """Return the times of nightly looks: 04:15 at the studio, up to `LAST_NIGHT`.

    Every class has ended by midnight and none begins before 06:30, so that a look at this hour lies between two days
    of classes, in summer and in winter.

    Args:
        weeks: Weeks that the looks last.
    """
    days = (LAST_NIGHT - timedelta(days=days_ago) for days_ago in reversed(range(7 * weeks)))
    return [local(day, 4, 15) for day in days]


def late_cohorts() -> pl.DataFrame:
    """Return the list of the studio that marks everything late: columns as in `World.cohorts`."""
    return late_world().cohorts.gather_every(_LATE_LISTED)


def late_world() -> World:
    """Return what happens at the studio that marks everything late."""
    return make_world(LATE_SEED, bookkeeping="late")


def look(world: World, cohorts: pl.DataFrame, at: datetime, studio: str) -> FetchResult:
    """Return what a fetch of a list would bring, each customer at the same time.

    Args:
        world: What happens at the studio.
        cohorts: The list; those who have not joined yet are left out, as from an analyst's list.
        at: The time of the fetch.
        studio: The studio's name.
    """
    listed = cohorts.join(world.members(at), on="customer_id", how="semi", maintain_order="left")
    fetches: list[tuple[object, ...]] = []
    bookings: list[tuple[object, ...]] = []
    for customer_id in sorted(listed["customer_id"]):
        answer = world.answer(customer_id, at)
        if isinstance(answer, Refusal):
            attempts = 2 * MAX_ATTEMPTS if answer.status >= 500 else 1  # noqa: PLR2004 - asked once more at the end
            error = (answer.status, answer.error_code, answer.message, answer.trace_id, attempts)
            fetches.append((studio, customer_id, at, _OUTCOMES[answer.status], None, *error))
            continue
        fetches.append((studio, customer_id, at, "ok", len(answer), 200, None, None, None, 1))
        bookings += [
            (
                *(studio, customer_id, shown.class_slot_id, shown.class_id, shown.booking_id),
                *(shown.booking_status, shown.class_slot_status, shown.participant_status, at, True),
            )
            for shown in answer
        ]
    fetched = pl.DataFrame(fetches, schema=schema.FETCHES, orient="row")
    return FetchResult(
        bookings=pl.DataFrame(bookings, schema=schema.BOOKINGS, orient="row").sort(*CUSTOMER_KEY, "booking_id"),
        fetches=fetched,
        cohorts=listed.with_columns(studio=pl.lit(studio)).join(
            fetched.select(*CUSTOMER_KEY, fetch_outcome="outcome"), on=CUSTOMER_KEY, maintain_order="left"
        ),
    )


def fill(archive: Archive, world: World, cohorts: pl.DataFrame, times: Iterable[datetime], studio: str) -> None:
    """Add looks to an archive, and compact it.

    Args:
        archive: Where to keep them.
        world: What happens at the studio.
        cohorts: The list of customers.
        times: When to look.
        studio: The studio's name.
    """
    for at in times:
        archive.add(look(world, cohorts, at, studio))
    archive.compact()
    archive.forget([1])  # nobody's id: it removes at once what compacting keeps for another day


def chances(world: World, times: Iterable[datetime]) -> pl.DataFrame:
    """Return what really became of the waits that were in progress at nightly looks: the truth of `waitlist_chances`.

    Args:
        world: What happens at the studio.
        times: When to look.

    Returns:
        ``nights_before``, how many nights before the night to the class day; ``n_waits``; ``true_chance``, the share
        of these waits that ended with a seat. Classes that were canceled are left out.
    """
    began = {slot.class_slot_id: slot.starts_at for slot in world.slots}
    looks = pl.DataFrame({"look": list(times)}, {"look": schema.TIMESTAMP})
    class_day, night = (
        moment.dt.convert_time_zone(TIMEZONE.key).dt.date()
        for moment in (pl.col("class_slot_id").replace_strict(began, return_dtype=schema.TIMESTAMP), pl.col("look"))
    )
    return (
        world.waits.filter(pl.col("wait_outcome") != "slot_canceled")
        .join_where(looks, pl.col("started_at") <= pl.col("look"), pl.col("ended_at") > pl.col("look"))
        .group_by(nights_before=(class_day - night).dt.total_days())
        .agg(n_waits=pl.len(), true_chance=(pl.col("wait_outcome") == "converted").mean().round(3))
        .sort("nights_before")
    )


def main(what: str, where: str) -> None:
    """Write one of the demo data sets.

    Args:
        what: ``cohorts``, ``archive``, ``chances``, the truth of the archive's waits, or ``late`` for the list and the
            archive of the late studio.
        where: The csv, or the directory.
    """
    match what:
        case "cohorts":
            make_world().cohorts.write_csv(where)
        case "archive":
            fill(Archive(where), make_world(), make_world().cohorts, nights(WEEKS), STUDIO)
        case "chances":
            chances(make_world(), nights(WEEKS)).write_csv(where)
        case "late":
            Path(where).mkdir(parents=True, exist_ok=True)
            late_cohorts().write_csv(Path(where, "cohorts.csv"))
            fill(Archive(Path(where, "archive")), late_world(), late_cohorts(), nights(LATE_WEEKS), LATE_STUDIO)
        case _:
            sys.exit(f"{what!r} is not a demo data set. Choose cohorts, archive, chances or late.")


if __name__ == "__main__":
    main(*sys.argv[1:])
