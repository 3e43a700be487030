"""An archive's outcomes and class days: what `classify` and `class_days` make of its rows, taken by every rate."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from snapshots import Bookings, at, result

import bookings_analytics as ba
from bookings_analytics.archive import Archive, layout, parts
from bookings_analytics.archive.cohorts import fetch_outcomes
from bookings_analytics.archive.coverage import coverage
from bookings_analytics.archive.layout import as_text
from bookings_analytics.schema import CUSTOMER_KEY, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

BUNDLED = Path(__file__).parents[1] / "data" / "archive"
NIGHT = -4 / 24  # of `at`, which counts from 06:00 UTC: 02:00 UTC
CLASSES = {1: 10, 2: 11, 3: 17}  # class_slot_id of a booking → the day of the class


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Forty nights of three customers, each with a booking of three classes; shown within two weeks of the class."""
    archive = Archive(tmp_path_factory.mktemp("nights") / "archive")
    for night in range(40):
        answers: dict[int, Any] = {
            customer: {customer * 70 + slot: "BOOKED" for slot, day in CLASSES.items() if day - 14 < night <= day + 14}
            for customer in (1, 2, 3)
        }
        fetched = result(at(night + NIGHT), answers)
        held = pl.col("class_slot_id").replace_strict(CLASSES)
        completed = held < night
        archive.add(
            ba.FetchResult(
                fetched.bookings.with_columns(
                    class_slot_status=pl.when(completed).then(pl.lit("COMPLETED")).otherwise(pl.lit("PLANNED"))
                    .cast(fetched.bookings.schema["class_slot_status"]),
                    participant_status=pl.when(completed, pl.col("customer_id") > 1).then(pl.lit("PARTICIPATING"))
                    .when(completed).then(pl.lit("NOT_PARTICIPATING")).otherwise(pl.lit("UNSET"))
                    .cast(fetched.bookings.schema["participant_status"]),
                ),
                fetched.fetches,
                fetched.cohorts,
            )
        )  # fmt: skip
    return archive


def held_on(slot: int) -> date:
    return at(CLASSES[slot]).date()


def test_class_days_are_those_of_the_rows(archive: Archive) -> None:
    days = archive.class_days(timezone="Europe/Berlin", opens="06:00", closes="23:00")
    assert_frame_equal(
        days,
        ba.class_days(archive.history(), archive.fetches(), timezone="Europe/Berlin", opens="06:00", closes="23:00"),
    )
    assert days["class_day"].to_list() == [held_on(slot) for slot in sorted(CLASSES)]


def test_known_times_win(archive: Archive) -> None:
    known = pl.DataFrame({"studio": ["mitte"], "class_slot_id": [1], "starts_at": [at(10.25)]})
    days = archive.class_days(timezone="Europe/Berlin", known=known)
    assert days["dated_by"].cast(pl.String).to_list() == ["known", "window", "window"]


def test_outcomes_are_what_classify_makes_of_the_archive(archive: Archive) -> None:
    assert_frame_equal(archive.outcomes().frame(), ba.classify(archive.history().collect()))
    days = archive.class_days(timezone="Europe/Berlin")
    dated = ba.classify(archive.history().collect(), class_days=days, fetches=archive.fetches().collect())
    outcomes = archive.outcomes(days)
    assert_frame_equal(outcomes.frame(), dated)
    assert_frame_equal(outcomes.lazy().collect(), dated)
    assert repr(outcomes) == "<ArchiveOutcomes: 9 outcomes>"
    assert dated["class_day"].null_count() == 0


@pytest.mark.parametrize(
    "rate",
    [
        ba.no_shows,
        ba.outcome_counts,
        ba.waitlist_conversion,
        ba.seats_lost_while_waiting,
        lambda outcomes, *rest, **by: ba.booking_vs_participation(outcomes, *(rest or (None,)), **by),
    ],
)
@pytest.mark.parametrize("by", [None, "cohort", ["cohort", "week"]])
def test_every_rate_takes_them_and_returns_an_eager_frame(
    archive: Archive, rate: Callable[..., Any], by: str | list[str] | None
) -> None:
    outcomes = archive.outcomes(archive.class_days(timezone="Europe/Berlin"))
    cohorts = archive.cohorts(pl.DataFrame({"customer_id": [1, 2, 3], "cohort": ["old", "old", "new"]})).collect()
    rates = rate(outcomes, cohorts, by=by)
    assert isinstance(rates, pl.DataFrame)
    assert_frame_equal(rates, rate(outcomes.frame(), cohorts, by=by))


