"""The rates of bookings: who books, who takes part, who does not turn up.

Outcomes go in as `classify` gives them, on any engine: eager polars gives eager polars back, lazy gives lazy, DuckDB
gives DuckDB. Results start with their group columns and are sorted by them; all columns are declared in
`bookings_analytics.schema`, the intervals' formulas in `bookings_analytics.metrics.intervals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.clustering import effective_columns, spent
from bookings_analytics.metrics.counts import CANCELED, KINDS, NO_SHOW, SEATS, counted, counted_of_base
from bookings_analytics.metrics.design_effects import design_effect_of_ones
from bookings_analytics.metrics.engines import as_enum, like, of_outcomes
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.groups import NOT_READ
from bookings_analytics.metrics.intervals import Bounds, Rate, share, with_rates
from bookings_analytics.schema import BOOKING_VS_PARTICIPATION, HELD, NO_SHOWS, OUTCOME, OUTCOME_COUNTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_IN_COMPLETED = nw.col("outcome").is_in(HELD)
_REQUESTS = [kind for kind in KINDS if kind not in {"slot_canceled", "lost"}]


@of_outcomes
def booking_vs_participation(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
    fetches: IntoFrame | None = None,
) -> IntoFrameT:
    """Compute the share of each group's customers who booked, and the share who took part.

    Both are shares of all customers of the group who could be read, those who booked nothing included, and both look at
    completed classes only, so that their gap is bookings without participation. With a column of the outcomes in ``by``
    (a class, say) the base stays all customers of the group; with ``week``, each complete week has a row, also one in
    which nobody booked.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are counted in ``n_not_read`` and
            nowhere else. A row without studio belongs to the only studio of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.
        confidence: Nominal coverage of the intervals.
        fetches: FETCHES of `bookings_analytics.schema`, used with ``week`` in ``by`` alone: a customer is in the base
            of a complete week, and their bookings of it count, only if it lies between their own first and last
            successful fetch; of an incomplete week, if they were fetched before its end and not last before it. Without
            it, all customers are in the base of every week, and a growing list raises the rates by itself.

    Returns:
        One row per group: its columns, then BOOKING_VS_PARTICIPATION. ``n_booked`` customers had a seat in a completed
        class, ``n_participated`` attended one, ``n_only_upcoming`` have seats in planned classes alone. Rates are
        shares from 0 to 1: ``booking_rate`` and ``participation_rate`` of customers, ``seat_rate`` and
        ``cancellation_rate`` of requests (places asked for in classes that were not canceled).
        ``participation_rate_max`` takes seats whose attendance nobody recorded as attended. ``*_ci_low`` and
        ``*_ci_high``: Wilson with the effective sample size of bookings clustered by customer (see
        `bookings_analytics.metrics.intervals`).

    Raises:
        CohortError: The cohorts are missing, or do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names no column or an ambiguous one, or ``week`` where nothing says which weeks are complete,
            or the confidence is not between 0 and 1.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2],
        ...     "class_slot_id": [10, 11, 10],
        ...     "outcome": ["attended", "no_show", "no_show"],
        ... })
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 3, 4], "cohort": ["new", "new", "new", "old"]})
        >>> rates = ba.booking_vs_participation(outcomes, cohorts, by="cohort")
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
    bookings, groups = read_groups(outcomes, cohorts, by, result=BOOKING_VS_PARTICIPATION, counting=_IN_COMPLETED)
    totals = (
        counted_of_base(bookings, groups, fetches, SEATS, CANCELED)
        .with_columns(
            n_not_read=nw.col(NOT_READ),
            _ones=design_effect_of_ones(nw.col("n_customers")),
            **effective_columns(SEATS),
        )
        .drop(*spent(SEATS, CANCELED))
    )
    result = with_rates(
        totals,
        confidence,
        booking_rate=Rate("n_booked", "n_customers", "_ones"),
        participation_rate=Rate(
            "n_participated", "n_customers", "_ones", bounds=Bounds("n_customers", "n_participated", "_perhaps")
        ),
        seat_rate=Rate(*SEATS, SEATS("deff"), SEATS("effective")),
        cancellation_rate=Rate(*CANCELED, CANCELED("deff"), CANCELED("effective")),
    )
    return like(outcomes, groups.result(result, BOOKING_VS_PARTICIPATION))


