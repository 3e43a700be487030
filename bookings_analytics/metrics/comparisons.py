"""Which groups differ, and by more than chance: cohorts against a baseline, many classes against their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.engines import as_enum, lazy, like, ordered, rows_of
from bookings_analytics.metrics.groups import read_groups
from bookings_analytics.metrics.intervals import difference, dispersion, quantile, share
from bookings_analytics.metrics.rates import counted
from bookings_analytics.schema import COMPARISON, CUSTOMER_KEY, NO_SHOW_FUNNEL, POSITION, RATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame, IntoFrameT


def compare(
    rates: IntoFrameT, rate: str, *, baseline: object, cohorts: IntoFrame, by: str | Sequence[str]
) -> IntoFrameT:
    """Say by how much a rate of each group differs from that of a baseline group, and how surely.

    The interval of the difference has the confidence of the rates' own. Where it does not hold 0, the difference is
    more than chance at that level, for this one comparison: of twenty groups that are all alike, about one stands out.

    Args:
        rates: A frame of rates, one row per group of ``by``.
        rate: Which of its rates.
        baseline: The group to compare with: its value of ``by``; a tuple of values where ``by`` has several columns.
        cohorts: The cohorts that the rates were computed with.
        by: The column or columns of the cohorts that the rates were grouped by.

    Returns:
        One row per other group: its columns, then COMPARISON. Differences are of shares (0.05 is five percentage
        points), with the interval of Newcombe and of Zou & Donner (see `bookings_analytics.metrics.intervals`).

    Raises:
        CohortError: A group shares customers with the baseline, so that the two are not independent.
        ValueError: There is no such rate, no such baseline, or ``by`` does not tell the rates' rows apart.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 2, 3, 4],
        ...     "outcome": ["attended", "no_show", "no_show", "attended"],
        ... })
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 3, 4], "cohort": ["old", "old", "new", "old"]})
        >>> rates = ba.no_shows(outcomes, cohorts, by="cohort")
        >>> differences = ba.compare(rates, "no_show_rate", baseline="old", cohorts=cohorts, by="cohort")
        >>> differences.select("cohort", "difference", "n", "baseline_n").rows()
        [('new', 0.66..., 1, 3)]
    """
    columns = (by,) if isinstance(by, str) else tuple(by)
    group = baseline if isinstance(baseline, tuple) else (baseline,)
    table = lazy(rates)
    _check_rates(table, rate, columns, group)
    _check_no_shared_customers(lazy(cohorts), columns, group)
    values = [rate, f"{rate}_ci_low", f"{rate}_ci_high"]
    table = table.with_columns(_n=nw.sum_horizontal(*RATES[rate].trials), _baseline=_is(columns, group))
    against = table.filter(nw.col("_baseline") == 1).select(
        nw.col(*values).name.prefix("_baseline_"), nw.col("_n").alias("baseline_n")
    )
    result = table.filter(nw.col("_baseline") == 0).join(against, how="cross")
    named = result.with_columns(
        *difference(rate, f"_baseline_{rate}"),
        rate=nw.lit(rate),
        baseline=nw.lit(", ".join(str(value) for value in group)),
        value=nw.col(rate),
        baseline_value=nw.col(f"_baseline_{rate}"),
        n=nw.col("_n"),
    )
    return like(rates, ordered(named, columns, COMPARISON))


def no_show_funnel(outcomes: IntoFrameT, cohorts: IntoFrame | None = None, *, by: str | Sequence[str]) -> IntoFrameT:
    """Set each group's no-show rate against the limits that chance alone would keep it within.

    For many groups, such as classes: those outside the limits differ from the mean, and the order of those inside says
    nothing. Of 1000 groups that are all alike, about 50 lie outside the 95 % limits and a few outside the 99.8 % ones.

    Args:
        outcomes: As for `no_shows`.
        cohorts: The same.
        by: The column or columns of the groups, such as ``"class_id"``, in a chain ``["studio", "class_id"]``.

    Returns:
        One row per group: its columns, then NO_SHOW_FUNNEL. ``center`` is the rate of all groups together; the limits
        lie around it at center ± z√(D·center·(1 - center)/n_recorded), kept within 0 and 1 (Spiegelhalter, Statistics
        in Medicine 24, 2005). ``dispersion`` is D, how much more than independent seats the seats of the same customers
        vary (see `bookings_analytics.metrics.intervals.dispersion`).

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
    bookings, groups = read_groups(outcomes, cohorts, by, result=NO_SHOW_FUNNEL)
    between, binomial = dispersion("n_no_show", "_recorded")
    result = (
        counted(bookings, groups)
        .with_columns(
            n_customers=nw.col("_customers_recorded"),
            n_recorded=nw.col("_recorded"),
            no_show_rate=share(nw.col("n_no_show"), nw.col("_recorded")),
            _between=between,
            _binomial=binomial,
        )
        .with_columns(
            center=share(nw.col("n_no_show").sum(), nw.col("n_recorded").sum()),
            dispersion=share(nw.col("_between").sum(), nw.col("_binomial").sum()).fill_null(1.0).clip(lower_bound=1.0),
        )
        .with_columns(*_limits("limit_95", 0.95), *_limits("limit_998", 0.998))
        .with_columns(position=_position())
    )
    return like(outcomes, as_enum(ordered(result, groups.by, NO_SHOW_FUNNEL), "position", POSITION))


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


