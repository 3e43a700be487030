"""Limits, signals and slope of a trend, written once more from their formulas in numpy: the oracle of `trend`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats


def numpy_trend(y: np.ndarray, n: np.ndarray, confidence: float = 0.95) -> dict[str, Any]:
    """Compute limits, signals and slope once more: a row a customer, a column a week of the calendar."""
    number = np.flatnonzero(n.sum(0))
    y, n = y[:, number].astype(float), n[:, number].astype(float)
    y, n = y[n.sum(1) > 0], n[n.sum(1) > 0]
    hits, trials, weeks, customers = y.sum(0), n.sum(0), len(number), len(n)
    p = hits.sum() / trials.sum()
    if weeks < 12 or min(p, 1 - p) * trials.sum() / weeks < 5 - 1e-12:
        return {"weeks": number, "center": p}
    sigma = np.sqrt(p * (1 - p) / trials)
    z = (hits / trials - p) / sigma
    half = 3 * max(1, np.abs(np.diff(z)).mean() / 1.128) * sigma
    low, high = np.clip(p - half, 0, 1), np.clip(p + half, 0, 1)
    side = np.sign(np.round(hits / trials - p, 12))
    signals = ["within"] * weeks
    off = np.flatnonzero(side)
    for start in range(len(off)):
        run = [t for t in off[start : start + 9] if side[t] == side[off[start]]]
        if len(run) == 9 and weeks >= 20:
            for t in run:
                signals[t] = "run_above" if side[t] > 0 else "run_below"
    for t in range(weeks):
        if hits[t] / trials[t] > high[t]:
            signals[t] = "above"
        elif hits[t] / trials[t] < low[t]:
            signals[t] = "below"
    u = number - (trials * number).sum() / trials.sum()
    residual = u * (y - p * n)
    squares = (trials * u**2).sum()
    v_c = customers / (customers - 1) * (residual.sum(1) ** 2).sum() if customers > 1 else np.nan
    v_w = weeks / (weeks - 2) * (residual.sum(0) ** 2).sum()
    v = v_c + max(0, v_w - (residual**2).sum())
    slope = (u * hits).sum() / squares
    reach = stats.t.ppf((1 + confidence) / 2, weeks - 2) * np.sqrt(v) / squares
    return {
        "weeks": number, "center": p, "limit_low": low, "limit_high": high, "signal": signals,
        "slope": slope, "slope_ci_low": slope - reach, "slope_ci_high": slope + reach,
    }  # fmt: skip
