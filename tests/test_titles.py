"""Titles of classes: an archive that keeps them gives them to its outcomes, and rates by class carry them to charts."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
from engines import ENGINES, Engine
from snapshots import at, result
from test_chances import seen, waits
from test_class_tables import class_rows, slot_rows

import bookings_analytics as ba
from bookings_analytics.schema import BOOKINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLES = {1: "Yoga", 2: "Yoga", 3: "Box", 4: None}  # two of the same name, and one without any
DAYS = [date(2026, 4, 6) + timedelta(days=n) for n in range(28)]


def outcomes_of(titles: dict[int, str | None] = TITLES, studio: str = "mitte") -> pl.DataFrame:
    """Make outcomes of classes of every day, of which each fifth, fourth, third … seat is a no-show."""
    rows: list[dict[str, Any]] = [
        {
            "studio": studio,
            "customer_id": 1 + n % 12,
            "class_slot_id": 1000 * class_id + n,
            "class_id": class_id,
            "class_title": title,
            "class_day": day,
            "week": day - timedelta(days=day.weekday()),
            "week_complete": True,
            "weekday": f"{day:%a}",
            "outcome": "no_show" if n % (class_id + 2) == 0 else "attended",
        }
        for class_id, title in titles.items()
        for n, day in enumerate(DAYS)
    ]
    return pl.DataFrame(rows, schema_overrides={"class_title": pl.String})


class Known(NamedTuple):
    """What an archive says of three classes: two that have a title, and one that has none."""

    outcomes: pl.DataFrame
    cohorts: pl.DataFrame
    history: pl.DataFrame
    days: pl.DataFrame
    fetches: pl.DataFrame
    slots: pl.DataFrame


@cache
def known() -> Known:
    waited = waits(timedelta(0), slots=60)
    history, fetches = seen(waited, [4.25])
    over = pl.col("class_slot_status") == "COMPLETED"
    missed = pl.when(over & (pl.col("customer_id") % 3 == 0)).then(pl.lit("NOT_PARTICIPATING"))
    came = missed.when(over).then(pl.lit("PARTICIPATING")).otherwise(pl.lit("UNSET"))
    history = history.with_columns(participant_status=came.cast(BOOKINGS["participant_status"]))
    titles = pl.DataFrame({"class_id": [0, 1, 2], "class_title": ["Yoga", "Box", None]})
    days = ba.class_days(history, fetches, timezone="Europe/Berlin").join(titles, on="class_id", maintain_order="left")
    outcomes = ba.classify(history, class_days=days, fetches=fetches).join(titles, on="class_id", maintain_order="left")
    slots = waited.select("class_id", "class_slot_id", starts_at="starts").unique().join(titles, on="class_id")
    slots = slots.with_columns(
        studio=pl.lit("mitte"),
        observed_at=pl.col("starts_at") + timedelta(hours=12),
        max_participants=10,
        booked_participants=8,
        additional_participants=0,
    )
    cohorts = pl.DataFrame({"studio": "mitte", "customer_id": range(40)})
    return Known(outcomes, cohorts, history, days, fetches, slots)


MIDDLE = date(2026, 3, 17)  # of the days that classes were on
BY_CLASS: dict[str, Callable[[Known], pl.DataFrame]] = {
    "before_after": lambda all_: ba.before_after(all_.outcomes, "no_show_rate", change=MIDDLE, weeks=1, by="class_id"),
    "booking_vs_participation": lambda all_: ba.booking_vs_participation(all_.outcomes, all_.cohorts, by="class_id"),
    "cancellation_notice": lambda all_: ba.cancellation_notice(all_.outcomes, by="class_id"),
    "cancellations": lambda all_: ba.cancellations(all_.outcomes, by="class_id"),
    "class_fill": lambda all_: ba.class_fill(all_.slots, all_.outcomes, by="class_id", timezone="Europe/Berlin"),
    "compare": lambda all_: ba.compare(all_.outcomes, "no_show_rate", baseline=0, by="class_id"),
    "no_show_funnel": lambda all_: ba.no_show_funnel(all_.outcomes, by="class_id"),
    "no_shows": lambda all_: ba.no_shows(all_.outcomes, by="class_id"),
    "outcome_counts": lambda all_: ba.outcome_counts(all_.outcomes, by="class_id"),
    "seats_lost_while_waiting": lambda all_: ba.seats_lost_while_waiting(all_.outcomes, by="class_id"),
    "trend": lambda all_: ba.trend(all_.outcomes, "no_show_rate", by="class_id"),
    "visits": lambda all_: ba.visits(all_.outcomes, all_.cohorts, by="class_id", fetches=all_.fetches),
    "waitlist_chances": lambda all_: ba.waitlist_chances(all_.history, all_.days, fetches=all_.fetches, by="class_id"),
    "waitlist_conversion": lambda all_: ba.waitlist_conversion(all_.outcomes, by="class_id"),
}


def test_every_public_rate_that_can_be_grouped_is_asked_for_its_titles() -> None:
    functions = {name: getattr(ba, name) for name in ba.__all__ if not isinstance(getattr(ba, name), type)}
    grouped = [name for name, each in functions.items() if callable(each) and "by" in signature(each).parameters]
    assert grouped == [*BY_CLASS]


@pytest.mark.parametrize("rate", BY_CLASS)
def test_every_rate_by_class_its_chart_and_its_table_show_titles_and_names_win(rate: str) -> None:
    rates = BY_CLASS[rate](known())
    baseline = {0} if rate == "compare" else set()
    titles = {0: "Yoga", 1: "Box", 2: None}
    carried = set(rates.select("class_id", "class_title").rows())
    assert carried == {(number, title) for number, title in titles.items() if number not in baseline}
    assert rates.columns[0] == "class_id"
    untitled = Known(*(frame.drop("class_title", strict=False) for frame in known()))
    plain = BY_CLASS[rate](untitled)
    assert rates.drop("class_title", "baseline_title", strict=False).equals(plain)
    assert all(title in shown(rate, rates) for title in ("Yoga", "Box"))
    named = shown(rate, rates, names={0: "Flow", 2: "Run"})
    assert all(name in named for name in ("Flow", "Box", "Run"))
    assert "Yoga" not in named


def shown(rate: str, rates: pl.DataFrame, **options: Any) -> str:
    """Return the texts of a rate's chart and of its table; a chart's data keep the frame's own columns."""
    chart = getattr(ba.charts, rate)(rates, **options).to_json()
    table = ba.notebook.table(rates, **options)
    return re.sub(r'"(class|baseline)_title": "\w+"', "", chart) + str(table.texts.rows())


