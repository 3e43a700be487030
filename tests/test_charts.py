from __future__ import annotations

import functools
import json
import random
import re
import struct
import subprocess
import sys
import zlib
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl
import pytest
import vl_convert
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st

from bookings_analytics import charts, schema
from bookings_analytics.charts._palette import ATTENDED, CONVERTED, INK, NO_SHOW, OUTCOMES
from bookings_analytics.metrics import comparisons, funnel, rates
from bookings_analytics.wording import interval, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COHORTS = ["trial", "long-term", "corporate", "joined this quarter"]  # not in the order of the alphabet
NOBODY = "nobody read"


def outcomes_and_cohorts(cohorts: list[str], *, classes: int = 6) -> tuple[pl.DataFrame, pl.DataFrame]:
    chance = random.Random(7)
    kinds = ["attended"] * 9 + ["no_show", "unrecorded", "upcoming", "waiting", "canceled", "slot_canceled", "lost"]
    customers = [(cohort, 100 * i + j) for i, cohort in enumerate(cohorts) for j in range(12)]
    outcomes = [
        {
            "studio": "mitte",
            "customer_id": customer,
            "class_slot_id": 10 * customer + slot,
            "class_id": 1 + chance.randrange(classes),
            "outcome": chance.choice(kinds),
        }
        for _, customer in customers
        for slot in range(chance.randrange(8))
    ]
    listed = [
        {"customer_id": customer, "cohort": cohort, "fetch_outcome": "not_found" if cohort == NOBODY else "ok"}
        for cohort, customer in customers
    ]
    return pl.DataFrame(outcomes), pl.DataFrame(listed, schema_overrides={"fetch_outcome": schema.FETCH_OUTCOME})


def waits(groups: list[str]) -> pl.DataFrame:
    row = dict.fromkeys(schema.WAITLIST_CONVERSION) | {
        "n_converted": 31,
        "n_lapsed": 15,
        "n_withdrawn": 4,
        "n_pending": 6,
        "n_lost": 1,
        "n_slot_canceled": 3,
        "n_seen_late": 2,
        "n_slots": 20,
        "median_fetch_gap_h": 24.0,
        "conversion_rate": 0.62,
        "conversion_rate_ci_low": 0.48,
        "conversion_rate_ci_high": 0.74,
    }
    none = (
        dict.fromkeys(row)
        | {name: 0 for name in row if name.startswith("n_")}
        | {"reason": "no wait was seen in progress"}
    )
    rows = [{"cohort": group} | (none if group == NOBODY else row) for group in groups]
    return pl.DataFrame(rows, schema={"cohort": pl.String(), **schema.WAITLIST_CONVERSION})


@functools.cache
def frames(*groups: str) -> dict[str, pl.DataFrame]:
    outcomes, cohorts = outcomes_and_cohorts([*groups])
    no_shows = rates.no_shows(outcomes, cohorts, by="cohort")
    empty = {"n_customers": 0, "n_read": 0, "n_fetches": 0, "n_customers_gap_over_14_days": 0}
    gaps = {
        "n_customers": 12,
        "n_read": 11,
        "n_fetches": 90,
        "median_gap_h": 24.3,
        "longest_gap_h": 408.0,
        "n_customers_gap_over_14_days": 3,
    }
    seats = [
        {"cohort": group, "n_seats": 0 if group == NOBODY else 5, "n_slots": 0 if group == NOBODY else 40}
        for group in groups
    ]
    filled = {"n_slots": 20, "n_slots_left_out": 2, "n_places": 400, "n_taken": 300, "n_booked": 280, "n_listed": 70}
    shares = {"filled_share": 0.75, "listed_share": 0.25}
    return {
        "class_fill": pl.DataFrame(
            [
                {"cohort": group} | (dict.fromkeys(filled, 0) if group == NOBODY else filled | shares)
                for group in groups
            ],
            schema={"cohort": pl.String(), **schema.CLASS_FILL},
        ),
        "booking_vs_participation": rates.booking_vs_participation(outcomes, cohorts, by="cohort"),
        "no_shows": no_shows,
        "outcome_counts": rates.outcome_counts(outcomes, cohorts, by="cohort"),
        "no_show_funnel": funnel.no_show_funnel(outcomes, cohorts, by="cohort"),
        "compare": comparisons.compare(outcomes, "no_show_rate", baseline=groups[0], cohorts=cohorts, by="cohort"),
        "waitlist_conversion": waits([*groups]),
        "waitlist_outcomes": waits([*groups]),
        "seats_lost_while_waiting": pl.DataFrame(
            seats, schema={"cohort": pl.String(), **schema.SEATS_LOST_WHILE_WAITING}
        ),
        "coverage": pl.DataFrame(
            [{"cohort": group} | (empty if group == NOBODY else gaps) for group in groups],
            schema={"cohort": pl.String(), **schema.COVERAGE},
        ),
    }


FRAMES = frames(*COHORTS, NOBODY)
TIMED = {"by_week", "by_weekday"}  # which take the rate as well
DATED = {"before_after", "cancellations", "cancellation_notice", "trend", "visits", "waitlist_chances"}  # of class days
UNGROUPED = {"customers"}  # one curve
ALL = sorted(set(charts.__all__) - TIMED - DATED - UNGROUPED)
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def chart(name: str, frame: Any, **options: Any) -> alt.LayerChart:
    drawn = getattr(charts, name)(frame, **options)
    assert isinstance(drawn, alt.LayerChart)
    return drawn


