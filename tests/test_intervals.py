from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import oracle
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from bookings_analytics.metrics.engines import aggregate, lazy, like
from bookings_analytics.metrics.intervals import (
    Rate,
    cluster_sums,
    design_effect,
    design_effect_of_ones,
    difference,
    dispersion,
    quantile,
    with_rates,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Clusters = list[tuple[int, int]]  # hits and trials of each cluster

CONFIDENCES = st.sampled_from([0.5, 0.8, 0.95, 0.998])
CLUSTERS = st.lists(
    st.integers(0, 30).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))), max_size=20
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


def summed(groups: Sequence[Clusters]) -> nw.LazyFrame[Any]:
    """Sum up clusters; `group` is the place of each list."""
    rows = [(group, y, n) for group, clusters in enumerate(groups) for y, n in clusters]
    frame = pl.DataFrame(rows, schema={"group": pl.Int64, "y": pl.Int64, "n": pl.Int64}, orient="row")
    return aggregate(lazy(frame), ["group"], cluster_sums("y", "n"))


def rows_of(totals: nw.LazyFrame[Any], *columns: str | nw.Expr) -> list[dict[str, Any]]:
    frame: pl.DataFrame = totals.select(*columns).collect().to_native()
    return frame.to_dicts()


def values(totals: nw.LazyFrame[Any], *names: str) -> list[dict[str, Any]]:
    return rows_of(totals.sort("group"), *names)


@given(clusters=CLUSTERS.filter(lambda clusters: any(n for _, n in clusters)))
def test_the_design_effect_is_the_spread_of_the_customers_and_two_made_up_ones(clusters: Clusters) -> None:
    [result] = values(summed([clusters]).with_columns(deff=design_effect("y", "n")), "deff")
    assert result["deff"] == pytest.approx(oracle.design_effect([(y, n) for y, n in clusters if n]))


@given(clusters=CLUSTERS)
def test_hits_and_misses_have_the_same_design_effect(clusters: Clusters) -> None:
    misses = [(n - y, n) for y, n in clusters]
    effects = values(summed([clusters, misses]).with_columns(deff=design_effect("y", "n")), "deff")
    assert [effect["deff"] for effect in effects[1:]] == [pytest.approx(effect["deff"]) for effect in effects[:-1]]


@given(hits=st.lists(st.integers(0, 1), min_size=1, max_size=200))
def test_clusters_of_one_trial_are_nearly_independent(hits: list[int]) -> None:
    totals = summed([[(hit, 1) for hit in hits]])
    [result] = values(
        totals.with_columns(deff=design_effect("y", "n"), ones=design_effect_of_ones("n")), "deff", "ones"
    )
    assert result["deff"] == pytest.approx(result["ones"])
    assert result["ones"] == (len(hits) + 2) / (len(hits) + 1)


def test_one_customer_with_all_the_bookings_is_worth_one_customer() -> None:
    """Eighty bookings of ten customers who always come or never do are worth about ten."""
    clusters = [(8, 8)] * 5 + [(0, 8)] * 5
    [result] = values(summed([clusters]).with_columns(n_eff=nw.col("n") / design_effect("y", "n")), "n_eff")
    assert result["n_eff"] == pytest.approx(10, rel=0.1)


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 500), st.floats(1, 50)).map(lambda r: (min(r[:2]), *r[1:])),
        min_size=1,
        max_size=20,
    ),
    confidence=CONFIDENCES,
)
def test_a_rate_has_statsmodels_wilson_interval_of_the_effective_sample_size(
    rows: list[tuple[int, int, float]], confidence: float
) -> None:
    totals = pl.DataFrame(rows, schema={"y": pl.Int64, "n": pl.Int64, "deff": pl.Float64}, orient="row")
    result = with_rates(lazy(totals), confidence, rate=Rate("y", "n", nw.col("deff")))
    for row in rows_of(result, "y", "n", "deff", "rate", "rate_ci_low", "rate_ci_high"):
        found = row["rate"], row["rate_ci_low"], row["rate_ci_high"]
        if row["n"] == 0:
            assert found == (None, None, None)
            continue
        p, n_eff = row["y"] / row["n"], row["n"] / row["deff"]
        expected = proportion_confint(p * n_eff, n_eff, alpha=1 - confidence, method="wilson")
        assert found == (p, *(pytest.approx(bound, abs=1e-12) for bound in expected))
        assert 0 <= found[1] <= found[0] <= found[2] <= 1


