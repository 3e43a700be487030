"""The two rates of visits, classes booked and attended a week, with their intervals.

With n_i weeks and y_i seats of customer i, also of those with none, m customers, N = Σn_i, Y = Σy_i and μ = Y/N::

    φ = max(1, m/(m-1) Σ(y_i - μ n_i)²/Y), 1 if Y = 0 or m = 1      x = Y/φ      m* = Y²/Σy_i², 1 if Y = 0
    low = φ/N · x(1 - 1/(9x) - t/(3√x))³, at least 0                high = φ/N · (x+1)(1 - 1/(9(x+1)) + t/(3√(x+1)))³

with t at m* + 1 degrees of freedom: the gamma limits of a count (Garwood, Biometrika 28, 1936) in the approximation of
Wilson & Hilferty (PNAS 17, 1931) as Byar used it, on an effective count. φ and the t are this package's own adaptation,
justified by simulation.
"""

from __future__ import annotations

from typing import Any, Final

import narwhals as nw

from bookings_analytics.metrics.design_effects import Measure
from bookings_analytics.metrics.intervals import share
from bookings_analytics.metrics.quantiles import t, with_t

BOOKED: Final = Measure("n_seats", "n_weeks")
ATTENDED: Final = Measure("n_attended", "n_weeks")
RATES_PER_WEEK: Final = {"booked_per_week": BOOKED, "attended_per_week": ATTENDED}


def with_counts_per_week(totals: nw.LazyFrame[Any], confidence: float) -> nw.LazyFrame[Any]:
    """Add both rates and their intervals to totals of visits; null for a group without weeks.

    φ stands in the column that a measure names ``phi``, m* in ``effective``.
    """
    m_, weeks = nw.col("n_customers"), nw.col("n_weeks")
    several = nw.when(m_ > 1).then(m_)
    rates = RATES_PER_WEEK
    totals = totals.with_columns(
        **{name: share(nw.col(m.y), weeks) for name, m in rates.items()},
        **{m("effective"): share(nw.col(m.y) * nw.col(m.y), nw.col(m("yy"))).fill_null(1.0) for m in rates.values()},
        _corrected=several / (several - 1),
        attended_per_week_max=share(nw.sum_horizontal("n_attended", "n_unrecorded"), weeks),
    )
    totals = totals.with_columns(**{m("around"): _around(m, name) for name, m in rates.items()})
    columns: list[dict[str, nw.Expr]] = [{}, {}, {}, {}, {}]  # a step each
    for name, m in rates.items():
        ratio = nw.col("_corrected") * share(nw.col(m("around")), nw.col(m.y))
        x, some, more, low, high = (nw.col(m(part)) for part in ("x", "some", "more", "low", "high"))
        third, scale = nw.col(t(m("effective"))) / 3, nw.col(m("scale"))
        columns[0] |= {m("phi"): ratio.fill_null(1.0).clip(lower_bound=1.0)}
        columns[1] |= {m("x"): nw.col(m.y) / nw.col(m("phi")), m("scale"): share(nw.col(m("phi")), weeks)}
        columns[2] |= {m("some"): nw.when(x > 0).then(x), m("more"): x + 1}
        columns[3] |= {
            m("low"): (1 - 1 / (9 * some) - third / some.sqrt()).clip(lower_bound=0.0).fill_null(0.0),
            m("high"): 1 - 1 / (9 * more) + third / more.sqrt(),
        }
        columns[4] |= {
            f"{name}_ci_low": scale * x * low * low * low,
            f"{name}_ci_high": scale * more * high * high * high,
        }
    totals = with_t(totals, confidence, *(m("effective") for m in rates.values()))
    for step in columns:
        totals = totals.with_columns(**step)
    return totals.with_columns(n_effective_customers=nw.col(BOOKED("effective")))


def _around(m: Measure, rate: str) -> nw.Expr:
    """Compute Σ(y - μn)² over the customers of a group, from their sums."""
    mean = nw.col(rate)
    return nw.col(m("yy")) - 2 * mean * nw.col(m("yn")) + mean * mean * nw.col("_nn")