def compiled(spec: Mapping[str, Any]) -> dict[str, Any]:
    vega: dict[str, Any] = vl_convert.vegalite_to_vega(dict(spec), vl_version="5.8")
    return vega


def svg(drawn: alt.LayerChart) -> str:
    picture: str = vl_convert.vegalite_to_svg(drawn.to_dict(validate=False) | {"$schema": SCHEMA}, vl_version="5.8")
    return picture


@functools.cache
def spec_of(name: str) -> dict[str, Any]:
    return chart(name, FRAMES[name]).to_dict()


@functools.cache
def svg_of(name: str) -> str:
    return svg(chart(name, FRAMES[name]))


def pixels(png: bytes) -> list[tuple[int, ...]]:
    """Decode a PNG of 8 bits a channel (the PNG specification, sections 9 and 10)."""
    width, _, _, color_type = struct.unpack_from(">IIBB", png, 16)
    channels = {2: 3, 6: 4}[color_type]
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw, stride = zlib.decompress(data), width * channels
    above, lines = bytearray(stride), []
    for start in range(0, len(raw), stride + 1):
        line = bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride):
            left, corner = (line[i - channels], above[i - channels]) if i >= channels else (0, 0)
            p = left + above[i] - corner
            paeth = min((left, above[i], corner), key=lambda value: abs(p - value))
            line[i] = (line[i] + (0, left, above[i], (left + above[i]) // 2, paeth)[raw[start]]) % 256
        above = line
        lines.append(line)
    return [tuple(line[i : i + 3]) for line in lines for i in range(0, stride, channels)]


@pytest.mark.parametrize("name", ALL)
def test_a_chart_survives_json(name: str) -> None:
    assert alt.LayerChart.from_dict(json.loads(json.dumps(spec_of(name)))).to_dict() == spec_of(name)


@pytest.mark.parametrize("name", ALL)
def test_a_chart_is_drawn_by_the_vega_lite_of_jupyterlab_and_not_blank(name: str) -> None:
    spec = spec_of(name) | {"$schema": SCHEMA}
    seen = pixels(vl_convert.vegalite_to_png(spec, vl_version="5.8", scale=0.5))

    assert sum(pixel != (255, 255, 255) for pixel in seen) > len(seen) / 50
    assert compiled(spec)["background"] == "white"


@pytest.mark.parametrize("name", ALL)
def test_a_chart_brings_its_data_and_needs_no_internet(name: str) -> None:
    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from value
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from keys(part)

    spec = spec_of(name)

    assert "url" not in set(keys(spec))
    assert spec["datasets"]


def test_charts_are_the_same_in_another_process_and_in_another_order() -> None:
    code = (
        "import json, sys; sys.path.insert(0, 'tests'); import test_charts as t\n"
        "print(json.dumps({name: t.chart(name, t.FRAMES[name]).to_dict() for name in reversed(t.ALL)}))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(other.stdout) == {name: spec_of(name) for name in ALL}


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "polars"])
@pytest.mark.parametrize("name", ALL)
def test_a_chart_is_the_same_from_any_engine(name: str, engine: str) -> None:
    frame = ENGINES[engine].frame(FRAMES[name])

    assert chart(name, frame).to_dict(validate=False) == spec_of(name)


@pytest.mark.parametrize("name", ALL)
def test_what_differs_from_run_to_run_in_the_last_bits_is_not_drawn(name: str) -> None:
    shaken = FRAMES[name].with_columns(pl.col(pl.Float64) * (1 + 1e-12))

    assert chart(name, shaken).to_dict(validate=False) == spec_of(name)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_frame_gives_a_chart_that_says_so(name: str) -> None:
    drawn = chart(name, FRAMES[name].clear())

    assert "Nothing to show" in svg(drawn)
    assert "Nothing to show" in drawn.to_dict(validate=False)["description"]


@pytest.mark.parametrize("name", [name for name in ALL if name != "compare"])
def test_a_frame_without_groups_gives_one_row(name: str) -> None:
    frame = FRAMES[name].filter(pl.col("cohort") == "trial").drop("cohort")
    drawn = chart(name, frame)

    assert ", by " not in drawn.to_dict(validate=False)["description"]
    if name != "no_show_funnel":  # it names only what lies outside its limits
        assert ">all<" in svg(drawn)


@pytest.mark.parametrize("name", [name for name in ALL if name not in {"no_show_funnel", "compare"}])
def test_every_group_keeps_its_row_also_one_without_data(name: str) -> None:
    spec = spec_of(name)
    picture = svg_of(name)

    assert rows_of(spec) == FRAMES[name]["cohort"].unique(maintain_order=True).to_list()
    assert all(f">{group}<" in picture for group in [*COHORTS, NOBODY])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("booking_vs_participation", "no customer of this group was read"),
        ("no_shows", "no seat in a completed class"),
        ("outcome_counts", "no requests"),
        ("waitlist_conversion", "no wait was seen in progress"),
        ("waitlist_outcomes", "no waits"),
        ("seats_lost_while_waiting", "no completed class"),
        ("coverage", "no customer was fetched twice"),
        ("compare", "no rate to compare"),
        ("class_fill", "no class counted"),
    ],
)
def test_a_group_without_data_says_why(name: str, note: str) -> None:
    assert svg_of(name).count(f">{note}<") == 1


