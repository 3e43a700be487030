"""What may leave the desk: pseudonyms that fit together, and small groups that nobody can compute."""

from __future__ import annotations

import hashlib
import io
import pickle
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.metrics.pseudonyms import _Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable

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


Month = tuple[pl.DataFrame, pl.DataFrame]  # outcomes and cohorts


@pytest.fixture(scope="module")
def a_month() -> Month:
    """Four weeks of 80 customers in two cohorts, dated, with all that rates need."""
    random = np.random.default_rng(5)
    n = 900
    at = datetime(2026, 6, 20, tzinfo=UTC)
    day = pl.lit(date(2026, 5, 4)) + pl.duration(days=pl.lit(pl.Series(random.integers(0, 28, n))))
    customers = pl.DataFrame({"studio": "mitte", "customer_id": range(10_000_000, 10_000_080)})
    drawn = pl.DataFrame(
        {
            "customer_id": random.choice(customers["customer_id"], n),
            "class_slot_id": random.integers(1, 60, n),
            "class_id": random.integers(1, 6, n),
            "booking_id": range(n),
            "outcome": random.choice(schema.OUTCOME.categories, n),
        }
    )
    outcomes = drawn.with_columns(
        *(day.alias(name) for name in ("class_day", "first_day", "last_day")),
        *(pl.lit(at).alias(name) for name in ("observed_at", "last_changed_at")),
        week=day.dt.truncate("1w"),
        week_complete=True,
        studio=pl.lit("mitte"),
        first_seen_at=pl.lit(at - timedelta(weeks=8)),
        canceled_from=pl.lit("BOOKED"),
        canceled_days_before_min=0,
        canceled_days_before_max=1,
    )
    whole = pl.concat(
        [
            schema.OUTCOMES.to_frame(),
            outcomes.cast({"outcome": schema.OUTCOME, "canceled_from": schema.BOOKING_STATUS}),
        ],
        how="diagonal_relaxed",
    )
    cohort = pl.when(pl.col("customer_id") % 3 == 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    return whole, customers.with_columns(cohort=cohort)


def written_by(write: str, **options: Any) -> Callable[[pl.DataFrame], bytes]:
    def written(frame: pl.DataFrame) -> bytes:
        file = io.BytesIO()
        getattr(frame, write)(file, **options)
        return file.getvalue()

    return written


WRITERS = {
    "csv": written_by("write_csv"),
    "ndjson": written_by("write_ndjson"),
    "ipc": written_by("write_ipc", compression="uncompressed"),
    "parquet": written_by("write_parquet", compression="uncompressed"),
    "pickle": pickle.dumps,
    "html": lambda frame: frame._repr_html_().encode(),
}


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

    @pytest.mark.parametrize(
        "rate", ["outcome_counts", "no_shows", "booking_vs_participation", "cancellations", "visits", "no_show_funnel"]
    )
    def test_every_rate_of_pseudonyms_is_that_of_the_customers(self, rate: str, a_month: Month) -> None:
        by = "class_id" if rate == "no_show_funnel" else "cohort"
        same, real = (
            getattr(ba, rate)(*frames, by=by)
            for frames in ([ba.pseudonymize(frame, secret=SECRET) for frame in a_month], a_month)
        )
        assert real.height > 1
        assert_frame_equal(same, real)

    def test_a_frame_without_studio_and_ids_of_another_type_fit(self) -> None:
        ids = pl.Series("customer_id", [7, 14925548])
        frames = [pl.DataFrame({"customer_id": ids.cast(dtype)}) for dtype in (pl.UInt32, pl.Int64, pl.UInt64)]
        made = [ba.pseudonymize(frame, secret=SECRET)["customer_id"] for frame in frames]
        assert all(each.dtype == pl.Int64 and each.equals(made[0]) for each in made)
        assert set(made[0]) <= set(ba.pseudonymize(COHORTS, secret=SECRET)["customer_id"])

    def test_a_pseudonym_is_63_bits_of_keyed_blake2b(self) -> None:
        key = hashlib.blake2b(SECRET.encode()).digest()
        first = hashlib.blake2b(b"14925548", key=key, digest_size=8).hexdigest()
        assert ba.pseudonymize(COHORTS, secret=SECRET)["customer_id"][0] == int(first, 16) // 2

    def test_an_id_that_a_message_quotes_is_replaced_there(self) -> None:
        messages = ["no customer 14925548, trace 149255480", None, "customer 7 opted out"]
        frame = ba.pseudonymize(COHORTS.with_columns(message=pl.Series(messages)), secret=SECRET)
        first, _, _ = frame["customer_id"]
        assert frame["message"][0] == f"no customer {first}, trace 149255480"
        assert frame["message"][1:].to_list() == [None, "customer 7 opted out"]  # of customer 9, who is not quoted

    @pytest.mark.parametrize("written", WRITERS.values(), ids=WRITERS.keys())
    def test_no_byte_written_holds_an_id(self, written: Callable[[pl.DataFrame], bytes]) -> None:
        frame = OUTCOMES.with_columns(message=pl.format("customer {} is not known", "customer_id"))
        forms = (b"14925548", (14925548).to_bytes(8, "little"), (14925548).to_bytes(4, "big"))
        assert any(form in written(frame) for form in forms)  # else the search would find nothing anyway
        assert not any(form in written(ba.pseudonymize(frame, secret=SECRET)) for form in forms)

    def test_the_key_is_in_no_pickle(self) -> None:
        """A plan is pickled with the Python functions in it, which have the key."""
        with pytest.raises(TypeError, match="cannot be pickled: collect the frame first"):
            pickle.dumps(_Pseudonyms(SECRET))

    @pytest.mark.parametrize("secret", ["", "  ", None])
    def test_an_empty_secret_is_refused(self, secret: Any) -> None:
        with pytest.raises(ValueError, match="secret is empty"):
            ba.pseudonymize(COHORTS, secret=secret)

    def test_a_secret_that_is_no_text_is_refused_without_showing_it(self) -> None:
        with pytest.raises(TypeError, match=r"the secret is a bytes: pass a long random text as secret=\.$"):
            ba.pseudonymize(COHORTS, secret=SECRET.encode())  # type: ignore[arg-type]  # refused

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


CUBES = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.sampled_from("xyz")), st.integers(5, 25), min_size=1
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

    @given(CUBES)
    @settings(max_examples=60, deadline=None)
    def test_with_three_columns_the_totals_by_any_two_tell_nothing_either(
        self, sizes: dict[tuple[str, int, str], int]
    ) -> None:
        by = ["studio", "cohort", "week"]
        groups = list(sizes)
        gone = set(hidden(rates(sizes, by), by))
        small = {group for group in groups if sizes[group] < 10}
        hopeless = computable(groups, set(groups), 3)
        assert small <= gone
        assert computable(groups, gone, 3) <= hopeless & small
        for group in gone - small:
            assert computable(groups, gone - {group}, 3) & small - hopeless

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

    def test_a_lists_own_column_under_another_results_name_is_a_group(self, a_month: Month) -> None:
        outcomes, cohorts = a_month
        own = cohorts.with_columns(value=pl.col("customer_id") % 4, n=pl.lit("few"))
        shown = ba.suppress_small(ba.no_shows(outcomes, own, by=["value", "n"]), 1000)
        assert shown.select("value", "n").rows() == [(value, "few") for value in range(4)]
        assert shown.drop("value", "n").null_count().row(0) == (4,) * (shown.width - 2)

    def test_a_comparison_goes_with_either_of_its_groups(self) -> None:
        frame = pl.DataFrame(
            {
                "cohort": ["a", "b", "c", "d"],
                "n_customers": [50, 5, 60, 70],
                "baseline_n_customers": [40, 40, 9, 50],
                "baseline_value": [0.2, 0.1, 0.3, 0.4],
            }
        )
        assert ba.suppress_small(frame)["baseline_value"].to_list() == [0.2, None, None, 0.4]

    def test_a_group_whose_size_is_not_known_is_small(self) -> None:
        frame = pl.DataFrame({"cohort": ["a", "b", "c"], "n_customers": [None, 50, 60], "n": [1, 2, 3]})
        assert ba.suppress_small(frame)["n"].to_list() == [None, None, 3]

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
        with pytest.raises(ValueError, match="use a whole number of at least 1"):
            ba.suppress_small(rates({("a",): 3}, ["cohort"]), fewer_than)

    def test_a_frame_without_customers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no column n_customers"):
            ba.suppress_small(pl.DataFrame({"cohort": ["a"], "n": [1]}))
