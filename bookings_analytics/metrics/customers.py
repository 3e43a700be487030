"""Who: one row per customer, with a no-show rate that brands nobody by one miss.

A customer with one seat missed it or did not; a rate of 100 % says nothing of the next seat. So each one's own rate is
drawn toward that of all, the more the fewer their seats. With y_i no-shows among n_i recorded seats of m customers,
N = Σn_i, p = Σy_i/N and B = Σn_i²/N::

    D = m/(m-1) Σ(y_i - p n_i)² / (N p(1-p))        rho = max(0, (D-1)/(B-1)), 0 where B ≤ 1 or D has no denominator
    M = (1-rho)/rho                                 estimate = (y_i + pM)/(n_i + M), p where rho = 0

with Wilson's interval at n_i + M. The moments are those of Kish (1965) and Cochran (1977, ch. 11), the estimate that of
a beta-binomial (Efron & Morris, Journal of the American Statistical Association 70, 1975, for the idea); Wilson at
n + M is this package's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.engines import aggregate, count, like
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.intervals import share, with_wilson
from bookings_analytics.metrics.quantiles import quantile
from bookings_analytics.metrics.seats_given_up import NEEDED, counts_of_seats
from bookings_analytics.schema import CUSTOMER_KEY, CUSTOMERS, HELD

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame, IntoFrameT

    from bookings_analytics.metrics.groups import Groups

_FIRST: Final = ("n_no_show", "n_late", "n_seats")  # what customers are sorted by, most first
_UNDATED: Final = {  # without class days
    **{name: nw.lit(None, nw.Int64) for name in ("n_late", "n_weeks")},
    "last_class_day": nw.lit(None, nw.Date),
}


def customers(outcomes: IntoFrameT, cohorts: IntoFrame | None = None, *, confidence: float = 0.95) -> IntoFrameT:
    """List the customers with what became of their places, those with most no-shows first.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        cohorts: Whom to list: rows of customers, with their ``fetch_outcome`` if known; who could not be read is left
            out. A row without studio belongs to the only studio of the outcomes. None: all customers of the outcomes,
            so nobody who never booked.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per studio and customer: CUSTOMERS of `bookings_analytics.schema`, sorted by no-shows, cancellations
        on the class day and seats, most first, then by studio and customer. ``no_show_estimate`` is a share between
        the customer's own no-show rate and that of all, with its interval; null where nobody has a recorded seat.
        ``n_late``, ``n_weeks`` (with a seat in a completed class) and ``last_class_day`` are null for outcomes without
        class days. It names people: keep it where their data may be kept.

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: The confidence is not between 0 and 1.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 1, 1, 1, 1, 2, 3],
        ...     "outcome": ["no_show"] * 6 + ["attended", "no_show"],
        ... })
        >>> ba.customers(outcomes).select("customer_id", "n_seats", "n_no_show", "no_show_estimate").rows()
        [(1, 6, 6, 0.97...), (3, 1, 1, 0.91...), (2, 1, 0, 0.57...)]
    """
    quantile(confidence)  # which refuses what lies outside 0 to 1
    rows, groups = read_groups(outcomes, cohorts, None, result=CUSTOMERS)
    counted = _counted(rows, groups)
    result = _with_estimate(counted, confidence).with_columns(
        **{f"_{name}": -nw.col(name).fill_null(0) for name in _FIRST}
    )
    order = [*(f"_{name}" for name in _FIRST), *CUSTOMER_KEY]
    return like(outcomes, result.sort(*order).select(*CUSTOMERS))


def _counted(rows: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Count what became of each customer's places."""
    there = rows.collect_schema().names()
    key, outcome = list(CUSTOMER_KEY), nw.col("outcome")
    is_held = outcome.is_in(HELD)
    counts = {f"n_{kind}": count(outcome == kind) for kind in (*HELD, "canceled")}
    counts["n_seats"] = count(is_held)
    counts["n_waits"] = count(~nw.col("wait_outcome").is_null() if "wait_outcome" in there else outcome == "waiting")
    listed = rows if groups.members is None else groups.attach(groups.members.select(*key))
    each = listed.select(*key).unique().join(aggregate(rows, key, counts), on=key, how="left")
    if not {"week", "class_day", *NEEDED} <= set(there):
        return each.with_columns(nw.col(*counts).fill_null(0), **_UNDATED)
    held = rows.filter(is_held)
    weeks = held.filter(~nw.col("week").is_null()).select(*key, "week").unique()
    for part in (
        counts_of_seats(rows, key).select(*key, "n_late"),
        aggregate(weeks, key, {"n_weeks": count(~nw.col("week").is_null())}),
        held.group_by(*key).agg(last_class_day=nw.col("class_day").max()),
    ):
        each = each.join(part, on=key, how="left")
    # Outcomes without class days have these columns too, and 0 would be a claim.
    each = each.join(aggregate(rows, [], {"_n_dated": count(~nw.col("class_day").is_null())}), how="cross")
    dated = {name: nw.when(nw.col("_n_dated") > 0).then(nw.col(name).fill_null(0)) for name in ("n_late", "n_weeks")}
    return each.with_columns(nw.col(*counts).fill_null(0), **dated)


def _with_estimate(each: nw.LazyFrame[Any], confidence: float) -> nw.LazyFrame[Any]:
    """Add each customer's no-show rate, drawn toward that of all, with its interval."""
    y, n = nw.col("n_no_show"), nw.col("_n")
    each = each.with_columns(_n=nw.sum_horizontal("n_no_show", "n_attended"))
    squares = {"_yy": y * y, "_yn": y * n, "_nn": n * n, "_m": nw.when(n > 0).then(1).otherwise(0)}
    sums = {f"_sum{name}": nw.col(name).sum() for name in ("_yy", "_yn", "_nn", "_m", "_n")}
    of_all = each.with_columns(**squares).select(_sum_y=y.sum(), **sums)
    of_all = of_all.with_columns(_p=share(nw.col("_sum_y") * 1.0, nw.col("_sum_n")))
    p = nw.col("_p")
    of_all = of_all.with_columns(
        _squared=nw.col("_sum_yy") - 2 * p * nw.col("_sum_yn") + p * p * nw.col("_sum_nn"),
        _expected=nw.col("_sum_n") * p * (1 - p),
        _b=share(nw.col("_sum_nn") * 1.0, nw.col("_sum_n")) - 1,
        _few=share(nw.col("_sum_m") * 1.0, nw.col("_sum_m") - 1),
    )
    of_all = of_all.with_columns(_d=nw.col("_few") * share(nw.col("_squared"), nw.col("_expected")) - 1)
    of_all = of_all.with_columns(_rho=share(nw.col("_d"), nw.col("_b")).fill_null(0.0).clip(0.0, 1.0))
    rho = nw.col("_rho")
    each = each.join(of_all.select("_p", "_rho"), how="cross").with_columns(_whole=rho * n + (1 - rho))
    each = each.with_columns(
        no_show_estimate=share(rho * y + (1 - rho) * p, nw.col("_whole")),
        _w=share(rho * quantile(confidence) ** 2, nw.col("_whole")),
    )
    return with_wilson(each, {"no_show_estimate_ci": ("no_show_estimate", "_w")})