def test_a_group_whose_attendance_was_never_recorded_says_so() -> None:
    outcomes = pl.DataFrame(
        {"studio": "mitte", "customer_id": [1, 2], "class_id": [7, 8], "outcome": ["unrecorded", "attended"]}
    )

    assert "attendance was never recorded" in svg(chart("no_shows", rates.no_shows(outcomes, by="class_id")))


@pytest.mark.parametrize("name", ALL)
def test_groups_without_any_data_can_be_drawn_and_say_so(name: str) -> None:
    outcomes, cohorts = outcomes_and_cohorts([*COHORTS])
    none = outcomes.clear()
    no_shows = rates.no_shows(none, cohorts, by="cohort")
    frame = {
        "booking_vs_participation": rates.booking_vs_participation(none, cohorts, by="cohort"),
        "no_shows": no_shows,
        "outcome_counts": rates.outcome_counts(none, cohorts, by="cohort"),
        "no_show_funnel": funnel.no_show_funnel(none, cohorts, by="cohort"),
        "compare": comparisons.compare(none, "no_show_rate", baseline="trial", cohorts=cohorts, by="cohort"),
    }.get(name, FRAMES[name].filter(pl.col("cohort") == NOBODY))
    drawn = chart(name, frame)
    spec = drawn.to_dict(validate=False)

    assert vl_convert.vegalite_to_png(spec | {"$schema": SCHEMA}, vl_version="5.8").startswith(b"\x89PNG")
    assert re.search(r"\b(0|no|No|nobody|never|Nothing)\b", spec["description"])
    assert "differs from it" not in spec["description"]


def test_the_funnel_tells_how_many_groups_it_can_not_place() -> None:
    drawn = chart("no_show_funnel", FRAMES["no_show_funnel"])

    assert "Not drawn, without a recorded seat: 1." in drawn.to_dict(validate=False)["description"]


@pytest.mark.parametrize(("unnoted", "told"), [(5, False), (6, True)])
def test_the_funnel_tells_recorded_shares_that_are_more_than_5_points_apart(unnoted: int, *, told: bool) -> None:
    seats = pl.DataFrame({"studio": "mitte", "customer_id": range(200)}).with_columns(
        class_id=pl.col("customer_id") // 100
    )
    came = pl.when(pl.col("customer_id") % 10 == 0).then(pl.lit("no_show")).otherwise(pl.lit("attended"))
    outcome = pl.when(pl.col("customer_id") < unnoted).then(pl.lit("unrecorded")).otherwise(came)
    frame = funnel.no_show_funnel(seats.with_columns(outcome=outcome), by="class_id")
    spec = chart("no_show_funnel", frame, names={0: "Yoga", 1: "Spinning"}).to_dict(validate=False)

    sentence = "Attendance was recorded for 94% (Yoga) to 100% (Spinning) of their seats"
    assert (sentence in spec["description"]) == told
    assert (sentence in " ".join(spec["title"]["subtitle"])) == told


def test_a_funnel_of_nothing_recorded_has_nothing_to_show() -> None:
    outcomes = pl.DataFrame({"studio": "mitte", "customer_id": [1], "class_id": [7], "outcome": ["unrecorded"]})
    drawn = chart("no_show_funnel", funnel.no_show_funnel(outcomes, by="class_id"))

    assert drawn.to_dict(validate=False)["description"].endswith("Nothing to show: nobody recorded attendance.")


def rows_of(spec: dict[str, Any]) -> list[str]:
    """The labels from top to bottom."""
    domains = {
        tuple(layer["encoding"]["y"]["scale"]["domain"])
        for layer in spec["layer"]
        if "scale" in layer["encoding"].get("y", {})
    }
    assert len(domains) == 1
    return list(domains.pop())


ORDERED = [name for name in ALL if name != "no_show_funnel"]


@pytest.mark.parametrize("name", ORDERED)
def test_groups_stand_in_the_order_asked_for_the_others_after_them(name: str) -> None:
    first = ["joined this quarter", "corporate", "long-term"]

    assert rows_of(chart(name, FRAMES[name], sort=first).to_dict(validate=False))[:3] == first


@pytest.mark.parametrize("name", ORDERED)
def test_groups_keep_the_frame_s_order(name: str) -> None:
    turned = FRAMES[name].reverse()

    assert (
        rows_of(chart(name, turned).to_dict(validate=False)) == turned["cohort"].unique(maintain_order=True).to_list()
    )


def test_groups_stand_by_value_when_asked_those_without_one_last() -> None:
    frame = FRAMES["no_shows"]
    rated = frame.drop_nulls("no_show_rate").sort("no_show_rate", descending=True)["cohort"].to_list()

    assert rows_of(chart("no_shows", frame, sort="no_show_rate").to_dict(validate=False)) == [*rated, NOBODY]


