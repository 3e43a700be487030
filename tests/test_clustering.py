"""Seats of one class slot, or of one day, resemble each other: what that does to the intervals of every rate of seats.

The expected values come from `tests/formulas.py`, numpy written anew from the definitions.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import formulas
import numpy as np
import polars as pl
import pytest
from engines import ENGINES, Engine
from polars.testing import assert_frame_equal

from bookings_analytics.metrics.rates import booking_vs_participation, no_shows

if TYPE_CHECKING:
    from collections.abc import Callable

    from formulas import Clustered

WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
FIRST_DAY = date(2025, 3, 3)
CONFIDENCE = 0.9
RECORDED = pl.col("outcome").is_in(["attended", "no_show"])
REQUESTED = pl.col("outcome").is_in(["slot_canceled", "lost"]).not_()
SEATS = pl.col("outcome").is_in(["attended", "no_show", "unrecorded", "upcoming"])
TRIALS = {  # rate → its hits and its trials
    "no_show_rate": (pl.col("outcome") == "no_show", RECORDED),
    "attendance_rate": (pl.col("outcome") == "attended", RECORDED),
    "seat_rate": (SEATS, REQUESTED),
    "cancellation_rate": (pl.col("outcome") == "canceled", REQUESTED),
}


def made_up_outcomes(seed: int) -> pl.DataFrame:
    """Make the outcomes of two studios in which slots and days have moods of their own; every fifth class is undated.

    Studio nord is small: fewer than ten of its slots have two trials, so that no correlation can be estimated there.
    """
    random = np.random.default_rng(seed)
    parts = []
    for studio, slots, customers, rows in (("mitte", 120, 60, 900), ("nord", 8, 12, 40)):
        slot_mood, day_mood = random.normal(0, 1.2, slots), random.normal(0, 1.2, 30)
        slot, customer = random.integers(0, slots, rows), random.integers(0, customers, rows) ** 2 // customers
        day = random.integers(0, 30, slots)
        missed = 1 / (1 + np.exp(1 - slot_mood[slot] - day_mood[day[slot]]))
        kinds = np.array(["unrecorded", "canceled", "upcoming", "waiting", "slot_canceled", "lost"])
        other = kinds[random.choice(6, rows, p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.1])]
        turned_up = np.where(random.random(rows) < missed, "no_show", "attended")
        outcome = np.where(random.random(rows) < 0.3, other, turned_up)
        dated = day[slot].tolist()
        parts.append(
            pl.DataFrame(
                {
                    "studio": studio,
                    "customer_id": customer,
                    "class_slot_id": slot,
                    "class_id": slot % 5,
                    "outcome": outcome,
                    "class_day": [
                        None if s % 5 == 4 else FIRST_DAY + timedelta(d) for s, d in zip(slot, dated, strict=True)
                    ],
                    "weekday": [None if s % 5 == 4 else WEEKDAYS[d % 7] for s, d in zip(slot, dated, strict=True)],
                }
            ).unique(["customer_id", "class_slot_id"], keep="first", maintain_order=True)
        )
    return pl.concat(parts)


OUTCOMES = made_up_outcomes(1)
COHORTS = (
    OUTCOMES.select("studio", "customer_id")
    .unique(maintain_order=True)
    .with_columns(cohort=pl.when(pl.col("customer_id") % 3 == 0).then(pl.lit("third")).otherwise(pl.lit("other")))
)
COHORTS = pl.concat([COHORTS, COHORTS.filter(cohort="third").head(9).with_columns(cohort=pl.lit("other"))])


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def expected(rows: pl.DataFrame, everything: pl.DataFrame, rate: str) -> tuple[Clustered, float | None, float | None]:
    """Compute a group's rate by numpy, and the correlations that its slots and its days have on average."""
    hits, trials = TRIALS[rate]
    numbers = [frame.with_columns(y=(hits & trials).cast(int), n=trials.cast(int)) for frame in (rows, everything)]
    group, whole = (frame.filter(pl.col("n") > 0) for frame in numbers)
    terms: list[float] = []
    means: list[float | None] = []
    for within, unit in (("class_id", "class_slot_id"), ("weekday", "class_day")):
        if not {within, unit} <= set(group.columns):
            terms.append(0.0)
            means.append(None)
            continue
        of_group = group.drop_nulls(unit)
        rho = {
            studio: formulas.correlation(part[within], part[unit], part["y"], part["n"])
            for (studio,), part in whole.drop_nulls(unit).group_by("studio")
        }
        of_unit = of_group.group_by("studio", unit).agg(pl.sum("n")).rows()
        n = sum(trials for *_, trials in of_unit)
        terms.append(sum(rho[studio] * trials * (trials - 1) for studio, _, trials in of_unit) / n if n else 0.0)
        means.append(sum(rho[studio] * trials for studio, _, trials in of_unit) / n if n else None)
    customers = group["studio"] + group["customer_id"].cast(str)
    return formulas.clustered(customers, group["y"], group["n"], max(terms)), means[0], means[1]


