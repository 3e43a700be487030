"""The rates of bookings: who books, who takes part, who does not turn up.

Outcomes go in as `classify` gives them, on any engine: eager polars gives eager polars back, lazy gives lazy, DuckDB
gives DuckDB. Results start with their group columns and are sorted by them; all columns are declared in
`bookings_analytics.schema`, the intervals' formulas in `bookings_analytics.intervals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw

from bookings_analytics.errors import CohortError
from bookings_analytics.groups import MEMBERS, NOT_READ, like, read_groups
from bookings_analytics.intervals import cluster_sums, design_effect, design_effect_of_ones, rate
from bookings_analytics.schema import BOOKING_VS_PARTICIPATION, OUTCOME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_KINDS = OUTCOME.categories.to_list()


def booking_vs_participation(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
) -> IntoFrameT:
    """Say which share of each group's customers booked, and which share took part.

    Both are shares of all customers of the group who could be read, those who booked nothing included, and both look at
    completed classes only, so that their gap is bookings without participation. With a column of the outcomes in ``by``
    (a class, say) the base stays all customers of the group.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are counted in ``n_not_read`` and
            nowhere else. A row without studio belongs to the only studio of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per group: its columns, then BOOKING_VS_PARTICIPATION. ``n_booked`` customers had a seat in a completed
        class, ``n_participated`` attended one, ``n_only_upcoming`` have seats in planned classes alone. Rates are
        shares from 0 to 1: ``booking_rate`` and ``participation_rate`` of customers, ``seat_rate`` and
        ``cancellation_rate`` of requests (places asked for in classes that were not canceled).
        ``participation_rate_max`` takes seats whose attendance nobody recorded as attended. ``*_ci_low`` and
        ``*_ci_high``: Wilson with the effective sample size of bookings clustered by customer (see
        `bookings_analytics.intervals`).

    Raises:
        CohortError: The cohorts are missing, or do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names no column or an ambiguous one, or the confidence is not between 0 and 1.

    Example:
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2],
        ...     "class_slot_id": [10, 11, 10],
        ...     "outcome": ["attended", "no_show", "no_show"],
        ... })
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 3, 4], "cohort": ["new", "new", "new", "old"]})
        >>> rates = booking_vs_participation(outcomes, cohorts, by="cohort")
        >>> rates.select("cohort", "n_customers", "n_booked", "n_participated").rows()
        [('new', 3, 2, 1), ('old', 1, 0, 0)]
        >>> rates.select("booking_rate_ci_low", "booking_rate", "booking_rate_ci_high").row(0)
        (0.18..., 0.66..., 0.94...)
    """
    if cohorts is None:
        raise CohortError(
            "booking_vs_participation needs cohorts=: customers who booked nothing are in its base, and only a list of "
            "customers names them."
        )
    bookings, groups = read_groups(outcomes, cohorts, by, result=BOOKING_VS_PARTICIPATION)
    held = nw.col("_attended") + nw.col("_no_show") + nw.col("_unrecorded")
    customers = (
        groups.customers(bookings, *_KINDS)
        .with_columns(_held=held)
        .with_columns(_seats=nw.col("_held") + nw.col("_upcoming"))
        .with_columns(_requests=nw.col("_seats") + nw.col("_canceled") + nw.col("_waiting"))
    )
    sums = {
        "_booked": _count(nw.col("_held") > 0),
        "_participated": _count(nw.col("_attended") > 0),
        "_perhaps": _count(nw.col("_attended") + nw.col("_unrecorded") > 0),
        "_only_upcoming": _count((nw.col("_held") == 0) & (nw.col("_upcoming") > 0)),
        **{name: nw.col(name).sum().cast(nw.Int64) for name in ("_waiting", "_lost", "_slot_canceled")},
        **cluster_sums("_seats", "_requests"),
        **cluster_sums("_canceled", "_requests"),
    }
    named = {name: aggregation.alias(name) for name, aggregation in sums.items()}
    ones = design_effect_of_ones(MEMBERS)
    result = groups.totals(customers, named).select(
        *groups.by,
        nw.col(MEMBERS).alias("n_customers"),
        nw.col(NOT_READ).alias("n_not_read"),
        *(nw.col(f"_{name}").alias(f"n_{name}") for name in ("booked", "participated", "only_upcoming", "requests")),
        *(nw.col(f"_{name}").alias(f"n_{name}") for name in ("seats", "canceled", "waiting", "lost", "slot_canceled")),
        *rate("booking_rate", "_booked", MEMBERS, ones, confidence),
        *rate("participation_rate", "_participated", MEMBERS, ones, confidence),
        _share(nw.col("_participated"), nw.col(MEMBERS)).alias("participation_rate_min"),
        _share(nw.col("_perhaps"), nw.col(MEMBERS)).alias("participation_rate_max"),
        *rate("seat_rate", "_seats", "_requests", design_effect("_seats", "_requests"), confidence),
        *rate("cancellation_rate", "_canceled", "_requests", design_effect("_canceled", "_requests"), confidence),
    )
    return like(outcomes, result.sort(*groups.by) if groups.by else result)


def _count(holds: nw.Expr) -> nw.Expr:
    return nw.when(holds).then(1).otherwise(0).sum().cast(nw.Int64)


def _share(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    return part / nw.when(whole > 0).then(whole)