def test_a_mix_stands_by_the_share_of_an_outcome_when_asked() -> None:
    frame = FRAMES["outcome_counts"]
    shares = frame.filter(pl.col("outcome") == "canceled").drop_nulls("share").sort("share", descending=True)

    assert (
        rows_of(chart("outcome_counts", frame, sort="canceled").to_dict(validate=False))[:4]
        == shares["cohort"].to_list()
    )


@pytest.mark.parametrize("name", ORDERED)
def test_an_order_by_something_unknown_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"no.show.* Choose one of .*attended|sort by.*Choose one of|Sort by one of attended"
    ):
        chart(name, FRAMES[name], sort="no show")


@pytest.mark.parametrize("name", ALL)
def test_a_frame_of_something_else_is_refused_with_who_makes_the_right_one(name: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"has no column n.*; it has cohort, customer_id\. Pass a frame that \w[\w.]* made\.|has no column",
    ):
        chart(name, pl.DataFrame({"cohort": ["a"], "customer_id": [1]}))


@pytest.mark.parametrize("name", [name for name in ORDERED if name != "outcome_counts"])
def test_two_rows_for_one_group_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"rows for \d groups"):
        chart(name, pl.concat([FRAMES[name], FRAMES[name]]))


def test_differences_of_two_rates_do_not_share_a_chart() -> None:
    frame = FRAMES["compare"]

    with pytest.raises(ValueError, match="several rates or baselines"):
        chart("compare", pl.concat([frame, frame.with_columns(rate=pl.lit("attendance_rate"))]))


ODD = ['the "quoted" one', "it's \\ {here} <b>&</b>", "Café · 東京 🏋", "x" * 70, "a.b[c]", "", "null", "'); drop table"]


@pytest.mark.parametrize("name", ALL)
def test_odd_names_are_drawn_as_they_are(name: str) -> None:
    frame = frames("plain", *ODD)[name].rename({"cohort": 'my [odd].column\'s "name"'})
    drawn = chart(name, frame)
    data = json.dumps(drawn.to_dict(validate=False)["datasets"], ensure_ascii=False)

    assert svg(drawn).startswith("<svg")
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in data for text in ODD if text and name != "no_show_funnel")


@pytest.mark.parametrize("name", ORDERED)
def test_long_labels_are_broken_into_lines_and_not_cut(name: str) -> None:
    long = "corporate members of the three largest companies in the building next door, since 2019"
    groups = frames("plain", long)[name]
    drawn = chart(name, groups)

    assert (
        " ".join(
            rows_of(drawn.to_dict(validate=False))[
                0 if name == "compare" else groups["cohort"].unique(maintain_order=True).to_list().index(long)
            ].split("\n")
        )
        == long
    )
    assert all(line in svg(drawn) for line in ("corporate members of the three", "building next door, since 2019"))


def test_classes_have_their_titles_and_keep_their_ids_where_two_share_one() -> None:
    outcomes, _ = outcomes_and_cohorts(["all"], classes=4)
    frame = rates.no_shows(outcomes, by="class_id")
    drawn = chart("no_shows", frame, names={1: "Yoga", 2: "Yoga", 3: "Spinning"})

    assert rows_of(drawn.to_dict(validate=False)) == ["Yoga (1)", "Yoga (2)", "Spinning", "4"]
    assert "by class." in drawn.to_dict(validate=False)["description"]


def test_several_group_columns_make_one_label_and_a_line_each_under_the_pointer() -> None:
    outcomes, _ = outcomes_and_cohorts(["all"], classes=2)
    drawn = chart("no_shows", rates.no_shows(outcomes, by=["studio", "class_id"]), names={1: "Yoga"})
    spec = drawn.to_dict(validate=False)

    assert rows_of(spec) == ["mitte / Yoga", "mitte / 2"]
    assert "by studio and class" in spec["description"]
    assert [line["title"] for line in spec["layer"][0]["encoding"]["tooltip"][:2]] == ["studio", "class"]


@pytest.mark.parametrize("name", ALL)
def test_a_chart_can_be_changed_further_and_put_beside_another(name: str) -> None:
    drawn = chart(name, FRAMES[name])
    other = chart("coverage", FRAMES["coverage"])
    beside = (drawn.properties(title="Mine", width=200) | other).configure_axis(labelFontSize=9).to_dict(validate=False)

    assert beside["hconcat"][0]["title"]["text"] == "Mine"
    assert compiled(beside | {"$schema": SCHEMA})


@pytest.mark.parametrize("groups", [2, 12, 60])
@pytest.mark.parametrize("name", ORDERED)
def test_rows_stay_apart_and_the_chart_as_wide_as_a_notebook(name: str, groups: int) -> None:
    spec = chart(name, frames(*(f"company {i}" for i in range(groups)))[name]).to_dict(validate=False)
    width = float(
        svg(chart(name, frames(*(f"company {i}" for i in range(groups)))[name])).split('width="')[1].split('"')[0]
    )

    assert 20 <= spec["height"] / len(rows_of(spec)) <= 42
    assert 560 <= width <= 620


def data_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of every layer's data."""
    return [row for rows in spec["datasets"].values() for row in rows]


