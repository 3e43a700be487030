from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import formulas
import narwhals as nw
import numpy as np
import oracle
import polars as pl
import pytest
from engines import ENGINES, Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

import bookings_analytics
from bookings_analytics.metrics.design_effects import Measure, cluster_sums, dispersion, with_design_effects
from bookings_analytics.metrics.engines import aggregate, lazy, like
from bookings_analytics.metrics.intervals import (
    Bounds,
    Rate,
    difference,
    with_rates,
)
from bookings_analytics.metrics.quantiles import quantile, student_t, with_t

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


TRIALS = Measure("y", "n")


def summed(groups: Sequence[Clusters]) -> nw.LazyFrame[Any]:
    """Sum up clusters, with their design effects; `group` is the place of each list."""
    rows = [(group, y, n) for group, clusters in enumerate(groups) for y, n in clusters]
    frame = pl.DataFrame(rows, schema={"group": pl.Int64, "y": pl.Int64, "n": pl.Int64}, orient="row")
    sums = with_design_effects(aggregate(lazy(frame), ["group"], cluster_sums("y", "n")), TRIALS)
    return sums.with_columns(deff=nw.col(TRIALS("deff")), effective=nw.col(TRIALS("effective")))


def rows_of(totals: nw.LazyFrame[Any], *columns: str | nw.Expr) -> list[dict[str, Any]]:
    frame: pl.DataFrame = totals.select(*columns).collect().to_native()
    return frame.to_dicts()


def values(totals: nw.LazyFrame[Any], *names: str) -> list[dict[str, Any]]:
    return rows_of(totals.sort("group"), *names)


@given(clusters=CLUSTERS.filter(lambda clusters: any(n for _, n in clusters)))
def test_the_design_effect_is_the_spread_of_the_customers_and_two_made_up_ones(clusters: Clusters) -> None:
    [result] = values(summed([clusters]), "deff")
    assert result["deff"] == pytest.approx(oracle.design_effect([(y, n) for y, n in clusters if n]))


@given(clusters=CLUSTERS)
def test_hits_and_misses_have_the_same_design_effect(clusters: Clusters) -> None:
    misses = [(n - y, n) for y, n in clusters]
    effects = values(summed([clusters, misses]), "deff")
    assert [effect["deff"] for effect in effects[1:]] == [pytest.approx(effect["deff"]) for effect in effects[:-1]]


@given(hits=st.lists(st.integers(0, 1), min_size=1, max_size=200))
def test_clusters_of_one_trial_are_nearly_independent(hits: list[int]) -> None:
    [result] = values(summed([[(hit, 1) for hit in hits]]), "deff", "effective")
    assert result["deff"] == pytest.approx((len(hits) + 2) / (len(hits) + 1))
    assert result["effective"] == len(hits)


@given(clusters=CLUSTERS.filter(lambda clusters: any(n for _, n in clusters)))
def test_effective_customers_are_as_many_equally_large_ones_as_would_say_as_much(clusters: Clusters) -> None:
    [result] = values(summed([clusters]), "effective")
    sizes = [n for _, n in clusters if n]
    assert 1 <= result["effective"] <= len(sizes)
    assert result["effective"] == pytest.approx(sum(sizes) ** 2 / sum(n * n for n in sizes))


def test_one_customer_with_all_the_bookings_is_worth_one_customer() -> None:
    """Eighty bookings of ten customers who always come or never do are worth about ten."""
    clusters = [(8, 8)] * 5 + [(0, 8)] * 5
    [result] = values(summed([clusters]).with_columns(n_eff=nw.col("n") / nw.col("deff")), "n_eff")
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
    result = with_rates(lazy(totals), confidence, rate=Rate("y", "n", "deff"))
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
        totals = with_design_effects(aggregate(lazy(given), ["group"], cluster_sums("y", "n")), TRIALS)
        rates = with_rates(totals, 0.9, rate=Rate("y", "n", TRIALS("deff"), TRIALS("effective")))
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
    rates = with_rates(lazy(counts), 0.95, first=Rate("y1", "n1"), second=Rate("y2", "n2"))
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


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.99, 0.998])
def test_students_t_is_scipys(confidence: float) -> None:
    for df in range(2, 80):
        assert student_t(confidence, df) == pytest.approx(stats.t.ppf((1 + confidence) / 2, df), rel=1e-12)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.998])
