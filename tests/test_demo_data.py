"""The demo archives in `data/`: they can be made again, are whole and small, and do not name their machine."""

from __future__ import annotations

from datetime import date, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bookings_analytics import demo, schema
from bookings_analytics.archive import Archive
from bookings_analytics.cli import demo_data
from bookings_analytics.cli.demo_data import LATE_SEED, LATE_WEEKS, WEEKS, fill, late_world, look, nights
from bookings_analytics.cohorts import read_cohorts
from bookings_analytics.demo.timetable import FEE_FROM, OUTAGE, STORM
from bookings_analytics.demo.world import make_world
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.metrics.class_days import class_days

if TYPE_CHECKING:
    from bookings_analytics.demo import World
    from bookings_analytics.demo.timetable import Habit

ROOT = Path(__file__).parent.parent
BERLIN = ZoneInfo("Europe/Berlin")


class Bundled(NamedTuple):
    studio: str
    folder: Path
    cohorts: Path
    world: World
    weeks: int
    served: tuple[int, Habit]  # seed and bookkeeping


DATA = ROOT / "data"
DEMO = Bundled("demo", DATA / "archive", DATA / "cohorts.csv", make_world(), WEEKS, (demo.SEED, "usual"))
LATE = Bundled("late", DATA / "late/archive", DATA / "late/cohorts.csv", late_world(), LATE_WEEKS, (LATE_SEED, "late"))
both = pytest.mark.parametrize("bundled", [DEMO, LATE], ids=["demo", "late"])
TABLES = (Archive.history, Archive.fetches)


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def listed(bundled: Bundled) -> pl.DataFrame:
    return read_cohorts(bundled.cohorts)


def part(bundled: Bundled) -> pl.DataFrame:
    """Every sixteenth customer, and all who can't be read."""
    cohorts = listed(bundled)
    unreadable = [c for c in cohorts["customer_id"] if bundled.world.people[c].access != "open"]
    wanted = pl.concat([cohorts.gather_every(16)["customer_id"], pl.Series(unreadable, dtype=pl.Int64)])
    return cohorts.filter(pl.col("customer_id").is_in(wanted.implode()))


def test_the_looks_are_taken_at_a_quarter_past_four_in_winter_and_in_summer() -> None:
    looks = [look.astimezone(BERLIN) for look in nights(WEEKS)]
    assert {look.time() for look in looks} == {time(4, 15)}
    assert {look.utcoffset() for look in looks} == {timedelta(hours=1), timedelta(hours=2)}
    days = [look.date() for look in looks]
    assert days == [date(2025, 11, 20) + timedelta(days=n) for n in range(210)]
    complete = [day for day in days if day.isoweekday() == 1 and day + timedelta(days=7) <= days[-1]]
    assert sum(day < FEE_FROM for day in complete) == 15, "the weeks before the fee"


@pytest.mark.parametrize(("bundled", "days"), [(DEMO, 28), (LATE, 7)], ids=["demo", "late"])
def test_fetched_over_http_night_after_night_it_is_the_same(bundled: Bundled, days: int, tmp_path: Path) -> None:
    """On a part of the customers: the names of the files are random, so rows are compared."""
    some = part(bundled)
    seed, bookkeeping = bundled.served
    direct, fetched = Archive(tmp_path / "direct"), Archive(tmp_path / "fetched")
    times = nights(bundled.weeks)[-days:]
    fill(direct, bundled.world, some, times, bundled.studio)
    with demo.serve(name=bundled.studio, seed=seed, bookkeeping=bookkeeping, limit=None) as studio:
        for studio.now in times:
            fetch_bookings(
                some,
                studios=studio,
                archive=fetched,
                progress=False,
                requests_per_minute=1_000_000,
                clock=studio.clock,
            )
    for table in TABLES:
        rows = table(direct).collect()
        assert rows.height > 100
        assert_frame_equal(table(fetched).collect(), rows)


