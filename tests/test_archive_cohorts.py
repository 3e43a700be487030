"""Who counts as read in an archive, and under which studio."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import at, fetch, result

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.archive import Archive
from bookings_analytics.archive.cohorts import fetch_outcomes

if TYPE_CHECKING:
    from pathlib import Path

OUTCOMES = [name for name in schema.FETCH_OUTCOME.categories if name != "not_fetched"]


def by_hand(fetches: list[tuple[float, str]], since: date | None, until: date | None) -> str:
    """Read the rule sentence by sentence, for one customer."""
    in_order = sorted(fetches, key=lambda each: (each[0], each[1] == "ok"))

    def in_period(day: float) -> bool:
        when = at(day).date()
        return (since is None or when >= since) and (until is None or when <= until + timedelta(days=14))

    counting = [outcome for day, outcome in in_order if in_period(day) or outcome == "access_disabled"]
    for group in (["ok", "access_disabled"], ["not_found"], ["failed", "invalid_response", "rejected"]):
        if found := [outcome for outcome in counting if outcome in group]:
            return found[-1]
    return "not_fetched"


def is_a_period(limits: tuple[date | None, date | None]) -> bool:
    since, until = limits
    return since is None or until is None or since <= until


DAYS = st.one_of(st.none(), st.integers(0, 40).map(lambda day: at(day).date()))


@given(
    fetches=st.lists(
        st.tuples(st.integers(0, 80).map(lambda half: half / 2), st.sampled_from(OUTCOMES)),
        unique_by=lambda each: each[0],
        max_size=8,
    ),
    limits=st.tuples(DAYS, DAYS).filter(is_a_period),
)
def test_the_rule_read_sentence_by_sentence(
    fetches: list[tuple[float, str]], limits: tuple[date | None, date | None]
) -> None:
    rows = pl.DataFrame([fetch("mitte", 1, outcome, at(day), None) for day, outcome in fetches], schema=schema.FETCHES)
    found = fetch_outcomes(rows, *limits)["fetch_outcome"].to_list() or ["not_fetched"]
    assert found == [by_hand(fetches, *limits)]


def test_one_bad_night_does_not_empty_a_rate(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {10: "BOOKED"}, 2: {}, 3: {}, 4: {}}))
    archive.add(result(at(1), {1: "failed", 2: "failed", 3: "not_found", 4: "access_disabled"}))
    read = archive.cohorts([1, 2, 3, 4]).collect()["fetch_outcome"].to_list()
    assert read == ["ok", "ok", "ok", "access_disabled"]
    outcomes, cohorts = ba.classify(archive.history().collect()), archive.cohorts([1, 2, 3, 4]).collect()
    rates = ba.booking_vs_participation(outcomes, cohorts)
    assert rates.select("n_customers", "n_not_read").row(0) == (3, 1)


def test_a_period_counts_fetches_up_to_two_weeks_after_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {}}))
    archive.add(result(at(20), {2: {}}))

    def outcomes(since: date | None, until: date | None) -> list[Any]:
        return archive.cohorts([1, 2], since=since, until=until).collect()["fetch_outcome"].to_list()

    day = [at(n).date() for n in range(30)]
    assert outcomes(day[0], day[5]) == ["ok", "not_fetched"]
    assert outcomes(day[0], day[6]) == ["ok", "ok"]
    assert outcomes(day[1], None) == ["not_fetched", "ok"]
    assert outcomes(None, day[0]) == ["ok", "not_fetched"]


def test_a_period_that_cannot_be_is_refused(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with pytest.raises(ValueError, match="since is 2026-05-02 and until is 2026-05-01, so the period ends before"):
        archive.cohorts([1], since=date(2026, 5, 2), until=date(2026, 5, 1))
    with pytest.raises(ValueError, match=r"since is '2026-05-01'\. Pass a datetime\.date"):
        archive.cohorts([1], since="2026-05-01")  # type: ignore[arg-type]  # no date, which is the point
    with pytest.raises(ValueError, match=r"until is .*Pass a datetime\.date"):
        archive.cohorts([1], until=datetime(2026, 5, 1, tzinfo=UTC))


# Renaming a studio


@pytest.fixture
def chain(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path / "archive")
    archive.add(result(at(0), {1: dict.fromkeys(range(7), "BOOKED"), 2: {}}, studio="o'hara"))
    archive.add(result(at(0), {1: {99: "BOOKED"}}, studio="nord"))
    archive.compact()
    archive.add(result(at(1), {1: dict.fromkeys(range(7), "BOOKED")}, studio="o'hara"))
    return archive


def test_a_renamed_studio_goes_on_where_it_stopped(chain: Archive) -> None:
    before = chain.history().collect()
    chain.rename_studio("o'hara", " süd's\n")
    renamed = pl.col("studio").replace("o'hara", "süd's")
    assert chain.history().collect().equals(before.with_columns(renamed).sort("studio", "customer_id", "booking_id"))
    assert chain.fetches().collect()["studio"].unique().sort().to_list() == ["nord", "süd's"]
    added = chain.add(result(at(2), {1: dict.fromkeys(range(7), "BOOKED")}, studio="süd's"))
    assert (added.unchanged, added.new) == (7, 0)
    chain.compact()
    assert chain.check().problems == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sud", "west", r"has no studio 'sud'\. It has: 'nord', \"o'hara\"\. Pass one of these"),
        ("nord", "o'hara", r"has a studio \"o'hara\" already"),
        ("nord", "nord", r"has a studio 'nord' already"),
        ("nord", " \n", r"The new name ' \\n' is empty"),
    ],
)
def test_a_name_that_cannot_be_is_refused(chain: Archive, old: str, new: str, message: str) -> None:
    before = chain.fetches().collect()
    with pytest.raises(ba.ArchiveError, match=message):
        chain.rename_studio(old, new)
    assert chain.fetches().collect().equals(before)


def test_an_empty_archive_has_no_studio_to_rename(tmp_path: Path) -> None:
    with pytest.raises(ba.ArchiveError, match=r"is empty, so it has no studio 'mitte'"):
        Archive(tmp_path / "archive").rename_studio("mitte", "nord")
    assert not (tmp_path / "archive").exists()


def test_one_studio_under_two_names_is_noticed(chain: Archive) -> None:
    twice = result(at(2), {1: dict.fromkeys(range(7), "BOOKED")}, studio="ohara")
    with pytest.warns(UserWarning, match=r"studios \"o'hara\" and 'ohara' share 100% of their class slots"):
        chain.add(twice)
    (problem,) = chain.check().problems
    assert "call rename_studio(\"o'hara\", 'ohara')" in problem


# A path that must be there


def test_an_archive_that_must_exist_is_not_made_up(tmp_path: Path) -> None:
    for place in (tmp_path / "typo", tmp_path):
        with pytest.raises(ba.ArchiveError, match=r"There is no archive at .*Check the path"):
            Archive(place, must_exist=True)
    assert list(tmp_path.iterdir()) == []
    Archive(tmp_path / "archive").add(result(at(0), {1: {}}))
    assert Archive(tmp_path / "archive", must_exist=True).fetches().collect().height == 1