def test_t_of_any_number_of_effective_customers_is_close_to_scipys(confidence: float) -> None:
    effective = np.geomspace(1, 1e6, 500)
    table = with_t(lazy(pl.DataFrame({"m": effective})), confidence, "m").select("_t(m)").collect().to_native()
    exact = stats.t.ppf((1 + confidence) / 2, effective + 1)
    found = table["_t(m)"].to_numpy()
    assert np.abs(found / exact - 1).max() < 1e-3
    assert found == pytest.approx([formulas.t_of(confidence, m + 1) for m in effective], rel=1e-9)


@settings(max_examples=50)
@given(
    counts=st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)).filter(any),
    deff=st.floats(1, 20),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
)
def test_bounds_are_those_of_imbens_and_manski(counts: tuple[int, int, int], deff: float, confidence: float) -> None:
    hit, missed, unknown = counts
    held = hit + missed + unknown
    totals = pl.DataFrame({"y": [hit], "n": [hit + missed], "deff": [deff if hit + missed else None], "m": [7.3]})
    totals = totals.with_columns(held=pl.lit(held), most=pl.lit(hit + unknown))
    rate = Rate("y", "n", "deff", "m", Bounds("held", "y", "most"))
    names = [f"rate{part}" for part in ("_ci_low", "_ci_high", "_min", "_max", "_bounds_low", "_bounds_high")]
    [row] = rows_of(with_rates(lazy(totals), confidence, rate=rate), *names)
    assert (row["rate_min"], row["rate_max"]) == (hit / held, (hit + unknown) / held)
    found = row["rate_bounds_low"], row["rate_bounds_high"]
    if not hit + missed:
        assert found == (0, 1)
        return
    t = formulas.t_of(confidence, 8.3)
    expected = formulas.bounds(hit / held, (hit + unknown) / held, held, hit + missed, deff, t=t, confidence=confidence)
    assert found == pytest.approx(expected, abs=1e-9)
    if not unknown:
        assert found == pytest.approx((row["rate_ci_low"], row["rate_ci_high"]), abs=1e-12)
    assert found[0] <= row["rate_min"] <= row["rate_max"] <= found[1]


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.99])
def test_the_closed_form_solves_imbens_and_manskis_equation(confidence: float) -> None:
    z, one = formulas.z_of(confidence), stats.norm.ppf(confidence)
    for u in np.linspace(0, 8, 200):
        c = one + (z - one) * np.exp(-u / (2 * (z - one)) - 0.55 * u * u)
        exact = optimize.brentq(lambda c, u=u: stats.norm.cdf(c + u) - stats.norm.cdf(-c) - confidence, 0, 5)
        assert c == pytest.approx(exact, abs=0.001 if confidence == 0.95 else 0.02)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence is .*; use a share between 0 and 1, such as 0\.95"):
        quantile(confidence)


def test_the_quantile_of_95_percent_is_the_one_that_everybody_knows() -> None:
    assert quantile(0.95) == pytest.approx(1.959963984540054)
    assert quantile(0.998) == pytest.approx(3.090232306167813)


def test_the_metrics_need_polars_and_narwhals_alone() -> None:
    """Quantiles of t are computed, so that nobody has to install scipy to read a rate."""
    found = set()
    for path in (Path(bookings_analytics.__file__).parent / "metrics").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    assert found - sys.stdlib_module_names == {"bookings_analytics", "narwhals", "polars"}