def _is(columns: Sequence[str], group: Sequence[object]) -> nw.Expr:
    """1 in the rows of one group and 0 in all others; None is the group that null names."""
    values = zip(columns, group, strict=True)
    same = (nw.col(name).is_null() if value is None else nw.col(name) == value for name, value in values)
    return nw.when(nw.all_horizontal(*same, ignore_nulls=False)).then(1).otherwise(0)


def _check_rates(rates: nw.LazyFrame[Any], rate: str, columns: Sequence[str], baseline: tuple[object, ...]) -> None:
    names = rates.collect_schema().names()
    known = [name for name in RATES if f"{name}_ci_low" in names]
    if rate not in known:
        raise ValueError(f"{rate!r} is no rate with an interval in this frame. To choose from: {', '.join(known)}.")
    if absent := [name for name in columns if name not in names]:
        raise ValueError(f"by names {', '.join(absent)}, but the rates are not grouped by that; group them so first.")
    groups = rows_of(rates.select(*columns))
    if len(set(groups)) < len(groups):
        raise ValueError(
            f"the rates have several rows for one group of {', '.join(columns)}; give compare all of its by."
        )
    if baseline not in groups:
        shown = ", ".join(str(group[0] if len(group) == 1 else group) for group in sorted(groups, key=str)[:20])
        raise ValueError(
            f"baseline {baseline[0] if len(baseline) == 1 else baseline!r} is no group of the rates: {shown}."
        )


def _check_no_shared_customers(
    cohorts: nw.LazyFrame[Any], columns: Sequence[str], baseline: tuple[object, ...]
) -> None:
    names = cohorts.collect_schema().names()
    if absent := [name for name in columns if name not in names]:
        raise ValueError(
            f"by names {', '.join(absent)}, which the cohorts lack: only groups of different customers can be compared."
        )
    if "studio" not in names:
        cohorts = cohorts.with_columns(studio=nw.lit(None, nw.String))
    cohorts = cohorts.with_columns(nw.col("studio").fill_null(nw.col("studio").max()))  # rates fill in the only studio
    customers = cohorts.group_by(*dict.fromkeys((*CUSTOMER_KEY, *columns))).agg(_rows=nw.len())
    shared = rows_of(
        customers.with_columns(_baseline=_is(columns, baseline))
        .with_columns(_shared=nw.col("_baseline").max().over(*CUSTOMER_KEY))
        .filter(nw.col("_baseline") == 0, nw.col("_shared") == 1)
        .group_by(*columns)
        .agg(_n=nw.len())
        .sort(*columns)
    )
    if shared:
        told = ", ".join(f"{', '.join(map(str, group))} shares {n}" for *group, n in shared)
        raise CohortError(
            f"these groups share customers with {', '.join(map(str, baseline))}: {told}. The interval of a difference "
            "needs groups of different customers; take the shared ones out of one of the two."
        )
