"""What may leave the desk: pseudonyms that fit together, and small groups that nobody can compute."""

from __future__ import annotations

import pickle
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bookings_analytics as ba

SECRET = "long, random and kept elsewhere"
OUTCOMES = pl.DataFrame(
    {
        "studio": "mitte",
        "customer_id": [14925548, 14925548, 7, 9],
        "class_slot_id": [1, 2, 1, 1],
        "class_id": 5,
        "outcome": ["attended", "no_show", "no_show", "attended"],
    }
)
COHORTS = pl.DataFrame({"studio": "mitte", "customer_id": [14925548, 7, 9], "cohort": ["new", "new", "old"]})


class TestPseudonyms:
    def test_rates_of_pseudonyms_are_those_of_the_customers(self) -> None:
        outcomes, cohorts = (ba.pseudonymize(frame, secret=SECRET) for frame in (OUTCOMES, COHORTS))
        assert not set(outcomes["customer_id"]) & set(OUTCOMES["customer_id"])
        assert ba.no_shows(outcomes, cohorts, by="cohort").equals(ba.no_shows(OUTCOMES, COHORTS, by="cohort"))

    def test_the_same_secret_gives_the_same_pseudonym_and_another_another(self) -> None:
        once, again, other = (ba.pseudonymize(COHORTS, secret=secret) for secret in (SECRET, SECRET, "another"))
        assert once.equals(again)
        assert not set(once["customer_id"]) & set(other["customer_id"])

    def test_a_lazy_frame_stays_lazy_and_its_plan_tells_neither_secret_nor_key(self) -> None:
        lazy = ba.pseudonymize(OUTCOMES.lazy(), secret=SECRET)
        assert isinstance(lazy, pl.LazyFrame)
        assert SECRET not in lazy.explain() + repr(lazy)
        assert lazy.collect().equals(ba.pseudonymize(OUTCOMES, secret=SECRET))

    def test_null_stays_null_and_pseudonyms_are_positive(self) -> None:
        frame = pl.DataFrame({"customer_id": pl.Series([3, None, 3], dtype=pl.Int64)})
        first, nothing, third = ba.pseudonymize(frame, secret=SECRET)["customer_id"]
        assert nothing is None
        assert first == third > 0

    def test_no_byte_written_holds_an_id(self, tmp_path: Any) -> None:
        for name in ("cohorts.csv", "cohorts.parquet"):
            frame = ba.pseudonymize(COHORTS, secret=SECRET)
            frame.write_csv(tmp_path / name) if name.endswith("csv") else frame.write_parquet(tmp_path / name)
            written = (tmp_path / name).read_bytes()
            assert b"14925548" not in written
            assert (14925548).to_bytes(8, "little") not in written
        assert b"14925548" not in pickle.dumps(frame)

    @pytest.mark.parametrize("secret", ["", "  ", None])
    def test_an_empty_secret_is_refused(self, secret: Any) -> None:
        with pytest.raises(ValueError, match="secret is empty"):
            ba.pseudonymize(COHORTS, secret=secret)

    def test_a_frame_without_ids_is_refused_without_the_secret(self) -> None:
        with pytest.raises(ValueError, match="no column customer_id, only cohort") as refused:
            ba.pseudonymize(COHORTS.select("cohort"), secret=SECRET)
        assert SECRET not in str(refused.value)
        with pytest.raises(TypeError, match="customer_id is of type String: cast it to Int64"):
            ba.pseudonymize(COHORTS.with_columns(pl.col("customer_id").cast(pl.String)), secret=SECRET)


def rates(sizes: dict[tuple[Any, ...], int], by: list[str]) -> pl.DataFrame:
    columns = {name: [group[i] for group in sizes] for i, name in enumerate(by)}
    return pl.DataFrame({**columns, "n_customers": list(sizes.values()), "n_no_show": list(sizes.values())})


def hidden(frame: pl.DataFrame, by: list[str], fewer_than: int = 10) -> list[tuple[Any, ...]]:
    shown = ba.suppress_small(frame, fewer_than)
    assert shown.select(by).equals(frame.select(by))
    return shown.filter(pl.col("n_customers").is_null()).select(by).rows()