def test_the_night_in_which_the_api_is_down_is_the_same_over_http() -> None:
    times = [night for night in nights(WEEKS) if OUTAGE[0] <= night < OUTAGE[1]]
    assert len(times) == 1
    some = listed(DEMO).filter(pl.col("cohort") == "long-term").head(3)
    with demo.serve(limit=None, now=times[0]) as studio:
        result = fetch_bookings(some, studios=studio, progress=False, clock=studio.clock)
    expected = look(DEMO.world, some, times[0], "demo")
    assert_frame_equal(result.fetches, expected.fetches, check_row_order=False)
    assert set(result.fetches["outcome"]) == {"failed"}
    assert_frame_equal(result.bookings, expected.bookings)
    assert_frame_equal(result.cohorts, expected.cohorts, check_column_order=False)


@both
def test_made_again_without_http_it_is_the_same(bundled: Bundled, tmp_path: Path) -> None:
    some = part(bundled)
    again = Archive(tmp_path / "archive")
    fill(again, bundled.world, some, nights(bundled.weeks), bundled.studio)
    for table in TABLES:
        expected = (
            table(Archive(bundled.folder)).collect().join(some, on="customer_id", how="semi", maintain_order="left")
        )
        assert expected.height > 100
        assert_frame_equal(table(again).collect(), expected)


@both
def test_it_holds_every_customer_of_the_list_on_every_night_since_they_joined(bundled: Bundled) -> None:
    looks = [
        (customer_id, night)
        for customer_id in listed(bundled)["customer_id"]
        for night in nights(bundled.weeks)
        if bundled.world.people[customer_id].joined_at <= night
    ]
    fetches = Archive(bundled.folder).fetches().collect()
    assert sorted(fetches.select("customer_id", "fetched_at").iter_rows()) == sorted(looks)


def test_what_happened_to_its_fetches() -> None:
    fetches = Archive(DEMO.folder).fetches().collect()
    failed = fetches.filter(pl.col("outcome") == "failed")
    assert failed["fetched_at"].n_unique() == 1
    assert OUTAGE[0] <= failed["fetched_at"][0] < OUTAGE[1]
    assert set(fetches["outcome"]) == {"ok", "not_found", "access_disabled", "failed"}
    assert set(Archive(LATE.folder).fetches().collect()["outcome"]) == {"ok", "access_disabled"}


def test_the_list_of_the_late_studio_is_the_one_its_seed_makes(tmp_path: Path) -> None:
    again = tmp_path / "cohorts.csv"
    demo_data.late_cohorts().write_csv(again)
    assert again.read_bytes().splitlines() == LATE.cohorts.read_bytes().splitlines()


def test_what_is_no_demo_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"'cohort' is not a demo data set. Choose cohorts, archive, chances or late"):
        demo_data.main("cohort", str(tmp_path))


@both
def test_the_readme_says_how_many_rows_it_has(bundled: Bundled) -> None:
    readme = (DATA / "README.md").read_text("utf-8")
    for name, table in zip(("observations", "fetches"), TABLES, strict=True):
        assert f"| `{name}` | {table(Archive(bundled.folder)).collect().height:,} |" in readme


