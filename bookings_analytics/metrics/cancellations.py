"""Seats given up: how many on the class day, and how many days before the others were.

Only outcomes with class days (`classify` with ``class_days=`` and ``fetches=``) can answer. Counted are cancellations
of a booking that was seen with a seat before; waits given up, and bookings made and canceled between two fetches, are
not.

========= ============================================================================================
late      canceled on the class day: at most 0 days before it
ambiguous between two fetches of which one lies before the class day, so perhaps on it
undated   the class's day, or since when it was canceled, is not known; the class is not still to come
========= ============================================================================================

Days are those between two closed nights, as `class_days` counts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.clustering import Measure, clustered_totals, effective_columns
from bookings_analytics.metrics.engines import aggregate, count, like, rows_of
from bookings_analytics.metrics.groups import read_groups
from bookings_analytics.metrics.intervals import Rate, share, with_rates
from bookings_analytics.schema import API_WINDOW, CANCELLATION_NOTICE, CANCELLATIONS, CUSTOMER_KEY, SEAT_STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

LATE: Final = Measure("n_late", "_late_or_held")
UNUSED: Final = Measure("_late_or_no_show", "_late_or_recorded")
AT_MOST_UNKNOWN: Final = 20  # a rate is null where more than one in so many possibly late cancellations is not known
_HELD: Final = ("n_attended", "n_no_show", "n_unrecorded")
KINDS: Final = ("n_canceled", "n_late", "n_ambiguous", "n_undated")
_NEEDED: Final = (
    *("outcome", "class_slot_status", "visible", "first_day", "last_day"),
    *("canceled_days_before_min", "canceled_days_before_max", "canceled_from", "watched"),
)
_DAYS: Final = range(API_WINDOW.days + 1)

_LEAST, _MOST = nw.col("canceled_days_before_min"), nw.col("canceled_days_before_max")


def cancellations(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
) -> IntoFrameT:
    """Compute which share of each group's seats was canceled on the class day, and which share stayed unused.

    Args:
        outcomes: One row per studio, customer and class slot, with class days: what `classify` returns when given
            ``class_days`` and ``fetches``.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.
        confidence: Nominal coverage of the intervals.

    Returns:
        One row per group: its columns, then CANCELLATIONS of `bookings_analytics.schema`, sorted by group.
        ``late_cancel_rate`` is late / (late + held), held = attended + no_show + unrecorded; ``unused_rate`` is
        (late + no_show) / (late + attended + no_show). ``late_cancel_rate_min`` takes ambiguous and undated
        cancellations as canceled in time, ``late_cancel_rate_max`` as late. Both rates and their intervals are null
        where these exceed a twentieth of late, ambiguous and undated together. In neither part are held seats whose
        class has no day, classes that were over when the customer was first fetched, and classes still to come.
        ``n_customers`` held a seat or canceled one. ``*_ci_*``: Wilson with the effective sample size of seats
        clustered by customer and by slot or day (see `bookings_analytics.metrics.intervals`).

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: The outcomes carry no class days, ``by`` names no column or an ambiguous one, or the confidence is
            not between 0 and 1.

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
    bookings, groups = read_groups(outcomes, cohorts, by, result=CANCELLATIONS)
    check_days(bookings)
    sums = {name: nw.col(name).sum() for name in (*_HELD, *KINDS, "_held")}
    sums["n_customers"] = count(nw.col("n_canceled") + nw.col("_held") > 0)
    totals = (
        clustered_totals(bookings, groups, counts_of_seats, [LATE, UNUSED], sums)
        .with_columns(_unknown=nw.sum_horizontal("n_ambiguous", "n_undated"))
        .with_columns(
            _perhaps_late=nw.sum_horizontal("n_late", "_unknown"),
            _perhaps_of=nw.sum_horizontal("_late_or_held", "_unknown"),
        )
        .with_columns(
            late_cancel_rate_min=share(nw.col("n_late"), nw.col("_late_or_held")),
            late_cancel_rate_max=share(nw.col("_perhaps_late"), nw.col("_perhaps_of")),
            **effective_columns(LATE),
        )
    )
    result = with_rates(
        totals,
        confidence,
        late_cancel_rate=Rate(*LATE, LATE("deff"), LATE("effective")),
        unused_rate=Rate(*UNUSED, UNUSED("deff"), UNUSED("effective")),
    )
    parts = [f"{rate}{part}" for rate in ("late_cancel_rate", "unused_rate") for part in ("", "_ci_low", "_ci_high")]
    return like(outcomes, groups.ordered(where_known(result, *parts), CANCELLATIONS))


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
        >>> ba.cancellation_notice(outcomes).filter(pl.col("n") > 0).rows()
        [(0, 1, 0.33...), (3, 1, 0.33...), (None, 1, 0.33...)]
    """
    bookings, groups = read_groups(outcomes, cohorts, by, result=CANCELLATION_NOTICE)
    check_days(bookings)
    day = nw.when(_MOST == _LEAST).then(_MOST).otherwise(nw.when(_MOST <= 0).then(nw.lit(0)))
    canceled = bookings.with_columns(_flags()).with_columns(_day=nw.when(nw.col("_canceled") == 1).then(day))
    last = _DAYS[-1]
    kinds = {f"_n({n})": count(nw.col("_day") == n) for n in _DAYS[:-1]}
    kinds |= {f"_n({last})": count(nw.col("_day") >= last), "_n": count(nw.col("_canceled") == 1)}
    customers = groups.attach(aggregate(canceled, tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own))), kinds))
    totals = groups.totals(customers, {name: nw.col(name).sum() for name in kinds})
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
    return like(outcomes, groups.ordered(result, CANCELLATION_NOTICE, then=["_place"]))


def counts_of_seats(bookings: nw.LazyFrame[Any], key: Sequence[str]) -> nw.LazyFrame[Any]:
    """Count held and canceled seats of the rows of each key, and what the rates of cancellations add up from them."""
    marked = bookings.with_columns(_flags())
    canceled, held = nw.col("_canceled") == 1, nw.col("_counts") == 1
    kinds = {name: count(held & (nw.col("outcome") == name.removeprefix("n_"))) for name in _HELD}
    kinds |= {
        "n_canceled": count(canceled),
        "n_late": count(canceled & (_MOST <= 0)),
        "n_ambiguous": count(canceled & (_LEAST <= 0) & (_MOST > 0)),
        "n_undated": count(canceled & _MOST.is_null()),
    }
    return (
        aggregate(marked, key, kinds)
        .with_columns(
            _recorded=nw.sum_horizontal("n_attended", "n_no_show"),
            _late_or_no_show=nw.sum_horizontal("n_late", "n_no_show"),
        )
        .with_columns(
            _held=nw.sum_horizontal("_recorded", "n_unrecorded"),
            _late_or_recorded=nw.sum_horizontal("n_late", "_recorded"),
        )
        .with_columns(_late_or_held=nw.sum_horizontal("n_late", "_held"))
    )


def _flags() -> list[nw.Expr]:
    """Mark rows whose class has days and was not over at the customer's first look, and cancellations that count."""
    bracketed = ~nw.col("first_day").is_null() & ~nw.col("last_day").is_null()
    watched = nw.col("watched").fill_null(value=False)
    given_up = (nw.col("outcome") == "canceled") & nw.col("canceled_from").is_in(SEAT_STATUSES)
    to_come = (nw.col("class_slot_status") == "PLANNED") & nw.col("visible")  # where a seat would be upcoming
    return [
        nw.when(bracketed & watched).then(1).otherwise(0).alias("_counts"),
        nw.when(given_up & (watched | (~bracketed & ~to_come))).then(1).otherwise(0).alias("_canceled"),
    ]


