"""Seats given up: how many on the class day, and how many days before the others were.

Only outcomes with class days (`classify` with ``class_days=`` and ``fetches=``) can answer.
`bookings_analytics.metrics.seats_given_up` defines what counts, and what is late.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import narwhals as nw

from bookings_analytics.metrics.clustering import clustered_totals, effective_columns, spent
from bookings_analytics.metrics.engines import aggregate, count, like, of_outcomes
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.intervals import Rate, share, with_rates
from bookings_analytics.metrics.seats_given_up import (
    KINDS,
    LATE,
    LEAST,
    MOST,
    UNUSED,
    check_days,
    counts_of_seats,
    flags,
    where_known,
)
from bookings_analytics.schema import API_WINDOW, CANCELLATION_NOTICE, CANCELLATIONS, CUSTOMER_KEY, HELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

_HOUR: Final = timedelta(hours=1)
_DAYS: Final = range(API_WINDOW.days + 1)

_DECIDED = nw.col("outcome").is_in([*HELD, "canceled"])


@of_outcomes
def cancellations(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
    deadline: timedelta | None = None,
) -> IntoFrameT:
    """Compute the share of each group's seats that was canceled late, and the share that stayed unused.

    Late is on the class day or, with a deadline, less than that before the class's known start.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: what `classify` returns when given
            ``class_days`` and ``fetches``.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.
        confidence: Nominal coverage of the intervals.
        deadline: How long before the start a cancellation is late, such as ``timedelta(hours=12)``, where the outcomes
            have known starts: late if the last fetch with the seat was not before start - deadline, ambiguous if only
            the fetch that showed the cancellation was after it. None: on the class day.

    Returns:
        One row per group: its columns, then CANCELLATIONS of `bookings_analytics.schema`, sorted by group.
        ``late_cancel_rate`` is late / (late + held), held = attended + no_show + unrecorded; ``unused_rate`` is
        (late + no_show) / (late + attended + no_show). ``late_cancel_rate_min`` takes ambiguous and undated
        cancellations as canceled in time, ``late_cancel_rate_max`` as late. Both rates and their intervals are null
        where these exceed a twentieth of late, ambiguous and undated together. In neither part are held seats whose
        class has no day (with a deadline: no known start), classes that were over when the customer was first fetched,
        and classes still to come. ``n_customers`` held a seat or canceled one. ``*_ci_*``: Wilson with the effective
        sample size of seats clustered by customer and by slot or day (see `bookings_analytics.metrics.intervals`).

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: The outcomes carry no class days (with a deadline: no known starts), ``by`` names no column or an
            ambiguous one, the confidence is not between 0 and 1, or the deadline is not a timedelta of 0 or more.

    Example:
        >>> from datetime import date
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 2, 3, 4],
        ...     "outcome": ["attended", "no_show", "canceled", "canceled"],
        ...     "first_day": date(2026, 5, 4),
        ...     "last_day": date(2026, 5, 4),
        ...     "canceled_days_before_min": [None, None, 0, 3],
        ...     "canceled_days_before_max": [None, None, 0, 3],
        ...     "canceled_from": [None, None, "BOOKED", "BOOKED"],
        ...     "class_slot_status": "COMPLETED",
        ...     "visible": True,
        ...     "watched": True,
        ... })
        >>> ba.cancellations(outcomes).select("n_canceled", "n_late", "late_cancel_rate", "unused_rate").row(0)
        (2, 1, 0.33..., 0.66...)
    """
    if deadline is not None and (not isinstance(deadline, timedelta) or deadline < timedelta(0)):
        raise ValueError(f"deadline is {deadline!r}: pass a timedelta of 0 or more, such as timedelta(hours=12).")
    bookings, groups = read_groups(outcomes, cohorts, by, result=CANCELLATIONS, counting=_DECIDED)
    check_days(bookings, starts=deadline is not None)
    sums = {name: nw.col(name).sum() for name in (*(f"n_{outcome}" for outcome in HELD), *KINDS, "_held")}
    sums["n_customers"] = count(nw.col("n_canceled") + nw.col("_held") > 0)
    totals = (
        clustered_totals(bookings, groups, partial(counts_of_seats, deadline=deadline), [LATE, UNUSED], sums)
        .with_columns(_unknown=nw.sum_horizontal("n_ambiguous", "n_undated"))
        .with_columns(
            _perhaps_late=nw.sum_horizontal("n_late", "_unknown"),
            _perhaps_of=nw.sum_horizontal("_late_or_held", "_unknown"),
        )
        .with_columns(
            deadline_h=nw.lit(None if deadline is None else deadline / _HOUR, nw.Float64),
            late_cancel_rate_min=share(nw.col("n_late"), nw.col("_late_or_held")),
            late_cancel_rate_max=share(nw.col("_perhaps_late"), nw.col("_perhaps_of")),
            **effective_columns(LATE),
        )
        .drop(*spent(LATE, UNUSED))
    )
    result = with_rates(
        totals,
        confidence,
        late_cancel_rate=Rate(*LATE, LATE("deff"), LATE("effective")),
        unused_rate=Rate(*UNUSED, UNUSED("deff"), UNUSED("effective")),
    )
    parts = [f"{rate}{part}" for rate in ("late_cancel_rate", "unused_rate") for part in ("", "_ci_low", "_ci_high")]
    return like(outcomes, groups.result(where_known(result, *parts), CANCELLATIONS))


@of_outcomes
def cancellation_notice(
    outcomes: IntoFrameT, cohorts: IntoFrame | None = None, *, by: str | Sequence[str] | None = None
) -> IntoFrameT:
    """Count each group's canceled seats by how many days before the class they were canceled.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: what `classify` returns when given
            ``class_days`` and ``fetches``.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: all together. A customer in two
            cohorts counts in each.

    Returns:
        For each group 16 rows, also where none was canceled: the group's columns, then CANCELLATION_NOTICE of
        `bookings_analytics.schema`. ``days_before`` is 0 (the class day) to 14, then null: not known, or not which of
        several days. ``share`` is of the group's canceled seats, null if there are none.

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: The outcomes carry no class days, or ``by`` names no column or an ambiguous one.

    Example:
        >>> from datetime import date
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 2, 3],
        ...     "outcome": "canceled",
        ...     "first_day": date(2026, 5, 4),
        ...     "last_day": date(2026, 5, 4),
        ...     "canceled_days_before_min": [0, 3, 1],
        ...     "canceled_days_before_max": [0, 3, 2],
        ...     "canceled_from": "BOOKED",
        ...     "class_slot_status": "COMPLETED",
        ...     "visible": True,
        ...     "watched": True,
        ... })
        >>> ba.cancellation_notice(outcomes).filter(pl.col("n") > 0).select("days_before", "n", "share").rows()
        [(0, 1, 0.33...), (3, 1, 0.33...), (None, 1, 0.33...)]
    """
    bookings, groups = read_groups(
        outcomes, cohorts, by, result=CANCELLATION_NOTICE, counting=nw.col("outcome") == "canceled"
    )
    check_days(bookings)
    day = nw.when(MOST == LEAST).then(MOST).otherwise(nw.when(MOST <= 0).then(nw.lit(0)))
    canceled = bookings.with_columns(flags()).with_columns(_day=nw.when(nw.col("_canceled") == 1).then(day))
    last = _DAYS[-1]
    kinds = {f"_n({n})": count(nw.col("_day") == n) for n in _DAYS[:-1]}
    kinds |= {f"_n({last})": count(nw.col("_day") >= last), "_n": count(nw.col("_canceled") == 1)}
    customers = groups.attach(aggregate(canceled, tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own))), kinds))
    sums = {name: nw.col(name).sum() for name in kinds} | {"n_customers": count(nw.col("_n") > 0)}
    totals = groups.totals(customers, sums)
    dated = nw.sum_horizontal(*(f"_n({n})" for n in _DAYS))
    totals = totals.with_columns(_dated=dated).with_columns((nw.col("_n") - nw.col("_dated")).alias("_n(None)"))
    one = bookings.select(_one=nw.len())  # one row, from which every engine makes the rows to join
    days: list[int | None] = [*_DAYS, None]
    rows = nw.concat(
        [one.select(days_before=nw.lit(n, nw.Int64), _place=nw.lit(place)) for place, n in enumerate(days)]
    )
    result = (
        totals.join(rows, how="cross")
        .with_columns(
            n=nw.sum_horizontal(
                *(nw.when(nw.col("_place") == place).then(nw.col(f"_n({n})")) for place, n in enumerate(days))
            )
        )
        .with_columns(share=share(nw.col("n"), nw.col("_n")))
    )
    return like(outcomes, groups.result(result, CANCELLATION_NOTICE, then=["_place"]))