def test_the_readme_tells_the_truth_about_the_fee() -> None:
    """The share of seats missed in the days that the archive spans, by cohort."""
    readme = (DATA / "README.md").read_text("utf-8")
    classes = DEMO.world.timetable.filter(pl.col("canceled_at").is_null()).select(
        "class_slot_id", day=pl.col("starts_at").dt.convert_time_zone("Europe/Berlin").dt.date()
    )
    last = DEMO.world.changes.sort("changed_at").unique("booking_id", keep="last")
    missed = (
        last.filter(pl.col("booking_status").is_in(schema.SEAT_STATUSES))
        .join(DEMO.world.attendance, on="booking_id")
        .join(classes, on="class_slot_id")
        .filter(pl.col("day").is_between(date(2025, 11, 20), date(2026, 6, 16)))
        .join(DEMO.world.cohorts, on="customer_id")
        .with_columns(paid=pl.col("day") >= FEE_FROM)
    )
    for rows in (missed, missed.with_columns(cohort=pl.lit("all"))):
        rates = rows.group_by("cohort", "paid").agg((~pl.col("came")).mean()).rows()
        shares = {(cohort, paid): f"{rate:.1%}" for cohort, paid, rate in rates}
        for cohort in rows["cohort"].unique():
            before = shares.get((cohort, False), "(joins in April)")
            assert f"| {cohort} | {before} | {shares[cohort, True]} |" in readme
    stormy = missed.filter(pl.col("day") == STORM)["came"]
    assert f"{(~stormy).sum()} of {len(stormy)} people" in readme


@pytest.mark.parametrize(("bundled", "share"), [(DEMO, 0.99), (LATE, 0.95)], ids=["demo", "late"])
def test_no_class_gets_a_wrong_day_and_nearly_all_that_left_the_window_get_one(bundled: Bundled, share: float) -> None:
    """Some seen by few customers stay without, since bookings are deleted."""
    archive = Archive(bundled.folder)
    found = class_days(archive.history(), archive.fetches(), timezone="Europe/Berlin").lazy().collect()
    dated = found.join(bundled.world.timetable, on="class_slot_id").with_columns(
        true_day=pl.col("starts_at").dt.convert_time_zone("Europe/Berlin").dt.date()
    )
    assert dated.height == found.height
    assert dated.filter(pl.col("class_day") != pl.col("true_day")).is_empty()
    assert dated.filter(~pl.col("true_day").is_between("first_day", "last_day")).is_empty()
    left = dated.filter(pl.col("ends_at") < nights(1)[-1] - timedelta(days=15))
    assert left["class_day"].is_not_null().sum() >= share * left.height
    assert not found["punctual"].any(), "its marks are late"


@both
def test_it_is_small_and_does_not_name_the_machine_it_was_made_on(bundled: Bundled) -> None:
    contents = [content for _, content in files(bundled.folder).values()]
    assert len(contents) < 20
    assert sum(map(len, contents)) < 2_000_000
    for content in contents:
        assert b"file:" not in content
        assert bundled.folder.relative_to(ROOT).as_posix().encode() not in content


@both
def test_reading_it_writes_nothing(bundled: Bundled) -> None:
    before = files(bundled.folder)
    stored = Archive(bundled.folder)
    cohorts = listed(bundled)
    for frame in (stored.history(), stored.bookings(), stored.fetches(), stored.cohorts(cohorts)):
        assert not frame.collect().is_empty()
    assert not stored.coverage(cohorts, by="cohort").is_empty()
    assert files(bundled.folder) == before


def test_the_chances_that_notebook_4_shows_are_those_of_the_bundled_archive() -> None:
    assert_frame_equal(
        pl.read_csv(DATA / "chances.csv"), demo_data.chances(DEMO.world, nights(WEEKS)), check_dtypes=False
    )


def test_the_chances_are_counted_wait_by_wait() -> None:
    world, times = DEMO.world, nights(WEEKS)
    began = {slot.class_slot_id: slot.starts_at.astimezone(BERLIN).date() for slot in world.slots}
    found: dict[int, list[bool]] = {}
    for wait in world.waits.filter(pl.col("wait_outcome") != "slot_canceled").rows(named=True):
        for night in times:
            if wait["started_at"] <= night < wait["ended_at"]:
                before = began[wait["class_slot_id"]] - night.astimezone(BERLIN).date()
                found.setdefault(before.days, []).append(wait["wait_outcome"] == "converted")
    counted = [(days, len(ended), round(sum(ended) / len(ended), 3)) for days, ended in sorted(found.items())]
    assert demo_data.chances(world, times).rows() == counted
