from __future__ import annotations

import tempfile
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from snapshots import Answer, Bookings, at, booking, fetch, result

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.archive import Archive, buckets, incoming, layout, maintenance
from bookings_analytics.archive.changes import Added
from bookings_analytics.archive.integrity import SUMS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def history(archive: Archive) -> list[tuple[Any, ...]]:
    """The change log in short."""
    rows = archive.history().select("customer_id", "booking_id", "booking_status", "observed_at", "visible").collect()
    return rows.rows()


# What is kept


def test_only_what_is_new_changed_or_gone_is_kept(archive: Archive) -> None:
    first = archive.add(result(at(0), {1: {10: "WAITING_LIST", 11: "BOOKED", 12: "BOOKED"}}))
    second = archive.add(result(at(1), {1: {10: "BOOKED", 12: "BOOKED", 13: "BOOKED"}}))
    assert first == Added(new=3, fetches=1)
    assert second == Added(new=1, changed=1, gone=1, unchanged=1, fetches=1)
    assert history(archive) == [
        (1, 10, "WAITING_LIST", at(0), True),
        (1, 10, "BOOKED", at(1), True),
        (1, 11, "BOOKED", at(0), True),
        (1, 11, "BOOKED", at(1), False),
        (1, 12, "BOOKED", at(0), True),
        (1, 13, "BOOKED", at(1), True),
    ]


def test_a_gone_booking_is_written_once_and_comes_back_as_new(archive: Archive) -> None:
    for day, bookings in enumerate([{10: "BOOKED"}, {}, {}, {10: "BOOKED"}]):
        added = archive.add(result(at(day), {1: bookings}))
    assert added == Added(new=1, fetches=1)
    assert [(time, visible) for *_, time, visible in history(archive)] == [(at(0), True), (at(1), False), (at(3), True)]


@pytest.mark.parametrize(
    "column", ["class_slot_id", "class_id", "booking_status", "class_slot_status", "participant_status"]
)
def test_a_change_of_any_column_is_a_change(archive: Archive, column: str) -> None:
    other = {"booking_status": "CANCELED", "class_slot_status": "COMPLETED", "participant_status": "PARTICIPATING"}
    archive.add(result(at(0), {1: {10: "BOOKED"}}))
    later = result(at(1), {1: {10: "BOOKED"}})
    changed = later.bookings.with_columns(pl.lit(other.get(column, 99)).cast(schema.BOOKINGS[column]).alias(column))
    assert archive.add(ba.FetchResult(changed, later.fetches, later.cohorts)) == Added(changed=1, fetches=1)
    assert archive.bookings().select(schema.BOOKINGS.names()).collect().equals(changed)


def test_customers_and_studios_are_kept_apart(archive: Archive) -> None:
    archive.add(result(at(0), {1: {10: "BOOKED"}, 2: {10: "CANCELED"}}))
    added = archive.add(result(at(0), {1: {10: "WAITING_LIST"}}, studio="nord"))
    assert added == Added(new=1, fetches=1)
    assert archive.bookings().select("studio", "customer_id", "booking_status").collect().rows() == [
        ("mitte", 1, "BOOKED"),
        ("mitte", 2, "CANCELED"),
        ("nord", 1, "WAITING_LIST"),
    ]


def test_a_failed_fetch_is_kept_and_says_nothing_about_bookings(archive: Archive) -> None:
    archive.add(result(at(0), {1: {10: "BOOKED"}}))
    for day, outcome in enumerate(["failed", "not_found", "access_disabled", "rejected", "invalid_response"], start=1):
        assert archive.add(result(at(day), {1: outcome})) == Added(fetches=1)
    assert len(history(archive)) == 1
    assert archive.fetches().select("outcome").collect().to_series().to_list() == [
        *("ok", "failed", "not_found", "access_disabled", "rejected", "invalid_response")
    ]


