"""The funnel plot's numbers: many groups against the limits that chance alone would keep them within."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from bookings_analytics.metrics.counts import NO_SHOW, counts_of
from bookings_analytics.metrics.design_effects import Measure, cluster_sums, dispersion
from bookings_analytics.metrics.engines import as_enum, like, of_outcomes
from bookings_analytics.metrics.grouping import read_groups
from bookings_analytics.metrics.intervals import share
from bookings_analytics.metrics.quantiles import quantile
from bookings_analytics.schema import CUSTOMER_KEY, HELD, NO_SHOW_FUNNEL, POSITION, SLOT_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT

    from bookings_analytics.metrics.groups import Groups

_IN_SLOT = Measure("_no_show_in_slot", "_recorded_in_slot")


@of_outcomes
def no_show_funnel(outcomes: IntoFrameT, cohorts: IntoFrame | None = None, *, by: str | Sequence[str]) -> IntoFrameT:
    """Compare each group's no-show rate with the limits that chance alone would keep it within.

    For many groups, such as classes: those outside the limits differ from the mean, and the order of those inside says
    nothing. Of 1000 groups that are all alike, about 50 lie outside the 95 % limits and a few outside the 99.8 % ones.

    Args:
        outcomes: One row per studio, customer and class slot: OUTCOMES of `bookings_analytics.schema`.
        cohorts: Whose seats to count: rows of customers, with their ``fetch_outcome`` if known; None: all customers of
            the outcomes.
        by: The column or columns of the groups, such as ``"class_id"``, in a chain ``["studio", "class_id"]``.

    Returns:
        One row per group: its columns, then NO_SHOW_FUNNEL. ``center`` is the rate of all groups together; the limits
        lie around it at center ± z√(D·center·(1 - center)/n_recorded), kept within 0 and 1 (Spiegelhalter, Statistics
        in Medicine 24, 2005). ``dispersion`` is D = D_customers + D_slots - 1: how much more than independent seats the
        seats of the same customers and those of the same class slots vary (see
        `bookings_analytics.metrics.design_effects.dispersion`). ``recorded_share`` is the share of seats in completed
        classes whose attendance was recorded.

    Raises:
        CohortError: The cohorts do not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names no column or an ambiguous one.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": range(200),
        ...     "class_id": [7] * 100 + [8] * 100,
        ...     "outcome": ["attended"] * 95 + ["no_show"] * 35 + ["attended"] * 70,
        ... })
        >>> ba.no_show_funnel(outcomes, by="class_id").select("class_id", "no_show_rate", "center", "position").rows()
        [(7, 0.05, 0.175, 'below_998'), (8, 0.3, 0.175, 'above_998')]
    """
    bookings, groups = read_groups(outcomes, cohorts, by, result=NO_SHOW_FUNNEL, counting=nw.col("outcome").is_in(HELD))
    totals = _totals(bookings, groups).with_columns(
        n_customers=nw.col("_customers_recorded"),
        n_recorded=nw.col("_recorded"),
        no_show_rate=share(nw.col("n_no_show"), nw.col("_recorded")),
        recorded_share=share(nw.col("_recorded"), nw.col("_held")),
    )
    for clusters, measure in (("customers", NO_SHOW), ("slots", _IN_SLOT)):
        between, binomial = dispersion(*measure)
        totals = totals.with_columns(_between=between, _binomial=binomial).with_columns(
            share(nw.col("_between").sum(), nw.col("_binomial").sum())
            .fill_null(1.0)
            .clip(lower_bound=1.0)
            .alias(f"_D({clusters})")
        )
    result = (
        totals.with_columns(
            center=share(nw.col("n_no_show").sum(), nw.col("n_recorded").sum()),
            dispersion=nw.col("_D(customers)") + nw.col("_D(slots)") - 1,
        )
        .with_columns(*_limits("limit_95", 0.95), *_limits("limit_998", 0.998))
        .with_columns(position=_position())
    )
    return like(outcomes, as_enum(groups.result(result, NO_SHOW_FUNNEL), "position", POSITION))


def _totals(bookings: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Total up each group's customers and slots."""
    customers = groups.attach(counts_of(bookings, tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own)))))
    parts = [customers]
    if "class_slot_id" in bookings.collect_schema().names():
        slots = counts_of(groups.attach(bookings), tuple(dict.fromkeys((*SLOT_KEY, *groups.by))))
        hits = dict(zip(_IN_SLOT, (nw.col(name) for name in NO_SHOW), strict=True))
        parts.append(slots.with_columns(**hits).select(*groups.by, *hits))
    else:
        parts[0] = customers.with_columns(**dict.fromkeys(_IN_SLOT, nw.lit(0)))
    named = ("n_attended", "_held")
    sums = {name: nw.col(name).sum() for name in named} | {
        "_customers_recorded": nw.when(nw.col("_recorded") > 0).then(1).otherwise(0).sum(),
        **cluster_sums(*NO_SHOW),
        **cluster_sums(*_IN_SLOT),
    }
    return groups.totals(nw.concat(parts, how="diagonal"), sums)


def _limits(name: str, level: float) -> list[nw.Expr]:
    center, z = nw.col("center"), quantile(level)
    half = z * share(nw.col("dispersion") * center * (1 - center), nw.col("n_recorded")).sqrt()
    return [
        (center - half).clip(lower_bound=0.0).alias(f"{name}_low"),
        (center + half).clip(upper_bound=1.0).alias(f"{name}_high"),
    ]


def _position() -> nw.Expr:
    value = nw.col("no_show_rate")
    return (
        nw.when(value < nw.col("limit_998_low"))
        .then(nw.lit("below_998"))
        .when(value < nw.col("limit_95_low"))
        .then(nw.lit("below_95"))
        .when(value > nw.col("limit_998_high"))
        .then(nw.lit("above_998"))
        .when(value > nw.col("limit_95_high"))
        .then(nw.lit("above_95"))
        .when(~value.is_null())
        .then(nw.lit("within"))
    )