@of_outcomes
def no_shows(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
) -> IntoFrameT:
    """Compute the share of each group's seats in completed classes that was used, and the share that was not.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per group: its columns, then NO_SHOWS. ``n_customers`` had a seat in a completed class.
        ``attendance_rate`` and ``no_show_rate`` are shares of the seats whose attendance was recorded, their sum is 1;
        ``recorded_share`` says of how many that is. ``*_min`` and ``*_max``: the rate if every unrecorded seat had gone
        the one way or the other. ``*_ci_low`` and ``*_ci_high``: Wilson with the effective sample size of seats
        clustered by customer (see `bookings_analytics.metrics.intervals`).

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names no column or an ambiguous one, or the confidence is not between 0 and 1.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2, 2],
        ...     "class_id": [7, 8, 7, 7],
        ...     "outcome": ["attended", "unrecorded", "no_show", "attended"],
        ... })
        >>> rates = ba.no_shows(outcomes, by="class_id")
        >>> rates.select("class_id", "n_no_show", "no_show_rate", "no_show_rate_max").rows()
        [(7, 1, 0.33..., 0.33...), (8, 0, None, 1.0)]
    """
    bookings, groups = read_groups(outcomes, cohorts, by, result=NO_SHOWS, counting=_IN_COMPLETED)
    totals = (
        counted(bookings, groups, NO_SHOW)
        .with_columns(
            n_customers=nw.col("n_booked"),
            _came_at_most=nw.sum_horizontal("n_attended", "n_unrecorded"),
            _missed_at_most=nw.sum_horizontal("n_no_show", "n_unrecorded"),
            recorded_share=share(nw.col("_recorded"), nw.col("_held")),
            **effective_columns(NO_SHOW),
        )
        .drop(*spent(NO_SHOW))
    )
    clustered = NO_SHOW("deff"), NO_SHOW("effective")  # of attendance too: hits and misses weigh the same in it
    result = with_rates(
        totals,
        confidence,
        attendance_rate=Rate("n_attended", "_recorded", *clustered, Bounds("_held", "n_attended", "_came_at_most")),
        no_show_rate=Rate("n_no_show", "_recorded", *clustered, Bounds("_held", "n_no_show", "_missed_at_most")),
    )
    return like(outcomes, groups.result(result, NO_SHOWS))


@of_outcomes
def outcome_counts(
    outcomes: IntoFrameT, cohorts: IntoFrame | None = None, *, by: str | Sequence[str] | None = None
) -> IntoFrameT:
    """Count each outcome in each group.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.

    Returns:
        One row per group and outcome, in the order of OUTCOME, also where it never came: the group's columns, then
        OUTCOME_COUNTS. ``share`` is of the group's requests; null for ``slot_canceled`` and ``lost``, which are in no
        share, and for a group without requests.

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names no column or an ambiguous one.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2],
        ...     "outcome": ["attended", "lost", "no_show"],
        ... })
        >>> ba.outcome_counts(outcomes).filter(pl.col("n") > 0).rows()
        [('attended', 1, 0.5, 2), ('no_show', 1, 0.5, 2), ('lost', 1, None, 2)]
    """
    bookings, groups = read_groups(outcomes, cohorts, by, result=OUTCOME_COUNTS)
    one = bookings.select(_one=nw.len())  # one row, from which every engine makes the rows to join
    kinds = nw.concat([one.select(outcome=nw.lit(kind), _place=nw.lit(place)) for place, kind in enumerate(KINDS)])
    result = (
        counted(bookings, groups)
        .with_columns(n_customers=nw.col("_anything"))
        .join(kinds, how="cross")
        .with_columns(
            n=nw.sum_horizontal(*(nw.when(nw.col("outcome") == kind).then(nw.col(f"n_{kind}")) for kind in KINDS))
        )
        .with_columns(share=nw.when(nw.col("outcome").is_in(_REQUESTS)).then(share(nw.col("n"), nw.col("n_requests"))))
    )
    return like(outcomes, as_enum(groups.result(result, OUTCOME_COUNTS, then=["_place"]), "outcome", OUTCOME))
