"""The sampling intervals of the rates, as expressions over sums per group.

Bookings of one customer resemble each other, so ten bookings of one person are worth less than one booking of
each of ten persons. Every interval here counts clusters (customers; for waits slots as well), not rows:

1. one row per cluster and group, with two integer columns: ``n`` (trials) and ``y`` (of these, how many hit);
2. `cluster_sums` over those rows gives the six sums of each group;
3. `design_effect` turns them into deff, by how much clustering shrinks the sample;
4. `with_rates` gives each rate and its Wilson interval with n / deff in place of n.

Sums of integers are exact in any order, so every engine gives the same intervals.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import narwhals as nw


def cluster_sums(y: str, n: str) -> dict[str, nw.Expr]:
    """Name the six sums of one rate, to aggregate over one row per cluster.

    Rates that share a column share its sums: merge their dicts with ``|``.

    Args:
        y: Column of hits of a cluster, integer, 0 ≤ y ≤ n.
        n: Column of trials of a cluster, integer.

    Returns:
        Σy and Σn under their own names, and those of squares, of products and of clusters with n > 0 under
        names that only `design_effect` and `dispersion` need to know.
    """
    hits, trials = nw.col(y), nw.col(n)
    return {
        _clusters(n): nw.when(trials > 0).then(1).otherwise(0).sum(),
        n: trials.sum(),
        y: hits.sum(),
        _product(n, n): (trials * trials).sum(),
        _product(y, n): (hits * trials).sum(),
        _product(y, y): (hits * hits).sum(),
    }


def design_effect(y: str, n: str) -> nw.Expr:
    """Estimate by how much clustering inflates the variance of Σy/Σn, from `cluster_sums`.

    The variance is Cochran's linearised ratio estimator (Sampling Techniques, 3rd ed. 1977, section 6.3) over that of
    independent trials; never below 1, since a sample can't be worth more than its trials. A few clusters that all agree
    would show no variance at all, so two pseudo-customers of mean size are added, one all hits and one all misses.
    These are this package's own adaptation of Agresti & Coull (1998), with no published version; the simulations in
    ``tests/test_coverage.py`` are their justification.
    """
    clusters, trials = nw.col(_clusters(n)), nw.col(n)
    size = share(trials, clusters)
    total = trials + 2 * size
    q = (nw.col(y) + size) / total
    # Σ(y - qn)² over the customers and the two pseudo-customers, by powers of q
    squares = (
        (nw.col(_product(n, n)) + 2 * size * size) * q * q
        - 2 * (nw.col(_product(y, n)) + size * size) * q
        + nw.col(_product(y, y))
        + size * size
    )
    return ((clusters + 2) / (clusters + 1) * squares / (total * q * (1 - q))).clip(lower_bound=1.0)


def design_effect_of_ones(n: str) -> nw.Expr:
    """`design_effect` where every cluster is one trial, as in a share of customers: (n + 2)/(n + 1)."""
    trials = nw.col(n)
    return (trials + 2) / (trials + 1)


class Rate(NamedTuple):
    """A rate to compute: its columns of hits and of trials, and its design effect (1: independent trials)."""

    y: str
    n: str
    deff: nw.Expr


def with_rates(totals: nw.LazyFrame[Any], confidence: float, **rates: Rate) -> nw.LazyFrame[Any]:
    """Add each rate and its Wilson interval, null where there is nothing to divide by.

    Wilson (1927) with the effective sample size n / deff: Korn & Graubard (Survey Methodology 24, 1998), recommended by
    Franco, Little, Louis & Slud (Journal of Survey Statistics and Methodology 7, 2019).

    Args:
        totals: One row per group, with the columns that the rates name.
        confidence: Nominal coverage, such as 0.95.
        rates: The rates by name.

    Returns:
        The totals with, for each rate, the columns ``name``, ``name_ci_low`` and ``name_ci_high``.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    z = quantile(confidence)
    bounds = {}
    for name in rates:
        p, w = nw.col(name), nw.col(f"_{name}")
        center, half = p + w / 2, (w * (p * (1 - p) + w / 4)).sqrt()
        bounds[f"{name}_ci_low"] = ((center - half) / (1 + w)).clip(0.0, p)  # Wilson holds p, but for rounding
        bounds[f"{name}_ci_high"] = ((center + half) / (1 + w)).clip(p, 1.0)
    shares = {name: share(nw.col(y), nw.col(n)) for name, (y, n, _) in rates.items()}
    weights = {f"_{name}": share(z * z * deff, nw.col(n)) for name, (_, n, deff) in rates.items()}  # z²/n_eff
    return totals.with_columns(**shares, **weights).with_columns(**bounds)  # two steps: large expressions are slow


def difference(first: str, second: str) -> list[nw.Expr]:
    """Give the difference of two independent rates and its interval, from their own intervals.

    d = p₁ - p₂ with L = d - √((p₁-l₁)² + (u₂-p₂)²) and U = d + √((u₁-p₁)² + (p₂-l₂)²): the square-and-add method of
    Newcombe (Statistics in Medicine 17, 1998), as MOVER for any two intervals by Zou & Donner (Statistics in Medicine
    27, 2008). Its confidence is that of the two intervals.

    Args:
        first: Name of the rate to subtract from; its interval stands in ``first_ci_low`` and ``first_ci_high``.
        second: Name of the rate to subtract, likewise.

    Returns:
        Three columns: ``difference``, ``difference_ci_low`` and ``difference_ci_high``.
    """
    p1, low1, high1 = (nw.col(first + part) for part in ("", "_ci_low", "_ci_high"))
    p2, low2, high2 = (nw.col(second + part) for part in ("", "_ci_low", "_ci_high"))
    below = ((p1 - low1) * (p1 - low1) + (high2 - p2) * (high2 - p2)).sqrt()
    above = ((high1 - p1) * (high1 - p1) + (p2 - low2) * (p2 - low2)).sqrt()
    return [
        (p1 - p2).alias("difference"),
        (p1 - p2 - below).alias("difference_ci_low"),
        (p1 - p2 + above).alias("difference_ci_high"),
    ]


def dispersion(y: str, n: str) -> tuple[nw.Expr, nw.Expr]:
    """Give the two terms of each group whose sums' ratio is the dispersion D of a funnel plot, from `cluster_sums`.

    D = Σ_j[m_j/(m_j-1)·Σ_i(y_i-p_j n_i)²] / Σ_j N_j p_j(1-p_j), never below 1: the variance of the groups' shares
    given their customers, over that of independent trials (Spiegelhalter, Statistics in Medicine 24, 2005, takes D from
    the groups' distances to the centre instead, which would count true differences as noise). A group of one customer
    says nothing about how customers differ, and is in neither sum.

    Returns:
        The terms of the numerator and of the denominator, null where the group tells nothing.
    """
    clusters = nw.col(_clusters(n))
    several = nw.when(clusters > 1)
    p = share(nw.col(y), nw.col(n))
    squares = nw.col(_product(y, y)) - 2 * p * nw.col(_product(y, n)) + p * p * nw.col(_product(n, n))
    return several.then(squares * clusters / (clusters - 1)), several.then(nw.col(n) * p * (1 - p))


def quantile(confidence: float) -> float:
    """Give z with P(|Z| ≤ z) = confidence for a standard normal Z.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; give a share between 0 and 1, such as 0.95.")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def share(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """Divide, null where there is nothing to divide by."""
    return part / nw.when(whole > 0).then(whole)


def _clusters(n: str) -> str:
    return f"_clusters({n})"


def _product(first: str, second: str) -> str:
    return f"_{first}*{second}"