def test_booking_and_participation_tell_counts_rates_and_the_gap() -> None:
    outcomes = pl.DataFrame(
        {
            "studio": "mitte",
            "customer_id": [1, 2, 3, 3],
            "class_slot_id": [10, 10, 10, 11],
            "outcome": ["attended", "no_show", "no_show", "unrecorded"],
        }
    )
    cohorts = pl.DataFrame({"customer_id": range(1, 6), "cohort": "new", "fetch_outcome": ["ok"] * 4 + ["not_found"]})
    frame = rates.booking_vs_participation(outcomes, cohorts, by="cohort")
    low, high = frame.select("booking_rate_ci_low", "booking_rate_ci_high").row(0)
    spec = chart("booking_vs_participation", frame).to_dict(validate=False)
    row = next(row for row in data_of(spec) if "booked" in row)

    assert row["booked"] == f"75% ({low:.0%} to {high:.0%}), 3 of 4"
    assert row["took_part"].startswith("25% (")
    assert row["took_part"].endswith("), 1 of 4")
    assert (row["gap"], row["n"], row["n_not_read"]) == ("50 pp", "4", 1)
    assert (row["participation_rate_min"], row["participation_rate_max"]) == (0.25, 0.5)
    assert spec["description"] == (
        "Customers who booked, and who took part, by cohort. 4 customers in 1 cohort. Not counted: 1 who could not be "
        "read. new: 75% booked, 25% took part, a gap of 50 pp."
    )
    assert spec["title"]["subtitle"][0] == "4 customers in 1 cohort. Not counted: 1 who could not be read."


def test_customers_are_not_counted_once_for_each_class() -> None:
    outcomes, cohorts = outcomes_and_cohorts(["a", "b"], classes=5)
    frame = rates.booking_vs_participation(outcomes, cohorts, by=["cohort", "class_id"])

    assert " 24 customers in " in chart("booking_vs_participation", frame).to_dict(validate=False)["description"]


def test_no_show_rates_tell_bounds_and_what_is_not_recorded() -> None:
    outcomes = pl.DataFrame(
        {
            "studio": "mitte",
            "customer_id": range(8),
            "class_id": 7,
            "outcome": ["attended"] * 5 + ["no_show"] + ["unrecorded"] * 2,
        }
    )
    low, high = 0.07, 0.52
    frame = rates.no_shows(outcomes, by="class_id").with_columns(
        no_show_rate_bounds_low=low, no_show_rate_bounds_high=high
    )
    spec = chart("no_shows", frame, names={7: "Yoga"}).to_dict(validate=False)
    row = next(row for row in data_of(spec) if "told" in row)

    assert row["told"].startswith("17% (")
    assert row["told"].endswith("), 1 of 6 seats")
    assert row["bounds"] == f"{low:.0%} to {high:.0%}"
    assert row["unrecorded"] == "2"
    assert (
        "6 seats of completed classes in 1 class. Not counted: 2 seats without recorded attendance."
        in spec["description"]
    )


def test_the_mix_draws_each_share_in_its_outcome_s_colour() -> None:
    frame = FRAMES["outcome_counts"]
    spec = chart("outcome_counts", frame).to_dict(validate=False)
    scale = next(layer["encoding"]["color"]["scale"] for layer in spec["layer"] if layer["mark"]["type"] == "bar")
    names = {name: kind for kind, (name, _) in OUTCOMES.items()}
    drawn = {
        (row["group"], names[row["outcome"]]): row["end"] - row["start"] for row in data_of(spec) if "outcome" in row
    }
    expected = {(group, kind): share for group, kind, _, share, *_ in frame.filter(pl.col("share") > 0).rows()}

    assert dict(zip(scale["domain"], scale["range"], strict=True)).items() <= dict(OUTCOMES.values()).items()
    assert drawn == pytest.approx(expected, abs=2e-4)
    assert not {"class canceled", "lost from sight"} & set(scale["domain"])


def test_a_bar_of_few_waits_is_thin_and_bears_its_shares() -> None:
    few = waits(["many", "few"]).with_columns(
        pl.when(cohort="few")
        .then(1)
        .otherwise(pl.col("^n_(converted|lapsed|withdrawn|pending|lost|slot_canceled)$"))
        .name.keep()
    )
    spec = chart("waitlist_outcomes", few).to_dict(validate=False)
    labels = {(row["group"], row["label"]) for row in data_of(spec) if "label" in row}

    assert {label for group, label in labels if group == "few"} == {"17%"}
    assert ("many", "52%") in labels
    assert "Thin bars: fewer than 30 waits." in spec["title"]["subtitle"]


def test_a_click_on_the_legend_singles_out_an_outcome() -> None:
    for name, unit in [("outcome_counts", "requests"), ("waitlist_outcomes", "waits")]:
        spec = spec_of(name)

        assert [(param["name"], param["bind"], param["views"]) for param in spec["params"]] == [
            (f"picked_{unit}", "legend", [f"parts_{unit}"])
        ]


def test_waits_that_can_not_be_rated_are_told() -> None:
    description = chart("waitlist_conversion", waits(["a", NOBODY])).to_dict(validate=False)["description"]

    assert description == (
        "Observed waits that got a seat, by cohort. 50 waits in 2 cohorts. Not counted: 2 first seen after their "
        "class. a: 62% (48% to 74%)."
    )


