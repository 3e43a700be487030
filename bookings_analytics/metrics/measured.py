"""What a comparison needs of a rate: its value per group, and which customers and slots it comes from.

One function for each kind of rate; `measured` finds the one that a rate needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import narwhals as nw

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.calendar import with_week_numbers
from bookings_analytics.metrics.clustering import LEVELS, Level, clustered_totals, levels_of, pooled_correlations
from bookings_analytics.metrics.counts import CANCELED, NO_SHOW, SEATS, counted_of_base, counts_of
from bookings_analytics.metrics.design_effects import Measure, design_effect_of_ones, spread
from bookings_analytics.metrics.engines import count, join_groups, settled
from bookings_analytics.metrics.groups import MEMBERS, NOT_READ, Groups
from bookings_analytics.metrics.intervals import Rate, share, with_rates
from bookings_analytics.metrics.per_week import RATES_PER_WEEK, with_counts_per_week
from bookings_analytics.metrics.seats_given_up import KINDS, LATE, UNUSED, check_days, counts_of_seats, where_known
from bookings_analytics.metrics.visits import customers_of_visits, visit_totals
from bookings_analytics.metrics.waitlist import CONVERTED, waits_of
from bookings_analytics.metrics.weeks import customer_weeks, in_base
from bookings_analytics.schema import CUSTOMER_KEY, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.calendar import Period
    from bookings_analytics.metrics.clustering import Count

ATTENDED: Final = Measure("n_attended", "_recorded")
RECORDED: Final = Measure("_recorded", "_held")
TOTALS: Final = (  # value, interval, the shares q that deviations are taken from, S, the level that gave its term
    *("value", "value_ci_low", "value_ci_high", "_q", "_S", "_level", "n", "n_customers", "recorded_share"),
)


@dataclass(frozen=True)
class Measured:
    """A rate of every group.

    Attributes:
        totals: One row per group: its columns and `TOTALS`; ``_level`` is the place in `LEVELS` of what gave the slot
            term, null without.
        customers: Group columns, `CUSTOMER_KEY`, hits ``_y`` and trials ``_n``: one row per customer and group; None:
            the rate's groups are taken as independent.
        units: Level → group columns, studio, the unit, trials ``_n`` and their correlation ``_rho``: one row per unit
            and group.
        places: Level → group columns, `PLACE_KEY`, ``_y``, ``_n`` and ``_rho``: one row per place and group, of
            customers who are in several groups; empty where no place can be in two.
    """

    totals: nw.LazyFrame[Any]
    customers: nw.LazyFrame[Any] | None
    units: Mapping[Level, nw.LazyFrame[Any]] = field(default_factory=dict)
    places: Mapping[Level, nw.LazyFrame[Any]] = field(default_factory=dict)

    def settled(self, by: Sequence[str]) -> Measured:
        """Compute the totals now, for the groups they name and whatever a comparison makes of them."""
        return replace(self, totals=settled(self.totals.select(*by, *TOTALS)))


class _Measuring(Protocol):
    def __call__(
        self, rows: nw.LazyFrame[Any], groups: Groups, confidence: float, *, among: nw.LazyFrame[Any]
    ) -> Measured: ...


def _of_seats(
    rows: nw.LazyFrame[Any],
    groups: Groups,
    confidence: float,
    *,
    among: nw.LazyFrame[Any],
    m: Measure,
    count_by: Count = counts_of,
) -> Measured:
    needed = ("_recorded", "_held", *((*KINDS,) if count_by is counts_of_seats else ()))
    sums = {name: nw.col(name).sum() for name in needed} | {"n_customers": count(nw.col(m.n) > 0)}
    pooled = pooled_correlations(among, count_by, levels_of(rows), [m], in_polars=True)
    totals = clustered_totals(rows, groups, count_by, [m], sums, pooled=pooled)
    slot, day = (nw.col(m(level.name)) for level in LEVELS)
    of_recorded = m.n in {NO_SHOW.n, UNUSED.n}
    recorded = share(nw.col("_recorded"), nw.col("_held")) if of_recorded else nw.lit(None, nw.Float64)
    totals = with_rates(totals, confidence, value=Rate(*m, m("deff"), m("effective"))).with_columns(
        n=nw.col(m.n),
        recorded_share=recorded,
        _q=nw.col(m("q")),
        _S=spread(m),
        _level=nw.when(slot >= day).then(0).otherwise(1),
    )
    attached = groups.attach(rows)
    trials = {"_y": nw.col(m.y), "_n": nw.col(m.n)}

    def per(*key: str, frame: nw.LazyFrame[Any] = attached) -> nw.LazyFrame[Any]:
        named = tuple(dict.fromkeys((*key, *groups.by)))
        return count_by(frame, named).with_columns(**trials).filter(nw.col("_n") > 0).select(*named, *trials)

    units, places = {}, {}
    in_two = set(groups.by) - set(groups.own) - set(CUSTOMER_KEY)  # cohorts overlap, classes and weeks do not
    for level, correlation in pooled.items():
        dated = attached.filter(~nw.col(level.unit).is_null())
        rho = correlation.select("studio", _rho=nw.col(m("correlation")))
        units[level] = per("studio", level.unit, frame=dated).join(rho, on="studio", how="left")
        if in_two:
            shared = dated.join(_in_several(groups), on=list(CUSTOMER_KEY), how="semi")
            places[level] = per(*PLACE_KEY, frame=shared).join(rho, on="studio", how="left")
    return Measured(totals, per(*CUSTOMER_KEY), units, places)


def _in_several(groups: Groups) -> nw.LazyFrame[Any]:
    """List the customers of the base who are in more than one group of the cohorts: few, whose places are many."""
    if groups.members is None:
        raise ValueError("without cohorts, nobody is in several of their groups")
    base = groups.members.filter(nw.col(MEMBERS) == 1)
    counts = base.group_by(*CUSTOMER_KEY).agg(_groups=nw.len())
    return counts.filter(nw.col("_groups") > 1).select(*CUSTOMER_KEY)


def _of_cancellations(
    rows: nw.LazyFrame[Any], groups: Groups, confidence: float, *, among: nw.LazyFrame[Any], m: Measure
) -> Measured:
    check_days(among)
    found = _of_seats(rows, groups, confidence, among=among, m=m, count_by=counts_of_seats)
    return replace(found, totals=where_known(found.totals, "value", "value_ci_low", "value_ci_high"))


def _of_customers(
    rows: nw.LazyFrame[Any],
    groups: Groups,
    confidence: float,
    *,
    among: nw.LazyFrame[Any],  # noqa: ARG001 - which correlations are pooled from, where a rate has any
    hits: str,
    seats: str,
    fetches: IntoFrame | None = None,
) -> Measured:
    need_members(groups)
    n = nw.col("n_customers")
    totals = counted_of_base(rows, groups, fetches).with_columns(n=n, _deff=design_effect_of_ones(n))
    recorded = share(nw.col("_recorded"), nw.col("_held")) if seats == "n_attended" else nw.lit(None, nw.Float64)
    totals = (
        with_rates(totals, confidence, value=Rate(hits, "n", "_deff"))
        .with_columns(_q=(nw.col(hits) + 1) / (n + 2), recorded_share=recorded, _level=nw.lit(None, nw.Int64))
        .with_columns(_S=(n + 2) * nw.col("_q") * (1 - nw.col("_q")))
    )
    base = _of_their_weeks(base_of(totals, groups), rows, groups, fetches)
    booked = groups.attach(counts_of(rows, tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own)))))
    key = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.by)))
    found = booked.select(*key, _hit=nw.when(nw.col(seats) > 0).then(1).otherwise(0))
    customers = join_groups(base, found, key, how="left")
    return Measured(totals, customers.with_columns(_y=nw.col("_hit").fill_null(0), _n=nw.lit(1)).drop("_hit"))


def _of_their_weeks(
    base: nw.LazyFrame[Any], rows: nw.LazyFrame[Any], groups: Groups, fetches: IntoFrame | None
) -> nw.LazyFrame[Any]:
    """Keep the customers who are in the base of their week, as `counted_of_base` counts them."""
    if fetches is None or "week" not in groups.own:
        return base
    spans = customer_weeks(with_week_numbers(rows), with_week_numbers(base), fetches)
    return spans.filter(nw.col("week").is_null() | in_base()).select(*base.collect_schema().names())


def need_members(groups: Groups) -> nw.LazyFrame[Any]:
    """Return the customers of the groups.

    Raises:
        CohortError: There is no list of customers.
    """
    if groups.members is None:
        raise CohortError(
            "a rate of customers needs cohorts=: those who booked nothing are in its base, and only a list of "
            "customers names them."
        )
    return groups.members


def base_of(totals: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """List the customers in the base of each group, also those without a row: `CUSTOMER_KEY` and the group columns."""
    members = need_members(groups)
    shared = [name for name in groups.by if name not in groups.own]
    base = members.filter(nw.col(MEMBERS) == 1).drop(MEMBERS, NOT_READ)
    key = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.by)))
    return join_groups(base, totals.select(*groups.by), shared).select(*key) if groups.own else base.select(*key)


def _of_waits(
    rows: nw.LazyFrame[Any],
    groups: Groups,
    confidence: float,
    *,
    among: nw.LazyFrame[Any],  # noqa: ARG001 - which correlations are pooled from, where a rate has any
    cleared: bool,
) -> Measured:
    totals, customers = waits_of(rows, groups)
    rate = Rate("_cleared", "n_slots") if cleared else Rate(*CONVERTED, "_two_way")
    totals = with_rates(totals, confidence, value=rate).with_columns(
        n=nw.col(rate.n),
        _q=nw.col(CONVERTED("q")),
        _S=spread(CONVERTED) * nw.col("_two_way") / nw.col(CONVERTED("deff")),
        recorded_share=nw.lit(None, nw.Float64),
        _level=nw.lit(None, nw.Int64),
    )
    named = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.by)))
    waiting = customers.select(*named, _y=nw.col(CONVERTED.y), _n=nw.col(CONVERTED.n)).filter(nw.col("_n") > 0)
    return Measured(totals, None if cleared else waiting)


def _of_visits(
    rows: nw.LazyFrame[Any],
    groups: Groups,
    confidence: float,
    *,
    among: nw.LazyFrame[Any],
    rate: str,
    period: Period | None = None,
    fetches: IntoFrame | None = None,
) -> Measured:
    """Measure classes a week, of complete weeks or of a period's: S = φY(m - 1)/m, and deviations from the mean."""
    m = RATES_PER_WEEK[rate]
    counted = visit_totals(rows, groups, fetches, period=period, among=among)
    recorded = share(nw.col("n_seats") - nw.col("n_unrecorded"), nw.col("n_seats"))
    several = nw.when(nw.col("n_customers") > 0).then(nw.col("n_customers"))
    totals = with_counts_per_week(counted, confidence).with_columns(
        value=nw.col(rate),
        value_ci_low=nw.col(f"{rate}_ci_low"),
        value_ci_high=nw.col(f"{rate}_ci_high"),
        n=nw.col("n_weeks"),
        recorded_share=recorded if rate == "attended_per_week" else nw.lit(None, nw.Float64),
        _q=nw.col(rate),
        _S=nw.col(m("phi")) * nw.col(m.y) * (several - 1) / several,
        _level=nw.lit(None, nw.Int64),
    )
    customers = customers_of_visits(rows, groups, totals, among=among, fetches=fetches, period=period)
    return Measured(totals, customers.with_columns(_y=nw.col(m.y), _n=nw.col("_weeks")))


