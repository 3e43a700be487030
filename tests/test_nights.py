"""Which night was the last in which everybody was fetched, and until when the next fetch loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from snapshots import Answer, result

from bookings_analytics.archive import Archive
from bookings_analytics.cli.nights import night_lines
from bookings_analytics.studios import ClassHours

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ClassHours("Europe/Berlin", "05:00", "24:00")
EVERYBODY = (1, 2, 3)


def night(day: int, hour: float = 2.25) -> datetime:
    """A time of May 2026, in UTC; 02:15 is 04:15 in Berlin."""
    return datetime(2026, 5, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def keep(archive: Archive, time: datetime, answers: dict[int, Answer], studio: str = "mitte") -> None:
    archive.add(result(time, answers, studio=studio))


def read(*customers: int) -> dict[int, Answer]:
    return {each: {} for each in customers or EVERYBODY}


def listed(*customers: int, studio: str = "mitte") -> pl.DataFrame:
    return pl.DataFrame({"customer_id": customers or EVERYBODY, "studio": studio})


def lines(archive: Archive, expected: pl.DataFrame | None = None, hours: ClassHours = BERLIN) -> list[str]:
    return list(night_lines(archive, hours, expected))


@pytest.mark.parametrize("expected", [None, listed()])
def test_when_everybody_is_fetched_it_is_the_last_night(archive: Archive, expected: pl.DataFrame | None) -> None:
    for day in (4, 5, 6):
        keep(archive, night(day), read())
    assert lines(archive, expected) == [
        "Last complete night: 2026-05-06.",
        "Fetch again before 2026-05-20 02:15 UTC: later, bookings go by unseen.",
    ]


@pytest.mark.parametrize("expected", [None, listed()])
@pytest.mark.parametrize("missing", [{3: "failed"}, {3: "invalid_response"}, {}])
def test_a_night_with_somebody_missing_is_not_complete(
    archive: Archive, expected: pl.DataFrame | None, missing: dict[int, Answer]
) -> None:
    keep(archive, night(4), read())
    keep(archive, night(5), read(1, 2) | missing)
    assert lines(archive, expected) == [
        "Last complete night: 2026-05-04; in the latest one 1 customer had no answer.",
        "Fetch again before 2026-05-18 02:15 UTC: later, bookings go by unseen.",
    ]


def test_whoever_can_never_be_fetched_is_not_missing_and_loses_nothing(archive: Archive) -> None:
    keep(archive, night(4), read())
    keep(archive, night(5), read(1) | {2: "not_found", 3: "access_disabled"})
    assert lines(archive)[0] == "Last complete night: 2026-05-05."
    assert "2026-05-19" in lines(archive)[1]


def test_who_joined_the_list_later_or_left_it_was_not_missing(archive: Archive) -> None:
    keep(archive, night(4), read(1, 2))
    keep(archive, night(5), read(1, 2, 3))
    keep(archive, night(6), read(1) | {3: "failed"})
    assert lines(archive, listed(1, 3))[0].startswith("Last complete night: 2026-05-05;")
    keep(archive, night(7), {1: "failed", 3: "failed"})
    keep(archive, night(8), read(1, 3))
    assert lines(archive, listed(1, 3))[0] == "Last complete night: 2026-05-08."
    assert lines(archive, listed(1, 3, 4))[0] == (
        "Last complete night: 2026-05-05; in the latest one 1 customer had no answer."
    )


def test_a_night_lasts_until_the_studio_opens(archive: Archive) -> None:
    keep(archive, night(4, 21.5), read(1, 2))  # 23:30 in Berlin
    keep(archive, night(4, 22.5), read(3))  # 00:30 of the next day there
    assert lines(archive)[0] == "Last complete night: 2026-05-05."
    assert lines(archive, hours=ClassHours("UTC", "05:00", "24:00"))[0] == "Last complete night: 2026-05-04."
    midnight = ClassHours("UTC", "22:00", "24:00")
    assert lines(archive, hours=midnight)[0].startswith("Last complete night: 2026-05-04;")


def test_customers_read_in_several_looks_are_read_in_one_night(archive: Archive) -> None:
    keep(archive, night(4), read(1, 2) | {3: "failed"})
    keep(archive, night(4, 2.75), read(3))
    assert lines(archive)[0] == "Last complete night: 2026-05-04."


def test_none_for_two_weeks_is_said(archive: Archive) -> None:
    assert lines(archive) == []
    assert lines(archive, listed()) == ["Last complete night: none in the last two weeks."]
    keep(archive, night(1), read())
    for day in range(2, 20):
        keep(archive, night(day), read(1, 2) | {3: "failed"})
    assert (
        lines(archive)[0]
        == "Last complete night: none in the last two weeks; in the latest one 1 customer had no answer."
    )


def test_several_studios_of_one_night_share_a_line_and_the_first_to_lose_something_is_named(archive: Archive) -> None:
    for number, studio in enumerate(("mitte", "nord", "ost", "west", "süd")):
        for day in (4, 5):
            keep(archive, night(day, 2 + number / 60), read(), studio=studio)
    keep(archive, night(6), read(), studio="nord")
    assert lines(archive) == [
        "Last complete night of 1 studio (nord): 2026-05-06.",
        "Last complete night of 4 studios (mitte, ost, süd, …): 2026-05-05.",
        "Fetch again before 2026-05-19 02:00 UTC (mitte): later, bookings go by unseen.",
    ]


def test_without_a_zone_it_is_this_machines_time(archive: Archive) -> None:
    keep(archive, night(4, 12), read())
    assert lines(archive, hours=ClassHours(None, "00:00", "24:00"))[0].startswith("Last complete night: 2026-05-0")