def test_customers_never_asked_are_not_kept(archive: Archive) -> None:
    asked = result(at(0), {1: {10: "BOOKED"}})
    never = pl.DataFrame([fetch("mitte", 2, "not_fetched", at(0), None) | {"fetched_at": None}], schema=schema.FETCHES)
    assert archive.add(ba.FetchResult(asked.bookings, asked.fetches.vstack(never), asked.cohorts)) == Added(
        new=1, fetches=1
    )
    nobody = ba.FetchResult(schema.BOOKINGS.to_frame(), never, never)
    assert archive.add(nobody) == Added()
    assert archive.fetches().collect()["customer_id"].to_list() == [1]


def test_a_fetch_without_any_booking_is_kept(archive: Archive) -> None:
    assert archive.add(result(at(0), {1: {}})) == Added(fetches=1)
    assert archive.history().collect().is_empty()
    assert archive.fetches().collect()["n_bookings"].to_list() == [0]


# What is not newer


def test_the_same_result_again_changes_nothing(archive: Archive) -> None:
    fetched = result(at(0), {1: {10: "BOOKED"}, 2: "failed"})
    archive.add(fetched)
    before = archive.history().collect(), archive.fetches().collect()
    assert archive.add(fetched) == Added(skipped=2)
    assert_frame_equal(archive.history().collect(), before[0])
    assert_frame_equal(archive.fetches().collect(), before[1])


def test_an_older_result_is_skipped_customer_by_customer(archive: Archive) -> None:
    archive.add(result(at(2), {1: {10: "BOOKED"}}))
    assert archive.add(result(at(1), {1: {}, 2: {20: "BOOKED"}})) == Added(new=1, fetches=1, skipped=1)
    assert [row[:2] for row in history(archive)] == [(1, 10), (2, 20)]


def test_a_successful_fetch_is_kept_though_a_later_one_failed(archive: Archive) -> None:
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    archive.add(result(at(2), {1: "failed"}))
    assert archive.add(result(at(1), {1: {10: "BOOKED"}})) == Added(changed=1, fetches=1)
    assert archive.latest_fetches().collect()["outcome"].to_list() == ["failed"]


def test_a_failed_fetch_before_the_last_is_skipped(archive: Archive) -> None:
    archive.add(result(at(1), {1: {}}))
    assert archive.add(result(at(0), {1: "failed"})) == Added(skipped=1)


def test_a_compaction_remembers_the_last_success_behind_a_failure(archive: Archive) -> None:
    archive.add(result(at(1), {1: {10: "BOOKED"}}))
    archive.add(result(at(2), {1: "failed"}))
    archive.compact()
    assert archive.add(result(at(0), {1: {}})) == Added(skipped=1)
    assert archive.add(result(at(3), {1: {10: "BOOKED"}})) == Added(unchanged=1, fetches=1)


# A result that contradicts itself