def computable(groups: list[tuple[Any, ...]], suppressed: set[tuple[Any, ...]], width: int) -> set[tuple[Any, ...]]:
    """Find by rank which suppressed groups follow from the published ones and all totals: numpy, over all groups."""
    known = [[1.0 if group == other else 0.0 for other in groups] for group in groups if group not in suppressed]
    for size in range(width):
        for chosen in combinations(range(width), size):
            known += [
                [float(tuple(group[i] for i in chosen) == values) for group in groups]
                for values in {tuple(group[i] for i in chosen) for group in groups}
            ]
    matrix = np.array(known).reshape(len(known), len(groups))
    rank = np.linalg.matrix_rank(matrix) if known else 0
    unit = np.eye(len(groups))
    return {
        group
        for i, group in enumerate(groups)
        if group in suppressed and np.linalg.matrix_rank(np.vstack([matrix, unit[i]])) == rank
    }


GRIDS = st.integers(1, 4).flatmap(
    lambda rows: st.integers(1, 4).flatmap(
        lambda columns: st.dictionaries(
            st.sampled_from(list(product("abcd"[:rows], range(columns)))), st.integers(0, 30), min_size=1
        )
    )
)


class TestSmallGroups:
    def test_one_small_group_takes_the_next_smallest_with_it(self) -> None:
        frame = rates({("new",): 4, ("old",): 900, ("trial",): 60}, ["cohort"])
        assert hidden(frame, ["cohort"]) == [("new",), ("trial",)]

    def test_two_small_groups_protect_each_other(self) -> None:
        frame = rates({("a",): 4, ("b",): 9, ("c",): 60, ("d",): 70}, ["cohort"])
        assert hidden(frame, ["cohort"]) == [("a",), ("b",)]

    def test_ten_is_not_fewer_than_ten(self) -> None:
        assert hidden(rates({("a",): 10, ("b",): 11}, ["cohort"]), ["cohort"]) == []

    def test_in_a_table_of_two_columns_the_totals_of_either_tell_nothing(self) -> None:
        sizes = {(studio, cohort): 20 + 3 * i for i, (studio, cohort) in enumerate(product("xyz", "abc"))}
        frame = rates(sizes | {("y", "b"): 3}, ["studio", "cohort"])
        gone = set(hidden(frame, ["studio", "cohort"]))
        assert ("y", "b") in gone
        assert len(gone) == 4  # one more in its row, one in its column, and where these two meet

    @given(GRIDS)
    def test_no_suppressed_group_can_be_computed_and_none_is_suppressed_in_vain(
        self, sizes: dict[tuple[str, int], int]
    ) -> None:
        by = ["studio", "cohort"]
        groups = list(sizes)
        gone = set(hidden(rates(sizes, by), by))
        small = {group for group in groups if sizes[group] < 10}
        hopeless = computable(groups, set(groups), 2)  # all there is of a studio or a cohort: its total is known
        assert small <= gone
        assert computable(groups, gone, 2) <= hopeless & small
        for group in gone - small:
            assert computable(groups, gone - {group}, 2) & small - hopeless

    def test_of_a_group_of_several_rows_all_go(self) -> None:
        frame = pl.DataFrame(
            {"cohort": ["a", "a", "b", "b", "c"], "n_customers": [3, 3, 50, 50, 40], "n": [1, 2, 30, 20, 40]}
        )
        assert ba.suppress_small(frame)["n"].to_list() == [None, None, 30, 20, None]

    def test_a_group_that_null_names_is_a_group(self) -> None:
        frame = rates({(None,): 3, ("a",): 30, ("b",): 40}, ["cohort"])
        assert hidden(frame, ["cohort"]) == [(None,), ("a",)]

    def test_without_groups_the_one_row_is_shown_or_not(self) -> None:
        assert ba.suppress_small(pl.DataFrame({"n_customers": [9], "n_no_show": [2]})).row(0) == (None, None)
        assert ba.suppress_small(pl.DataFrame({"n_customers": [10], "n_no_show": [2]})).row(0) == (10, 2)

    def test_a_lazy_frame_stays_lazy(self) -> None:
        assert isinstance(ba.suppress_small(rates({("a",): 3}, ["cohort"]).lazy()), pl.LazyFrame)

    @pytest.mark.parametrize("fewer_than", [0, -1, 2.5, True, "10", Fraction(10)])
    def test_a_limit_that_is_no_whole_number_is_refused(self, fewer_than: Any) -> None:
        with pytest.raises(ValueError, match="use a whole number from 1"):
            ba.suppress_small(rates({("a",): 3}, ["cohort"]), fewer_than)

    def test_a_frame_without_customers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no column n_customers"):
            ba.suppress_small(pl.DataFrame({"cohort": ["a"], "n": [1]}))
