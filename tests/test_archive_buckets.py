"""Buckets of neighboring customers: what they are, who is in them, and what a renewal or a compaction leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from archive_writer import start
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from snapshots import at, result

from bookings_analytics.archive import Archive, buckets, layout, maintenance
from bookings_analytics.archive.changes import Added
from bookings_analytics.archive.layout import fitting_width
from bookings_analytics.archive.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

BUNDLED = Path(__file__).parents[1] / "data" / "archive"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive whose buckets have ten customers."""
    monkeypatch.setattr(layout, "CUSTOMERS", 10)
    monkeypatch.setattr(layout, "LEAST_WIDTH", 5)
    monkeypatch.setattr(layout, "LATEST_ROWS", (2, 1000))
    return Archive(tmp_path / "archive")


def files(archive: Archive, table: str, bucket: int) -> set[Path]:
    assert archive._table.directory
    return set((archive._table.directory / f"table={table}" / f"bucket={bucket}").glob("*.parquet"))


def in_use(archive: Archive) -> dict[tuple[str, int], int]:
    """How many files each table has in each bucket."""
    assert archive._table.directory
    actions = pl.DataFrame(DeltaTable(archive._table.directory).get_add_actions(flatten=True))
    counts = actions.group_by("partition.table", "partition.bucket").len()
    return {(table, bucket): n for table, bucket, n in counts.iter_rows()}


def everything(archive: Archive) -> list[pl.DataFrame]:
    return [archive.history().collect(), archive.fetches().collect(), archive.latest_fetches().collect()]


def test_all_are_in_bucket_0_until_the_first_compaction_chooses_the_width(archive: Archive) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED"} for each in range(1, 31)}))
    assert {bucket for _, bucket in in_use(archive)} == {0}
    before = everything(archive)
    archive.compact()
    assert set(in_use(archive)) == {
        (table, bucket)
        for table in ("observations", "fetches", "latest_observations", "latest_fetches")
        for bucket in range(4)
    }, "30 customers of 30 neighboring ids, ten in a bucket: 1 to 9, 10 to 19, 20 to 29, and 30"
    for one, other in zip(before, everything(archive), strict=True):
        assert_frame_equal(one, other)