def check_days(bookings: nw.LazyFrame[Any]) -> None:
    """Refuse outcomes without class days, of which every count would be 0.

    Raises:
        ValueError: They carry none.
    """
    names = bookings.collect_schema().names()
    missing = [name for name in _NEEDED if name not in names]
    if not missing:
        seen = [nw.col("outcome").count(), nw.col("last_day").count(), nw.col("canceled_from").count()]
        for rows, days, canceled in rows_of(bookings.select(*seen)):
            missing = ["class days"] if rows and not days and not canceled else []
    if missing:
        raise ValueError(
            f"the outcomes carry no {', '.join(missing)}: when seats were canceled is known from class days alone. "
            "Pass classify(history, class_days=class_days(…), fetches=fetches), or archive.outcomes(class_days=…)."
        )


def where_known(totals: nw.LazyFrame[Any], *names: str) -> nw.LazyFrame[Any]:
    """Null columns of groups in which more than a twentieth of the possibly late cancellations is not known to be.

    Args:
        totals: One row per group, with ``n_late``, ``n_ambiguous`` and ``n_undated``.
        names: The columns.
    """
    totals = totals.with_columns(_unknown=nw.sum_horizontal("n_ambiguous", "n_undated"))
    totals = totals.with_columns(_perhaps_late=nw.sum_horizontal("n_late", "_unknown"))
    known = nw.col("_unknown") * AT_MOST_UNKNOWN <= nw.col("_perhaps_late")
    return totals.with_columns(**{name: nw.when(known).then(nw.col(name)) for name in names})
