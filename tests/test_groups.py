"""What all rates do with their arguments, shown on one of them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from engines import ENGINES, Engine
from strategies import booking, frame

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.rates import no_shows
from bookings_analytics.schema import OUTCOMES

OUTCOME_ROWS = frame(
    [
        booking(customer_id=1, outcome="attended", daypart="Monday"),
        booking(customer_id=2, outcome="no_show", daypart="Tuesday"),
    ],
    OUTCOMES,
)
COHORT_ROWS = pl.DataFrame(
    {"studio": "mitte", "customer_id": [1, 2], "cohort": ["new", "old"], "plan": ["basic", None]}
)
IN_TWO_STUDIOS = pl.concat([OUTCOME_ROWS, OUTCOME_ROWS.with_columns(studio=pl.lit("nord"))])


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def counted(engine: Engine, outcomes: pl.DataFrame, cohorts: pl.DataFrame, by: Any) -> list[tuple[Any, ...]]:
    """Give each group's columns, attended seats and no-shows."""
    rates = engine.polars(no_shows(engine.frame(outcomes), engine.frame(cohorts), by=by))
    names = [by] if isinstance(by, str) else by
    return rates.select(*names, "n_attended", "n_no_show").rows()


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("cohort", [("new", 1, 0), ("old", 0, 1)]),
        ("plan", [(None, 0, 1), ("basic", 1, 0)]),
        ("daypart", [("Monday", 1, 0), ("Tuesday", 0, 1)]),
        (["daypart", "cohort"], [("Monday", "new", 1, 0), ("Tuesday", "old", 0, 1)]),
        (["studio"], [("mitte", 1, 1)]),
        (["studio", "customer_id"], [("mitte", 1, 1, 0), ("mitte", 2, 0, 1)]),
    ],
)
def test_columns_of_either_frame_can_group_the_analysts_own_included(engine: Engine, by: Any, expected: Any) -> None:
    assert counted(engine, OUTCOME_ROWS, COHORT_ROWS, by) == expected


def test_a_column_named_twice_groups_once() -> None:
    assert no_shows(OUTCOME_ROWS, by=["daypart", "daypart"]).equals(no_shows(OUTCOME_ROWS, by="daypart"))


def test_an_analysts_enum_keeps_its_order() -> None:
    plans = pl.Enum(["premium", "basic"])
    cohorts = COHORT_ROWS.with_columns(plan=pl.Series(["basic", "premium"], dtype=plans))
    assert no_shows(OUTCOME_ROWS, cohorts, by="plan")["plan"].to_list() == ["premium", "basic"]


@pytest.mark.parametrize("outcomes", [OUTCOME_ROWS, OUTCOME_ROWS.lazy()], ids=["eager", "lazy"])
def test_the_outcomes_decide_whether_the_result_is_lazy(outcomes: Any) -> None:
    assert isinstance(no_shows(outcomes, COHORT_ROWS, by="cohort"), type(outcomes))
    assert isinstance(no_shows(outcomes, COHORT_ROWS.lazy(), by="cohort"), type(outcomes))


@pytest.mark.parametrize(
    "cohorts",
    [COHORT_ROWS.drop("studio"), COHORT_ROWS.with_columns(studio=pl.lit(None, pl.String))],
    ids=["no column", "null"],
)
def test_a_cohort_without_studio_belongs_to_the_only_one(engine: Engine, cohorts: pl.DataFrame) -> None:
    assert counted(engine, OUTCOME_ROWS, cohorts, "cohort") == [("new", 1, 0), ("old", 0, 1)]
    assert counted(engine, OUTCOME_ROWS, cohorts, ["studio", "cohort"])[0] == ("mitte", "new", 1, 0)
    assert counted(engine, OUTCOME_ROWS.clear(), cohorts, "cohort") == [("new", 0, 0), ("old", 0, 0)]


def test_a_cohort_without_studio_fits_no_chain(engine: Engine) -> None:
    cohorts = COHORT_ROWS.with_columns(studio=pl.Series(["mitte", None]))
    with pytest.raises(CohortError, match=r"come from 2 \(mitte, nord\).*Fill in the cohorts' column studio"):
        counted(engine, IN_TWO_STUDIOS, cohorts, "cohort")


def test_a_cohorts_frame_without_customers_is_refused(engine: Engine) -> None:
    with pytest.raises(CohortError, match="no column customer_id, only studio, cohort, plan; see read_cohorts"):
        counted(engine, OUTCOME_ROWS, COHORT_ROWS.drop("customer_id"), "cohort")


def test_frames_of_two_engines_are_refused() -> None:
    with pytest.raises(
        TypeError, match="outcomes are on duckdb and the cohorts on polars; pass both on the same engine"
    ):
        no_shows(ENGINES["DuckDB"].frame(OUTCOME_ROWS), COHORT_ROWS)


def test_a_column_that_nobody_has_is_refused_with_those_there_are(engine: Engine) -> None:
    with pytest.raises(
        ValueError, match=r"by names 'daypat', which is not a column\. To choose from: .*cohort.*daypart"
    ):
        counted(engine, OUTCOME_ROWS, COHORT_ROWS, "daypat")
    with pytest.raises(ValueError, match="for a column of the cohorts, pass cohorts="):
        no_shows(engine.frame(OUTCOME_ROWS), by="cohort")


def test_a_column_of_both_frames_is_refused(engine: Engine) -> None:
    with pytest.raises(
        ValueError, match="'daypart', a column of both the outcomes and the cohorts; rename one of them"
    ):
        counted(engine, OUTCOME_ROWS, COHORT_ROWS.with_columns(daypart=pl.lit("any")), "daypart")


@pytest.mark.parametrize("name", ["n_customers", "no_show_rate", "n_upcoming", "_held"])
def test_a_column_whose_name_the_rates_need_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}', a name that the rates need for themselves; rename that column"):
        counted(engine, OUTCOME_ROWS, COHORT_ROWS.rename({"plan": name}), name)