def test_comparisons_take_them(archive: Archive) -> None:
    cohorts = archive.cohorts(pl.DataFrame({"customer_id": [1, 2, 3], "cohort": ["old", "old", "new"]})).collect()
    outcomes: Any = archive.outcomes()
    compared = ba.compare(outcomes, "no_show_rate", cohorts=cohorts, by="cohort")
    assert isinstance(compared, pl.DataFrame)
    assert_frame_equal(compared, ba.compare(outcomes.frame(), "no_show_rate", cohorts=cohorts, by="cohort"))


# By parts: whole customers of one bucket, or some of a large one


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The bundled archive twice, as two studios, some of its customers, in buckets of about ten."""
    bundled = Archive(BUNDLED)
    of_some = pl.col("customer_id") % 6 == 0
    history, fetches = bundled.history().filter(of_some).collect(), bundled.fetches().filter(of_some).collect()
    archive = Archive(tmp_path_factory.mktemp("chain") / "archive")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CUSTOMERS": 10, "LEAST_WIDTH": 5, "LATEST_ROWS": (1, 10**6)}.items():
            patch.setattr(layout, name, value)
        archive._table.commit(lambda now: now.append(*of_studio("mitte", history, fetches)))
        archive._table.commit(lambda now: now.append(*of_studio("nord", history, fetches)))
        archive.compact()
    return archive


def of_studio(name: str, *frames: pl.DataFrame) -> list[pl.DataFrame]:
    return [each.with_columns(studio=pl.lit(name)).cast(as_text(each.schema)) for each in frames]


@pytest.fixture(params=[500_000, 4_000], ids=["a bucket each", "many of a bucket"])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parts, "_ROWS_AT_ONCE", request.param)
    return int(request.param)


@pytest.mark.usefixtures("rows_at_once")
def test_parts_together_are_the_whole(chain: Archive, tmp_path: Path) -> None:
    history, fetches = chain.history().collect(), chain.fetches().collect()
    hours: dict[str, Any] = {"timezone": "Europe/Berlin", "opens": "06:00", "closes": "23:00"}
    days = chain.class_days(**hours)
    assert_frame_equal(days, ba.class_days(history, fetches, **hours))
    whole = ba.classify(history, class_days=days, fetches=fetches)
    outcomes = chain.outcomes(days)
    assert_frame_equal(outcomes.frame(), whole)
    frames = list(outcomes)
    assert len(frames) > 5
    customers = [frame.select(CUSTOMER_KEY).unique() for frame in frames]
    assert sum(each.height for each in customers) == whole.select(CUSTOMER_KEY).n_unique(), "of whole customers each"
    files = outcomes.write(tmp_path / "outcomes")
    assert [path.name for path in files[:2]] == ["outcomes-0000.parquet", "outcomes-0001.parquet"]
    assert_frame_equal(pl.concat(pl.read_parquet(path) for path in files).sort(PLACE_KEY), whole)
    with pytest.raises(ba.ArchiveError, match=r"holds outcomes-0000\.parquet, .* Name an empty or a new one"):
        outcomes.write(tmp_path / "outcomes")
    listed = chain.cohorts(fetches.select(CUSTOMER_KEY).unique().sort(CUSTOMER_KEY).with_columns(cohort=pl.lit("all")))
    assert_frame_equal(
        listed.select(*CUSTOMER_KEY, "fetch_outcome").collect(),
        fetch_outcomes(fetches, None, None).sort(CUSTOMER_KEY).select(*CUSTOMER_KEY, "fetch_outcome"),
    )
    assert_frame_equal(chain.coverage(by=["studio", "day"]), coverage([fetches], None, ["studio", "day"]))


@pytest.mark.usefixtures("rows_at_once")
@pytest.mark.parametrize("by", [None, "week", ["cohort", "class_id"]])
def test_every_rate_of_parts_is_that_of_the_whole(chain: Archive, by: Any) -> None:
    days = chain.class_days(timezone="Europe/Berlin", opens="06:00", closes="23:00")
    outcomes: Any = chain.outcomes(days)
    whole = outcomes.frame()
    ids = whole.select(CUSTOMER_KEY).unique().sort(CUSTOMER_KEY)
    cohorts = chain.cohorts(ids.with_columns(cohort=pl.col("customer_id") % 3)).collect()
    for rate in (
        *(ba.booking_vs_participation, ba.no_shows, ba.outcome_counts, ba.waitlist_conversion),
        *(ba.seats_lost_while_waiting, ba.cancellations, ba.cancellation_notice),
    ):
        assert rate(outcomes, cohorts, by=by).equals(rate(whole, cohorts, by=by)), rate
    if by == "week":
        assert_frame_equal(ba.visits(outcomes, cohorts, by=by), ba.visits(whole, cohorts, by=by))
        one, other = (ba.trend(each, "no_show_rate", cohorts) for each in (outcomes, whole))
        assert_frame_equal(one, other, abs_tol=1e-12)
    if by:
        one, other = (ba.compare(each, "no_show_rate", cohorts=cohorts, by=by) for each in (outcomes, whole))
        assert_frame_equal(one, other, abs_tol=1e-12)


def test_files_that_were_removed_meanwhile_are_named(archive: Archive, tmp_path: Path) -> None:
    assert archive._table.directory
    shutil.copytree(archive._table.directory, tmp_path / "copy")
    outcomes = Archive(tmp_path / "copy").outcomes()
    for path in (tmp_path / "copy").glob("table=observations/**/*.parquet"):
        path.unlink()
    with pytest.raises(ba.ArchiveError, match=r"If customers were erased from it meanwhile, ask for the frame again\."):
        outcomes.frame()


@pytest.mark.parametrize(
    ("since", "until", "slots"),
    [(None, None, [1, 2, 3]), (11, None, [2, 3]), (None, 11, [1, 2]), (11, 16, [2]), (18, None, [])],
)
def test_a_period_is_one_of_class_days_both_included(
    archive: Archive, since: int | None, until: int | None, slots: list[int]
) -> None:
    days = archive.class_days(timezone="Europe/Berlin")
    limits = [None if day is None else at(day).date() for day in (since, until)]
    found = archive.outcomes(days, *limits).frame()["class_slot_id"].unique().sort().to_list()
    assert found == slots


def test_a_week_that_the_period_cuts_is_not_complete(archive: Archive) -> None:
    days = archive.class_days(timezone="Europe/Berlin")
    monday = held_on(2) - timedelta(days=held_on(2).weekday())
    for since, until, complete in ((0, 6, True), (1, 6, False), (0, 5, False), (None, 5, False), (0, None, True)):
        ends = [None if day is None else monday + timedelta(days=day) for day in (since, until)]
        weeks = archive.outcomes(days, *ends).frame().filter(week=monday)["week_complete"]
        assert set(weeks) == {complete}


def test_a_period_leaves_out_what_is_not_dated(archive: Archive) -> None:
    days = archive.class_days(timezone="Europe/Berlin").with_columns(
        class_day=pl.when(pl.col("class_slot_id") > 1).then("class_day")
    )
    assert archive.outcomes(days).frame().height == 9
    assert archive.outcomes(days, since=at(0).date()).frame().height == 6


def test_a_period_needs_class_days(archive: Archive) -> None:
    with pytest.raises(ValueError, match=r"since and until are class days\. Pass class_days= as well"):
        archive.outcomes(since=date(2026, 5, 1))
    with pytest.raises(ValueError, match="the period ends before it begins"):
        archive.outcomes(since=date(2026, 5, 2), until=date(2026, 5, 1))


# Coverage by the studio's own days and hours


def test_coverage_has_local_days_and_counts_fetches_in_opening_hours(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    nobody: dict[int, Bookings] = {1: {}}
    start = datetime.fromisoformat("2026-03-28T22:30+00:00")  # 23:30 in Berlin, the night of its change to summer time
    for hours in (0, 1, 5, 6, 22, 23):
        archive.add(result(start + timedelta(hours=hours), nobody))
    assert "n_in_opening_hours" not in archive.coverage().columns
    coverage = archive.coverage(by="day", timezone="Europe/Berlin", opens="05:30", closes="22:30")
    # Berlin: 23:30 | 00:30, 05:30, 06:30, 22:30, 23:30 the next day
    assert coverage.select("day", "n_fetches", "n_in_opening_hours").rows() == [
        (date(2026, 3, 28), 1, 0),
        (date(2026, 3, 29), 5, 2),
    ]
    everywhere = archive.coverage(timezone={"mitte": "Pacific/Auckland"}, opens={"mitte": "00:00"})
    assert everywhere["n_in_opening_hours"].item() == 6
    assert ba.charts.coverage(coverage).to_dict()


def test_coverage_of_nothing_has_no_fetch_in_opening_hours(tmp_path: Path) -> None:
    assert Archive(tmp_path).coverage(timezone="Europe/Berlin")["n_in_opening_hours"].item() == 0


def test_a_studio_without_a_time_zone_is_named(archive: Archive) -> None:
    with pytest.raises(ValueError, match="names no studio 'mitte'"):
        archive.coverage(timezone={"nord": "Europe/Berlin"})
