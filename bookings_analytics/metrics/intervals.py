"""The sampling intervals of the rates, as columns computed from sums per group.

Wilson's interval with an effective sample size: n / deff in place of n, the design effect from
`bookings_analytics.metrics.clustering`; for rates of seats and requests at Student's t in place of the normal z, since
few customers say little about how customers differ. Where attendance was not always recorded, bounds hold the rate of
all seats with the stated confidence, whatever happened in the unrecorded ones.

Every intermediate value is a column of its own step: nested expressions make the plans of some engines explode.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import narwhals as nw

from bookings_analytics.metrics.quantiles import quantile, t, with_t

if TYPE_CHECKING:
    from collections.abc import Mapping

_FAR: Final = 30.0  # from this many standard errors on: exp(-0.55 u²) is 0


class Bounds(NamedTuple):
    """What the bounds of a rate need: columns of all trials, and of the least and the most that may have hit."""

    trials: str
    least: str
    most: str


class Rate(NamedTuple):
    """A rate to compute.

    Attributes:
        y: Column of hits.
        n: Column of trials.
        deff: Column of the design effect; None: independent trials.
        effective: Column of effective customers m*, for t with m* + 1 degrees of freedom; None: the normal z.
        bounds: What unrecorded trials may have been; None: the rate has no bounds.
    """

    y: str
    n: str
    deff: str | None = None
    effective: str | None = None
    bounds: Bounds | None = None


def with_rates(totals: nw.LazyFrame[Any], confidence: float, **rates: Rate) -> nw.LazyFrame[Any]:
    """Add each rate with its interval and bounds, null where there is nothing to divide by.

    The interval: Wilson (1927) with the effective sample size n / deff: Korn & Graubard (Survey Methodology 24, 1998),
    recommended by Franco, Little, Louis & Slud (Journal of Survey Statistics and Methodology 7, 2019). Few clusters:
    Cameron & Miller (Journal of Human Resources 50, 2015), Carter, Schnepel & Steigerwald (Review of Economics and
    Statistics 99, 2017); m* + 1 degrees of freedom are this package's own adaptation, justified by simulation.

    The bounds: Imbens & Manski (Econometrica 72, 2004), from Wilson's interval of the least and of the most that the
    rate of all trials may be, in closed form (error < 0.001 at 95 %, < 0.02 at 80 to 99 %). The design effect is of
    the n recorded trials; all h trials are alike in larger clusters, so theirs is 1 + (deff - 1)·h/n.

    Args:
        totals: One row per group, with the columns that the rates name.
        confidence: Nominal coverage, such as 0.95.
        rates: The rates by name.

    Returns:
        The totals with, for each rate, the columns ``name``, ``name_ci_low`` and ``name_ci_high``; for one with bounds
        also ``name_min``, ``name_max`` (the rate if every unrecorded trial had gone the one way or the other),
        ``name_bounds_low`` and ``name_bounds_high``.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    z = quantile(confidence)
    totals = with_t(totals, confidence, *{rate.effective for rate in rates.values() if rate.effective})
    values: dict[str, nw.Expr] = {}
    scaled: dict[str, nw.Expr] = {}
    weights: dict[str, nw.Expr] = {}
    wider: dict[str, nw.Expr] = {}
    for name, (y, n, deff, effective, bounds) in rates.items():
        squared, weight, of_all, more = (f"_{part}({name})" for part in ("t²", "w", "h", "more"))
        t2 = nw.col(t(effective)) * nw.col(t(effective)) if effective else nw.lit(z * z)
        values |= {name: share(nw.col(y), nw.col(n)), squared: t2}
        scaled[weight] = nw.col(squared) * (nw.col(deff) if deff else 1.0)
        weights[weight] = share(nw.col(weight), nw.col(n))
        if bounds:
            values[f"{name}_min"] = share(nw.col(bounds.least), nw.col(bounds.trials))
            values[f"{name}_max"] = share(nw.col(bounds.most), nw.col(bounds.trials))
            scaled |= {of_all: share(nw.col(squared), nw.col(bounds.trials)), more: share(nw.col(squared), nw.col(n))}
            weights[more] = nw.col(of_all) - nw.col(more)
            wider[of_all] = nw.col(weight) + nw.col(more)
    bounded = {name: rate for name, rate in rates.items() if rate.bounds}
    for step in (values, scaled, weights, wider):
        totals = totals.with_columns(**step) if step else totals
    totals = with_wilson(
        totals.drop(*(f"_more({name})" for name in bounded)),
        {f"{name}_ci": (name, f"_w({name})") for name in rates}
        | {f"_{side}({name})": (f"{name}_{side}", f"_h({name})") for name in bounded for side in ("min", "max")},
    ).drop(*scaled.keys() - wider.keys() - {f"_more({name})" for name in bounded})
    return _with_bounds(totals, confidence, bounded) if bounded else totals