@pytest.mark.parametrize(
    ("bookings", "fetches", "said"),
    [
        ([], [("ok", 0), ("failed", 1)], "two fetches"),
        ([(10, "BOOKED")], [("failed", 0)], "no successful fetch"),
        ([(10, "BOOKED")], [], "no successful fetch"),
        ([(10, "BOOKED"), (10, "CANCELED")], [("ok", 0)], "a booking of it twice"),
        ([(10, "BOOKED")], [("ok", 0)], "n_bookings is not the number of its bookings"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(
    archive: Archive, bookings: list[tuple[int, str]], fetches: list[tuple[str, int]], said: str
) -> None:
    rows = pl.DataFrame(
        [fetch("mitte", 7, outcome, at(day), 0 if outcome == "ok" else None) for outcome, day in fetches],
        schema=schema.FETCHES,
    )
    seen = pl.DataFrame([booking("mitte", 7, *each, at(0)) for each in bookings], schema=schema.BOOKINGS)
    with pytest.raises(ba.ArchiveError, match=rf"Customer 7 of studio 'mitte', row \d of (bookings|fetches): .*{said}"):
        archive.add(ba.FetchResult(seen, rows, rows))
    assert archive.fetches().collect().is_empty()


# What is read


def test_an_archive_nothing_was_added_to_gives_empty_frames(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    assert archive.history().collect().equals(schema.BOOKINGS.to_frame())
    assert archive.bookings().collect().equals(schema.BOOKINGS.to_frame())
    assert archive.fetches().collect().equals(schema.FETCHES.to_frame())
    assert archive.latest_fetches().collect().equals(schema.FETCHES.to_frame())
    assert archive.cohorts([1]).collect()["fetch_outcome"].to_list() == ["not_fetched"]
    assert archive.coverage().rows(named=True) == [
        {
            "n_customers": 0,
            "n_read": 0,
            "n_fetches": 0,
            "median_gap_h": None,
            "longest_gap_h": None,
            "n_customers_gap_over_14_days": 0,
        }
    ]
    assert not (tmp_path / "archive").exists(), "reading creates nothing"


def test_a_state_can_be_asked_for_in_any_time_zone_but_not_without(archive: Archive) -> None:
    archive.add(result(at(1), {1: {10: "BOOKED"}}))
    elsewhere = at(1).astimezone(timezone(timedelta(hours=2)))
    assert archive.bookings(elsewhere).collect().height == 1
    assert archive.bookings(elsewhere - timedelta(microseconds=1)).collect().is_empty()
    with pytest.raises(ba.ArchiveError, match="2026-03-02 00:00:00 without a time zone"):
        archive.bookings(datetime(2026, 3, 2))  # noqa: DTZ001 - that is the point


def test_a_frame_shows_the_archive_as_it_was_when_asked_for(archive: Archive) -> None:
    archive.add(result(at(0), {1: {10: "BOOKED"}}))
    asked_for = archive.history()
    archive.add(result(at(1), {1: {}}))
    archive.compact()
    assert asked_for.collect().height == 1


def test_what_an_archive_gives_can_be_classified(archive: Archive) -> None:
    archive.add(result(at(0), {1: {10: "WAITING_LIST"}}))
    archive.add(result(at(1), {1: {}}))
    outcomes = ba.classify(archive.history())
    assert outcomes.select("outcome", "wait_outcome").collect().rows() == [("lost", "lost")]
    rates = ba.waitlist_conversion(outcomes, archive.cohorts([1, 2]), by="cohort", fetches=archive.fetches()).collect()
    assert rates.select("n_lost", "median_fetch_gap_h").rows() == [(1, 24.0)]


@pytest.mark.parametrize("table", ["observations", "fetches"])
def test_the_files_of_a_table_hold_its_rows(archive: Archive, table: Any) -> None:
    assert archive.files(table) == []
    for day in range(3):
        archive.add(result(at(day), {1: {10 + day: "BOOKED"}}))
    archive.compact()
    archive.add(result(at(3), {1: {}}))
    files = archive.files(table)
    assert len(files) == 2
    rows = archive.history() if table == "observations" else archive.fetches()
    expected = rows.collect()
    time = "observed_at" if table == "observations" else "fetched_at"
    found = pl.read_parquet(files, glob=False).select(expected.columns).cast(expected.schema)
    assert_frame_equal(found.sort(time, *found.columns[:5]), expected.sort(time, *found.columns[:5]))
    with pytest.raises(ValueError, match=r"no table 'bookings'\. Name one of: observations, fetches"):
        archive.files("bookings")  # type: ignore[arg-type]  # no table, which is the point


# Statuses of a later version


@pytest.fixture
def of_a_later_version(archive: Archive) -> Archive:
    """An archive to which a version has added that knows more statuses."""
    archive.add(result(at(0), {1: {10: "BOOKED"}}))
    later = result(at(1), {1: {10: "BOOKED"}, 2: "failed"})
    statuses, outcomes = (
        pl.Enum([*dtype.categories, more])
        for dtype, more in ((schema.BOOKING_STATUS, "OVERBOOKED"), (schema.FETCH_OUTCOME, "postponed"))
    )
    columns = {
        "bookings": pl.Schema({**schema.BOOKINGS, "booking_status": statuses}),
        "fetches": pl.Schema({**schema.FETCHES, "outcome": outcomes}),
    }
    outcome = pl.when(pl.col("customer_id") == 2).then(pl.lit("postponed")).otherwise(pl.col("outcome").cast(pl.String))
    with pytest.MonkeyPatch.context() as later_version:
        later_version.setattr(incoming, "COLUMNS", columns)
        archive.add(
            bookings=later.bookings.with_columns(booking_status=pl.lit("OVERBOOKED")),
            fetches=later.fetches.with_columns(outcome=outcome),
        )
    return archive


def test_an_unknown_status_is_named_with_its_booking_and_file(of_a_later_version: Archive) -> None:
    said = r"booking_status is 'OVERBOOKED' in booking 10 of customer 1, studio 'mitte', in the file .*/table=observ"
    for read in (of_a_later_version.history, of_a_later_version.bookings):
        with pytest.raises(ba.ArchiveError, match=said):
            read()
        text = read(statuses_as_text=True).collect()
        assert text["booking_status"].to_list()[-1] == "OVERBOOKED"
        assert text.schema["participant_status"] == pl.String
    said = r"outcome is 'postponed' in customer 2, studio 'mitte', in the file .*/table=fetches/.*parquet"
    for fetches in (of_a_later_version.fetches, of_a_later_version.latest_fetches):
        with pytest.raises(ba.ArchiveError, match=said):
            fetches()
    assert of_a_later_version.fetches(statuses_as_text=True).collect()["outcome"].to_list() == ["ok", "ok", "postponed"]


def test_an_unknown_status_does_not_keep_one_from_adding(of_a_later_version: Archive) -> None:
    assert of_a_later_version.add(result(at(2), {1: {10: "BOOKED"}})) == Added(changed=1, fetches=1)


# Cohorts


def test_cohorts_carry_what_is_known_of_each_customer(archive: Archive) -> None:
    archive.add(result(at(0), {1: {}, 2: {}, 3: "not_found"}))
    archive.add(result(at(1), {1: "failed", 3: {}}))
    listed = pl.DataFrame({"customer_id": [3, 9, 2, 1, 1], "cohort": ["a", "a", "b", "b", "a"], "plan": list("vwxyz")})
    cohorts = archive.cohorts(listed)
    assert cohorts.collect_schema() == {**schema.COHORTS, "plan": pl.String, "fetch_outcome": schema.FETCH_OUTCOME}
    assert cohorts.select("customer_id", "cohort", "studio", "plan", "fetch_outcome").collect().rows() == [
        (3, "a", "mitte", "v", "ok"),
        (9, "a", "mitte", "w", "not_fetched"),
        (2, "b", "mitte", "x", "ok"),
        (1, "b", "mitte", "y", "ok"),
        (1, "a", "mitte", "z", "ok"),
    ]


def test_cohorts_without_a_studio_fit_an_archive_of_one_only(archive: Archive) -> None:
    archive.add(result(at(0), {1: {}}))
    archive.add(result(at(0), {2: {}}, studio="nord"))
    with pytest.raises(ba.CohortError, match=r"row 1 of the cohorts names no studio, and .* has 2: mitte, nord"):
        archive.cohorts([1])
    named = pl.DataFrame({"customer_id": [1, 1], "studio": ["mitte", "nord"]})
    assert archive.cohorts(named).collect()["fetch_outcome"].to_list() == ["ok", "not_fetched"]


# Coverage


def test_coverage_by_hand(archive: Archive) -> None:
    fetched: dict[float, dict[int, Answer]] = {
        0: {1: {}, 2: {}},
        1: {1: {}, 2: "failed"},
        3: {1: {}},
        17.5: {1: {}, 2: {}, 3: "failed"},
    }
    for day, answers in fetched.items():
        archive.add(result(at(day), answers))
    archive.add(result(at(0), {1: {}}, studio="nord"))
    # mitte: customer 1 after 24, 48 and 348 hours, customer 2 after 420, customer 3 never; nord: once
    columns = list(schema.COVERAGE)
    assert archive.coverage().select(columns).rows() == [(4, 3, 9, (48 + 348) / 2, 420.0, 2)]
    assert archive.coverage(by="studio").rows() == [
        ("mitte", 3, 2, 8, 198.0, 420.0, 2),
        ("nord", 1, 1, 1, None, None, 0),
    ]
    listed = pl.DataFrame(
        {
            "customer_id": [1, 2, 1, 9, 3],
            "cohort": ["old", "old", "new", "new", "none"],
            "studio": ["mitte", "mitte", "mitte", "mitte", "mitte"],
        }
    )
    coverage = archive.coverage(listed, by="cohort")
    assert coverage.schema == {"cohort": pl.String, **schema.COVERAGE}
    assert coverage.rows() == [  # in the list's order
        ("old", 2, 2, 7, 198.0, 420.0, 2),
        ("new", 2, 1, 4, 48.0, 348.0, 1),
        ("none", 1, 0, 1, None, None, 0),
    ]
    assert archive.coverage(listed).rows() == [(4, 2, 8, 198.0, 420.0, 2)]


def test_coverage_by_day_puts_a_gap_on_the_day_that_ended_it(archive: Archive) -> None:
    fetched: dict[float, dict[int, Answer]] = {0: {1: {}, 2: {}}, 0.25: {1: {}}, 1: {2: "failed"}, 17: {1: {}, 2: {}}}
    for day, answers in fetched.items():
        archive.add(result(at(day), answers))
    listed = pl.DataFrame({"customer_id": [1, 2, 9, 9], "cohort": ["all", "all", "all", "never"]})
    days = [at(day).date() for day in (0, 1, 17)]
    assert archive.coverage(listed, by=["cohort", "day"]).rows() == [
        ("all", days[0], 3, 2, 3, 6.0, 6.0, 0),
        ("all", days[1], 3, 0, 1, None, None, 0),
        ("all", days[2], 3, 2, 2, (16.75 + 17) * 12, 17 * 24.0, 2),
        ("never", None, 1, 0, 0, None, None, 0),
    ]
    assert archive.coverage(by="day")["n_customers"].to_list() == [2, 1, 2], "those who were asked"


def test_a_gap_of_just_14_days_misses_nothing(archive: Archive) -> None:
    for day in (0, 14):
        archive.add(result(at(day), {1: {}}))
    assert archive.coverage()["n_customers_gap_over_14_days"].item() == 0
    archive.add(result(at(28) + timedelta(seconds=1), {1: {}}))
    assert archive.coverage()["n_customers_gap_over_14_days"].item() == 1


def test_coverage_groups_by_columns_that_are_there(archive: Archive) -> None:
    archive.add(result(at(0), {1: {}}))
    with pytest.raises(ValueError, match="by names 'cohort', which is not a column"):
        archive.coverage(by="cohort")


# How it shows itself


def test_an_archive_shows_itself_in_a_cell(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "<b>")
    assert repr(archive) == f"<Archive '{tmp_path}/<b>'>"
    assert archive._repr_html_() == f"<p>Archive {tmp_path}/&lt;b&gt;: nothing has been added yet</p>"
    archive.add(result(at(0), {1: {10: "BOOKED"}, 2: {}}))
    archive.add(result(at(1), {1: {}}, studio="<i>"))
    archive.add(result(at(2), {1: "failed"}))
    rows = archive._repr_html_().split("<tbody>")[1]
    assert rows == (
        "<tr><td>&lt;i&gt;</td><td>1</td><td>1</td><td>2026-03-02 06:00</td><td>2026-03-02 06:00</td><td>0</td></tr>"
        "<tr><td>mitte</td><td>2</td><td>3</td><td>2026-03-01 06:00</td><td>2026-03-03 06:00</td><td>1</td></tr>"
        "</tbody></table>"
    )


def test_the_counts_of_an_add_fit_in_a_line() -> None:
    added = Added(new=1200, changed=3, gone=2, unchanged=5000, fetches=300, skipped=1, ahead=2)
    skipped = "1 skipped (not newer than the kept fetch)"
    counts = f"1,200 new, 3 changed, 2 gone, 5,000 unchanged; 300 fetches kept, {skipped}"
    assert repr(added) == f"<Added: {counts}; 2 customers ahead of the clock, see check()>"
    assert repr(Added(fetches=1)) == "<Added: 0 new, 0 changed, 0 gone, 0 unchanged; 1 fetches kept, 0 skipped>"


# Where an archive can be


@pytest.mark.parametrize("name", ["two words", "Größe", "a#b", "a?b*", "it's", "table=fetches", "日本"])
def test_a_directory_of_any_name_will_do(tmp_path: Path, name: str) -> None:
    archive = Archive(tmp_path / name / "archive")
    archive.add(result(at(0), {1: {10: "BOOKED"}}))
    archive.compact()
    assert archive.add(result(at(1), {1: {}})) == Added(gone=1, fetches=1)
    archive.forget([2])
    assert Archive(str(tmp_path / name / "archive")).history().collect().height == 2


@pytest.mark.parametrize("name", ["a[b]", "a^b", "a|b", "a%20b", "a\\b", "a\tb"])
def test_a_name_that_delta_lake_trips_over_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ba.ArchiveError, match=r"has the character .* Name another directory"):
        Archive(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_or_half_created_directory_is_completed(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    log = tmp_path / "_delta_log"
    log.mkdir()
    (log / "00000000000000000000.json#1").write_text('{"proto')
    archive = Archive(tmp_path)
    assert archive.fetches().collect().is_empty()
    assert archive.add(result(at(0), {1: {}})) == Added(fetches=1)


def test_a_directory_with_other_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("customer_id")
    with pytest.raises(ba.ArchiveError, match=r"holds something other than an archive: members\.csv\. Name an empty"):
        Archive(tmp_path)
    with pytest.raises(ba.ArchiveError, match=r"members\.csv is a file\. Name a directory"):
        Archive(tmp_path / "members.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["members.csv"]


def test_another_delta_table_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pl.DataFrame({"customer_id": [1]}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ba.ArchiveError, match="holds another Delta table"):
        Archive(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_of_a_newer_format_is_refused_and_left_alone(archive: Archive, tmp_path: Path) -> None:
    archive.add(result(at(0), {1: {10: "BOOKED"}}))
    table = DeltaTable(tmp_path / "archive")
    table.alter.set_table_properties({"bookings_analytics.format": "3"}, raise_if_not_exists=False)
    before = sorted(tmp_path.rglob("*"))
    for use in (
        lambda: Archive(tmp_path / "archive"),
        archive.history,
        archive.fetches,
        archive.compact,
        lambda: archive.forget([1]),
        lambda: archive.add(result(at(1), {1: {}})),
    ):
        with pytest.raises(ba.ArchiveError, match="is of format 3, and this version knows 2"):
            use()
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_that_needs_a_newer_delta_lake_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive.add(result(at(0), {1: {}}))
    (tmp_path / "archive" / SUMS).unlink()
    first = tmp_path / "archive" / "_delta_log" / "00000000000000000000.json"
    first.write_text(first.read_text().replace('"minReaderVersion":1', '"minReaderVersion":99'))
    with pytest.raises(ba.ArchiveError, match=r"can't be opened: .*update bookings_analytics"):
        Archive(tmp_path / "archive")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ba.ArchiveError, match=r"^The archive .*/file/archive can't be written: [^\n\x1b]*try again"):
        Archive(tmp_path / "file" / "archive").add(result(at(0), {1: {}}))


# Any course of fetches, compactions and erasures, against a reading of the snapshots themselves

CUSTOMERS = (("mitte", 1), ("mitte", 2), ("nord", 1))
ANSWERS = st.one_of(
    st.dictionaries(st.integers(10, 13), st.sampled_from(["WAITING_LIST", "BOOKED", "CANCELED"]), max_size=3),
    st.sampled_from(["failed", "not_found"]),
)


class Fetched(NamedTuple):
    studio: str
    day: int
    answers: dict[int, Answer]


STEPS = st.one_of(
    st.builds(
        Fetched, st.just("mitte"), st.integers(0, 9), st.dictionaries(st.sampled_from([1, 2]), ANSWERS, min_size=1)
    ),
    st.builds(
        Fetched, st.just("mitte"), st.integers(0, 9), st.dictionaries(st.sampled_from([1, 2]), ANSWERS, min_size=1)
    ),
    st.builds(Fetched, st.just("nord"), st.integers(0, 9), st.dictionaries(st.just(1), ANSWERS, min_size=1)),
    st.sampled_from(["compact", "forget 1 everywhere", "forget 1 in nord"]),
)


class Kept(NamedTuple):
    """One customer's fetches that count."""

    answers: list[tuple[int, Answer]]  # with their days

    def successful(self) -> list[tuple[int, Bookings]]:
        return sorted((day, answer) for day, answer in self.answers if not isinstance(answer, str))

    def in_order(self) -> list[tuple[int, Answer]]:
        """By time; of two at one time the successful one first."""
        return sorted(self.answers, key=lambda each: (each[0], isinstance(each[1], str)))

    def add(self, day: int, answer: Answer) -> None:
        others = [each for each, kept in self.answers if isinstance(answer, str) or not isinstance(kept, str)]
        if day > max(others, default=-1):
            self.answers.append((day, answer))


def log_of(key: tuple[str, int], kept: Kept) -> list[dict[str, Any]]:
    """What changed from each successful fetch to the next."""
    rows = []
    for (_, before), (day, now) in pairwise([(-1, {}), *kept.successful()]):
        rows += [booking(*key, each, now[each], at(day)) for each in now if before.get(each) != now[each]]
        rows += [booking(*key, each, before[each], at(day), visible=False) for each in before if each not in now]
    return rows


def state_of(key: tuple[str, int], kept: Kept, as_of: int) -> list[dict[str, Any]]:
    """What was known of each booking, read backwards from the snapshots, and since when."""
    fetches = [(day, bookings) for day, bookings in kept.successful() if day <= as_of]
    rows = []
    for each in {each for _, bookings in fetches for each in bookings}:
        last_status = next(bookings[each] for _, bookings in reversed(fetches) if each in bookings)
        now = fetches[-1][1].get(each)
        since = fetches[-1][0]
        for day, bookings in reversed(fetches):
            if bookings.get(each) != now:
                break
            since = day
        rows.append(booking(*key, each, last_status, at(since), visible=now is not None))
    return rows


def fetch_of(key: tuple[str, int], day: int, answer: Answer) -> dict[str, Any]:
    return fetch(*key, answer, at(day), None) if isinstance(answer, str) else fetch(*key, "ok", at(day), len(answer))


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema.BOOKINGS).sort("studio", "customer_id", "booking_id", "observed_at")


@settings(max_examples=40)
@given(steps=st.lists(STEPS, max_size=9))
def test_any_course_of_fetches_reads_as_the_snapshots_do(steps: list[Fetched | str]) -> None:
    everybody = {key: Kept([]) for key in CUSTOMERS}
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(maintenance, "RENEWED_EVERY", 2)
        patch.setattr(maintenance, "_COMPACTED_EVERY", 5)
        patch.setattr(layout, "CUSTOMERS", 1)
        patch.setattr(layout, "LEAST_WIDTH", 1)
        patch.setattr(layout, "LATEST_ROWS", (2, 5))
        patch.setattr(buckets, "_ROWS_AT_ONCE", 5)
        archive = Archive(place)
        for step in steps:
            match step:
                case Fetched(studio, day, answers):
                    archive.add(result(at(day), answers, studio=studio))
                    for customer_id, answer in answers.items():
                        everybody[studio, customer_id].add(day, answer)
                case "compact":
                    archive.compact()
                case "forget 1 everywhere":
                    archive.forget([1])
                    everybody |= {("mitte", 1): Kept([]), ("nord", 1): Kept([])}
                case "forget 1 in nord":
                    archive.forget([1], studio="nord")
                    everybody["nord", 1] = Kept([])
        log = [row for key, kept in everybody.items() for row in log_of(key, kept)]
        assert_frame_equal(archive.history().collect(), frame(log))
        for as_of in (-1, 0, 3, 6, 9):
            state = [row for key, kept in everybody.items() for row in state_of(key, kept, as_of)]
            assert_frame_equal(archive.bookings(at(as_of)).collect(), frame(state))
        assert_frame_equal(archive.bookings().collect(), archive.bookings(at(9)).collect())
        fetches = {key: [fetch_of(key, *each) for each in kept.in_order()] for key, kept in everybody.items()}
        every = pl.DataFrame([row for rows in fetches.values() for row in rows], schema=schema.FETCHES)
        assert_frame_equal(archive.fetches().collect(), every)
        last = [
            max(rows, key=lambda row: (row["fetched_at"], row["outcome"] == "ok")) for rows in fetches.values() if rows
        ]
        assert_frame_equal(archive.latest_fetches().collect(), pl.DataFrame(last, schema=schema.FETCHES))
