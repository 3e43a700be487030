"""The difference of two groups' rates, with what they share: the covariance from sums over customers and slots.

Two groups that share customers or class slots are not independent: what both have in common cancels out of their
difference, or counts twice. The covariance of the two rates, from sums over the customers and slots that are in both,
goes into the interval of the difference (`bookings_analytics.metrics.intervals.difference`)::

    C = sum_i (y_i1 - q1 n_i1)(y_i2 - q2 n_i2) + sqrt(q1(1 - q1) q2(1 - q2)) sum_s rho_s (n_1s n_2s - n_12s)
    r = C / sqrt(S1 S2)

over customers i and slots (or days) s, with rho the correlation of two trials of one slot, n_12s the seats that are in
both groups, and S the sum of squares that each rate's design effect stands for. The first sum is MOVER with a
correlation (Newcombe 1998; Zou & Donner 2008), the second this package's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from bookings_analytics.metrics.clustering import LEVELS
from bookings_analytics.metrics.engines import aggregate, join_groups, lazy
from bookings_analytics.metrics.intervals import difference
from bookings_analytics.metrics.measured import MEASURING, Measured
from bookings_analytics.schema import CUSTOMER_KEY, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.groups import Groups

_SHARED: Final = ("_yy", "_yn", "_ny", "_nn", "n_shared_customers")
_UNITS: Final = tuple(f"_{level.name}" for level in LEVELS)


def check_rate(outcomes: IntoFrame, rate: str) -> None:
    """Check that these are outcomes, and that the rate is one to compare.

    Raises:
        ValueError: They are a frame of rates, or there is no such rate.
    """
    names = lazy(outcomes).collect_schema().names()
    if rate in names and "customer_id" not in names:
        raise ValueError(
            "this is a frame of rates, and the interval of a difference needs each customer's bookings: pass the "
            "outcomes, and the rate's name."
        )
    if rate not in MEASURING:
        raise ValueError(f"{rate!r} is not a rate to compare. To choose from: {', '.join(MEASURING)}.")


def with_difference(result: nw.LazyFrame[Any], shared: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any]:
    """Add the difference to rows with both sides' `TOTALS`, from the sums over what they share."""
    result = join_groups(result, shared, groups.by, how="left").with_columns(nw.col(*_SHARED, *_UNITS).fill_null(0))
    q1, q2 = nw.col("_q"), nw.col("_baseline__q")
    leveled = ~nw.col("_level").is_null() & ~nw.col("_baseline__level").is_null()
    result = result.with_columns(
        _covariance=nw.col("_yy") - q2 * nw.col("_yn") - q1 * nw.col("_ny") + q1 * q2 * nw.col("_nn"),
        _scale=(nw.when(leveled).then(q1 * (1 - q1) * q2 * (1 - q2))).sqrt().fill_null(0.0),  # of shares alone
        _product=(nw.col("_S") * nw.col("_baseline__S")).sqrt(),
    )
    unit = nw.lit(0.0)
    for number, level in enumerate(LEVELS):
        both = (nw.col("_level") == number) & (nw.col("_baseline__level") == number)
        unit = nw.when(both).then(nw.col(f"_{level.name}")).otherwise(unit)
    result = result.with_columns(_unit=unit)
    result = result.with_columns(_C=nw.col("_covariance") + nw.col("_scale") * nw.col("_unit"))
    result = result.with_columns(
        _r=(nw.col("_C") / nw.when(nw.col("_product") > 0).then(nw.col("_product"))).clip(-1.0, 1.0).fill_null(0.0)
    )
    return result.with_columns(
        *difference("value", "_baseline_value", nw.col("_r")),
        baseline_value=nw.col("_baseline_value"),
        n=nw.col("n").fill_null(0),
        n_customers=nw.col("n_customers").fill_null(0),
        baseline_n_customers=nw.col("_baseline_n_customers").fill_null(0),
        baseline_n=nw.col("_baseline_n").fill_null(0),
        baseline_recorded_share=nw.col("_baseline_recorded_share"),
    )


