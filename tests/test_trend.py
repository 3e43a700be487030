"""Rates over weeks: limits, signals and slopes against numpy, on every engine; false alarms; the demo's fee."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from engines import ENGINES, Engine
from fee import search
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_trend import numpy_trend
from weeks import Weeks

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.demo import World
from bookings_analytics.errors import CohortError

MONDAY = date(2026, 1, 5)
KINDS = ["attended", "no_show", "unrecorded", "canceled", "upcoming", "waiting", "lost", "slot_canceled"]
HITS = {  # of each rate: what hits, and what is tried
    "no_show_rate": ({"no_show"}, {"no_show", "attended"}),
    "attendance_rate": ({"attended"}, {"no_show", "attended"}),
    "recorded_share": ({"no_show", "attended"}, {"no_show", "attended", "unrecorded"}),
    "seat_rate": (
        {"no_show", "attended", "unrecorded", "upcoming"},
        {"no_show", "attended", "unrecorded", "upcoming", "canceled", "waiting"},
    ),
    "cancellation_rate": ({"canceled"}, {"no_show", "attended", "unrecorded", "upcoming", "canceled", "waiting"}),
}
COMPLETE_ALONE = [
    *("value_bounds_low", "value_bounds_high", "center", "limit_low", "limit_high", "signal"),
    *("segment", "reason", "slope", "slope_ci_low", "slope_ci_high"),
]


def monday(week: int) -> date:
    return MONDAY + timedelta(weeks=week)


def outcomes_of(cells: list[tuple[int, int, str, int]], complete: set[int] | None = None) -> pl.DataFrame:
    """Make so many outcomes of a kind for each customer and week; weeks outside `complete` are incomplete."""
    return pl.DataFrame(
        [
            ("mitte", customer, monday(week), complete is None or week in complete, kind)
            for customer, week, kind, n in cells
            for _ in range(n)
        ],
        schema={
            "studio": pl.String,
            "customer_id": pl.Int64,
            "week": pl.Date,
            "week_complete": pl.Boolean,
            "outcome": pl.String,
        },
        orient="row",
    )


def of_shares(shares: list[float], n: int = 100) -> pl.DataFrame:
    """Make weeks of so many seats, a customer each, with these no-show rates."""
    return outcomes_of(
        [
            (customer, week, "no_show" if customer < round(share * n) else "attended", 1)
            for week, share in enumerate(shares)
            for customer in range(n)
        ]
    )


def check(rows: pl.DataFrame, y: np.ndarray, n: np.ndarray, confidence: float = 0.95) -> None:
    """Compare the rows of one segment, a row a week of the calendar, with numpy."""
    found = numpy_trend(y, n, confidence)
    assert rows["n"].to_list() == n.sum(0).tolist()
    assert rows["value"].is_null().to_list() == (n.sum(0) == 0).tolist()
    there = rows.filter(pl.col("n") > 0)
    assert there["value"].to_list() == pytest.approx((y.sum(0) / np.maximum(n.sum(0), 1))[found["weeks"]], abs=1e-9)
    assert there["center"].to_list() == pytest.approx([found["center"]] * there.height, abs=1e-9)
    if "limit_low" not in found:
        assert rows.select(pl.col("limit_low", "limit_high", "signal", "slope").is_null().all()).row(0) == (True,) * 4
        return
    for name in ("limit_low", "limit_high"):
        assert there[name].to_list() == pytest.approx(list(found[name]), abs=1e-9)
    assert there["signal"].to_list() == found["signal"]
    assert rows.filter(n=0)["signal"].null_count() == rows.filter(n=0).height
    for name in ("slope", "slope_ci_low", "slope_ci_high"):
        got = rows[name].unique(maintain_order=True)
        assert got.to_list() == ([None] if np.isnan(found[name]) else pytest.approx([found[name]], abs=1e-9))


def counts(outcomes: pl.DataFrame, rate: str, weeks: int) -> tuple[np.ndarray, np.ndarray]:
    customers = outcomes["customer_id"].unique().sort().to_list()
    y, n = np.zeros((len(customers), weeks)), np.zeros((len(customers), weeks))
    hits, trials = HITS[rate]
    for row in outcomes.drop_nulls("week").iter_rows(named=True):
        place = customers.index(row["customer_id"]), (row["week"] - MONDAY).days // 7
        y[place] += row["outcome"] in hits
        n[place] += row["outcome"] in trials
    return y, n


DRAWN = np.random.default_rng(7)
BUSY = outcomes_of(
    [
        (customer, week, kind, int(DRAWN.integers(0, 3)))
        for customer in range(40)
        for week in range(26)
        if week != 9
        for kind in KINDS
    ]
)
PEOPLE = pl.DataFrame({"customer_id": list(range(45)), "cohort": [["trial", "corporate"][i % 2] for i in range(45)]})


@pytest.fixture(params=ENGINES.values(), ids=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


def computed(engine: Engine, outcomes: pl.DataFrame, *args: Any, **options: Any) -> pl.DataFrame:
    result = ba.trend(engine.frame(outcomes), *args, **options)
    frame = result.collect() if isinstance(result, pl.LazyFrame) else result
    assert isinstance(frame, pl.DataFrame)
    return frame


@pytest.mark.parametrize("rate", HITS)
def test_limits_signals_and_slope_are_those_of_numpy(engine: Engine, rate: str) -> None:
    table = computed(engine, BUSY, rate, confidence=0.9, target=0)

    assert set(table["against_target"]) == {"above"}
    assert table.schema == schema.TREND
    assert table["week"].to_list() == [monday(week) for week in range(26)]
    check(table, *counts(BUSY, rate, 26), confidence=0.9)
    assert table["signal"].null_count() == 1


@given(
    cells=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 23), st.sampled_from(KINDS[:4]), st.integers(1, 30)), min_size=1
    ),
    drift=st.integers(-8, 8),
    noise=st.randoms(use_true_random=False),
    start=st.integers(1, 22),
)
@settings(max_examples=25, deadline=None)
def test_any_weeks_are_judged_as_numpy_judges_them(cells: list[Any], drift: int, noise: Any, start: int) -> None:
    base = [(c, w, "no_show", max(0, 8 + drift * w // 8 + noise.randint(-4, 4))) for c in range(3) for w in range(24)]
    outcomes = outcomes_of([*cells, *base, *((c, w, "attended", noise.randint(4, 20)) for c, w, _, _ in base)])
    y, n = counts(outcomes, "no_show_rate", 24)

    check(ba.trend(outcomes, "no_show_rate"), y, n)
    two = ba.trend(outcomes, "no_show_rate", rebase_at={monday(start): "a new rule"})
    assert two["segment"].to_list() == [1] * start + [2] * (24 - start)
    check(two.filter(segment=1), y[:, :start], n[:, :start])
    check(two.filter(segment=2), y[:, start:], n[:, start:])


def test_the_rates_of_weeks_are_those_of_their_own_function(engine: Engine) -> None:
    table = computed(engine, BUSY, "no_show_rate", engine.frame(PEOPLE), by="cohort")
    weekly = ba.no_shows(BUSY, PEOPLE, by=["cohort", "week"]).drop_nulls("week")
    joined = table.join(weekly, on=["cohort", "week"], suffix="_week")

    assert sorted(set(table["cohort"])) == ["corporate", "trial"]
    assert joined.height == weekly.height == 50
    for ours, theirs in (
        ("value", "no_show_rate"),
        ("value_bounds_low", "no_show_rate_bounds_low"),
        ("value_bounds_high", "no_show_rate_bounds_high"),
    ):
        assert joined[ours].to_list() == pytest.approx(joined[theirs].to_list(), abs=1e-9)
    for cohort in ("corporate", "trial"):
        of_cohort = BUSY.join(PEOPLE.filter(cohort=cohort), on="customer_id", how="semi")
        check(table.filter(cohort=cohort), *counts(of_cohort, "no_show_rate", 26))


def test_rates_of_customers_have_everybody_in_the_base_of_every_week(engine: Engine) -> None:
    outcomes = outcomes_of(
        [(c, w, ("attended", "no_show", "unrecorded")[(c + w) % 3], 1) for w in range(14) for c in range(20) if c > w]
    )
    held, came = (
        np.array([[c < 20 and c > w and (c + w) % 3 in hit for w in range(14)] for c in range(45)])
        for hit in ({0, 1, 2}, {0})
    )
    ones = np.ones((45, 14))
    booked = computed(engine, outcomes, "booking_rate", engine.frame(PEOPLE), target=0.5)
    took_part = computed(engine, outcomes, "participation_rate", engine.frame(PEOPLE))

    assert set(booked["n"]) == {45}
    check(booked, held, ones)
    check(took_part, came, ones)
    assert set(booked["against_target"]) == {"below"}
    assert booked["value_bounds_low"].null_count() == 14
    assert (took_part["value_bounds_high"] > took_part["value"]).all()
    with pytest.raises(CohortError, match=r"a rate of customers needs cohorts="):
        computed(engine, outcomes, "booking_rate")


def test_a_customer_is_in_the_base_between_their_own_first_and_last_successful_fetch(engine: Engine) -> None:
    outcomes = outcomes_of([(1, w, "attended", 1) for w in range(8)])
    fetches = pl.DataFrame(
        [
            ("mitte", customer, datetime(2026, 1, 5, 3, tzinfo=UTC) + timedelta(weeks=week), outcome)
            for customer, week, outcome in [
                *((1, 0, "ok"), (1, 8, "ok"), (2, 0, "failed"), (2, 4, "ok"), (2, 8, "ok")),
                *((3, 0, "ok"), (3, 2, "ok"), (3, 8, "access_disabled")),
            ]
        ],
        schema=["studio", "customer_id", "fetched_at", "outcome"],
        orient="row",
    ).with_columns(pl.col("fetched_at").cast(schema.TIMESTAMP))
    people = engine.frame(pl.DataFrame({"customer_id": [1, 2, 3, 4], "cohort": "all"}))

    with_fetches = computed(engine, outcomes, "booking_rate", people, fetches=engine.frame(fetches))
    by_week = ba.booking_vs_participation(engine.frame(outcomes), people, by="week", fetches=engine.frame(fetches))
    assert with_fetches["n"].to_list() == engine.polars(by_week)["n_customers"].to_list()
    assert with_fetches["n"].to_list() == [2, 2, 1, 1, 2, 2, 2, 2]
    assert set(computed(engine, outcomes, "booking_rate", people)["n"]) == {4}


def test_an_incomplete_week_has_value_and_n_alone_and_is_in_nothing_else(engine: Engine) -> None:
    whole = set(range(2, 22))
    part = BUSY.with_columns(week_complete=pl.col("week").is_between(monday(2), monday(21)))
    table = computed(engine, part, "no_show_rate")
    incomplete = table.filter(~pl.col("week_complete"))

    assert incomplete["week"].to_list() == [monday(w) for w in range(26) if w not in whole]
    assert incomplete.select("value", "n").null_count().row(0) == (0, 0)
    assert incomplete.select(pl.col(COMPLETE_ALONE).is_null().all()).row(0) == (True,) * len(COMPLETE_ALONE)
    y, n = counts(BUSY, "no_show_rate", 26)
    check(table.filter("week_complete"), y[:, 2:22], n[:, 2:22])


def test_a_week_is_complete_if_it_is_in_every_studio_of_the_group(engine: Engine) -> None:
    other = BUSY.with_columns(studio=pl.lit("nord")).filter(pl.col("week") >= monday(4))
    other = other.with_columns(week_complete=pl.col("week") >= monday(6))
    both = pl.concat([BUSY, other])

    assert computed(engine, both, "no_show_rate")["week_complete"].to_list() == [False] * 6 + [True] * 20
    by_studio = computed(engine, both, "no_show_rate", by="studio")
    assert by_studio.filter(studio="mitte")["week_complete"].all()
    assert by_studio.filter(~pl.col("week_complete"))["week"].to_list() == [monday(4), monday(5)]


def test_undated_trials_are_counted_and_in_no_week(engine: Engine) -> None:
    undated = BUSY.head(60).with_columns(week=None, week_complete=None)
    table = computed(engine, pl.concat([BUSY, undated], how="vertical_relaxed"), "no_show_rate")

    n = undated["outcome"].is_in(["attended", "no_show"]).sum()
    assert set(table["n_undated"]) == {n}
    check(table, *counts(BUSY, "no_show_rate", 26))


def test_a_group_that_booked_nothing_has_weeks_without_value(engine: Engine) -> None:
    people = pl.concat([PEOPLE, pl.DataFrame({"customer_id": [999], "cohort": ["nobody"]})])
    table = computed(engine, BUSY, "no_show_rate", engine.frame(people), by="cohort", target=0.1)
    nobody = table.filter(cohort="nobody")

    assert nobody.height == 26
    assert nobody["n"].sum() == 0
    assert nobody.select(pl.col("value", "center", "signal", "slope", "against_target").is_null().all()).row(0) == (
        (True,) * 5
    )


def signals(shares: list[float]) -> list[Any]:
    return ba.trend(of_shares(shares), "no_show_rate")["signal"].to_list()


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.2] * 11 + [0.5], ["within"] * 11 + ["above"]),
        ([0.2] * 11 + [0.01], ["within"] * 11 + ["below"]),
        ([0.2, 0.22] * 5 + [0.5], [None] * 11),  # eleven weeks are too few
        ([0.04, 0.05] * 6, [None] * 12),  # fewer than five no-shows a week
    ],
)
def test_a_week_beyond_the_limits_is_a_signal_where_there_is_enough(shares: list[float], expected: list[Any]) -> None:
    assert signals(shares) == expected


def test_nine_weeks_on_one_side_are_a_signal_from_twenty_weeks_on() -> None:
    shares = [0.24, 0.22] * 3 + [0.2] * 9 + [0.24] * 6

    assert signals(shares) == ["within"] * 6 + ["run_below"] * 9 + ["within"] * 6
    assert signals(shares[2:]) == ["within"] * 19  # too short for runs
    assert signals([0.24] * 7 + [0.2] * 8 + [0.24] * 6) == ["within"] * 21  # eight in a row


def test_a_week_on_the_center_neither_counts_nor_breaks_a_run() -> None:
    shares = [0.22] * 8 + [0.18] * 4 + [0.2] + [0.18] * 5 + [0.22, 0.2, 0.2]

    assert ba.trend(of_shares(shares), "no_show_rate")["center"][0] == 0.2
    assert signals(shares) == ["within"] * 8 + ["run_below"] * 4 + ["within"] + ["run_below"] * 5 + ["within"] * 3


def test_a_week_beyond_the_limits_is_that_also_in_a_run() -> None:
    assert (
        signals([0.22] * 13 + [0.17] * 4 + [0.04] + [0.17] * 5)[13:]
        == ["run_below"] * 4 + ["below"] + ["run_below"] * 5
    )


def test_limits_start_anew_on_the_first_monday_from_a_named_day_on() -> None:
    changes = {
        monday(14) - timedelta(days=3): " a new app ",
        monday(9): "a fee",
        monday(13) + timedelta(days=1): "rain",
    }
    table = ba.trend(BUSY, "no_show_rate", rebase_at=changes)

    starts = table.filter(pl.col("segment") != pl.col("segment").shift(1)).select("week", "segment", "reason").rows()
    assert starts == [(monday(9), 2, "a fee"), (monday(14), 3, "rain; a new app")]
    assert table.filter(segment=1)["reason"].null_count() == 9


@pytest.mark.parametrize(
    ("target", "side"), [(0.1, "above"), (0.9, "below"), (0.5, "open"), (0, "above"), (1, "below"), (None, None)]
)
def test_the_interval_of_the_last_segments_rate_is_beside_the_target_or_holds_it(
    target: float | None, side: str | None
) -> None:
    table = ba.trend(BUSY, "no_show_rate", target=target)

    assert table.select("target", "against_target").unique().rows() == [(target, side)]


def test_of_several_segments_the_last_is_held_against_the_target() -> None:
    outcomes = of_shares([0.5] * 12 + [0.1] * 12)
    table = ba.trend(outcomes, "no_show_rate", rebase_at={monday(12): "a fee"}, target=0.3)
    [interval] = ba.no_shows(outcomes.filter(pl.col("week") >= monday(12))).to_dicts()

    assert interval["no_show_rate_ci_high"] < 0.3
    assert set(table["against_target"]) == {"below"}


def test_nothing_is_judged_of_outcomes_without_a_row(engine: Engine) -> None:
    assert computed(engine, BUSY.clear(), "no_show_rate").schema == schema.TREND
    assert computed(engine, BUSY.clear(), "no_show_rate").is_empty()


def test_what_no_trend_can_be_of_is_refused(engine: Engine) -> None:
    frame = engine.frame(BUSY)
    with pytest.raises(ValueError, match=r"'conversion_rate' is not a rate to follow .* no_show_rate, attendance_rate"):
        ba.trend(frame, "conversion_rate")
    with pytest.raises(ValueError, match=r"this is a frame of rates, and a trend needs each customer's bookings"):
        ba.trend(ba.no_shows(BUSY, by="week"), "no_show_rate")
    with pytest.raises(ValueError, match=r"have no column week, week_complete: .* Pass class_days to classify"):
        ba.trend(engine.frame(BUSY.drop("week", "week_complete")), "no_show_rate")
    with pytest.raises(ValueError, match=r"carry no class day: .* Pass class_days to classify"):
        ba.trend(engine.frame(BUSY.with_columns(pl.lit(None, pl.Date).alias("week"))), "no_show_rate")
    with pytest.raises(ValueError, match=r"by names 'week', and every row of a trend is of one week already"):
        ba.trend(frame, "no_show_rate", by=["week"])
    with pytest.raises(ValueError, match=r"by names 'segment', a name that the rates need for themselves"):
        ba.trend(frame, "no_show_rate", engine.frame(PEOPLE.rename({"cohort": "segment"})), by="segment")
    with pytest.raises(ValueError, match=r"confidence is 95"):
        ba.trend(frame, "no_show_rate", confidence=95)


@pytest.mark.parametrize(
    ("rebase_at", "error", "message"),
    [
        (monday(9), TypeError, r"rebase_at is .*: limits start anew only for a named reason\. Use a dict, such as"),
        ({"2026-03-09": "a fee"}, TypeError, r"rebase_at names '2026-03-09': use a date, such as date\(2026, 3, 9\)"),
        ({datetime(2026, 3, 9, tzinfo=UTC): "a fee"}, TypeError, r"rebase_at names datetime.*: use a date"),
        ({monday(9): ""}, ValueError, r"rebase_at has no reason for 2026-03-09: write what changed"),
        ({monday(9): None}, ValueError, r"rebase_at has no reason for 2026-03-09"),
        ({date(2062, 3, 9): "a fee"}, ValueError, r"names 2062-03-09, and the weeks go from 2026-01-05 to 2026-06-29"),
        ({MONDAY: "a fee"}, ValueError, r"limits can start anew only with weeks on both sides\. Choose another day"),
    ],
)
def test_limits_start_anew_only_on_a_day_with_a_reason(rebase_at: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ba.trend(BUSY, "no_show_rate", rebase_at=rebase_at)


@pytest.mark.parametrize(
    ("target", "error"), [("5 %", TypeError), (True, TypeError), (5, ValueError), (-0.1, ValueError)]
)
def test_a_target_is_a_share(target: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"target is .*: use a share from 0 to 1, such as 0\.05"):
        ba.trend(BUSY, "no_show_rate", target=target)


def test_weeks_whose_late_cancellations_are_not_known_have_no_value() -> None:
    day = pl.col("week") + pl.duration(days=2)
    canceled = pl.col("outcome") == "canceled"
    outcomes = BUSY.filter(pl.col("outcome").is_in(["attended", "no_show", "canceled"])).with_columns(
        first_day=day,
        last_day=day,
        canceled_days_before_min=pl.when(canceled).then(0),
        canceled_days_before_max=pl.when(canceled).then(pl.when(pl.col("week") == monday(5)).then(1).otherwise(0)),
        canceled_from=pl.when(canceled).then(pl.lit("BOOKED")),
        class_slot_status=pl.lit("COMPLETED"),
        visible=True,
        watched=True,
    )
    table = ba.trend(outcomes, "late_cancel_rate")
    weekly = ba.cancellations(outcomes, by="week")

    assert table["value"].to_list()[:9] == pytest.approx(
        weekly["late_cancel_rate"].to_list()[:9], abs=1e-9, nan_ok=True
    )
    assert table.filter(week=monday(5)).select("value", "limit_low", "signal").row(0) == (None, None, None)
    assert table["value"].null_count() == 2
    with pytest.raises(ValueError, match="the outcomes carry no"):
        ba.trend(BUSY, "late_cancel_rate")


def test_an_archives_outcomes_give_polars() -> None:
    class Outcomes:
        def lazy(self) -> pl.LazyFrame:
            return BUSY.lazy()

    kept: Any = Outcomes()
    assert ba.trend(kept, "no_show_rate").equals(ba.trend(BUSY, "no_show_rate"))
    assert ba.trend(BUSY.to_pandas(), "no_show_rate").shape == (26, len(schema.TREND))


def alarms(world: Weeks, studios: int, seed: int) -> pl.DataFrame:
    return (
        ba.trend(world.draw(studios, seed), "no_show_rate", by="studio")
        .group_by("studio")
        .agg(signal=(pl.col("signal") != "within").any(), low=pl.first("slope_ci_low"), high=pl.first("slope_ci_high"))
        .select(
            pl.mean("signal"),
            rises=(pl.col("low") > 0).mean(),
            slopes=((pl.col("low") > 0) | (pl.col("high") < 0)).mean(),
        )
    )


@pytest.mark.parametrize(("weeks", "at_most"), [(12, 0.03), (26, 0.08)])
def test_where_nothing_changes_few_charts_alarm(weeks: int, at_most: float) -> None:
    studios = 100
    [(signal, _, slopes)] = alarms(Weeks(weeks, customers=60), studios, seed=weeks).rows()

    assert signal <= at_most + 2 * (at_most * (1 - at_most) / studios) ** 0.5
    assert slopes <= 0.07 + 2 * (0.07 * 0.93 / studios) ** 0.5


@pytest.mark.parametrize(("weeks", "at_most"), [(26, 0.08), (52, 0.23)])
def test_rare_misses_do_not_make_more_charts_alarm(weeks: int, at_most: float) -> None:
    """The oracle stands for `trend`, which other tests hold to it: so many studios take it seconds."""
    studios, world = 400, Weeks(weeks, customers=60, rate=0.1, day=0.02)
    found = [set(numpy_trend(*world.matrices(5, number))["signal"]) for number in range(studios)]

    assert sum(signals > {"within"} for signals in found) / studios <= at_most


def test_a_week_of_few_seats_has_limits_around_the_center() -> None:
    weeks = [(customer, week, "attended", 1) for week in range(14) for customer in range(200 if week else 2)]
    shares = [0.02, 0.1]
    missed = [
        (c, w, "no_show" if c < 200 * shares[w % 2] else kind, n) if w else (c, w, kind, n) for c, w, kind, n in weeks
    ]
    table = ba.trend(outcomes_of(missed), "no_show_rate")

    assert table["signal"].null_count() == 0
    assert table.filter((pl.col("limit_low") > pl.col("center")) | (pl.col("limit_high") < pl.col("center"))).is_empty()
    assert table["signal"][0] == "within"


def test_a_rise_by_half_is_found_by_a_signal_or_by_the_slope() -> None:
    world = Weeks(26, customers=150, day=0.02, factor=1.5)
    [(signal, rises, _)] = alarms(world, 40, seed=3).rows()

    assert signal > 0.7
    assert rises > 0.9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demos_fee_is_found_in_the_week_it_began_and_a_day_without_a_change_is_not(seed: int) -> None:
    fee, placebo = search(World(seed))

    assert any(fee)
    assert not any(placebo)
