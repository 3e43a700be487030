"""The demo studio's archive in `data/`: it can be made again, is whole and small, and does not name its machine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from bookings_analytics import demo
from bookings_analytics.archive import Archive
from bookings_analytics.cli.demo_data import DAYS, take
from bookings_analytics.cohorts import read_cohorts

ROOT = Path(__file__).parent.parent
STORED = ROOT / "data" / "archive"
COHORTS = read_cohorts(ROOT / "data" / "cohorts.csv")


def files() -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in STORED.rglob("*") if path.is_file()}


def test_made_again_from_the_seed_it_is_the_same(tmp_path: Path) -> None:
    """On every eighth customer and all those who can't be read: the files' names are random, so rows are compared."""
    stored = Archive(STORED)
    unreadable = stored.cohorts(COHORTS).filter(pl.col("fetch_outcome") != "ok").collect()
    some = pl.concat([COHORTS.gather_every(8), unreadable.select(COHORTS.columns)]).unique(maintain_order=True)
    again = Archive(tmp_path / "archive")
    take(again, some)
    for table in (Archive.history, Archive.fetches):
        expected = table(stored).collect().join(some, on="customer_id", how="semi", maintain_order="left")
        assert expected.height > 1000
        assert_frame_equal(table(again).collect(), expected)


def test_it_holds_every_customer_of_the_list_on_every_day() -> None:
    fetches = Archive(STORED).fetches().collect()
    days = [demo.NOW - timedelta(days=days_ago) for days_ago in reversed(range(DAYS))]
    everybody = COHORTS.select("customer_id").join(pl.DataFrame({"fetched_at": days}), how="cross")
    assert_frame_equal(
        fetches.select("customer_id", "fetched_at"), everybody, check_row_order=False, check_dtypes=False
    )
    assert set(fetches["outcome"]) == {"ok", "not_found", "access_disabled"}


def test_the_readme_says_how_many_rows_it_has() -> None:
    readme = (ROOT / "data" / "README.md").read_text("utf-8")
    for name, table in (("observations", Archive.history), ("fetches", Archive.fetches)):
        assert f"| `{name}` | {table(Archive(STORED)).collect().height:,} |" in readme


def test_it_is_small_and_does_not_name_the_machine_it_was_made_on() -> None:
    contents = [content for _, content in files().values()]
    assert len(contents) < 20
    assert sum(map(len, contents)) < 2_000_000
    for content in contents:
        assert b"file:" not in content
        assert b"data/archive" not in content


def test_reading_it_writes_nothing() -> None:
    before = files()
    stored = Archive(STORED)
    for frame in (stored.history(), stored.bookings(), stored.fetches(), stored.cohorts(COHORTS)):
        assert not frame.collect().is_empty()
    assert not stored.coverage(COHORTS, by="cohort").is_empty()
    assert files() == before