def shared_with_one(found: Measured, groups: Groups, group: Sequence[object]) -> nw.LazyFrame[Any]:
    """Sum up what each group shares with one of them: one row per group."""
    parts = [_none_of(found.totals, groups.by)]

    def both(frame: nw.LazyFrame[Any], *key: str) -> nw.LazyFrame[Any]:
        one = frame.filter(is_group(groups.by, group) == 1)
        one = one.select(*key, _y2=nw.col("_y"), _n2=nw.col("_n"))
        return frame.join(one, on=list(key), how="inner")

    if found.customers is not None:
        parts.append(_products(both(found.customers, *CUSTOMER_KEY), groups.by))
    for level, units in found.units.items():
        parts.append(_pairs(both(units, "studio", level.unit), groups.by, f"_{level.name}", 1.0))
    for level, places in found.places.items():  # a seat does not make a pair with itself
        parts.append(_pairs(both(places, *PLACE_KEY), groups.by, f"_{level.name}", -1.0))
    return _summed(parts, groups.by)


def shared_over_time(now: Measured, then: Measured, groups: Groups) -> nw.LazyFrame[Any]:
    """Sum up what each group's two periods share, which no slot and no day is in: one row per group."""
    parts = [_none_of(side.totals, groups.by) for side in (now, then)]
    if now.customers is not None and then.customers is not None:
        key = tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.by)))
        earlier = then.customers.select(*key, _y2=nw.col("_y"), _n2=nw.col("_n"))
        parts.append(_products(join_groups(now.customers, earlier, key), groups.by))
    return _summed(parts, groups.by)


def _products(both: nw.LazyFrame[Any], by: Sequence[str]) -> nw.LazyFrame[Any]:
    y1, n1, y2, n2 = (nw.col(name) for name in ("_y", "_n", "_y2", "_n2"))
    return aggregate(
        both,
        by,
        {
            "_yy": (y1 * y2).sum(),
            "_yn": (y1 * n2).sum(),
            "_ny": (n1 * y2).sum(),
            "_nn": (n1 * n2).sum(),
            "n_shared_customers": nw.when((n1 > 0) & (n2 > 0)).then(1).otherwise(0).sum(),
        },
    )


def _pairs(both: nw.LazyFrame[Any], by: Sequence[str], name: str, sign: float) -> nw.LazyFrame[Any]:
    """Sum up the pairs of trials that share a unit, by their correlation."""
    studios = aggregate(
        both,
        tuple(dict.fromkeys(("studio", *by))),
        {"_pairs": (nw.col("_n") * nw.col("_n2")).sum()},
        {"_correlation": nw.col("_rho").max()},
    )
    return studios.select(*by, (nw.col("_pairs") * nw.col("_correlation") * sign).alias(name))


def _none_of(totals: nw.LazyFrame[Any], by: Sequence[str]) -> nw.LazyFrame[Any]:
    """List the groups, with nothing shared."""
    nothing = {name: nw.lit(0, nw.Int64) for name in _SHARED} | {name: nw.lit(0.0) for name in _UNITS}
    return totals.select(*by, **nothing) if by else totals.with_columns(**nothing).select(*nothing)


def _summed(parts: Sequence[nw.LazyFrame[Any]], by: Sequence[str]) -> nw.LazyFrame[Any]:
    counts, amounts = ({name: nw.col(name).sum() for name in names} for names in (_SHARED, _UNITS))
    return aggregate(nw.concat(parts, how="diagonal"), by, counts, amounts)


def is_group(columns: Sequence[str], group: Sequence[object]) -> nw.Expr:
    """Return 1 in the rows of one group and 0 in all others; None is the group that null names."""
    values = zip(columns, group, strict=True)
    same = (nw.col(name).is_null() if value is None else nw.col(name) == value for name, value in values)
    return nw.when(nw.all_horizontal(*same, ignore_nulls=False)).then(1).otherwise(0)