def test_every_engine_gives_the_same_intervals(engine: Engine) -> None:
    rows = [(group, y, n) for group in range(5) for y, n in [(0, 0), (group, 4), (0, group), (3, 9)]]
    frame = pl.DataFrame(rows, schema={"group": pl.Int64, "y": pl.Int64, "n": pl.Int64}, orient="row")

    def computed(given: Any) -> Any:
        totals = aggregate(lazy(given), ["group"], cluster_sums("y", "n"))
        rates = with_rates(totals, 0.9, rate=Rate("y", "n", design_effect("y", "n")))
        return like(given, rates.select("group", "rate", "rate_ci_low", "rate_ci_high").sort("group"))

    result = computed(engine.frame(frame))
    assert isinstance(result, engine.native)
    for row, expected in zip(engine.polars(result).rows(), computed(frame).rows(), strict=True):
        assert row == pytest.approx(expected, abs=1e-12)


# Newcombe (Statistics in Medicine 17, 1998, 873-890), table II, method 10
NEWCOMBE = [
    ((56, 70), (48, 80), (0.0524, 0.3339)),
    ((9, 10), (3, 10), (0.1705, 0.8090)),
    ((6, 7), (2, 7), (0.0582, 0.8062)),
    ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ((0, 10), (0, 10), (-0.2775, 0.2775)),
    ((10, 10), (0, 20), (0.6791, 1.0)),
    ((10, 10), (0, 10), (0.6075, 1.0)),
]


def differences(y1: int, n1: int, y2: int, n2: int) -> dict[str, float]:
    counts = pl.DataFrame({"y1": [y1], "n1": [n1], "y2": [y2], "n2": [n2]})
    independent = nw.lit(1.0)
    rates = with_rates(lazy(counts), 0.95, first=Rate("y1", "n1", independent), second=Rate("y2", "n2", independent))
    return rows_of(rates, *difference("first", "second"))[0]


@pytest.mark.parametrize(("first", "second", "interval"), NEWCOMBE)
def test_a_difference_has_the_interval_that_newcombe_published(
    first: tuple[int, int], second: tuple[int, int], interval: tuple[float, float]
) -> None:
    found = differences(*first, *second)
    assert found["difference"] == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert (found["difference_ci_low"], found["difference_ci_high"]) == pytest.approx(interval, abs=5e-5)


@settings(max_examples=50)
@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_a_difference_has_statsmodels_newcombe_interval(y1: int, n1: int, y2: int, n2: int) -> None:
    y1, y2 = min(y1, n1), min(y2, n2)
    found = differences(y1, n1, y2, n2)
    expected = confint_proportions_2indep(y1, n1, y2, n2, method="newcomb", compare="diff", correction=False)
    assert (found["difference_ci_low"], found["difference_ci_high"]) == pytest.approx(expected, abs=1e-9)


@given(groups=st.lists(CLUSTERS, min_size=1, max_size=6))
def test_dispersion_compares_the_spread_of_customers_with_that_of_coins(groups: list[Clusters]) -> None:
    def terms(clusters: Clusters) -> tuple[float, float] | None:
        several = [(y, n) for y, n in clusters if n]
        if len(several) < 2:
            return None
        p = sum(y for y, _ in several) / sum(n for _, n in several)
        squares = sum((y - p * n) ** 2 for y, n in several)
        m = len(several)
        return m / (m - 1) * squares, sum(n for _, n in several) * p * (1 - p)

    told = [group for group in groups if group]  # a group without rows has no sums
    between, binomial = dispersion("y", "n")
    rows = values(summed(told).with_columns(between=between, binomial=binomial), "between", "binomial")
    for row, expected in zip(rows, map(terms, told), strict=True):
        found = row["between"], row["binomial"]
        assert found == ((None, None) if expected is None else pytest.approx(expected, abs=1e-9))


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence is .*; give a share between 0 and 1, such as 0\.95"):
        quantile(confidence)


def test_the_quantile_of_95_percent_is_the_one_that_everybody_knows() -> None:
    assert quantile(0.95) == pytest.approx(1.959963984540054)
    assert quantile(0.998) == pytest.approx(3.090232306167813)