def test_differences_tell_the_baseline_and_which_interval_leaves_out_zero() -> None:
    row = {"rate": "no_show_rate", "baseline": "7", "baseline_value": 0.07, "baseline_n": 2210, "n": 410, "value": 0.12}
    row |= {"n_shared_customers": 0, "recorded_share": 1.0, "baseline_recorded_share": 1.0}
    row |= {"confidence": 0.95, "simultaneous": False}
    frame = pl.DataFrame(
        [
            {"class_id": 1, **row, "difference": 0.05, "difference_ci_low": 0.02, "difference_ci_high": 0.09},
            {"class_id": 2, **row, "difference": -0.004, "difference_ci_low": -0.031, "difference_ci_high": 0.02},
        ]
    )
    spec = chart("compare", frame, names={7: "Yoga", 1: "Spinning"}).to_dict(validate=False)

    assert {row["group"]: row["apart"] for row in data_of(spec) if "apart" in row} == {"Spinning": True, "2": False}
    assert spec["description"] == (
        "Difference in no-show rate from Yoga, by class. Yoga: 7% of 2,210 seats. Spinning: +5 pp (+2 to +9). "
        "2: 0 pp (\N{MINUS SIGN}3 to +2)."
    )


def funnel_of_many() -> pl.DataFrame:
    chance = random.Random(3)
    rows = [
        {
            "studio": "mitte",
            "customer_id": chance.randrange(400),
            "class_id": c,
            "outcome": chance.choices(["no_show", "attended"], [p, 1 - p])[0],
        }
        for c in range(40)
        for p in [0.45 if c == 11 else 0.1]
        for _ in range(20 + 5 * c)
    ]
    return funnel.no_show_funnel(pl.DataFrame(rows), by="class_id")


def test_the_funnel_s_curves_run_through_the_limits_of_its_groups() -> None:
    frame = funnel_of_many()
    spec = chart("no_show_funnel", frame).to_dict(validate=False)
    curves = [rows for rows in spec["datasets"].values() if len(rows) > 70]

    for curve, level in zip(curves, ("95", "998"), strict=True):
        drawn = frame.filter(pl.col("n_recorded") > curve[0]["n_recorded"])
        assert len(drawn) > 20
        for n, low, high in drawn.select("n_recorded", f"limit_{level}_low", f"limit_{level}_high").rows():
            before = [point for point in curve if point["n_recorded"] <= n][-1]
            after = next(point for point in curve if point["n_recorded"] >= n)
            assert after["high"] - 1e-3 <= high <= before["high"] + 1e-3
            assert (before["low"] or 0) - 1e-3 <= low <= (after["low"] or 0) + 1e-3


@pytest.mark.parametrize(
    "kinds", [["attended"] * 9, ["no_show"] * 9, ["attended", "no_show"], ["no_show"] + ["attended"] * 40]
)
def test_a_funnel_of_all_alike_or_of_few_seats_is_drawn_too(kinds: list[str]) -> None:
    outcomes = pl.DataFrame({"studio": "mitte", "customer_id": range(len(kinds)), "class_id": 7, "outcome": kinds})
    drawn = chart("no_show_funnel", funnel.no_show_funnel(outcomes, by="class_id"))

    assert "None lies outside the limits of chance." in drawn.to_dict()["description"]
    assert svg(drawn).startswith("<svg")


def test_no_seats_lost_are_drawn_on_an_axis_that_starts_at_zero() -> None:
    spec = chart("seats_lost_while_waiting", FRAMES["seats_lost_while_waiting"].with_columns(n_seats=0)).to_dict(
        validate=False
    )

    assert [layer["encoding"]["x"]["scale"]["domain"] for layer in spec["layer"] if layer["mark"]["type"] == "bar"] == [
        [0, 1]
    ]


def test_the_funnel_names_those_outside_its_limits_and_no_others() -> None:
    frame = funnel_of_many()
    spec = chart("no_show_funnel", frame, names={11: "Spinning"}).to_dict(validate=False)
    named = {row["label"] for row in data_of(spec) if "side" in row}
    outside = frame.filter(pl.col("position") != "within")["class_id"].to_list()

    assert 11 in outside
    assert named == {"Spinning" if group == 11 else str(group) for group in outside}
    assert "Not a ranking" in " ".join(spec["title"]["subtitle"])


def test_names_in_the_funnel_do_not_run_over_each_other() -> None:
    frame = pl.DataFrame({"class_id": range(12)}).with_columns(
        n_customers=90,
        n_attended=50,
        n_no_show=50,
        n_recorded=100,
        no_show_rate=0.5,
        center=0.1,
        dispersion=1.0,
        position=pl.lit("above_998", schema.POSITION),
    )
    spec = chart("no_show_funnel", frame).to_dict(validate=False)
    scales = [layer["encoding"]["y"].get("scale") for layer in spec["layer"] if "y" in layer["encoding"]]
    top = max(scale["domain"][1] for scale in scales if scale)
    places = [
        (row["side"], row["at"] / top * 380) for rows in spec["datasets"].values() for row in rows if "side" in row
    ]

    mark = 0.5 / top * 380
    assert all(abs(at - mark) < 3 * 13 for _, at in places)  # beside its own mark, or a name is none
    of_sides = [sorted(at for side, at in places if side == each) for each in (-1, 1)]
    assert min(after - before for ats in of_sides for before, after in pairwise(ats)) >= 12
    assert 5 <= len(places) < 12
    assert f"without room for a name: {12 - len(places)}." in " ".join(spec["title"]["subtitle"])


