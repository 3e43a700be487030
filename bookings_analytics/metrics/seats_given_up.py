"""Seats given up: which cancellations count, and which of them were late.

Counted are cancellations of a booking that was seen with a seat before; waits given up, and bookings made and canceled
between two fetches, are not. Late is one on the class day or, with a deadline, one less than that before the start:

========= ==================================== ========================================================
          on the class day                     with a deadline
========= ==================================== ========================================================
late      at most 0 days before it             seen with a seat at the deadline or later
ambiguous between two fetches of which one     between two fetches of which one lies before
          lies before the class day            the deadline
undated   the class's day, or since when it    the class's start, or since when it was canceled,
          was canceled, is not known; the      is not known; the class is not still to come
          class is not still to come
========= ==================================== ========================================================

Days are those between two closed nights, as `class_days` counts them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.design_effects import Measure
from bookings_analytics.metrics.engines import aggregate, count, rows_of
from bookings_analytics.schema import HELD, SEAT_STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

LATE: Final = Measure("n_late", "_late_or_held")
UNUSED: Final = Measure("_late_or_no_show", "_late_or_recorded")
AT_MOST_UNKNOWN: Final = 20  # a rate is null where more than one possibly late cancellation in this many is not known
KINDS: Final = ("n_canceled", "n_late", "n_ambiguous", "n_undated")
LEAST, MOST = nw.col("canceled_days_before_min"), nw.col("canceled_days_before_max")

NEEDED: Final = (
    *("outcome", "class_slot_status", "visible", "first_day", "last_day"),
    *("canceled_days_before_min", "canceled_days_before_max", "canceled_from", "watched"),
)
_TIMED: Final = ("starts_at", "canceled_after", "canceled_by")
_MICROSECOND: Final = timedelta(microseconds=1)


def counts_of_seats(
    bookings: nw.LazyFrame[Any], key: Sequence[str], deadline: timedelta | None = None
) -> nw.LazyFrame[Any]:
    """Count held and canceled seats of the rows of each key, and what the rates of cancellations add up from them.

    Args:
        bookings: Outcomes with class days.
        key: The columns to count by.
        deadline: How long before the start a cancellation is late; None: on the class day.
    """
    marked = bookings.with_columns(flags())
    canceled, held = nw.col("_canceled") == 1, nw.col("_counts") == 1
    if deadline is None:
        late, ambiguous, undated = MOST <= 0, (LEAST <= 0) & (MOST > 0), MOST.is_null()
    else:
        marked = _timed(marked)
        held = held & ~nw.col("starts_at").is_null()
        allowed, at_most, at_least = deadline // _MICROSECOND, nw.col("_notice_most"), nw.col("_notice_least")
        late, undated = at_most <= allowed, at_most.is_null()
        ambiguous = (at_least < allowed) & (at_most > allowed)
    kinds = {f"n_{outcome}": count(held & (nw.col("outcome") == outcome)) for outcome in HELD}
    kinds |= {
        "n_canceled": count(canceled),
        "n_late": count(canceled & late),
        "n_ambiguous": count(canceled & ambiguous),
        "n_undated": count(canceled & undated),
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


def _timed(marked: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add how long before the start a seat was canceled, at most and at least, in microseconds."""
    return marked.with_columns(
        _since=nw.col("starts_at") - nw.col("canceled_after"), _until=nw.col("starts_at") - nw.col("canceled_by")
    ).with_columns(
        _notice_most=nw.col("_since").dt.total_microseconds(), _notice_least=nw.col("_until").dt.total_microseconds()
    )


def flags() -> list[nw.Expr]:
    """Mark rows whose class has days and was not over at the customer's first look, and cancellations that count."""
    bracketed = ~nw.col("first_day").is_null() & ~nw.col("last_day").is_null()
    watched = nw.col("watched").fill_null(value=False)
    given_up = (nw.col("outcome") == "canceled") & nw.col("canceled_from").is_in(SEAT_STATUSES)
    to_come = (nw.col("class_slot_status") == "PLANNED") & nw.col("visible")  # where a seat would be upcoming
    return [
        nw.when(bracketed & watched).then(1).otherwise(0).alias("_counts"),
        nw.when(given_up & (watched | (~bracketed & ~to_come))).then(1).otherwise(0).alias("_canceled"),
    ]


def check_days(bookings: nw.LazyFrame[Any], *, starts: bool = False) -> None:
    """Refuse outcomes without class days, of which every count would be 0.

    Args:
        bookings: The outcomes.
        starts: Whether the classes' starts are needed, too.

    Raises:
        ValueError: They carry none.
    """
    names = bookings.collect_schema().names()
    missing = [name for name in NEEDED if name not in names]
    if not missing:
        seen = [nw.col("outcome").count(), nw.col("last_day").count(), nw.col("canceled_from").count()]
        for rows, days, canceled in rows_of(bookings.select(*seen)):
            missing = ["class days"] if rows and not days and not canceled else []
    if missing:
        raise ValueError(
            f"the outcomes carry no {', '.join(missing)}: when seats were canceled is known from class days alone. "
            "Pass classify(history, class_days=class_days(…), fetches=fetches), or archive.outcomes(class_days=…)."
        )
    if starts:
        _check_starts(bookings, names)


def _check_starts(bookings: nw.LazyFrame[Any], names: Sequence[str]) -> None:
    missing = [name for name in _TIMED if name not in names]
    if not missing:
        for rows, known in rows_of(bookings.select(nw.col("outcome").count(), nw.col("starts_at").count())):
            missing = ["starts_at"] if rows and not known else []
    if missing:
        raise ValueError(
            f"the outcomes carry no {', '.join(missing)}: deadline= counts from a class's start, which known times "
            "alone tell. Fetch them with fetch_classes, and pass class_days(…, known=archive.slots())."
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