def measuring(rate: str, *, period: Period | None = None, fetches: IntoFrame | None = None) -> _Measuring:
    """Return what measures a rate.

    Args:
        rate: One of `MEASURING`.
        period: The weeks that all rows lie in, which classes a week are divided by; None: complete weeks.
        fetches: Every fetch, which limits the weeks of each customer in classes a week, and in the bases of single
            weeks; None: no limits.
    """
    if rate in RATES_PER_WEEK:
        return partial(_of_visits, rate=rate, period=period, fetches=fetches)
    if rate in _OF_CUSTOMERS:
        return partial(_OF_CUSTOMERS[rate], fetches=fetches)
    return MEASURING[rate]


_OF_CUSTOMERS: Final = {
    "booking_rate": partial(_of_customers, hits="n_booked", seats="_held"),
    "participation_rate": partial(_of_customers, hits="n_participated", seats="n_attended"),
}


MEASURING: Final[dict[str, _Measuring]] = {
    "no_show_rate": partial(_of_seats, m=NO_SHOW),
    "attendance_rate": partial(_of_seats, m=ATTENDED),
    "seat_rate": partial(_of_seats, m=SEATS),
    "cancellation_rate": partial(_of_seats, m=CANCELED),
    "late_cancel_rate": partial(_of_cancellations, m=LATE),
    "unused_rate": partial(_of_cancellations, m=UNUSED),
    **_OF_CUSTOMERS,
    "conversion_rate": partial(_of_waits, cleared=False),
    "clear_rate": partial(_of_waits, cleared=True),
    **{rate: partial(_of_visits, rate=rate) for rate in RATES_PER_WEEK},
}
OF_SEGMENTS: Final[dict[str, _Measuring]] = MEASURING | {"recorded_share": partial(_of_seats, m=RECORDED)}