def test_fill_draws_the_places_taken_and_within_them_those_of_the_list() -> None:
    frame = pl.DataFrame(
        {
            "hour": [7, 18],
            "n_slots": [20, 4],
            "n_slots_left_out": [0, 3],
            "n_places": [400, 80],
            "n_listed": [90, 21],
            "filled_share": [0.5, 1.05],
            "listed_share": [0.45, 0.25],
        }
    )
    spec = chart("class_fill", frame).to_dict()
    drawn = {row["filled_share"]: row["ours"] for row in data_of(spec) if "ours" in row}
    alone = chart("class_fill", frame.with_columns(n_listed=None, listed_share=None)).to_dict()

    assert drawn == {0.5: 0.225, 1.05: 0.2625}
    assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 1.07]  # an overbooked class is drawn whole
    assert "24 class slots. Not counted: 3 not looked at since they began" in spec["description"]
    assert "7: 50% filled, 45% of the booked on the list." in spec["description"].replace(":00", "")
    assert "on the list" not in alone["description"]
    assert len(alone["layer"]) < len(spec["layer"])


def test_seats_lost_say_that_only_fetched_customers_count() -> None:
    spec = spec_of("seats_lost_while_waiting")

    assert any(
        line == "Counts fetched customers only, so the true number may be higher." for line in spec["title"]["subtitle"]
    )
    assert "20 seats in 160 completed classes." in spec["description"]


def test_coverage_tells_gaps_in_hours_or_days_and_who_was_missed() -> None:
    description = spec_of("coverage")["description"]

    assert "48 customers in 5 cohorts; 12 with a gap over 14 days" in description
    assert "trial: median 24 h, longest 17 days." in description


def test_a_share_is_rounded_once_and_the_same_in_a_chart_and_in_words() -> None:
    """40 of 127 is 31.496 %: to four decimals first, it would be 31.5 % and then 32 %."""
    frame = waits(["trial"]).with_columns(conversion_rate=pl.lit(40 / 127))
    told = chart("waitlist_conversion", frame).to_dict(validate=False)["description"]

    assert "trial: 31% (48% to 74%)." in told
    assert interval(frame.row(0, named=True), "conversion_rate") == "31% (48% to 74%)"


DAYS = pl.DataFrame(
    [
        ("trial", date(2026, 3, 1), 10, 10, 10, None, None, 0),
        ("trial", date(2026, 3, 2), 10, 5, 6, 24.0, 26.0, 0),
        ("trial", date(2026, 3, 3), 10, 0, 10, None, None, 0),
        ("trial", date(2026, 3, 20), 10, 10, 10, 432.0, 456.0, 7),
        ("long-term", date(2026, 3, 2), 2, 2, 2, None, None, 0),
        ("never", None, 4, 0, 0, None, None, 0),
    ],
    schema={"cohort": pl.String(), "day": pl.Date(), **schema.COVERAGE},
    orient="row",
)


def test_coverage_over_time_tells_days_and_the_longest_gap() -> None:
    description = chart("coverage", DAYS).to_dict(validate=False)["description"]

    assert description == (
        "When customers were read, by cohort. 16 customers in 3 cohorts, 1 Mar to 20 Mar 2026. "
        "trial: on 3 of 20 days, longest gap 19 days. long-term: on 1 of 20 days. never: on 0 of 20 days."
    )


@pytest.mark.parametrize("frame", [DAYS, FRAMES["coverage"]], ids=["over time", "gaps"])
def test_coverage_says_how_many_fetches_were_in_opening_hours_where_that_is_known(frame: pl.DataFrame) -> None:
    def described(within: int | None) -> str:
        hours = frame if within is None else frame.with_columns(n_in_opening_hours=pl.lit(0, pl.Int64))
        if within:
            first = pl.int_range(pl.len()) == 0
            hours = hours.with_columns(n_in_opening_hours=pl.when(first).then(within).otherwise(0))
        return str(chart("coverage", hours).to_dict(validate=False)["description"])

    assert "opening hours" not in described(None)
    assert "No fetch was in opening hours." in described(0)
    assert f" 2 of {frame['n_fetches'].sum():,} fetches were in opening hours" in described(2)


def test_coverage_over_time_draws_each_day_as_tall_as_the_share_read_and_what_was_missed() -> None:
    spec = chart("coverage", DAYS).to_dict(validate=False)
    rows = data_of(spec)
    bars = {(row["group"], row["on"]): row for row in rows if "on" in row}
    gaps = [row for row in rows if "long" in row]

    assert {key: bar["read"] for key, bar in bars.items()} == {
        ("trial", "1 Mar 2026"): "100%, 10 of 10",
        ("trial", "2 Mar 2026"): "50%, 5 of 10",
        ("trial", "3 Mar 2026"): "0%, 0 of 10",
        ("trial", "20 Mar 2026"): "100%, 10 of 10",
        ("long-term", "2 Mar 2026"): "100%, 2 of 2",
    }
    assert bars["trial", "2 Mar 2026"]["height"] == bars["trial", "1 Mar 2026"]["height"] / 2
    assert bars["trial", "1 Mar 2026"]["start"] == 0
    assert bars["trial", "20 Mar 2026"]["start"] == 19
    assert [(gap["group"], gap["long"], gap["n"]) for gap in gaps] == [("trial", "19 days", "7")]
    assert [(gap["start"], gap["end"]) for gap in gaps] == [(0, 19)]
    picture = svg(chart("coverage", DAYS))
    assert all(f">{text}<" in picture for text in ("1 Mar", "19 days", "nobody was read", "\N{MULTIPLICATION SIGN}"))