@given(
    ids=st.lists(st.integers(1, 10**9), min_size=1, max_size=50, unique=True),
    rows=st.integers(1, 10**8),
    width=st.none() | st.integers(layout.LEAST_WIDTH, 10**9),
)
def test_a_width_fits_where_one_can(ids: list[int], rows: int, width: int | None) -> None:
    fitting = fitting_width(width, pl.Series(ids), rows)
    assert fitting is not None
    n_buckets = len({each // fitting for each in ids})
    least, most = layout.LATEST_ROWS
    assert rows / n_buckets >= least or n_buckets == 1
    assert (
        rows / n_buckets <= most
        or fitting // 2 < layout.LEAST_WIDTH
        or len({each // (fitting // 2) for each in ids}) * least > rows
    )
    if width is not None and least <= rows / len({each // width for each in ids}) <= most:
        assert fitting == width, "a width that fits is kept"


def test_a_bucket_has_about_ten_thousand_customers_at_first() -> None:
    for n, gap in ((10_000, 1), (100_000, 1), (100_000, 149)):
        ids = pl.Series(range(1_000_000, 1_000_000 + n * gap, gap))
        width = fitting_width(None, ids, 7 * n)
        assert n / (ids // width).n_unique() == pytest.approx(10_000, rel=0.6)


def test_a_renewal_rewrites_the_buckets_of_the_adds_alone(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED"} for each in range(1, 31)}))
    archive.compact()
    monkeypatch.setattr(maintenance, "RENEWED_EVERY", 1)
    untouched = files(archive, "latest_observations", 0), files(archive, "latest_fetches", 2)
    touched = files(archive, "latest_observations", 1)
    assert archive.add(result(at(1), {12: {}, 13: {13: "CANCELED"}})) == Added(changed=1, gone=1, fetches=2)
    assert (files(archive, "latest_observations", 0), files(archive, "latest_fetches", 2)) == untouched
    assert files(archive, "latest_observations", 1) > touched
    assert archive.add(result(at(2), {12: {}, 13: {13: "CANCELED"}})) == Added(unchanged=1, fetches=2)


def test_a_compaction_rewrites_the_buckets_of_several_files_alone(archive: Archive) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED"} for each in range(1, 31)}))
    archive.compact()
    alone = files(archive, "fetches", 0)
    for day in (1, 2):
        archive.add(result(at(day), {25: {25: "CANCELED"}}))
    assert in_use(archive)["fetches", 2] == 3
    archive.compact()
    assert set(in_use(archive).values()) == {1}
    assert files(archive, "fetches", 0) == alone


def test_an_add_reads_the_buckets_of_its_customers_alone(archive: Archive) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED"} for each in range(1, 31)}))
    archive.compact()
    for table in ("latest_observations", "latest_fetches"):
        for bucket in (0, 2, 3):
            for path in files(archive, table, bucket):
                path.unlink()
    assert archive.add(result(at(1), {15: {15: "BOOKED"}})) == Added(unchanged=1, fetches=1)


def test_rows_move_when_the_buckets_hold_too_much_or_too_little(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED", 100 + each: "BOOKED"} for each in range(1, 41)}))
    archive.compact()
    before = everything(archive)
    for least, most, n_buckets in ((1, 10, 40 // 5 + 1), (100, 1000, 1), (1, 60, 2)):
        monkeypatch.setattr(layout, "LATEST_ROWS", (least, most))
        archive.compact()
        assert len({bucket for _, bucket in in_use(archive)}) == n_buckets
        assert set(in_use(archive).values()) == {1}
        for one, other in zip(before, everything(archive), strict=True):
            assert_frame_equal(one, other)
    assert archive.add(result(at(1), {39: {}})) == Added(gone=2, fetches=1)


def test_the_log_names_no_customer(archive: Archive) -> None:
    ids = [14_925_548, 14_925_549, 14_999_999]
    for day in range(3):
        archive.add(result(at(day), {each: {each + day: "BOOKED"} for each in ids}))
    archive.compact()
    archive.add(result(at(9), {each: {} for each in ids}))
    assert archive._table.directory
    for path in (archive._table.directory / "_delta_log").glob("*.json"):
        assert not any(str(each) in path.read_text() for each in ids)
        for line in path.read_text().splitlines():
            stats = json.loads(json.loads(line).get("add", {}).get("stats", "{}"))
            assert set(stats.get("minValues", {})) <= {"add_number"}


# Writers at once


def overtaken(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Let another writer do something while a renewal is under way."""
    renew = vars(maintenance)["renew"]

    def slow(*args: Any) -> None:
        monkeypatch.setattr(maintenance, "renew", renew)
        work()
        renew(*args)

    monkeypatch.setattr(maintenance, "renew", slow)


@pytest.mark.parametrize("beside", ["add", "renewal", "compaction", "erasure", "new width"])
def test_a_renewal_beside_another_writer_loses_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED"} for each in range(1, 31)}))
    archive.compact()
    monkeypatch.setattr(maintenance, "RENEWED_EVERY", 1)
    assert archive._table.directory
    other = Archive(archive._table.directory)

    def new_width() -> None:
        monkeypatch.setattr(layout, "LATEST_ROWS", (1, 10))
        other.compact()

    works: dict[str, Callable[[], object]] = {
        "add": lambda: other.add(result(at(2), {12: {}})),
        "renewal": lambda: other.add(result(at(2), {25: {25: "CANCELED"}})),
        "compaction": other.compact,
        "erasure": lambda: other.forget([12]),
        "new width": new_width,
    }
    overtaken(monkeypatch, works[beside])
    archive.add(result(at(1), {12: {12: "CANCELED"}, 28: {28: "CANCELED"}}))
    state = dict(archive.bookings().filter("visible").select("booking_id", "booking_status").collect().iter_rows())
    expected = dict.fromkeys(range(1, 31), "BOOKED") | {12: "CANCELED", 28: "CANCELED"}
    if beside == "renewal":
        expected[25] = "CANCELED"
    if beside in {"add", "erasure"}:
        del expected[12]
    assert state == expected
    again = {customer_id: {customer_id: status} for customer_id, status in expected.items()}
    assert archive.add(result(at(3), again)) == Added(unchanged=len(expected), fetches=len(expected)), (
        "what the latest tables know is what the change log says"
    )


def test_the_first_renewal_beside_a_renaming_knows_the_new_name(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add(result(at(0), {1: {1: "BOOKED"}}))
    monkeypatch.setattr(maintenance, "RENEWED_EVERY", 1)
    assert archive._table.directory
    other = Archive(archive._table.directory)
    overtaken(monkeypatch, lambda: other.rename_studio("mitte", "nord"))
    archive.add(result(at(1), {2: {2: "BOOKED"}}))
    again = result(at(2), {1: {1: "BOOKED"}, 2: {2: "BOOKED"}}, studio="nord")
    assert archive.add(again) == Added(unchanged=2, fetches=2)


@pytest.mark.parametrize("first", ["add", "new width"])
def test_an_add_and_a_new_width_at_once_both_end_up_right(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    archive.add(result(at(0), {each: {each: "BOOKED"} for each in range(1, 31)}))
    archive.compact()
    monkeypatch.setattr(layout, "LATEST_ROWS", (1, 10))
    assert archive._table.directory
    other = Archive(archive._table.directory)
    fit, append = buckets.fit, Snapshot.append

    def slow_fit(now: Snapshot) -> bool:
        monkeypatch.setattr(maintenance, "fit", fit)
        other.add(result(at(1), {12: {12: "CANCELED"}}))
        return fit(now)

    def slow_append(now: Snapshot, *frames: pl.DataFrame) -> int:
        monkeypatch.setattr(Snapshot, "append", append)
        other.compact()
        return append(now, *frames)

    if first == "add":
        monkeypatch.setattr(maintenance, "fit", slow_fit)
        archive.compact()
    else:
        monkeypatch.setattr(Snapshot, "append", slow_append)
        archive.add(result(at(1), {12: {12: "CANCELED"}}))
    assert len({bucket for _, bucket in in_use(archive)}) == 7, "of five customers each"
    expected = dict.fromkeys(range(1, 31), "BOOKED") | {12: "CANCELED"}
    again = {customer_id: {customer_id: status} for customer_id, status in expected.items()}
    assert archive.add(result(at(3), again)) == Added(unchanged=30, fetches=30)


def keep_busy(place: Path, writer: int) -> None:
    """Add, renew, compact and forget, as one of two writers at once."""
    patch = pytest.MonkeyPatch()  # for the life of this process
    for name, value in {"CUSTOMERS": 10, "LEAST_WIDTH": 5, "LATEST_ROWS": (2, 60)}.items():
        patch.setattr(layout, name, value)
    patch.setattr(maintenance, "RENEWED_EVERY", 2)
    patch.setattr(maintenance, "_COMPACTED_EVERY", 7)
    archive = Archive(place)
    for day in range(12):
        archive.add(busy_day(writer, day))
        if day % 5 == 4:
            archive.forget([1000 + 10 * writer + day])


def busy_day(writer: int, day: int) -> Any:
    mine = range(1 + 20 * writer, 21 + 20 * writer)
    answers = {each: {each: "BOOKED" if day % 2 else "CANCELED"} for each in mine}
    return result(at(day), answers | {1000 + 10 * writer + day: {}})


def test_two_writers_who_add_renew_compact_and_forget_lose_nothing(tmp_path: Path) -> None:
    writers = [start(keep_busy, tmp_path, writer) for writer in (0, 1)]
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    archive = Archive(tmp_path)
    log = archive.history().select("customer_id", "observed_at", "booking_status").collect().rows()
    assert log == [(each, at(day), "BOOKED" if day % 2 else "CANCELED") for each in range(1, 41) for day in range(12)]
    forgotten = {1000 + 10 * writer + day for writer in (0, 1) for day in (4, 9)}
    kept = {1000 + 10 * writer + day for writer in (0, 1) for day in range(12)} - forgotten
    assert set(archive.fetches().collect()["customer_id"]) == {*range(1, 41), *kept}
    assert archive.check().problems == ()


# Format 1


@pytest.fixture
def of_format_1(tmp_path: Path) -> Archive:
    assert DeltaTable(BUNDLED).metadata().partition_columns == ["table"], "the bundled archive stays of format 1"
    shutil.copytree(BUNDLED, tmp_path / "bundled")
    return Archive(tmp_path / "bundled", clock=lambda: at(200))


def test_an_archive_of_format_1_is_rewritten_by_a_compaction(of_format_1: Archive) -> None:
    before = everything(of_format_1)
    of_format_1.compact()
    assert of_format_1._table.directory
    table = DeltaTable(of_format_1._table.directory)
    assert table.metadata().partition_columns == ["table", "bucket"]
    assert table.metadata().configuration["bookings_analytics.format"] == "2"
    assert set(in_use(of_format_1).values()) == {1}
    for one, other in zip(before, everything(of_format_1), strict=True):
        assert_frame_equal(one, other)
    assert of_format_1.check().problems == ()


def test_an_archive_of_format_1_can_be_added_to_before_and_after(of_format_1: Archive) -> None:
    last = of_format_1.bookings().filter("visible").collect()
    customer_id = int(last["customer_id"][0])
    studio = last["studio"][0]
    held = last.filter(customer_id=customer_id).height
    for day in (198, 199):
        added = of_format_1.add(result(at(day), {customer_id: {}}, studio=studio))
        assert added == Added(gone=held if day == 198 else 0, fetches=1)
        of_format_1.compact()
    assert of_format_1.bookings().filter(pl.col("visible"), customer_id=customer_id).collect().is_empty()
