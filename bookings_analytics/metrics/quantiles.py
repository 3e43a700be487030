"""How many standard errors an interval reaches to each side: of the normal distribution, and of Student's t."""

from __future__ import annotations

from functools import cache
from math import cos, log, pi, prod, sin, sqrt, tan
from statistics import NormalDist
from typing import Any, Final

import narwhals as nw

_NODES: Final = (2, 3, 4, 6, 10, 20, 60)  # degrees of freedom at which t is exact


def quantile(confidence: float) -> float:
    """Return z with P(|Z| ≤ z) = confidence for a standard normal Z.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; use a share between 0 and 1, such as 0.95.")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def with_t(totals: nw.LazyFrame[Any], confidence: float, *effective: str) -> nw.LazyFrame[Any]:
    """Add t with m* + 1 degrees of freedom, at the two-sided confidence, for each column of effective customers m*.

    t = z·exp(f(1/df)) with f the polynomial of degree 7 through f(0) = 0 and the exact ln(t/z) at `_NODES`.

    Args:
        totals: One row per group.
        confidence: Nominal coverage, such as 0.95.
        effective: Columns of m*, at least 1 or null.

    Returns:
        The totals with, for each column, that named by `t`.
    """
    if not effective:
        return totals
    z = quantile(confidence)
    points = [0.0, *(1 / nu for nu in _NODES)]
    *rest, last = _divided_differences(points, [0.0, *(log(student_t(confidence, nu) / z) for nu in _NODES)])
    totals = totals.with_columns(**{f"_1/df({m})": 1 / (nw.col(m) + 1.0) for m in effective})
    powers = {}
    for m in effective:
        power = nw.lit(last)
        for coefficient, point in reversed(list(zip(rest, points[:-1], strict=True))):  # Newton's form, by Horner
            power = power * (nw.col(f"_1/df({m})") - point) + coefficient
        powers[t(m)] = power.exp() * z
    return totals.with_columns(**powers).drop(*(f"_1/df({m})" for m in effective))


def t(effective: str) -> str:
    """Name the column of t that belongs to a column of effective customers."""
    return f"_t({effective})"


@cache
def student_t(confidence: float, df: int) -> float:
    """Compute t with P(|T| ≤ t) = confidence for a Student's T with a whole number of degrees of freedom, from 2.

    By bisection in the angle θ = arctan(t/√df) of the closed distribution function (Abramowitz & Stegun, Handbook of
    Mathematical Functions, 1964, 26.7.3 and 26.7.4).
    """
    quantile(confidence)  # which refuses what lies outside 0 to 1
    low, high = 0.0, pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, df) < confidence else (low, middle)
    return sqrt(df) * tan(low)


def _within(theta: float, df: int) -> float:
    odd = df % 2
    terms = (prod((2 * j + odd - 1) / (2 * j + odd) for j in range(1, k + 1)) for k in range((df - odd) // 2))
    series = sum(term * cos(theta) ** (2 * k + odd) for k, term in enumerate(terms))
    return 2 / pi * (theta + sin(theta) * series) if odd else sin(theta) * series


def _divided_differences(points: list[float], values: list[float]) -> list[float]:
    coefficients = list(values)
    for order in range(1, len(points)):
        for i in range(len(points) - 1, order - 1, -1):
            coefficients[i] = (coefficients[i] - coefficients[i - 1]) / (points[i] - points[i - order])
    return coefficients