def test_of_gaps_that_overlap_only_the_longest_has_a_number() -> None:
    longer = DAYS.row(3, named=True) | {"day": date(2026, 3, 22), "longest_gap_h": 480.0}
    picture = svg(chart("coverage", pl.concat([DAYS, pl.DataFrame([longer], schema=DAYS.schema)])))

    assert picture.count(">20 days<") == 2, "above its line, and in the column of the longest gaps"
    assert ">19 days<" not in picture


def test_coverage_over_a_year_and_of_a_day_has_days_as_labels() -> None:
    year = [date(2026, 1, 1) + timedelta(days=day) for day in range(365)]
    daily = DAYS.head(1).select(pl.exclude("day")).join(pl.DataFrame({"day": year}), how="cross")
    for frame, days in ((daily, ["1 Jan", "5 Mar", "7 May", "12 Nov"]), (daily.head(1), ["1 Jan"])):
        picture = svg(chart("coverage", frame))
        assert all(f">{day}<" in picture for day in days)
    assert ">2 Jan<" not in picture
    assert "10 customers in 1 cohort, 1 Jan 2026." in picture


def test_coverage_over_time_leaves_out_what_began_and_ended_before_its_days() -> None:
    last = chart("coverage", DAYS.filter(pl.col("day") == date(2026, 3, 20)))

    assert not [row for row in data_of(last.to_dict(validate=False)) if "long" in row]
    assert "Nothing to show: nobody was read." in svg(chart("coverage", DAYS.tail(1)))


@pytest.mark.parametrize(
    ("name", "color"),
    [
        ("booking_vs_participation", ATTENDED),
        ("no_shows", NO_SHOW),
        ("waitlist_conversion", CONVERTED),
        ("compare", INK),
    ],
)
def test_a_rate_has_the_colour_of_its_outcome(name: str, color: str) -> None:
    spec = spec_of(name)

    assert color in [layer["mark"]["stroke"] for layer in spec["layer"] if layer["mark"]["type"] == "point"]


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (None, "—"),
        (0.0, "0%"),
        (0.001, "<1%"),
        (0.005, "<1%"),
        (0.006, "1%"),
        (0.124, "12%"),
        (0.996, ">99%"),
        (1.0, "100%"),
    ],
)
def test_percent_never_rounds_something_to_nothing_or_to_all(share: float | None, written: str) -> None:
    assert percent(share) == written


@pytest.mark.filterwarnings("ignore:control characters")
@settings(max_examples=15)
@given(groups=st.lists(st.text(max_size=80), min_size=1, max_size=20, unique=True))
def test_any_group_name_has_a_row_of_its_own(groups: list[str]) -> None:
    spec = chart("seats_lost_while_waiting", pl.DataFrame({"cohort": groups, "n_seats": 1, "n_slots": 2})).to_dict(
        validate=False
    )

    assert len(rows_of(spec)) == len(groups)
    assert json.loads(json.dumps(spec)) == spec


def test_control_characters_of_names_are_left_out_and_told() -> None:
    frame = pl.DataFrame({"cohort": ["a\x00b", "a\x1b[31m"], "n_seats": 1, "n_slots": 2})
    with pytest.warns(UserWarning, match=r"left out of 2 names, the first of them 'a\\x00b'"):
        drawn = chart("seats_lost_while_waiting", frame)

    assert rows_of(drawn.to_dict(validate=False)) == ["ab", "a[31m"]


def test_groups_that_differ_in_spaces_alone_have_a_row_each() -> None:
    frame = pl.DataFrame({"tier": ["gold", "gold ", "gold\n"], "n_seats": 1, "n_slots": 2})

    assert rows_of(chart("seats_lost_while_waiting", frame).to_dict()) == ["gold", "gold [2]", "gold [3]"]


def test_lists_do_not_name_groups() -> None:
    frame = pl.DataFrame({"tags": [["a"], ["b"]], "n_seats": 1, "n_slots": 2})

    with pytest.raises(ValueError, match="column tags holds several values per row"):
        chart("seats_lost_while_waiting", frame)


@pytest.mark.parametrize("column", ['say "hi"', "line\u2028break", "back\\slash", "it's {datum}"])
def test_any_column_name_can_be_drawn(column: str) -> None:
    frame = pl.DataFrame({column: ["a"], "n_seats": 1, "n_slots": 2})

    assert ">a<" in svg(chart("seats_lost_while_waiting", frame))


def test_a_group_without_a_week_is_called_not_dated() -> None:
    frame = pl.DataFrame({"week": [date(2026, 5, 4), None], "n_seats": 1, "n_slots": 2})

    assert rows_of(chart("seats_lost_while_waiting", frame).to_dict()) == ["2026-05-04", "not dated"]