def check(
    table: pl.DataFrame, everything: pl.DataFrame, rates: list[str], rows_of: Callable[..., pl.DataFrame]
) -> None:
    assert table.height
    for found in table.to_dicts():
        rows = rows_of(found)
        for rate in rates:
            clustered, slot, day = expected(rows, everything, rate)
            low, high = clustered.interval(CONFIDENCE)
            interval = found[f"{rate}_ci_low"], found[f"{rate}_ci_high"]
            assert interval == pytest.approx((low, high), abs=1e-9)
            if rate == rates[0]:
                beside = found["n_effective_customers"], found["slot_correlation"], found["day_correlation"]
                assert beside == (pytest.approx(clustered.effective), pytest.approx(slot), pytest.approx(day))
            if f"{rate}_bounds_low" in found:
                least, most = found[f"{rate}_min"], found[f"{rate}_max"]
                recorded = found["n_attended"] + found["n_no_show"]
                held = recorded + found["n_unrecorded"]
                t = formulas.t_of(CONFIDENCE, clustered.effective + 1)
                bounds = formulas.bounds(least, most, held, recorded, clustered.deff, t=t, confidence=CONFIDENCE)
                assert (found[f"{rate}_bounds_low"], found[f"{rate}_bounds_high"]) == pytest.approx(bounds, abs=1e-9)


def of_group(by: list[str], cohorts: pl.DataFrame | None = None) -> Callable[[dict[str, Any]], pl.DataFrame]:
    rows = OUTCOMES if cohorts is None else OUTCOMES.join(cohorts, on=["studio", "customer_id"])
    return lambda found: rows.filter(pl.col(name).eq_missing(pl.lit(found[name])) for name in by) if by else rows


@pytest.mark.parametrize("by", [[], ["studio"], ["class_id"], ["weekday"]], ids=str)
def test_the_interval_counts_the_slots_and_days_that_seats_share(engine: Engine, by: list[str]) -> None:
    table = engine.polars(no_shows(engine.frame(OUTCOMES), by=by, confidence=CONFIDENCE))
    check(table, OUTCOMES, ["no_show_rate", "attendance_rate"], of_group(by))


def test_the_correlations_are_those_of_all_rows_whatever_the_cohorts(engine: Engine) -> None:
    by = ["cohort", "class_id"]
    people = engine.frame(COHORTS)
    rates = engine.polars(no_shows(engine.frame(OUTCOMES), people, by=by, confidence=CONFIDENCE))
    check(rates, OUTCOMES, ["no_show_rate", "attendance_rate"], of_group(by, COHORTS))
    rates = engine.polars(booking_vs_participation(engine.frame(OUTCOMES), people, by=by, confidence=CONFIDENCE))
    check(rates, OUTCOMES, ["seat_rate", "cancellation_rate"], of_group(by, COHORTS))