def with_wilson(totals: nw.LazyFrame[Any], intervals: Mapping[str, tuple[str, str]]) -> nw.LazyFrame[Any]:
    """Add Wilson intervals.

    Args:
        totals: One row per group.
        intervals: Name of each interval → its column of shares p, and that of w = t²/n_eff.

    Returns:
        The totals with the columns ``name_low`` and ``name_high`` of each interval.
    """
    steps: list[dict[str, nw.Expr]] = [{}, {}, {}, {}, {}]
    for name, (p_, w_) in intervals.items():
        p, w = nw.col(p_), nw.col(w_)
        square, middle, whole, half = (f"_{part}({name})" for part in ("square", "middle", "whole", "half"))
        low, high = f"{name}_low", f"{name}_high"
        steps[0] |= {square: w * (p * (1 - p) + w * 0.25), middle: p + w * 0.5, whole: 1 + w}
        steps[1] |= {half: nw.col(square).sqrt()}
        steps[2] |= {low: nw.col(middle) - nw.col(half), high: nw.col(middle) + nw.col(half)}
        steps[3] |= {low: nw.col(low) / nw.col(whole), high: nw.col(high) / nw.col(whole)}
        steps[4] |= {low: nw.col(low).clip(0.0, p), high: nw.col(high).clip(p, 1.0)}  # holds p, but for rounding
    for step in steps:
        totals = totals.with_columns(**step)
    return totals.drop(*steps[0], *steps[1])  # what a plan carries on, it repeats at every step


def _with_bounds(totals: nw.LazyFrame[Any], confidence: float, rates: Mapping[str, Rate]) -> nw.LazyFrame[Any]:
    """Add bounds: Wilson at c·t/z, c from how far apart least and most are in standard errors."""
    z, one_sided = quantile(confidence), NormalDist().inv_cdf(confidence)
    gap = z - one_sided
    halves, sides_apart, apart, clipped, scaled, narrowed, ends = {}, {}, {}, {}, {}, {}, {}
    for name, rate in rates.items():
        if rate.bounds is None:
            continue
        low, high, root, u = (nw.col(part) for part in (f"{name}_min", f"{name}_max", f"_t({name})", f"_u({name})"))
        halves[f"_s({name})"] = nw.max_horizontal(
            low - nw.col(f"_min({name})_low"), nw.col(f"_max({name})_high") - high
        )
        halves[f"_t({name})"] = nw.col(f"_t²({name})").sqrt()
        sides_apart[f"_u({name})"] = (high - low) * root
        apart[f"_u({name})"] = share(u, nw.col(f"_s({name})"))
        clipped[f"_u({name})"] = u.fill_null(_FAR).clip(upper_bound=_FAR)
        scaled[f"_c({name})"] = (u * (-0.5 / gap) - 0.55 * u * u).exp() * (gap / z) + one_sided / z
        narrowed[f"_h({name})"] = nw.col(f"_h({name})") * nw.col(f"_c({name})") * nw.col(f"_c({name})")
        nothing = (nw.col(rate.n) == 0) & (nw.col(rate.bounds.trials) > 0)  # nothing recorded: anything is possible
        ends[f"{name}_bounds_low"] = nw.when(nothing).then(0.0).otherwise(nw.col(f"_min({name})_low"))
        ends[f"{name}_bounds_high"] = nw.when(nothing).then(1.0).otherwise(nw.col(f"_max({name})_high"))
    for step in (halves, sides_apart, apart, clipped, scaled, narrowed):
        totals = totals.with_columns(**step)
    sides = {f"_{side}({name})": (f"{name}_{side}", f"_h({name})") for name in rates for side in ("min", "max")}
    return with_wilson(totals, sides).with_columns(**ends)


def difference(first: str, second: str, r: nw.Expr | None = None) -> list[nw.Expr]:
    """Return the difference of two rates and its interval, from their own intervals.

    d = p₁ - p₂ with L = d - √((p₁-l₁)² + (u₂-p₂)² - 2r(p₁-l₁)(u₂-p₂)) and
    U = d + √((u₁-p₁)² + (p₂-l₂)² - 2r(u₁-p₁)(p₂-l₂)): the square-and-add method of Newcombe (Statistics in Medicine 17,
    1998), as MOVER for any two intervals, correlated or not, by Zou & Donner (Statistics in Medicine 27, 2008). Its
    confidence is that of the two intervals.

    Args:
        first: Name of the rate to subtract from; its interval stands in ``first_ci_low`` and ``first_ci_high``.
        second: Name of the rate to subtract, likewise.
        r: Correlation of the two rates, from -1 to 1; None: they are independent.

    Returns:
        Three columns: ``difference``, ``difference_ci_low`` and ``difference_ci_high``.
    """
    p1, low1, high1 = (nw.col(first + part) for part in ("", "_ci_low", "_ci_high"))
    p2, low2, high2 = (nw.col(second + part) for part in ("", "_ci_low", "_ci_high"))
    below, above = _added(p1 - low1, high2 - p2, r), _added(high1 - p1, p2 - low2, r)
    return [
        (p1 - p2).alias("difference"),
        (p1 - p2 - below).alias("difference_ci_low"),
        (p1 - p2 + above).alias("difference_ci_high"),
    ]


def _added(a: nw.Expr, b: nw.Expr, r: nw.Expr | None) -> nw.Expr:
    squares = a * a + b * b
    return (squares if r is None else squares - 2 * r * a * b).clip(lower_bound=0.0).sqrt()


def share(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """Divide, null where there is nothing to divide by."""
    return nw.when(whole > 0).then(part / whole)
