"""Charts of what class days make possible: weeks, weekdays, late cancellations, chances night by night."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from test_charts import data_of, rows_of, svg
from test_charts_palette import contrast

import bookings_analytics as ba
from bookings_analytics import charts, schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import altair as alt

COHORTS = ["trial", "corporate"]
MONDAY = date(2026, 5, 4)


def no_shows(rate: float | None, n: int = 100, customers: float = 40) -> dict[str, Any]:
    missed = round((rate or 0) * n)
    return {
        "n_customers": int(customers),
        "n_attended": n - missed,
        "n_no_show": missed,
        "no_show_rate": rate,
        "no_show_rate_ci_low": None if rate is None else rate / 2,
        "no_show_rate_ci_high": None if rate is None else min(1, rate * 2),
        "n_effective_customers": float(customers),
        "first_day": MONDAY,
        "last_day": MONDAY + timedelta(days=27),
    }


WEEKS = pl.DataFrame(
    [
        {
            "cohort": cohort,
            "week": MONDAY + timedelta(weeks=week),
            "week_complete": week < 4,
            **no_shows(0.1 + week / 50),
        }
        for cohort in COHORTS
        for week in range(5)
    ]
    + [{"cohort": cohort, "week": None, "week_complete": None, **no_shows(0.1, 7)} for cohort in COHORTS]
)
WEEKDAYS = pl.DataFrame(
    [
        {"cohort": cohort, "weekday": day, **no_shows(0.05 + i / 20, customers=4 if day == "Sun" else 40)}
        for cohort in COHORTS
        for i, day in enumerate(["Mon", "Wed", "Sat", "Sun"])
    ]
    + [{"cohort": "trial", "weekday": None, **no_shows(0.1, 7)}]
)
CANCELLATIONS = pl.DataFrame(
    [
        ("trial", 40, 160, 14, 6, 60, 20, 0, 0, 0.1, 0.07, 0.15, 0.1, 0.1),
        ("corporate", 40, 160, 14, 6, 60, 5, 30, 10, None, None, None, 0.027, 0.2),
        ("nobody", 0, 0, 0, 0, 0, 0, 0, 0, None, None, None, None, None),
    ],
    schema=[
        *("cohort", "n_customers", "n_attended", "n_no_show", "n_unrecorded", "n_canceled"),
        *("n_late", "n_ambiguous", "n_undated", "late_cancel_rate", "late_cancel_rate_ci_low"),
        *("late_cancel_rate_ci_high", "late_cancel_rate_min", "late_cancel_rate_max"),
    ],
    orient="row",
)
NOTICE = pl.DataFrame(
    [
        {"cohort": cohort, "days_before": day, "n": n, "share": n / 100}
        for cohort in COHORTS
        for day, n in {0: 50, 1: 25, 2: 15, 14: 6, None: 4}.items()
    ]
)
CHANCES = pl.DataFrame(
    [
        {
            "cohort": cohort,
            "nights_before": night,
            "n_waits": 200,
            "n_converted": 40 + 20 * night,
            "chance": 0.2 + night / 10,
            "chance_ci_low": 0.15 + night / 10,
            "chance_ci_high": 0.26 + night / 10,
        }
        for cohort in COHORTS
        for night in range(4)
    ]
)
VISITS = pl.DataFrame(
    [
        {
            "cohort": cohort,
            "n_customers": n,
            "n_not_read": 3,
            "n_weeks": 4 * n,
            "n_unrecorded": 9,
            "n_undated": 2,
            "booked_per_week": booked,
            "booked_per_week_ci_low": booked and booked - 0.2,
            "booked_per_week_ci_high": booked and booked + 0.2,
            "attended_per_week": booked and booked - 0.1,
            "attended_per_week_ci_low": booked and booked - 0.3,
            "attended_per_week_ci_high": booked and booked + 0.1,
            "attended_per_week_max": booked and booked - 0.05,
            "n_effective_customers": n / 2,
        }
        for cohort, n, booked in [("trial", 120, 0.84), ("corporate", 12, 2.5), ("nobody", 0, None)]
    ]
)


def comparison(rate: str, baseline: str, unit: float = 1) -> pl.DataFrame:
    shared = {"rate": rate, "baseline": baseline, "confidence": 0.95, "simultaneous": True, "n_shared_customers": 31}
    return pl.DataFrame(
        [
            {
                "cohort": cohort,
                **shared,
                "value": value and unit * value,
                "baseline_value": 0.12 * unit,
                "difference": value and unit * (value - 0.12),
                "difference_ci_low": value and unit * (value - 0.16),
                "difference_ci_high": value and unit * (value - 0.09),
                "n": 410,
                "baseline_n": 390,
                "recorded_share": recorded,
                "baseline_recorded_share": 0.97,
            }
            for cohort, value, recorded in [("trial", 0.07, 0.98), ("corporate", 0.11, 0.8), ("nobody", None, None)]
        ],
    )


def weeks_of(signals: Sequence[str | None], **changed: Any) -> pl.DataFrame:
    """Make the weeks of a trend: the last one incomplete, one without seats, all others with these signals."""
    judged = any(signals)
    rows = [
        {
            "week": MONDAY + timedelta(weeks=week),
            "week_complete": True,
            "rate": "no_show_rate",
            "value": {"above": 0.2, "below": 0.02}.get(signal or "", 0.1 + week % 2 / 100),
            "value_bounds_low": 0.05,
            "value_bounds_high": 0.19,
            "n": 200,
            "center": 0.105,
            "limit_low": 0.04 if judged else None,
            "limit_high": 0.17 if judged else None,
            "signal": signal,
            "segment": 1,
            "slope": 0.001 if judged else None,
            "slope_ci_low": -0.002 if judged else None,
            "slope_ci_high": 0.004 if judged else None,
            "n_undated": 9,
        }
        for week, signal in enumerate(signals)
    ]
    partial: dict[str, Any] = {"week_complete": False, "value": 0.08, "n": 50, "n_undated": 9, "rate": "no_show_rate"}
    rows.append({"week": MONDAY + timedelta(weeks=len(signals)), **partial})
    frame = pl.DataFrame(rows, schema=schema.TREND, orient="row")
    return frame.with_columns(**{name: pl.lit(value).cast(schema.TREND[name]) for name, value in changed.items()})


STEADY = weeks_of(["within"] * 14)
SIGNALS = ["within"] * 5 + ["above"] + ["run_above"] * 9 + ["within"] * 5
FEE = weeks_of(SIGNALS, segment=2, reason="a fee for no-shows").with_columns(pl.col("week").dt.offset_by("12w"))
RISEN = pl.concat([weeks_of(["within"] * 12)[:12], FEE])
TRENDS = pl.concat(
    [
        frame.select(pl.lit(name).alias("cohort"), pl.all())
        for name, frame in (("trial", RISEN), ("corporate", STEADY), ("nobody", weeks_of([None] * 5)))
    ]
)

DRAWN = {
    "trend": lambda **options: charts.trend(RISEN, **options),
    "trends": lambda **options: charts.trend(TRENDS, **options),
    "visits": lambda **options: charts.visits(VISITS, **options),
    "before_after": lambda **options: charts.before_after(comparison("no_show_rate", "before"), **options),
    "compare": lambda **options: charts.compare(comparison("no_show_rate", "long-term"), **options),
    "by_week": lambda **options: charts.by_week(WEEKS, "no_show_rate", **options),
    "by_weekday": lambda **options: charts.by_weekday(WEEKDAYS, "no_show_rate", **options),
    "cancellations": lambda **options: charts.cancellations(CANCELLATIONS, **options),
    "cancellation_notice": lambda **options: charts.cancellation_notice(NOTICE, **options),
    "waitlist_chances": lambda **options: charts.waitlist_chances(CHANCES, **options),
}


def spec_of(name: str) -> dict[str, Any]:
    drawn: alt.LayerChart = DRAWN[name]()
    spec: dict[str, Any] = drawn.to_dict()
    return spec


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_drawn_as_wide_as_a_notebook_and_holds_json(name: str) -> None:
    width = float(svg(DRAWN[name]()).split('width="')[1].split('"')[0])

    assert 540 <= width <= 620
    assert json.loads(json.dumps(spec_of(name))) == spec_of(name)


@pytest.mark.parametrize("width", [300, 900])
@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_can_be_made_narrower_and_wider(name: str, width: int) -> None:
    drawn = float(svg(DRAWN[name]().properties(width=width)).split('width="')[1].split('"')[0])

    assert width < drawn < width + 330


@pytest.mark.parametrize("name", ["by_week", "by_weekday", "cancellations"])
def test_a_chart_names_what_is_known_of_which_days(name: str) -> None:
    frame = CANCELLATIONS.with_columns(first_day=MONDAY, last_day=MONDAY + timedelta(days=30))
    spec = charts.cancellations(frame).to_dict() if name == "cancellations" else spec_of(name)

    assert "4 May to " in spec["title"]["subtitle"][0]


def test_the_weeks_that_are_not_complete_are_hollow_and_those_without_a_date_are_counted() -> None:
    spec = spec_of("by_week")
    points = [row for row in data_of(spec) if "told" in row]

    assert {row["when"] for row in points if row["fill"] == "white"} == {"1 Jun to 7 Jun 2026"}
    assert all(row["told"].endswith("incomplete week") for row in points if row["fill"] == "white")
    assert "Not dated, and not drawn: 14 seats." in spec["description"]
    assert "Hollow: incomplete week." in spec["title"]["subtitle"][1]


def test_a_line_of_one_group_has_a_band_and_breaks_where_a_week_is_missing() -> None:
    frame = WEEKS.filter(cohort="trial").drop("cohort").filter(pl.col("week") != MONDAY + timedelta(weeks=2))
    spec = charts.by_week(frame, "no_show_rate").to_dict()
    line = [row for row in data_of(spec) if set(row) == {"at", "no_show_rate"}]

    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["area", "line", "point"]
    assert [row["no_show_rate"] is None for row in line] == [False, False, True, False, False]


def test_more_lines_than_can_be_told_apart_are_refused() -> None:
    frame = pl.concat([WEEKS.with_columns(cohort=pl.lit(str(i))) for i in range(5)])

    with pytest.raises(ValueError, match="5 groups beside the weeks, and the chart has lines for 4"):
        charts.by_week(frame, "no_show_rate")


def test_something_that_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'no shows' is not a rate\. Choose one of booking_rate"):
        charts.by_weekday(WEEKDAYS, "no shows")


def test_weekdays_stand_from_monday_on_with_the_undated_last_and_few_are_blank() -> None:
    spec = spec_of("by_weekday")
    cells = {(row["name_series"], row["day"]): row for row in data_of(spec)}

    assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == [
        *("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
        "not dated",
    ]
    assert (cells["trial", "Mon"]["written"], cells["trial", "Mon"]["n_told"]) == ("5%", "100")
    assert (cells["trial", "Sun"]["written"], cells["trial", "Sun"]["color"]) == ("", "white")
    assert "Blank: 2 cells of fewer than 10 customers." in spec["description"]


def test_a_late_cancel_rate_that_is_not_known_has_a_band_of_what_it_may_be() -> None:
    spec = spec_of("cancellations")
    rows = {row["name"]: row for row in data_of(spec) if "bounds" in row}

    assert rows_of(spec) == ["trial", "corporate", "nobody"]
    assert rows["corporate"]["bounds"] == "3% to 20%"
    assert rows["nobody"]["note"] == "no seat in a completed class"
    assert "Not counted: 40 cancellations that may have been on the class day or earlier." in spec["description"]
    assert "trial: 10% (7% to 15%)" in spec["description"]


def test_notice_has_a_bar_a_day_the_class_day_in_its_color() -> None:
    spec = spec_of("cancellation_notice")
    bars = [row for row in data_of(spec) if "top" in row]

    assert len(bars) == NOTICE.height
    assert len({row["color"] for row in bars if row["days_before"] == 0}) == 1
    assert {row["color"] for row in bars if row["days_before"] == 0}.isdisjoint(
        row["color"] for row in bars if row["days_before"] != 0
    )
    assert [row["base"] - row["top"] for row in bars if row["group"] == "trial"] == pytest.approx(
        [0.72 * share / 0.5 for share in (0.5, 0.25, 0.15, 0.06, 0.04)], abs=1e-4
    )
    assert ">not known<" in svg(DRAWN["cancellation_notice"]())


def test_chances_have_a_row_a_night_and_group() -> None:
    assert rows_of(spec_of("waitlist_chances"))[:2] == ["trial, last night before class", "trial, 1 night earlier"]
    assert (
        charts.waitlist_chances(CHANCES.drop("cohort").head(2))
        .to_dict()["description"]
        .endswith("last night before class: 20% (15% to 26%). 1 night earlier: 30% (25% to 36%).")
    )


@pytest.mark.parametrize(
    ("name", "frame"),
    [("cancellations", CANCELLATIONS), ("cancellation_notice", NOTICE), ("waitlist_chances", CHANCES)],
)
def test_a_frame_without_rows_says_so(name: str, frame: pl.DataFrame) -> None:
    assert "Nothing to show" in getattr(charts, name)(frame.clear()).to_dict()["description"]


def test_weeks_without_a_rate_say_so() -> None:
    assert "Nothing to show" in charts.by_week(WEEKS.clear(), "no_show_rate").to_dict()["description"]
    assert "Nothing to show" in charts.by_weekday(WEEKDAYS.clear(), "no_show_rate").to_dict()["description"]


def test_a_rate_seen_by_few_looks_a_day_says_that_it_belongs_to_their_hour() -> None:
    row = dict.fromkeys(schema.WAITLIST_CONVERSION, 0) | {
        "conversion_rate": 0.3,
        "conversion_rate_ci_low": 0.2,
        "conversion_rate_ci_high": 0.4,
        "reason": None,
        "fetch_hours": "04",
    }
    seldom, often = (
        charts.waitlist_conversion(pl.DataFrame([row | {"looks_per_day": looks}])).to_dict()["description"]
        for looks in (1.0, 3.0)
    )

    assert "Fewer than two looks a day (fetched at 04 o'clock): the rate belongs to that hour" in seldom
    assert "looks a day" not in often


def test_visits_tell_both_numbers_a_week_and_what_is_not_counted() -> None:
    spec = spec_of("visits")

    assert spec["description"] == (
        "Classes a week, booked and attended, by cohort. 132 customers in 3 cohorts, complete weeks only. "
        "Not counted: 9 customers who could not be read. Not dated, and not counted: 6 seats. "
        "trial: 0.84 booked, 0.74 attended a week. corporate: 2.50 booked, 2.40 attended a week."
    )
    assert ">no complete week of a customer who could be read<" in svg(DRAWN["visits"]())


def told(frame: pl.DataFrame) -> str:
    return str(charts.trend(frame).to_dict()["description"])


@pytest.mark.parametrize(("weeks", "alarms"), [(12, "3%"), (13, "8%"), (26, "8%"), (27, "23%"), (52, "23%")])
def test_a_trend_without_a_signal_says_how_often_such_a_chart_alarms_wrongly(weeks: int, alarms: str) -> None:
    says = told(weeks_of(["within"] * weeks))

    assert (
        f"Nothing but chance since 4 May: {weeks} weeks, no signal; such a chart alarms wrongly in up to {alarms}."
        in says
    )


def test_of_more_than_a_year_no_false_alarm_rate_is_known() -> None:
    assert told(weeks_of(["within"] * 53)).endswith("Nothing but chance since 4 May: 53 weeks, no signal.")


def test_a_trend_names_its_signals_where_limits_began_anew() -> None:
    spec = spec_of("trend")

    assert (
        "Since 27 July, above the limits in the week of 31 August (20%) and 9 weeks above the center, 7 September to "
        "2 November. Such a chart of 20 weeks alarms wrongly in up to 8%."
    ) in spec["description"]
    picture = svg(DRAWN["trend"]())
    assert ">27 Jul: a fee for no-shows<" in picture
    marks = [row for row in data_of(spec) if "seen" in row]
    assert sum(row["signal"] == "above" for row in marks) == 1
    assert {row["color"] for row in marks if row["signal"] in {"above", "run_above"}}.isdisjoint(
        row["color"] for row in marks if row["signal"] == "within"
    )
    assert [row["week"] for row in marks if row["fill"] == "white"] == ["2026-12-14"]
    assert "Orange diamond: beyond them." in " ".join(spec["title"]["subtitle"])
    assert "Not dated, and not drawn: 9 seats." in spec["title"]["subtitle"][0]


def test_a_slope_that_is_no_chance_is_told_with_its_own_false_alarms() -> None:
    says = told(weeks_of(["within"] * 14, slope_ci_low=0.0005))

    assert "No single week or run stands out since 4 May" in says
    assert "It rises by 0.1 points a week (0.1 to 0.4); where nothing changes, up to 7% of slopes seem to." in says


def test_a_trend_that_is_too_short_or_of_too_few_says_so() -> None:
    assert "Too short to judge since 4 May: 5 weeks, and limits need 12." in told(weeks_of([None] * 5))
    few = weeks_of([None] * 12, n=20)
    for frame in (few, few.with_columns(value=1 - pl.col("value"))):
        assert "Too few to judge since 4 May: limits need 5 seats a week of each kind, and the rarer has 2.1." in told(
            frame
        )
    assert "Nothing to judge: no complete week has seats." in told(weeks_of([]))


def test_several_earlier_signals_are_counted_and_the_target_is_held_against_the_last_segment() -> None:
    many = RISEN.with_columns(signal=pl.when(segment=1).then(pl.lit("below")).otherwise("signal").cast(schema.SIGNAL))
    says = told(many.with_columns(target=0.05, against_target=pl.lit("above").cast(schema.AGAINST_TARGET)))

    assert "Before that, 12 weeks below the limits." in says
    assert says.endswith("The rate since 27 July, 10%, is above the target of 5%.")
    assert ">target 5%<" in svg(charts.trend(many.with_columns(target=0.05)))


def test_several_groups_stand_below_each_other_each_with_its_finding() -> None:
    spec = spec_of("trends")
    picture = svg(DRAWN["trends"]())

    assert "Signals in 1 of 2 cohorts, and 1 can't be judged." in spec["description"]
    assert "up to 8% of charts of at most 26 weeks alarm." in spec["description"]
    assert "corporate: Nothing but chance since 4 May" in spec["description"]
    for text in ("trial", "1 week above; 9 weeks in a run above", "no signal", "too short to judge"):
        assert f">{text}<" in picture
    assert spec["height"] == 3 * 132
    sixty = pl.concat([STEADY.select(pl.lit(i).alias("class_id"), pl.all()) for i in range(60)])
    assert charts.trend(sixty, names={3: "Yoga"}).to_dict()["height"] == 60 * 72
    assert ">Yoga<" in svg(charts.trend(sixty, names={3: "Yoga"}))


def test_a_rate_near_one_is_seen_from_one() -> None:
    high = STEADY.with_columns(
        rate=pl.lit("attendance_rate"),
        **{name: 1 - pl.col(name) for name in ("value", "center", "value_bounds_low", "value_bounds_high")},
        limit_low=1 - pl.col("limit_high"),
        limit_high=1 - pl.col("limit_low"),
    )

    assert ">80%<" in svg(charts.trend(high))
    assert ">0%<" not in svg(charts.trend(high))


def test_the_same_trend_is_drawn_whatever_differs_in_the_last_bits() -> None:
    shaken = TRENDS.with_columns(pl.col(pl.Float64) * (1 + 1e-12))

    assert charts.trend(shaken).to_dict() == spec_of("trends")


def test_a_trend_of_nothing_says_so_and_several_rates_are_refused() -> None:
    assert "Nothing to show: there is no week." in told(TRENDS.clear())
    assert "Nothing to show: no week has seats." in told(STEADY.with_columns(value=None, n=0))
    with pytest.raises(ValueError, match="several rates, attendance_rate, no_show_rate"):
        charts.trend(pl.concat([STEADY, STEADY.with_columns(rate=pl.lit("attendance_rate"))]))
    with pytest.raises(ValueError, match="no column limit_low"):
        charts.trend(STEADY.drop("limit_low"))


def test_a_trend_is_a_table_and_a_file_too(tmp_path: Path) -> None:
    table = ba.notebook.table(TRENDS.filter(cohort="trial").head(2))
    own = ba.notebook.table(ba.no_shows(OWN, SEGMENTS, by="segment"))
    [first, _] = table.texts.rows(named=True)
    ba.notebook.save(charts.trend(TRENDS), tmp_path / "trend.csv")
    weeks = pl.read_csv(tmp_path / "trend.csv", try_parse_dates=True)

    assert table.texts.columns[:3] == ["cohort", "week", "week complete"]
    assert (first["cohort"], first["week complete"], first["rate"], first["slope"], first["slope, interval"]) == (
        *("trial", "yes", "no-show rate", "+0.1 pp", "\N{MINUS SIGN}0.2 to +0.4"),
    )
    assert own.texts["segment"].to_list() == ["new"]  # a list may have a column that trends have too
    trial = weeks.filter(group="trial")
    assert trial["week"].to_list() == RISEN["week"].to_list()
    assert trial["value"].to_list() == pytest.approx(RISEN["value"].to_list())


OWN = pl.DataFrame({"studio": "mitte", "customer_id": [1, 2], "outcome": ["attended", "no_show"]})
SEGMENTS = pl.DataFrame({"customer_id": [1, 2], "segment": "new"})


def test_every_line_and_mark_of_a_trend_stands_out_from_white_at_its_edge() -> None:
    for layer in spec_of("trends")["layer"]:
        mark = layer["mark"]
        if mark["type"] in {"line", "rule"}:
            assert contrast(mark["color"], "#FFFFFF") >= 3
        if mark["type"] == "text" and "color" in mark:
            assert contrast(mark["color"], "#FFFFFF") >= 4.5


def test_a_period_without_a_rate_is_named_beside_the_dot_of_the_other() -> None:
    none = {"difference": None, "difference_ci_low": None, "difference_ci_high": None}
    trial = comparison("no_show_rate", "before").filter(cohort="trial").to_dicts()[0]
    rows = [
        trial,
        trial | none | {"cohort": "new", "baseline_value": None},
        trial | none | {"cohort": "gone", "value": None},
        trial | none | {"cohort": "never", "value": None, "baseline_value": None},
    ]
    spec = charts.before_after(pl.DataFrame(rows)).to_dict()
    written = {
        (row["name"], layer["encoding"]["text"]["field"], layer["encoding"]["x"].get("field"))
        for layer in spec["layer"]
        if layer["mark"]["type"] == "text" and layer["encoding"]["text"].get("field") in {"beside", "note"}
        for row in spec["datasets"][layer["data"]["name"]]
        if row[layer["encoding"]["text"]["field"]]
    }

    assert written == {("new", "beside", "value"), ("gone", "beside", "baseline_value"), ("never", "note", None)}
    texts = {row["name"]: row["beside"] or row["note"] for row in data_of(spec) if "beside" in row}
    assert texts == {
        "trial": "",
        "new": "no rate before",
        "gone": "no rate after",
        "never": "no rate before or after",
    }


def test_before_and_after_tell_both_values_and_the_interval_of_the_difference() -> None:
    spec = spec_of("before_after")

    assert (
        "trial: 12% before, 7% after, \N{MINUS SIGN}5 pp (\N{MINUS SIGN}9 to \N{MINUS SIGN}2)." in spec["description"]
    )
    assert "leaves out zero: 1 group of 2." in " ".join(spec["title"]["subtitle"])


@pytest.mark.parametrize("name", ["compare", "before_after"])
def test_a_comparison_says_whose_attendance_was_recorded_differently_and_how_sure_its_intervals_are(name: str) -> None:
    told = " ".join(spec_of(name)["title"]["subtitle"])

    assert "corporate 80% against 97%." in told
    assert "trial 98%" not in told
    assert "95% interval, all of them together" in told
    assert {row["shared"] for row in data_of(spec_of(name)) if "shared" in row} == {"31"}


@pytest.mark.parametrize("name", ["compare", "before_after"])
def test_classes_a_week_are_compared_in_classes_and_not_in_points(name: str) -> None:
    drawn = getattr(charts, name)(comparison("attended_per_week", "before", unit=10)).to_dict()

    assert "trial" in drawn["description"]
    assert "\N{MINUS SIGN}0.50" in drawn["description"]
    assert " pp" not in drawn["description"]
    assert "In percentage points" not in " ".join(drawn["title"]["subtitle"])


@pytest.mark.parametrize("name", ["compare", "before_after"])
def test_several_rates_do_not_share_a_chart(name: str) -> None:
    both = pl.concat([comparison("no_show_rate", "before"), comparison("seat_rate", "before")])

    with pytest.raises(ValueError, match="several rates or baselines"):
        getattr(charts, name)(both)
