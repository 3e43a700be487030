"""Classes and slots in an archive: one row each, the latest look wins, what is no longer shown stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshots import at, result

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.archive import class_tables

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 6, 17, 16, tzinfo=UTC)


def class_rows(*rows: dict[str, Any]) -> pl.DataFrame:
    given: dict[str, Any] = {"studio": "mitte", "class_id": 1, "title": "Yoga", "type": "STUDIO", "category": "Mind"}
    given |= {"duration": 45, "bookable": True, "observed_at": at(0)}
    return pl.DataFrame([given | row for row in rows], schema=schema.CLASSES)


def slot_rows(*rows: dict[str, Any]) -> pl.DataFrame:
    given: dict[str, Any] = {"studio": "mitte", "class_id": 1, "class_slot_id": 10, "starts_at": START}
    given |= {"ends_at": START + timedelta(minutes=45), "max_participants": 20, "booked_participants": 12}
    given |= {"additional_participants": 0, "observed_at": at(0)}
    return pl.DataFrame([given | row for row in rows], schema=schema.SLOTS)


def kept(archive: ba.Archive) -> tuple[pl.DataFrame, pl.DataFrame]:
    classes, slots = archive.classes().collect(), archive.slots().collect()
    titles = {} if classes.is_empty() else {"class_title": pl.String()}
    assert (classes.schema, slots.schema) == (schema.CLASSES, pl.Schema({**schema.SLOTS, **titles}))
    return classes, slots


def test_an_archive_without_classes_has_none(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path / "a")
    assert [frame.height for frame in kept(archive)] == [0, 0]
    assert archive.titles() == {}
    assert not (tmp_path / "a").exists()


def test_the_latest_look_wins_and_what_is_no_longer_shown_stays(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    moved = START + timedelta(hours=2)
    archive.add_classes(class_rows({}, {"class_id": 2, "title": "Box"}), slot_rows({}, {"class_slot_id": 11}))
    archive.add_classes(
        class_rows({"title": "Flow", "observed_at": at(2)}), slot_rows({"starts_at": moved, "observed_at": at(2)})
    )
    archive.add_classes(class_rows({"title": "Old", "observed_at": at(1)}), slot_rows({"observed_at": at(1)}))
    classes, slots = kept(archive)
    assert classes.select("class_id", "title", "observed_at").rows() == [(1, "Flow", at(2)), (2, "Box", at(0))]
    assert slots.select("class_slot_id", "starts_at").rows() == [(10, moved), (11, START)]
    assert archive.titles() == {1: "Flow", 2: "Box"}


def test_a_number_with_two_titles_in_two_studios_has_none(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    rows: list[dict[str, Any]] = [
        {"studio": "mitte"},
        {"studio": "nord", "title": "Box"},
        {"studio": "nord", "class_id": 2, "title": "Run"},
    ]
    archive.add_classes(class_rows(*rows, {"class_id": 3, "title": None}), slot_rows())
    assert archive.titles() == {2: "Run"}
    assert archive.classes().collect().height == 4


looks = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["mitte", "nord"]), st.integers(1, 3), st.text("ab", max_size=2)),
    max_size=12,
    unique_by=lambda look: look[:3],
)


@given(looks, st.integers(1, 5))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_looks_in_any_order_leave_the_latest_of_each(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, seen: list[Any], at_once: int
) -> None:
    monkeypatch.setattr(class_tables, "_LOOKS", 2)  # so that the others are dropped now and then
    archive = ba.Archive(tmp_path_factory.mktemp("looks"))
    latest: dict[tuple[str, int], tuple[int, str]] = {}
    for start in range(0, len(seen), at_once):
        part = seen[start : start + at_once]
        archive.add_classes(
            class_rows(
                *({"observed_at": at(day), "studio": studio, "class_id": n, "title": t} for day, studio, n, t in part)
            ),
            slot_rows(),
        )
        for day, studio, n, title in part:
            latest[studio, n] = max(latest.get((studio, n), (-1, "")), (day, title))
    rows = archive.classes().select("studio", "class_id", "title").collect().rows()
    assert rows == [(*key, title) for key, (_, title) in sorted(latest.items())]


def test_a_look_ahead_of_the_clock_waits_until_its_time_has_come(tmp_path: Path) -> None:
    now = at(3)
    archive = ba.Archive(tmp_path, clock=lambda: now)
    archive.add_classes(class_rows({"title": "Now"}), slot_rows())
    archive.add_classes(class_rows({"title": "Later", "observed_at": at(5)}), slot_rows())
    archive.compact()
    assert archive.titles() == {1: "Now"}
    archive.add_classes(class_rows({"title": "Then", "observed_at": at(4)}), slot_rows())
    now = at(4)
    assert archive.titles() == {1: "Then"}
    now = at(5)
    assert archive.titles() == {1: "Later"}


def test_looks_become_one_file_and_nothing_is_lost(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    for day in range(class_tables._LOOKS + 2):
        archive.add_classes(class_rows(), slot_rows({"class_slot_id": day, "observed_at": at(day)}))
    table = class_tables.ClassTables(str(tmp_path), None)._opened("slots")
    assert table is not None
    assert len(table.file_uris()) <= 2
    assert archive.slots().collect()["class_slot_id"].to_list() == list(range(class_tables._LOOKS + 2))
    archive.compact()
    assert archive.slots().collect().height == class_tables._LOOKS + 2


def test_writers_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_tables, "_LOOKS", 3)

    def write(studio: int) -> None:
        archive = ba.Archive(tmp_path)
        for day in range(4):
            rows = {"studio": f"s{studio}", "class_slot_id": day, "observed_at": at(day)}
            archive.add_classes(class_rows(), slot_rows(rows))

    ba.Archive(tmp_path).add_classes(class_rows({}), slot_rows())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert ba.Archive(tmp_path).slots().collect().height == 16


def test_bookings_know_nothing_of_them_and_upkeep_leaves_both_alone(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    archive.add_classes(class_rows({}), slot_rows({}))
    archive.add(result(at(1), {7: {1: "BOOKED"}}))
    archive.compact()
    archive.forget([7])
    assert archive.history().collect().is_empty()
    assert [frame.height for frame in kept(archive)] == [1, 1]
    assert archive.check().problems == ()
    archive.add(result(at(2), {7: {1: "BOOKED"}}))
    archive.rename_studio("mitte", " nord ")
    assert [frame["studio"].to_list() for frame in kept(archive)] == [["nord"], ["nord"]]


@pytest.mark.parametrize("name", ["süd", "my studio", "a+b", "100 & more", "東京"])
def test_they_are_found_in_a_directory_of_whatever_name(tmp_path: Path, name: str) -> None:
    for day, title in enumerate(("Yoga", "Flow")):
        look = class_rows({"title": title, "observed_at": at(day)})
        ba.Archive(tmp_path / name).add_classes(look, slot_rows({}))
    archive = ba.Archive(tmp_path / name)
    assert archive.titles() == {1: "Flow"}
    archive.compact()
    assert [frame.height for frame in kept(archive)] == [1, 1]


def test_a_damaged_table_is_named_and_bookings_can_still_be_read(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    archive.add(result(at(1), {7: {1: "BOOKED"}}))
    archive.add_classes(class_rows({}), slot_rows({}))
    for path in (tmp_path / "_classes" / "slots").glob("*.parquet"):
        path.write_bytes(b"PAR1" + b"\0" * 60)
    with pytest.raises(ba.ArchiveError, match=r"The slots of the archive .* can't be read: .*fetch the classes again"):
        archive.slots()
    assert archive.history().collect().height == 1
    (problem,) = archive.check().problems
    assert "The slots of the archive" in problem


def test_titles_reach_charts_and_notebooks_without_a_file_and_a_file_corrects_them(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path / "archive")
    archive.add(result(at(1), {7: {1: "BOOKED", 2: "BOOKED"}}))
    archive.add_classes(class_rows({}, {"class_id": 2, "title": "Box"}), slot_rows())
    outcomes = archive.outcomes()
    chart = ba.charts.outcome_counts(ba.outcome_counts(outcomes, by="class_id"))
    assert all(title in str(chart.description) for title in ("Yoga", "Box"))
    titles = tmp_path / "classes.csv"
    titles.write_text("class_id,title\n2,Boxing\n3,Run\n", "utf-8")
    loaded = [ba.notebook.load([7], archive_path=tmp_path / "archive", class_file=file) for file in (None, titles)]
    assert [each.titles for each in loaded] == [{1: "Yoga", 2: "Box"}, {1: "Yoga", 2: "Boxing", 3: "Run"}]


def test_a_notebook_dates_by_the_kept_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = ba.Archive(tmp_path)
    archive.add(result(at(1), {7: {1: "BOOKED"}}))
    starts = at(3.5)
    archive.add_classes(class_rows(), slot_rows({"class_slot_id": 1, "starts_at": starts, "observed_at": at(1)}))
    data = ba.notebook.load([7], archive_path=tmp_path, timezone="UTC")
    assert data.outcomes.select("starts_at", "hour", "class_day").row(0) == (starts, starts.hour, starts.date())
    assert "Known times: 1 of 1 (100.0%) inside what the fetches say." in capsys.readouterr().out
