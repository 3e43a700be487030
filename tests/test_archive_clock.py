"""Fetches whose stamps are ahead of the clock: kept, and no obstacle to those that come."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from snapshots import at, result

from bookings_analytics.archive import Archive
from bookings_analytics.archive.changes import Added

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    def __init__(self, day: float) -> None:
        self.day = day

    def __call__(self) -> datetime:
        return at(self.day)


@pytest.fixture
def clock() -> Clock:
    return Clock(1)


@pytest.fixture
def archive(tmp_path: Path, clock: Clock) -> Archive:
    return Archive(tmp_path / "archive", clock=clock)


def state(archive: Archive) -> list[tuple[object, ...]]:
    return archive.bookings().select("booking_id", "booking_status", "visible").collect().rows()


AHEAD_OF_THE_CLOCK = r"fetches of 1 customer that are ahead of this computer's clock; .*archive\.check\(\) names them"


def test_a_fetch_ahead_of_the_clock_does_not_keep_the_next_one_out(archive: Archive, clock: Clock) -> None:
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}, 2: {}}))
    assert archive.add(result(at(400), {1: {}})) == Added(gone=1, fetches=1, ahead=1)
    added = archive.add(result(at(1), {1: {10: "BOOKED"}, 2: {20: "BOOKED"}}))
    assert added == Added(new=1, changed=1, fetches=2, ahead=1)
    assert "1 customer ahead of the clock" in repr(added)
    clock.day = 2
    assert archive.add(result(at(2), {1: {10: "BOOKED"}})) == Added(unchanged=1, fetches=1, ahead=1)
    with pytest.warns(UserWarning, match=AHEAD_OF_THE_CLOCK):
        assert state(archive) == [(10, "BOOKED", True), (20, "BOOKED", True)]
    with pytest.warns(UserWarning, match=AHEAD_OF_THE_CLOCK):
        assert archive.fetches().collect()["fetched_at"].max() == at(2)
    with pytest.warns(UserWarning, match=AHEAD_OF_THE_CLOCK):
        assert archive.latest_fetches().collect()["fetched_at"].to_list() == [at(2), at(1)], "never recent"


def test_a_check_names_fetches_ahead_of_the_clock(archive: Archive) -> None:
    archive.add(result(at(400), {7: {}, 8: "failed"}))
    (problem,) = archive.check().problems
    assert problem.startswith(
        "Kept fetches ahead of the clock: 2 (customer 7 of 'mitte' at 2027-04-05 06:00 UTC, "
        "customer 8 of 'mitte' at 2027-04-05 06:00 UTC). "
    )


def test_five_minutes_are_no_matter(archive: Archive) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert archive.add(result(at(1) + timedelta(minutes=5), {1: {}})) == Added(fetches=1)
        assert archive.fetches().collect().height == 1
    assert archive.add(result(at(1), {1: {}})) == Added(skipped=1), "so it counts as newer"
    assert archive.add(result(at(1) + timedelta(minutes=5, seconds=1), {1: {}})) == Added(fetches=1, ahead=1)


def test_the_same_fetch_ahead_of_the_clock_is_kept_once(archive: Archive) -> None:
    archive.add(result(at(400), {1: {10: "BOOKED"}}))
    assert archive.add(result(at(400), {1: {10: "BOOKED"}})) == Added(skipped=1, ahead=1)


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("ahead", [{}, {10: "CANCELED"}, {10: "BOOKED", 11: "BOOKED"}])
def test_when_its_time_has_come_the_next_fetch_puts_things_right(
    archive: Archive, clock: Clock, ahead: dict[int, str], *, compacted: bool
) -> None:
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    archive.add(result(at(10), {1: ahead}))
    archive.add(result(at(1), {1: {10: "BOOKED"}}))
    if compacted:
        archive.compact()
    clock.day = 11
    archive.add(result(at(11), {1: {10: "BOOKED"}}))
    seen = [row for row in state(archive) if row[2]]
    assert seen == [(10, "BOOKED", True)]
    assert archive.fetches().collect()["fetched_at"].to_list() == [at(0), at(1), at(10), at(11)]


def test_compaction_keeps_what_is_ahead_and_what_was_known_before_it(archive: Archive) -> None:
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    archive.add(result(at(400), {1: {}}))
    archive.compact()
    assert archive.add(result(at(1), {1: {10: "WAITING_LIST"}})) == Added(unchanged=1, fetches=1, ahead=1)


def test_times_are_kept_in_whole_seconds(archive: Archive) -> None:
    uneven = result(at(0) + timedelta(microseconds=999_999), {1: {10: "BOOKED"}})
    assert archive.add(uneven) == Added(new=1, fetches=1)
    assert archive.add(uneven) == Added(skipped=1)
    assert archive.history().collect()["observed_at"].to_list() == [at(0)]
    assert archive.fetches().collect()["fetched_at"].to_list() == [at(0)]
    assert_frame_equal(archive.history().collect(), archive.bookings().select(pl.all()).collect())
