"""Design effects: how much precision it costs that the trials of one customer resemble each other.

Ten bookings of one customer say less than one booking of each of ten customers. A `Measure` names hits and trials;
`cluster_sums` are six sums over a group's customers, `with_design_effects` what follows from them.

Every intermediate value is a column of its own step: nested expressions make the plans of some engines explode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import narwhals as nw

from bookings_analytics.metrics.intervals import share


class Measure(NamedTuple):
    """A rate's hits ``y`` among its trials ``n``: names of integer columns, 0 ≤ y ≤ n."""

    y: str
    n: str

    def __call__(self, part: str) -> str:
        """Name the column that holds one part of the measure's arithmetic."""
        return f"_{part}({self.y}/{self.n})"


def cluster_sums(y: str, n: str) -> dict[str, nw.Expr]:
    """Name the six sums of one rate, to aggregate over one row per cluster.

    Rates that share a column share its sums: merge their dicts with ``|``.

    Args:
        y: Column of hits of a cluster, integer, 0 ≤ y ≤ n.
        n: Column of trials of a cluster, integer.

    Returns:
        Σy and Σn under their own names, and those of squares, of products and of clusters with n > 0 under
        names that only this module needs to know.
    """
    hits, trials = nw.col(y), nw.col(n)
    return {
        clusters_of(n): nw.when(trials > 0).then(1).otherwise(0).sum(),
        n: trials.sum(),
        y: hits.sum(),
        product_of(n, n): (trials * trials).sum(),
        product_of(y, n): (hits * trials).sum(),
        product_of(y, y): (hits * hits).sum(),
    }


def with_design_effects(totals: nw.LazyFrame[Any], *measures: Measure) -> nw.LazyFrame[Any]:
    """Add by how much clustering inflates the variance of Σy/Σn, from `cluster_sums`.

    The variance is Cochran's linearized ratio estimator (Sampling Techniques, 3rd ed. 1977, section 6.3) over that of
    independent trials; never below 1, since a sample can't be worth more than its trials. A few clusters that all agree
    would show no variance at all, so two pseudo-clusters of mean size are added, one all hits and one all misses.
    These are this package's own adaptation of Agresti & Coull (1998), with no published version; the simulations in
    ``tests/test_coverage.py`` are their justification.

    Args:
        totals: One row per group, with the columns of `cluster_sums` of each measure.
        measures: The measures.

    Returns:
        The totals with, for each measure, ``deff`` (the design effect), ``q`` (the share with the two pseudo-clusters),
        ``base`` ((N + 2b) q (1 - q), the variance of independent trials), ``corrected`` ((m + 2) / (m + 1)) and
        ``effective`` (m* = N²/Σn², the number of equally large clusters that would say as much), under the
        names that `Measure` gives them.
    """
    sizes = {m("size"): share(nw.col(m.n), nw.col(clusters_of(m.n))) for m in measures}
    effective = {m("effective"): share(nw.col(m.n) * nw.col(m.n), nw.col(product_of(m.n, m.n))) for m in measures}
    whole = {m("whole"): nw.col(m.n) + 2 * nw.col(m("size")) for m in measures}
    q = {m("q"): (nw.col(m.y) + nw.col(m("size"))) / nw.col(m("whole")) for m in measures}
    base = {m("base"): nw.col(m("whole")) * nw.col(m("q")) * (1 - nw.col(m("q"))) for m in measures}
    totals = totals.with_columns(**sizes, **effective).with_columns(**whole).with_columns(**q)
    # Σ(y - qn)² over the clusters and the two pseudo-clusters, by powers of q
    squares = {m("squares"): _squares(m) for m in measures}
    corrected = {m("corrected"): _corrected(m) for m in measures}
    deff = {m("deff"): nw.col(m("corrected")) * nw.col(m("squares")) for m in measures}
    ratio = {m("deff"): nw.col(m("deff")) / nw.col(m("base")) for m in measures}
    least = {m("deff"): nw.col(m("deff")).clip(lower_bound=1.0) for m in measures}
    for step in (base | squares | corrected, deff, ratio, least):
        totals = totals.with_columns(**step)
    return totals.drop(*sizes, *squares, *whole)


def _squares(m: Measure) -> nw.Expr:
    size, q = nw.col(m("size")), nw.col(m("q"))
    return (
        (nw.col(product_of(m.n, m.n)) + 2 * size * size) * q * q
        - 2 * (nw.col(product_of(m.y, m.n)) + size * size) * q
        + nw.col(product_of(m.y, m.y))
        + size * size
    )


def _corrected(m: Measure) -> nw.Expr:
    clusters = nw.col(clusters_of(m.n))
    return (clusters + 2) / (clusters + 1)


def design_effect_of_ones(n: nw.Expr) -> nw.Expr:
    """Compute the design effect where every cluster is one trial, as in a share of customers."""
    return (n + 2) / (n + 1)


def spread(m: Measure) -> nw.Expr:
    """Compute S, the sum of squares that a design effect stands for: that of a whole ``deff``, terms included."""
    return nw.col(m("deff")) * nw.col(m("base")) / nw.col(m("corrected"))


def dispersion(y: str, n: str) -> tuple[nw.Expr, nw.Expr]:
    """Return the two terms of each group whose sums' ratio is the dispersion D of a funnel plot, from `cluster_sums`.

    D = Σ_j[m_j/(m_j-1)·Σ_i(y_i-p_j n_i)²] / Σ_j N_j p_j(1-p_j), never below 1: the variance of the groups' shares
    given their clusters (customers, or slots), over that of independent trials (Spiegelhalter, Statistics in Medicine
    24, 2005, takes D from the groups' distances to the center instead, which would count true differences as noise). A
    group of one cluster says nothing about how clusters differ, and is in neither sum.

    Args:
        y: Column of hits that the sums were made of.
        n: Column of trials, likewise.

    Returns:
        The terms of the numerator and of the denominator, null for a group of one cluster.
    """
    clusters = nw.col(clusters_of(n))
    several = nw.when(clusters > 1)
    p = share(nw.col(y), nw.col(n))
    squares = nw.col(product_of(y, y)) - 2 * p * nw.col(product_of(y, n)) + p * p * nw.col(product_of(n, n))
    return several.then(squares * clusters / (clusters - 1)), several.then(nw.col(n) * p * (1 - p))


def clusters_of(n: str) -> str:
    """Name the column of how many clusters have trials."""
    return f"_clusters({n})"


def product_of(first: str, second: str) -> str:
    """Name the column of a sum of products."""
    return f"_{first}*{second}"