def test_a_studio_with_too_few_slots_has_no_correlation_and_others_keep_theirs() -> None:
    by_studio = no_shows(OUTCOMES, by="studio")
    assert by_studio.filter(studio="nord")["slot_correlation"].item() == 0
    assert by_studio.filter(studio="mitte")["slot_correlation"].item() > 0.1
    assert by_studio.filter(studio="mitte")["day_correlation"].item() > 0.05
    alone = no_shows(OUTCOMES.filter(studio="mitte"), by="studio")
    assert_frame_equal(alone, by_studio.head(1), rel_tol=1e-12)


def test_one_slot_that_all_missed_says_how_alike_seats_are_though_no_other_class_was_missed(engine: Engine) -> None:
    """Six classes of four slots: without the classes that nobody missed, four slots would be too few to tell."""
    seats = pl.DataFrame({"class_slot_id": range(24)}).join(pl.DataFrame({"customer_id": range(20)}), how="cross")
    missed = pl.col("class_slot_id") == 5
    outcomes = seats.with_columns(
        studio=pl.lit("mitte"),
        class_id=pl.col("class_slot_id") % 6,
        outcome=pl.when(missed).then(pl.lit("no_show")).otherwise(pl.lit("attended")),
    )
    table = engine.polars(no_shows(engine.frame(outcomes), by="class_id"))
    assert table["slot_correlation"].to_list() == [1.0] * 6  # the estimate alone is 1.35, more than alike
    high = table["no_show_rate_ci_high"].to_list()
    assert min(high) > 0.1  # a class that nobody missed shares the risk of such an evening
    too_few = engine.polars(no_shows(engine.frame(outcomes.filter(pl.col("class_slot_id") < 9)), by="class_id"))
    assert too_few["slot_correlation"].to_list() == [0.0] * 6


@pytest.mark.parametrize("missing", ["class_id", "class_slot_id"])
def test_without_slots_in_the_frame_nothing_is_said_of_them(engine: Engine, missing: str) -> None:
    outcomes = OUTCOMES.drop(missing, "class_day", "weekday")
    table = engine.polars(no_shows(engine.frame(outcomes), by="studio", confidence=CONFIDENCE))
    assert table["slot_correlation"].to_list() == [None, None]
    assert table["day_correlation"].to_list() == [None, None]
    check(table, outcomes, ["no_show_rate"], lambda found: outcomes.filter(studio=found["studio"]))


def test_where_no_class_is_dated_only_slots_count(engine: Engine) -> None:
    undated = OUTCOMES.with_columns(class_day=pl.lit(None, pl.Date), weekday=pl.lit(None, pl.String))
    table = engine.polars(no_shows(engine.frame(undated), by="studio", confidence=CONFIDENCE))
    assert table["day_correlation"].to_list() == [None, None]
    check(table, undated, ["no_show_rate"], lambda found: undated.filter(studio=found["studio"]))


def test_undated_classes_are_a_group_like_any_other(engine: Engine) -> None:
    table = engine.polars(no_shows(engine.frame(OUTCOMES), by="weekday"))
    assert table["weekday"].to_list()[0] is None
    assert table["n_attended"].sum() == OUTCOMES.filter(outcome="attended").height


def test_seats_of_one_slot_are_worth_less_the_more_alike_they_are() -> None:
    """Twenty slots of twenty customers each; in the first case all of a slot come or none, in the second half do."""
    rows = pl.DataFrame({"class_slot_id": range(20)}).join(pl.DataFrame({"place": range(20)}), how="cross")
    rows = rows.with_columns(
        studio=pl.lit("mitte"), class_id=7, customer_id=pl.col("class_slot_id") * 20 + pl.col("place")
    )
    together, mixed = (
        rows.with_columns(outcome=pl.when(missed).then(pl.lit("no_show")).otherwise(pl.lit("attended")))
        for missed in (pl.col("class_slot_id") < 10, pl.col("place") < 10)
    )
    [alike], [apart] = (
        no_shows(frame)
        .select("slot_correlation", width=pl.col("no_show_rate_ci_high") - pl.col("no_show_rate_ci_low"))
        .rows()
        for frame in (together, mixed)
    )
    assert alike[0] == 1
    assert apart[0] == 0
    assert alike[1] > 4 * apart[1]
