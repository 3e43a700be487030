"""Erasing people from an archive: what is found before, that nothing is left after, and the receipt."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from snapshots import at, result
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli, schema
from bookings_analytics.archive import Archive, Erasure
from bookings_analytics.archive.changes import Added

if TYPE_CHECKING:
    from pathlib import Path

GONE, STAYS = 14_925_548, 14_925_600
BOOKED = {10: "BOOKED"}


def filled(place: Path, days: int = 3) -> Archive:
    archive = Archive(place)
    for day in range(days):
        archive.add(result(at(day), {GONE: {10 + day: "BOOKED"}, STAYS: {99: "BOOKED"}}))
    return archive


def state(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def places(archive: Archive) -> list[int]:
    ids = [frame.collect()["customer_id"] for frame in (archive.history(), archive.fetches(), archive.latest_fetches())]
    return pl.concat(ids).unique().sort().to_list()


# What is planted where an id may hide, and how often it is found there


def in_statistics(place: Path) -> None:
    table = DeltaTable(place)
    table.alter.set_table_properties({"delta.dataSkippingStatsColumns": "customer_id,add_number"})
    Archive(place).add(result(at(50), {GONE: {50: "BOOKED"}}))


def in_a_checkpoint(place: Path) -> None:
    in_statistics(place)
    DeltaTable(place).create_checkpoint()


def in_a_predicate(place: Path) -> None:
    DeltaTable(place).delete(f"customer_id IN ({GONE}) AND booking_id = 10")
    DeltaTable(place).update({"studio": "'nord'"}, predicate=f"customer_id = {GONE} AND booking_id = 11")


def in_an_unfinished_file(place: Path) -> None:
    (place / "table=fetches" / "part-1.parquet#1").write_bytes(GONE.to_bytes(8, "little"))


def in_an_unfinished_commit(place: Path) -> None:
    (place / "_delta_log" / "_commit_1.json.tmp").write_text(f'{{"predicate":"customer_id = {GONE}"}}')


def in_a_file_of_another_table(place: Path) -> None:
    (place / "table=slots").mkdir()
    pl.DataFrame({"class_slot_id": [1], "customer_id": [GONE]}).write_parquet(place / "table=slots" / "part-0.parquet")


def in_what_was_said_of_another(place: Path) -> None:
    failed = result(at(60), {STAYS: "failed"})
    said = failed.fetches.with_columns(message=pl.lit(f"{STAYS} merged into {GONE}"), trace_id=pl.lit(f"t-{GONE}-1"))
    Archive(place).add(bookings=failed.bookings, fetches=said)


PLANTED = [
    in_what_was_said_of_another,
    *(in_statistics, in_a_checkpoint, in_a_predicate),
    *(in_an_unfinished_file, in_an_unfinished_commit, in_a_file_of_another_table),
]


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_found_before_and_gone_after(tmp_path: Path, plant: Any) -> None:
    archive = filled(tmp_path)
    before = archive.forget([GONE], dry_run=True).hits_before
    plant(tmp_path)
    planted = archive.forget([GONE], dry_run=True)
    assert planted.hits_before == planted.hits_after != before > 0
    receipt = archive.forget([GONE])
    assert (receipt.hits_before, receipt.hits_after) == (planted.hits_before, 0)
    assert places(archive) == [STAYS]
    for name, content in state(tmp_path).items():
        assert str(GONE).encode() not in content, name
        assert GONE.to_bytes(8, "little") not in content, name
        if name.endswith(".parquet"):
            assert str(GONE) not in pl.read_parquet(io.BytesIO(content)).write_json(), name
    assert archive.check().problems == ()


def test_the_receipt_is_of_the_files_that_are_there(tmp_path: Path) -> None:
    receipt = filled(tmp_path).forget([GONE])
    files = {name: len(content) for name, content in state(tmp_path).items()}
    lines = "".join(f"{name} {size}\n" for name, size in sorted(files.items()))
    assert (receipt.files, receipt.bytes) == (len(files), sum(files.values()))
    assert receipt.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert "backups" in receipt.not_promised
    assert f"Found in {receipt.hits_before:,} places before, 0 after" in str(receipt)


def test_who_is_not_there_is_found_nowhere(tmp_path: Path) -> None:
    receipt = filled(tmp_path).forget([3])
    assert (receipt.hits_before, receipt.hits_after) == (0, 0)
    empty = Archive(tmp_path / "none").forget([3])
    assert empty == Erasure(0, 0, 0, 0, hashlib.sha256(b"").hexdigest(), empty.not_promised)
    assert not (tmp_path / "none").exists()


def test_an_id_in_somebody_elses_file_is_refused_and_the_file_named(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    (tmp_path / "notes.txt").write_text(f"call {GONE} tomorrow")
    with pytest.raises(ba.ArchiveError, match=r"still in notes\.txt: .*Remove these files.* and erase again"):
        archive.forget([GONE])
    assert places(archive) == [STAYS], "all that is the archive's own is erased"
    (tmp_path / "notes.txt").unlink()
    assert archive.forget([GONE]).hits_after == 0


def test_what_was_said_of_another_stays_but_for_the_text_that_names_them(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    in_what_was_said_of_another(tmp_path)
    archive.forget([GONE])
    row = archive.fetches().filter(fetched_at=at(60)).collect().row(0, named=True)
    assert (row["customer_id"], row["outcome"], row["message"], row["trace_id"]) == (STAYS, "failed", None, None)
    assert archive.fetches().collect().height == 4


@pytest.mark.parametrize("column", ["title", "category"])
def test_an_id_in_the_words_of_a_class_is_found_and_refused(tmp_path: Path, column: str) -> None:
    archive = filled(tmp_path)
    row: dict[str, Any] = {"studio": "mitte", "class_id": 1, "observed_at": at(0), column: f"Training of {GONE}"}
    classes = pl.DataFrame([row | {name: row.get(name) for name in schema.CLASSES}], schema=schema.CLASSES)
    archive.add_classes(classes, schema.SLOTS.to_frame())
    with pytest.raises(ba.ArchiveError, match=r"still in _classes/classes/"):
        archive.forget([GONE])
    assert places(archive) == [STAYS]


def test_numbers_that_are_something_else_are_no_hits(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: {20_000: "BOOKED"}, 20_000: {1: "BOOKED"}, 3: {20_000 * 7: "BOOKED"}}))
    (tmp_path / "desktop.ini").write_text("IconIndex=1")
    assert archive.forget([1]).hits_after == 0
    assert archive.forget([20_000]).hits_after == 0
    assert places(archive) == [3]


def test_in_one_studio_alone(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    archive.add(result(at(0), {GONE: BOOKED}, studio="nord"))
    receipt = archive.forget([GONE], studio="nord")
    assert receipt.hits_before == archive.forget([GONE], studio="nord", dry_run=True).hits_before + 2
    assert archive.fetches().filter(customer_id=GONE).collect()["studio"].unique().to_list() == ["mitte"]


def test_a_number_of_one_studio_alone_is_searched_for_in_every_byte(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    archive.add(result(at(0), {GONE + 1: BOOKED}, studio="nord"))
    (tmp_path / "notes.txt").write_text(f"call {GONE + 1} tomorrow")
    with pytest.raises(ba.ArchiveError, match=r"still in notes\.txt"):
        archive.forget([GONE + 1], studio="nord")
    (tmp_path / "notes.txt").unlink()
    receipt = archive.forget([GONE + 1], studio="nord")
    assert receipt.hits_after == 0
    assert "number" not in receipt.not_promised
    for name, content in state(tmp_path).items():
        assert str(GONE + 1).encode() not in content, name


def test_a_number_that_another_studio_has_too_is_searched_for_in_rows_and_the_receipt_says_so(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    archive.add(result(at(0), {GONE: BOOKED, GONE + 1: BOOKED}, studio="nord"))
    (tmp_path / "notes.txt").write_text(f"{GONE} of mitte trains on Mondays")
    receipt = archive.forget([GONE, GONE + 1], studio="nord")
    assert receipt.hits_after == 0
    assert receipt.not_promised.endswith("; 1 number that a customer of another studio has too, outside of rows")
    assert places(archive) == [GONE, STAYS]


@pytest.mark.parametrize("name", ["notes.txt", "_delta_log/_commit_1.json.tmp"])
def test_a_number_that_may_be_anything_is_searched_for_in_rows_and_logs_and_the_receipt_says_so(
    tmp_path: Path, name: str
) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {77: BOOKED, STAYS: BOOKED}))
    before = archive.forget([77], dry_run=True).hits_before
    (tmp_path / name).write_text('{"predicate":"customer_id = 77"}')
    receipt = archive.forget([77])
    assert receipt.hits_before == before + (name != "notes.txt")
    assert receipt.not_promised.endswith("; 1 number below 10,000 outside of rows and logs")
    assert places(archive) == [STAYS]


def test_a_class_slot_of_the_same_number_is_no_hit_in_whatever_file_of_the_classes(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    slot: dict[str, Any] = {"studio": "mitte", "class_id": GONE, "class_slot_id": GONE, "booked_participants": 1}
    slots = pl.DataFrame([slot | {"observed_at": at(0)}], schema=schema.SLOTS)
    row = {"studio": "mitte", "class_id": GONE, "title": "Yoga", "observed_at": at(0)}
    classes = pl.DataFrame([row], schema=schema.CLASSES)
    archive.add_classes(classes, slots)
    archive.add_classes(classes, slots)
    log = (tmp_path / "_classes" / "slots" / "_delta_log").glob("*.json")
    assert any(str(GONE) in path.read_text() for path in log), "in its statistics"
    assert archive.forget([GONE]).hits_after == 0
    archive.compact()
    assert list((tmp_path / "_classes" / "slots" / "_delta_log").glob("*.checkpoint.parquet"))
    assert archive.forget([GONE]).hits_before == 0
    assert archive.slots().collect()["class_slot_id"].to_list() == [GONE]


def test_who_opted_out_last_is_erased_studio_by_studio(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.add(result(at(0), {1: BOOKED, 2: BOOKED, 3: BOOKED, 4: "access_disabled"}))
    archive.add(result(at(1), {1: "access_disabled", 2: "access_disabled", 3: "failed", 4: "failed"}))
    archive.add(result(at(2), {2: BOOKED, 1: "not_found"}))
    archive.add(result(at(2), {1: BOOKED}, studio="nord"))
    would = archive.forget_opted_out(dry_run=True)
    assert would.hits_before > 0
    receipt = archive.forget_opted_out()
    assert (receipt.hits_before, receipt.hits_after) == (would.hits_before, 0)
    left = archive.fetches().select("studio", "customer_id").unique().sort("studio", "customer_id").collect()
    assert left.rows() == [("mitte", 2), ("mitte", 3), ("nord", 1)]
    assert archive.forget_opted_out().hits_before == 0


# How long things are kept


def course(seed: int, days: int) -> list[dict[int, Any]]:
    """Make the answers of so many nights: bookings come, change and go, and some fetches fail."""
    draw = random.Random(seed)
    nights: list[dict[int, Any]] = []
    for day in range(days):
        answers: dict[int, Any] = {}
        for customer in range(1, 6):
            if draw.random() < 0.2:
                continue
            shown = range(max(0, day - 6), day + 3, customer)
            canceled = {each for each in shown if (each + customer) % 4 == 0 and day > each}
            statuses = {100 * customer + each: "CANCELED" if each in canceled else "BOOKED" for each in shown}
            answers[customer] = "failed" if draw.random() < 0.1 else statuses
        nights.append(answers)
    return nights


def seen_last(archive: Archive) -> dict[tuple[int, int], Any]:
    """Find by hand when each booking was last shown or written."""
    ok = archive.fetches().filter(outcome="ok").collect().rows(named=True)
    last: dict[tuple[int, int], Any] = {}
    for row in archive.history().sort("observed_at").collect().rows(named=True):
        time = row["observed_at"]
        if row["visible"]:
            time = max([time, *(each["fetched_at"] for each in ok if each["customer_id"] == row["customer_id"])])
        last[row["customer_id"], row["booking_id"]] = time
    return last


@pytest.fixture(scope="module", params=range(4))
def fetched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """An archive of forty nights, and what was answered in each; tests change a copy of it."""
    place, nights = tmp_path_factory.mktemp("fetched"), course(request.param, 40)
    archive = Archive(place, clock=lambda: at(40))
    for day, answers in enumerate(nights):
        if answers:
            archive.add(result(at(day), answers))
    return place, nights


@pytest.mark.parametrize("compacted", [False, True])
def test_what_was_last_seen_too_long_ago_goes_and_the_rest_stays(
    tmp_path: Path, fetched: tuple[Path, list[Any]], *, compacted: bool
) -> None:
    (place, nights), now = fetched, at(40)
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    archive = Archive(tmp_path, clock=lambda: now)
    if compacted:
        archive.compact()
    cutoff = now - timedelta(weeks=2)
    stays = [key for key, time in seen_last(archive).items() if time >= cutoff]
    history, fetches = archive.history().collect(), archive.fetches().collect()
    would = archive.retain(weeks=2, dry_run=True)
    assert_frame_equal(archive.history().collect(), history)
    receipt = archive.retain(weeks=2)
    assert (receipt.hits_before, receipt.hits_after) == (would.hits_before, 0)
    kept = pl.DataFrame(stays, schema=["customer_id", "booking_id"], orient="row")
    expected = history.join(kept, on=["customer_id", "booking_id"], how="semi")
    order = ["customer_id", "booking_id", "observed_at"]
    assert_frame_equal(archive.history().collect().sort(order), expected.sort(order))
    young = fetches.filter(pl.col("fetched_at") >= cutoff)
    assert_frame_equal(archive.fetches().collect(), young, check_row_order=False)
    assert archive.check().problems == ()
    last: dict[int, Any] = {}
    for answers in nights:
        last |= {customer: answer for customer, answer in answers.items() if answer != "failed"}
    again = archive.add(result(at(39.5), last))
    assert again == Added(unchanged=sum(map(len, last.values())), fetches=len(last))
    assert archive.retain(weeks=2).hits_before == 0


def test_an_unchanged_booking_that_is_still_shown_stays(tmp_path: Path) -> None:
    archive = Archive(tmp_path, clock=lambda: at(20))
    for day in range(20):
        archive.add(result(at(day), {1: BOOKED}))
    archive.retain(weeks=1)
    assert archive.history().collect()["observed_at"].to_list() == [at(0)]
    assert archive.add(result(at(19.5), {1: BOOKED})) == Added(unchanged=1, fetches=1)


@pytest.mark.parametrize("weeks", [0, -1, 1.5, True, "4"])
def test_weeks_are_a_whole_number_from_1(tmp_path: Path, weeks: Any) -> None:
    with pytest.raises(ValueError, match=r"weeks is .*; pass a whole number of at least 1"):
        Archive(tmp_path).retain(weeks=weeks)


# From the command line


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)
    return done.exit_code, done.output


COMMANDS: list[list[object]] = [["forget", GONE], ["forget-opted-out"], ["retain", "--weeks", 1]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_a_dry_run_changes_no_byte_and_the_command_prints_the_receipt(tmp_path: Path, command: list[object]) -> None:
    archive = filled(tmp_path)
    archive.add(result(at(4), {GONE: "access_disabled"}))
    before = state(tmp_path)
    code, said = run(*command, "--archive", tmp_path, "--dry-run")
    assert code == 0
    assert "A dry run, nothing was changed: " in said
    assert " 0 rows" not in said
    assert state(tmp_path) == before
    code, said = run(*command, "--archive", tmp_path)
    assert code == 0
    assert ", 0 after; searched " in said
    assert "SHA-256 " in said
    assert GONE not in places(archive)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_an_archive_that_is_not_there_is_refused_and_not_made(tmp_path: Path, command: list[object]) -> None:
    with pytest.raises(ba.BookingsError, match="typo holds no archive"):
        run(*command, "--archive", tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_the_log_of_an_erasure_names_nobody(tmp_path: Path) -> None:
    filled(tmp_path).forget([GONE])
    for commit in (tmp_path / "_delta_log").glob("*.json"):
        for line in commit.read_text("utf-8").splitlines():
            assert str(GONE) not in json.dumps(json.loads(line))
