"""`Archive.coverage` against a reading of the fetches one by one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise, product
from statistics import median
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import at, fetch

from bookings_analytics import schema
from bookings_analytics.archive.coverage import coverage

if TYPE_CHECKING:
    from collections.abc import Iterable

CUSTOMERS = (1, 2, 3)
Fetched = tuple[int, datetime, bool]  # customer, when, whether it succeeded
FETCHED = st.lists(
    st.tuples(
        st.sampled_from(CUSTOMERS), st.integers(0, 40).map(lambda halves: at(halves / 2)), st.booleans()
    ),
    unique_by=lambda each: each[:2],
    max_size=25,
)  # fmt: skip
COHORTS = st.dictionaries(st.sampled_from("ab"), st.sets(st.sampled_from((*CUSTOMERS, 9)), min_size=1), min_size=1)


def told(
    fetched: list[Fetched], members: Iterable[int], day: date | None, *, n_customers: int | None
) -> dict[str, Any]:
    """Count one group's fetches, of one day or of all."""
    here = [each for each in fetched if each[0] in set(members)]
    gaps = [
        (customer, later.date(), (later - before) / timedelta(hours=1))
        for customer in set(members)
        for before, later in pairwise(sorted(time for each, time, ok in here if each == customer and ok))
    ]
    of_day = [each for each in here if day in (None, each[1].date())]
    gaps = [gap for gap in gaps if day in (None, gap[1])]
    hours = [gap[2] for gap in gaps]
    return {
        "n_customers": len({each[0] for each in of_day}) if n_customers is None else n_customers,
        "n_read": len({customer for customer, _, ok in of_day if ok}),
        "n_fetches": len(of_day),
        "median_gap_h": median(hours) if hours else None,
        "longest_gap_h": max(hours, default=None),
        "n_customers_gap_over_14_days": len({customer for customer, _, gap in gaps if gap > 14 * 24}),
    }


def by_customer(rows: list[dict[str, Any]]) -> list[pl.DataFrame]:
    """Part fetches as an archive does, each customer's together."""
    return pl.DataFrame(rows, schema=schema.FETCHES).partition_by("customer_id")


def days_of(fetched: list[Fetched], members: Iterable[int]) -> list[date]:
    return sorted({time.date() for customer, time, _ in fetched if customer in set(members)})


@pytest.mark.parametrize("by", [[], ["day"], ["cohort"], ["cohort", "day"]])
@given(fetched=FETCHED, cohorts=COHORTS)
def test_it_counts_what_a_reading_one_by_one_does(
    by: list[str], fetched: list[Fetched], cohorts: dict[str, set[int]]
) -> None:
    rows = [fetch("mitte", customer, "ok" if ok else "failed", time, 0) for customer, time, ok in fetched]
    listed = pl.DataFrame(
        [
            {"customer_id": customer, "cohort": name, "studio": "mitte"}
            for name, members in cohorts.items()
            for customer in sorted(members)
        ]
    )
    everybody = set.union(*cohorts.values())
    groups = list(cohorts.items()) if "cohort" in by else [(None, everybody)]
    expected = []
    for name, members in groups:
        days: list[date | None] = [*days_of(fetched, members)] or [None] if "day" in by else [None]
        for day in days:
            keys = {key: value for key, value in (("cohort", name), ("day", day)) if key in by}
            expected.append(keys | told(fetched, members, day, n_customers=len(members)))
    found = coverage(by_customer(rows), listed, by)
    assert found.rows(named=True) == [pytest.approx(each) for each in expected]


@pytest.mark.parametrize("by", [[], ["day"], ["studio"]])
@given(fetched=FETCHED.filter(bool))
def test_without_a_list_it_counts_whoever_was_asked(by: list[str], fetched: list[Fetched]) -> None:
    rows = [fetch("mitte", customer, "ok" if ok else "failed", time, 0) for customer, time, ok in fetched]
    expected = [
        {key: value for key, value in (("studio", studio), ("day", day)) if key in by}
        | told(fetched, CUSTOMERS, day, n_customers=None)
        for studio, day in product(["mitte"], days_of(fetched, CUSTOMERS) if "day" in by else [None])
    ]
    found = coverage(by_customer(rows), None, by)
    assert found.rows(named=True) == [pytest.approx(each) for each in expected]


def test_cohorts_are_in_the_order_of_the_list() -> None:
    listed = pl.DataFrame(
        {"customer_id": CUSTOMERS, "cohort": ["trial", "regulars", "new"], "studio": "mitte"}, schema=schema.COHORTS
    )
    rows = [fetch("mitte", customer, "ok", at(1), 0) for customer in CUSTOMERS]
    counted = coverage(by_customer(rows), listed, ["cohort", "day"])
    assert counted["cohort"].to_list() == ["trial", "regulars", "new"]