RATES: dict[str, Callable[..., Any]] = {
    "no_shows": lambda frame: ba.no_shows(frame, by="class_id"),
    "outcome_counts": lambda frame: ba.outcome_counts(frame, by="class_id"),
    "no_show_funnel": lambda frame: ba.no_show_funnel(frame, by="class_id"),
    "compare": lambda frame: ba.compare(frame, "no_show_rate", baseline=3, by="class_id"),
    "before_after": lambda frame: ba.before_after(frame, "no_show_rate", change=DAYS[14], weeks=1, by="class_id"),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_by_class_carries_titles_on_every_engine_and_is_otherwise_the_same(engine: Engine, rate: str) -> None:
    frame = outcomes_of()
    if not isinstance(engine.frame(frame), pl.DataFrame):
        frame = frame.with_columns(pl.col("class_id").cast(pl.Int64))
    with_titles = engine.polars(RATES[rate](engine.frame(frame)))
    without = engine.polars(RATES[rate](engine.frame(frame.drop("class_title"))))
    titles = with_titles.select("class_id", "class_title").unique().sort("class_id").rows()
    assert titles == [(number, title) for number, title in TITLES.items() if rate != "compare" or number != 3]
    assert with_titles.drop("class_title", "baseline_title", strict=False).equals(without)
    assert with_titles["class_id"].dtype == pl.Int64  # a key to join on, still


def test_a_chart_shows_titles_keeps_two_of_one_name_apart_and_numbers_what_has_none() -> None:
    rates = ba.no_shows(outcomes_of(), by="class_id")
    described = str(ba.charts.no_shows(rates).description)
    assert all(name in described for name in ("Yoga (1)", "Yoga (2)", "Box"))
    shown = ba.notebook.table(rates)
    assert shown.texts["class"].to_list() == ["Yoga (1)", "Yoga (2)", "Box", "4"]
    assert "class_title" not in shown.texts.columns
    assert shown.sheet.columns[0].values == ["Yoga", "Yoga", "Box", "4"]
    assert "*Box*" in ba.notebook.findings(rates.filter(pl.col("class_id").is_in([3, 4]))).text


def test_names_win_over_the_titles_of_the_frame() -> None:
    rates = ba.no_shows(outcomes_of(), by="class_id")
    shown = ba.notebook.table(rates, names={1: "Flow", 4: "Run"}).texts["class"].to_list()
    assert shown == ["Flow", "Yoga", "Box", "Run"]


def test_a_comparison_names_its_baseline_by_its_title() -> None:
    compared = ba.compare(outcomes_of(), "no_show_rate", baseline=3, by="class_id")
    assert compared["baseline"].unique().to_list() == ["3"]
    assert "from Box" in str(ba.charts.compare(compared).description)
    of_none = ba.compare(outcomes_of(), "no_show_rate", baseline=4, by="class_id")
    assert "from 4" in str(ba.charts.compare(of_none).description)
    named = ba.charts.compare(compared, names={3: "Boxing"})
    assert "from Boxing" in str(named.description)


def test_a_number_that_two_studios_use_has_the_title_of_each_where_the_studio_is_a_group_too() -> None:
    both = pl.concat([outcomes_of({1: "Yoga", 2: "Run"}), outcomes_of({1: "Box", 2: "Run"}, "nord")])
    by_class = ba.no_shows(both, by="class_id")
    assert by_class.select("class_id", "class_title").rows() == [(1, None), (2, "Run")]
    by_both = ba.no_shows(both, by=["studio", "class_id"])
    assert by_both["class_title"].to_list() == ["Yoga", "Run", "Box", "Run"]
    compared = ba.compare(both, "no_show_rate", baseline=("nord", 1), by=["studio", "class_id"])
    assert compared["baseline_title"].unique().to_list() == ["Box"]


def test_a_title_is_a_group_by_itself_where_it_is_asked_for() -> None:
    by_title = ba.no_shows(outcomes_of(), by="class_title")
    assert set(by_title["class_title"]) == {"Yoga", "Box", None}
    assert "Yoga" in str(ba.charts.no_shows(by_title).description)


def test_a_trend_by_class_shows_titles() -> None:
    weekly = ba.trend(outcomes_of({1: "Yoga", 3: "Box"}), "no_show_rate", by="class_id")
    assert set(weekly.select("class_id", "class_title").rows()) == {(1, "Yoga"), (3, "Box")}
    assert "Yoga" in str(ba.charts.trend(weekly).to_dict())


def test_small_classes_and_pseudonyms_keep_their_titles() -> None:
    frame = outcomes_of()
    rates = ba.no_shows(frame.filter((pl.col("class_id") != 3) | (pl.col("customer_id") < 3)), by="class_id")
    suppressed = ba.suppress_small(rates, fewer_than=10)
    assert suppressed.select("class_id", "class_title").equals(rates.select("class_id", "class_title"))
    small = suppressed.filter(class_id=3).drop("class_id", "class_title")
    assert small.null_count().row(0) == (1,) * small.width
    hidden = ba.no_shows(ba.pseudonymize(frame, secret="made up, of course"), by="class_id")
    assert hidden["class_title"].to_list() == list(TITLES.values())


def test_outcomes_of_an_archive_have_titles_once_classes_were_fetched(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    archive.add(result(at(1), {7: {1: "BOOKED", 2: "BOOKED"}, 8: {3: "BOOKED"}}))
    assert "class_title" not in archive.outcomes().frame().columns
    archive.add_classes(class_rows({}, {"class_id": 2, "title": "Box"}), slot_rows({}))
    assert "class_title" in archive.slots().collect_schema()
    outcomes = archive.outcomes()
    assert {*outcomes.frame().select("class_id", "class_title").rows()} == {(1, "Yoga"), (2, "Box"), (0, None)}
    assert outcomes.lazy().collect_schema()["class_title"] == pl.String
    counts = ba.outcome_counts(outcomes, by="class_id")
    assert counts.drop("class_title").equals(ba.outcome_counts(outcomes.frame().drop("class_title"), by="class_id"))
    described = str(ba.charts.outcome_counts(counts).description)
    assert all(title in described for title in ("Yoga", "Box"))
    days = archive.class_days(timezone="Europe/Berlin")
    assert {*days.select("class_id", "class_title").rows()} == {(1, "Yoga"), (2, "Box"), (0, None)}
    assert {*archive.slots().select("class_id", "class_title").collect().rows()} == {(1, "Yoga")}
    dated = archive.outcomes(class_days=days).frame()
    assert {*dated.select("class_id", "class_title").rows()} == {(1, "Yoga"), (2, "Box"), (0, None)}
    files = outcomes.write(tmp_path / "written")
    assert "Box" in pl.read_parquet(files)["class_title"].to_list()


def test_an_empty_archive_that_has_classes_has_no_outcomes(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    archive.add_classes(class_rows({}), slot_rows())
    assert ba.no_shows(archive.outcomes(), by="class_id").rows() == []
