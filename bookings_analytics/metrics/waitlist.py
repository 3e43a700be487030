"""The rates of the waiting list: who gets in, and which seats stay empty meanwhile.

Both need outcomes of a history: a wait that ended shows only where it was seen in progress before. A wait first seen
after its class is left out (and counted in ``n_seen_late``), because only failures still look like waits by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from bookings_analytics.metrics.design_effects import Measure, cluster_sums, with_design_effects
from bookings_analytics.metrics.engines import aggregate, count, first_that_fits, like, merge, of_outcomes
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.intervals import Rate, with_rates
from bookings_analytics.metrics.looks import looks
from bookings_analytics.schema import (
    CUSTOMER_KEY,
    SEATS_LOST_WHILE_WAITING,
    SLOT_KEY,
    WAIT_OUTCOME,
    WAITLIST_CONVERSION,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

    from bookings_analytics.metrics.groups import Groups

_KINDS = WAIT_OUTCOME.categories.to_list()
_COUNTS = [f"n_{kind}" for kind in _KINDS]
_DECIDED = ("converted", "lapsed", "withdrawn")
CONVERTED = Measure("n_converted", "_decided")
_IN_SLOT = Measure("_converted_in_slot", "_decided_in_slot")

_REASONS = {
    "one snapshot can't show a conversion: each customer was seen at one time only": (
        (nw.col("_observed") > 0) & (nw.col("_observed_again") == 0) & nw.col("median_fetch_gap_h").is_null()
    ),
    "no wait was seen in progress": nw.sum_horizontal(*_COUNTS) == 0,
    "no class that somebody waited for has ended yet": nw.col("n_pending") > 0,
    "every class that somebody waited for was canceled or lost from sight": nw.col("n_pending") == 0,
}


@of_outcomes
def waitlist_conversion(
    outcomes: IntoFrameT,
    cohorts: IntoFrame | None = None,
    *,
    by: str | Sequence[str] | None = None,
    confidence: float = 0.95,
    fetches: IntoFrame | None = None,
    timezone: str | Mapping[str, str] | None = None,
) -> IntoFrameT:
    """Compute the share of the observed waits that got a seat, and the share of the waiting lists that was cleared.

    ``conversion_rate`` is conversion among observed waits: those in progress at some fetch. A wait that came and was
    converted between two fetches is never seen, so rarer fetches see fewer waits and give wider intervals.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`, of a history.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.
        confidence: Nominal coverage of the intervals.
        fetches: When customers were asked for: FETCHES of `bookings_analytics.schema`.
        timezone: The studio's time zone, such as "Europe/Berlin", or ``{studio: zone}``: for ``fetch_hours`` and the
            days of ``looks_per_day``, which are UTC's without. With ``fetches`` in polars only.

    Returns:
        One row per group: its columns, then WAITLIST_CONVERSION, sorted by group. ``conversion_rate`` is converted /
        (converted + lapsed + withdrawn); ``clear_rate`` is the share of slots in which no wait lapsed, of the
        ``n_slots`` in which one was converted or lapsed. ``n_pending``, ``n_lost`` and ``n_slot_canceled`` waits are in
        neither, nor are the ``n_seen_late`` first seen after their class. ``reason`` says why ``conversion_rate`` is
        null. ``median_fetch_gap_h``: hours between two successful fetches of one of the group's customers (with a
        column of the outcomes in ``by``: of those with a booking there); null without ``fetches``. ``looks_per_day``:
        their successful fetches on a day with any, in the median, those within an hour of each other counted once.
        ``fetch_hours``: the local hours that have at least a tenth of them, such as "04, 12, 18". Below two looks a
        day the rate belongs to these hours, which decide whose wait is seen in progress: don't compare it with that of
        a studio fetched at other hours. `waitlist_chances` does not depend on them.

        ``conversion_rate_ci_*``: Wilson with the effective sample size of waits clustered by customer and by slot,
        deff = deff_customer + deff_slot - 1, as the variances of two-way clusters add up in Cameron, Gelbach & Miller
        (Journal of Business & Economic Statistics 29, 2011); ``clear_rate_ci_*``: plain Wilson over slots (see
        `bookings_analytics.metrics.intervals`).

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The frames are on different engines, or ``timezone`` is given for frames not in polars.
        ValueError: ``by`` names no column or an ambiguous one, the confidence is not between 0 and 1, or a time zone is
            missing, does not exist or is given without ``fetches``.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 2, 3, 4],
        ...     "class_slot_id": [10, 10, 11, 12],
        ...     "booking_status": ["BOOKED", "WAITING_LIST", "BOOKED", "WAITING_LIST"],
        ...     "class_slot_status": ["COMPLETED", "COMPLETED", "COMPLETED", "PLANNED"],
        ...     "first_seen_at": pl.Series([1, 1, 1, 3]).cast(pl.Datetime("us", "UTC")),
        ...     "observed_at": pl.Series([2, 2, 2, 3]).cast(pl.Datetime("us", "UTC")),
        ...     "wait_outcome": ["converted", "lapsed", "converted", "pending"],
        ... })
        >>> rates = ba.waitlist_conversion(outcomes)
        >>> rates.select("n_converted", "n_lapsed", "n_pending", "conversion_rate", "clear_rate").row(0)
        (2, 1, 1, 0.66..., 0.5)
        >>> ba.waitlist_conversion(outcomes.filter(pl.col("class_slot_id") == 12))["reason"].item()
        "one snapshot can't show a conversion: each customer was seen at one time only"
    """
    if timezone is not None and fetches is None:
        raise ValueError("timezone= is about the hours of the fetches: pass fetches= as well.")
    bookings, groups = read_groups(
        outcomes, cohorts, by, result=WAITLIST_CONVERSION, counting=~nw.col("wait_outcome").is_null()
    )
    totals, _ = waits_of(bookings, groups)
    if fetches is None:
        unknown = {name: nw.lit(None, nw.Float64) for name in ("median_fetch_gap_h", "looks_per_day")}
        totals = totals.with_columns(**unknown, fetch_hours=nw.lit(None, nw.String))
    else:
        totals = merge(groups.by, totals, looks(fetches, bookings, groups, timezone))
    result = with_rates(
        totals,
        confidence,
        conversion_rate=Rate(*CONVERTED, "_two_way"),
        clear_rate=Rate("_cleared", "n_slots"),
    ).with_columns(reason=nw.when(nw.col("_decided") == 0).then(first_that_fits(_REASONS, nw.String())))
    return like(outcomes, groups.result(result, WAITLIST_CONVERSION))


@of_outcomes
def seats_lost_while_waiting(
    outcomes: IntoFrameT, cohorts: IntoFrame | None = None, *, by: str | Sequence[str] | None = None
) -> IntoFrameT:
    """Count the seats that nobody sat in while somebody of the same group waited for one until the end.

    It counts the customers that were fetched, and of these the group's: the empty seat of one and the vain wait of
    another meet only if both are in the same group. So it is a lower bound for the studio.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`, of a history.
        cohorts: Who was asked for. Customers with a ``fetch_outcome`` other than ok are not counted. None: all
            customers of the outcomes.
        by: Column or columns to group by, of the cohorts or the outcomes; None: one row for all. A customer in two
            cohorts counts in each.

    Returns:
        One row per group: its columns, then SEATS_LOST_WHILE_WAITING, sorted by group. ``n_seats``: per completed class
        slot the smaller of no-shows and lapsed waits, summed; ``n_slots``: the completed slots it was summed over.

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The frames are on different engines.
        ValueError: ``by`` names no column or an ambiguous one.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 2, 3, 1],
        ...     "class_slot_id": [10, 10, 10, 11],
        ...     "class_slot_status": "COMPLETED",
        ...     "outcome": ["no_show", "no_show", "waiting", "attended"],
        ...     "wait_outcome": [None, None, "lapsed", None],
        ... })
        >>> ba.seats_lost_while_waiting(outcomes).rows(named=True)
        [{'n_seats': 1, 'n_slots': 2, 'n_customers': 3}]
    """
    bookings, groups = read_groups(
        outcomes, cohorts, by, result=SEATS_LOST_WHILE_WAITING, counting=nw.col("class_slot_status") == "COMPLETED"
    )
    completed, no_show, lapsed = (
        nw.col("class_slot_status") == "COMPLETED",
        nw.col("outcome") == "no_show",
        nw.col("wait_outcome") == "lapsed",
    )
    here = tuple(dict.fromkeys((*CUSTOMER_KEY, *SLOT_KEY, *groups.own)))  # a join copies every column it is given
    seats = bookings.filter(no_show | lapsed).select(*dict.fromkeys((*here, "outcome", "wait_outcome")))
    counts = {"_no_show": count(no_show), "_lapsed": count(lapsed)}
    slots = aggregate(groups.attach(seats), _each(SLOT_KEY, groups.by), counts)
    held = groups.attach(bookings.filter(completed).select(*here)).with_columns(_slot=nw.col("class_slot_id"))
    slots_held = aggregate(held, _each(("studio",), groups.by), {"_held": nw.col("_slot").n_unique()})
    there = nw.when(completed).then(1).otherwise(0).max()
    customers = aggregate(bookings, _each(CUSTOMER_KEY, groups.own), {"_there": there})
    sums = {
        "n_seats": nw.min_horizontal("_no_show", "_lapsed").sum(),
        "n_slots": nw.col("_held").sum(),
        "n_customers": count(nw.col("_there") > 0),
    }
    rows = nw.concat([slots, slots_held, groups.attach(customers)], how="diagonal")
    return like(outcomes, groups.result(groups.totals(rows, sums), SEATS_LOST_WHILE_WAITING))


def waits_of(bookings: nw.LazyFrame[Any], groups: Groups) -> tuple[nw.LazyFrame[Any], nw.LazyFrame[Any]]:
    """Count the waits of each group, with their two-way design effect, and of each customer and group."""
    customers = _customers(bookings, groups)
    clusters = nw.concat([customers, _slots(bookings, groups)], how="diagonal")
    summed = (*_COUNTS, "n_seen_late", "n_slots", "_cleared", "_observed", "_observed_again")
    sums = {
        **{name: nw.col(name).sum() for name in summed},
        "n_customers": count(nw.col("_waits") > 0),
        **cluster_sums(*CONVERTED),
        **cluster_sums(*_IN_SLOT),
    }
    totals = with_design_effects(groups.totals(clusters, sums), CONVERTED, _IN_SLOT)
    return totals.with_columns(_two_way=nw.col(CONVERTED("deff")) + nw.col(_IN_SLOT("deff")) - 1), customers


def _customers(bookings: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Count each customer's waits: one row per customer and group."""
    waited_out = (nw.col("booking_status") == "WAITING_LIST") & (nw.col("class_slot_status") == "COMPLETED")
    counts = {f"n_{kind}": count(nw.col("wait_outcome") == kind) for kind in _KINDS}
    rows = bookings.group_by(*_each(CUSTOMER_KEY, groups.own)).agg(
        *(counted.alias(name) for name, counted in counts.items()),
        count(waited_out & nw.col("wait_outcome").is_null()).alias("n_seen_late"),
        nw.col("first_seen_at").min().alias("_first"),
        nw.col("observed_at").max().alias("_last"),
    )
    again = nw.col("_last").max().over(*CUSTOMER_KEY) > nw.col("_first").min().over(*CUSTOMER_KEY)
    return groups.attach(
        rows.with_columns(
            _decided=nw.sum_horizontal(*(f"n_{kind}" for kind in _DECIDED)),
            _waits=nw.sum_horizontal(*(f"n_{kind}" for kind in _KINDS)),
            _observed=nw.lit(1),
            _observed_again=nw.when(again).then(1).otherwise(0),
        ).drop("_first", "_last")
    )


def _slots(bookings: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Count each slot's decided waits: one row per slot and group."""
    decided = groups.attach(bookings.filter(nw.col("wait_outcome").is_in(_DECIDED)))
    kinds = {f"_{kind}_in_slot": count(nw.col("wait_outcome") == kind) for kind in _DECIDED}
    converted, lapsed = nw.col("_converted_in_slot"), nw.col("_lapsed_in_slot")
    return aggregate(decided, _each(SLOT_KEY, groups.by), kinds).with_columns(
        _decided_in_slot=nw.sum_horizontal(*kinds),
        n_slots=nw.when(converted + lapsed > 0).then(1).otherwise(0),
        _cleared=nw.when((converted > 0) & (lapsed == 0)).then(1).otherwise(0),
    )


def _each(key: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*key, *groups)))
