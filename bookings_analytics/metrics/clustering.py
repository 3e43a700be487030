"""How alike the trials of one customer, one class slot or one day are, and how much precision that costs.

Twenty seats of one class that a storm emptied say less than one seat of each of twenty classes. Every interval of a
rate of seats or requests is widened by two things:

* `bookings_analytics.metrics.design_effects`: how much the group's own customers cluster;
* `correlations`: how alike trials of one slot (within a class) and of one day (within a weekday) are, pooled once per
  studio from all rows, and `unit_terms`: how many trials of the group share a slot or a day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import narwhals as nw

from bookings_analytics.metrics.design_effects import (
    Measure,
    cluster_sums,
    clusters_of,
    product_of,
    with_design_effects,
)
from bookings_analytics.metrics.engines import aggregate, settled
from bookings_analytics.metrics.intervals import share
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bookings_analytics.metrics.groups import Groups

    Count = Callable[[nw.LazyFrame[Any], Sequence[str]], nw.LazyFrame[Any]]  # rows, key → one row per key with counts

LEAST_UNITS: Final = 10  # slots or days with two trials; with fewer, a correlation can't be estimated
_DECIMALS: Final = 12  # sums of fractions differ in the last digits from run to run; results should not


class Level(NamedTuple):
    """Units whose trials resemble each other: slots of a class, days of a weekday."""

    name: str
    unit: str
    within: str


LEVELS: Final = (Level("slot", "class_slot_id", "class_id"), Level("day", "class_day", "weekday"))


def levels_of(rows: nw.LazyFrame[Any]) -> list[Level]:
    """List the levels whose columns the rows have; without slots there is none."""
    names = rows.collect_schema().names()
    if not {"class_id", "class_slot_id"} <= set(names):
        return []
    return [level for level in LEVELS if level.unit in names and level.within in names]


def correlations(rows: nw.LazyFrame[Any], count: Count, level: Level, measures: Sequence[Measure]) -> nw.LazyFrame[Any]:
    """Estimate how alike two trials of one unit are, pooled per studio over all classes (or weekdays).

    Over the classes with S ≥ 2 slots that have trials, with y hits of n trials in a slot and p = Y/N in its class:
    D = Σ S/(S-1) Σ(y - pn)² / Σ N p(1-p), B = Σ p(1-p) Σn² / Σ N p(1-p), correlation = (D - 1)/(B - 1), kept within
    0 and 1, which the estimate of little data can leave; 0 also where fewer than `LEAST_UNITS` units have two trials.
    This solves deff = 1 + (B - 1)·correlation (Kish, Survey Sampling, 1965; Cochran 1977, chapter 11) with the design
    effect of Rao & Scott (Biometrics 48, 1992).

    Units of classes without a hit (or a miss) count among the `LEAST_UNITS`: where hits are rare and come together,
    most classes have none, and it is just there that the few slots with hits say how alike seats are.

    Args:
        rows: All rows of the outcomes, whatever is asked about.
        count: How to count hits and trials of the rows of each key.
        level: Slots of a class or days of a weekday.
        measures: The measures.

    Returns:
        One row per studio: ``studio`` and, for each measure, its correlation.
    """
    units = count(rows.filter(~nw.col(level.unit).is_null()), ("studio", level.within, level.unit))
    sums = {name: each for m in measures for name, each in cluster_sums(*m).items()}
    pairs = {_pairs(m.n): nw.when(nw.col(m.n) >= 2).then(1).otherwise(0).sum() for m in measures}  # noqa: PLR2004 - a pair
    classes = units.group_by("studio", level.within).agg(**sums, **pairs)
    shares = {m("p"): share(nw.col(m.y), nw.col(m.n)) for m in measures}
    variance = {m("pq"): nw.col(m("p")) * (1 - nw.col(m("p"))) for m in measures}
    classes = classes.with_columns(**shares).with_columns(**variance, **{m("spread"): _around(m) for m in measures})
    terms = {name: each for m in measures for name, each in _pooled(m).items()}
    studios = classes.with_columns(**terms).group_by("studio").agg(nw.col(*terms).sum())
    ratios = {
        m(part): share(nw.col(m(f"{part} sum")), nw.col(m("binomial"))) - 1 for m in measures for part in ("D", "B")
    }
    estimated = {
        m("correlation"): nw.when((nw.col(m("B")) > 0) & (nw.col(m("pairs")) >= LEAST_UNITS))
        .then(nw.col(m("D")) / nw.when(nw.col(m("B")) > 0).then(nw.col(m("B"))))
        .otherwise(0.0)
        .clip(0.0, 1.0)
        .round(_DECIMALS)
        for m in measures
    }
    return studios.with_columns(**ratios).with_columns(**estimated).select("studio", *estimated)


def _around(m: Measure) -> nw.Expr:
    """Compute the sum of squares Σ(y - pn)² of a class."""
    p = nw.col(m("p"))
    return nw.col(product_of(m.y, m.y)) - 2 * p * nw.col(product_of(m.y, m.n)) + p * p * nw.col(product_of(m.n, m.n))


def _pooled(m: Measure) -> dict[str, nw.Expr]:
    units, pq = nw.col(clusters_of(m.n)), nw.col(m("pq"))
    several = nw.when(units > 1)
    return {
        m("D sum"): several.then(nw.col(m("spread")) * units / (units - 1)).otherwise(0.0),
        m("B sum"): several.then(pq * nw.col(product_of(m.n, m.n))).otherwise(0.0),
        m("binomial"): several.then(pq * nw.col(m.n)).otherwise(0.0),
        m("pairs"): several.then(nw.col(_pairs(m.n))).otherwise(0),
    }


def unit_terms(
    rows: nw.LazyFrame[Any],
    count: Count,
    level: Level,
    measures: Sequence[Measure],
    *,
    by: Sequence[str],
    correlation: nw.LazyFrame[Any],
) -> nw.LazyFrame[Any]:
    """Compute what slots (or days) add to the variance of their group: one row per studio and group.

    Args:
        rows: The rows of the groups, once for each group.
        count: How to count hits and trials of the rows of each key.
        level: Slots or days.
        measures: The measures.
        by: The group columns.
        correlation: What `correlations` returned.

    Returns:
        The columns ``by`` and those of `term_sums`.
    """
    units = count(rows.filter(~nw.col(level.unit).is_null()), tuple(dict.fromkeys(("studio", level.unit, *by))))
    pairs = {m("pairs"): nw.col(m.n) * (nw.col(m.n) - 1) for m in measures}
    sums = {name: nw.col(name).sum() for name in (*pairs, *(m.n for m in measures))}  # whole: exact in any order
    studios = aggregate(units.with_columns(**pairs), tuple(dict.fromkeys(("studio", *by))), sums)
    columns = {}
    for m in measures:
        columns[m(f"{level.name} term")] = nw.col(m("correlation")) * nw.col(m("pairs"))
        columns[m(f"{level.name} weight")] = nw.col(m("correlation")) * nw.col(m.n)
        columns[m(f"{level.name} trials")] = nw.col(m.n) * nw.lit(1.0)
    return studios.join(correlation, on="studio", how="left").with_columns(**columns).select(*by, *columns)


def term_sums(level: Level, measures: Iterable[Measure]) -> dict[str, nw.Expr]:
    """Name the sums over the rows of `unit_terms`."""
    names = [m(f"{level.name} {part}") for m in measures for part in ("term", "weight", "trials")]
    return {name: nw.col(name).sum() for name in names}


def with_unit_terms(totals: nw.LazyFrame[Any], *measures: Measure, levels: Sequence[Level]) -> nw.LazyFrame[Any]:
    """Add to each design effect what its group's slots or days share: Σ correlation·n(n - 1)/N, the larger of the two.

    Args:
        totals: One row per group, with the sums of `term_sums` and the columns of `with_design_effects`.
        measures: The measures.
        levels: The levels whose sums are there.

    Returns:
        The totals with ``deff`` the whole design effect, ``slot`` and ``day`` (each level's term, 0 without it) and
        ``slot correlation`` and ``day correlation`` (of several studios the mean weighted by the group's trials;
        null without the level).
    """
    columns: dict[str, nw.Expr] = {}
    for m in measures:
        for level in LEVELS:
            trials = nw.col(m(f"{level.name} trials"))
            there = level in levels
            term, mean = (
                share(nw.col(m(f"{level.name} {part}")), trials).round(_DECIMALS) for part in ("term", "weight")
            )
            term, mean = (term.fill_null(0.0), mean) if there else (nw.lit(0.0), nw.lit(None, nw.Float64))
            columns |= {m(level.name): term, m(f"{level.name} correlation"): mean}
    whole = {m("deff"): nw.col(m("deff")) + nw.max_horizontal(*(m(level.name) for level in LEVELS)) for m in measures}
    used = [name for level in levels for name in term_sums(level, measures)]
    return totals.with_columns(**columns).with_columns(**whole).drop(*used)


def pooled_correlations(
    rows: nw.LazyFrame[Any],
    count: Count,
    levels: Iterable[Level],
    measures: Sequence[Measure],
    *,
    in_polars: bool = False,
) -> dict[Level, nw.LazyFrame[Any]]:
    """Compute the `correlations` of each level, `settled` for all that use them."""
    return {level: settled(correlations(rows, count, level, measures), in_polars=in_polars) for level in levels}


def clustered_totals(
    bookings: nw.LazyFrame[Any],
    groups: Groups,
    count: Count,
    measures: Sequence[Measure],
    sums: Mapping[str, nw.Expr],
    *,
    among: nw.LazyFrame[Any] | None = None,
    pooled: Mapping[Level, nw.LazyFrame[Any]] | None = None,
) -> nw.LazyFrame[Any]:
    """Total up the groups of one call, with the design effects of its rates: one row per group.

    Args:
        bookings: The rows to count.
        groups: The groups.
        count: How to count hits and trials, and whatever ``sums`` needs, of the rows of each key.
        measures: The rates' hits and trials.
        sums: Further totals, from one row per customer.
        among: All rows of the outcomes, which correlations are pooled from whatever is counted; None: ``bookings``.
        pooled: These correlations, where they are known already: what `pooled_correlations` returned.

    Returns:
        What `Groups.totals` returns, with the columns of `with_design_effects` and `with_unit_terms`.
    """
    levels = levels_of(bookings) if measures else []
    rows = groups.attach(bookings) if levels else bookings
    parts = [groups.attach(count(bookings, tuple(dict.fromkeys((*CUSTOMER_KEY, *groups.own)))))]
    amounts: dict[str, nw.Expr] = {}
    pooled = pooled or pooled_correlations(bookings if among is None else among, count, levels, measures)
    for level in levels:
        parts.append(unit_terms(rows, count, level, measures, by=groups.by, correlation=pooled[level]))
        amounts |= term_sums(level, measures)
    sums = dict(sums) | {name: each for m in measures for name, each in cluster_sums(*m).items()}
    totals = groups.totals(nw.concat(parts, how="diagonal"), sums, amounts)
    if not measures:
        return totals
    products = dict.fromkeys(
        product_of(*pair) for m in measures for pair in ((m.n, m.n), (m.y, m.n), (m.y, m.y))
    )  # what a plan carries on, it repeats at every step
    return with_unit_terms(with_design_effects(totals, *measures).drop(*products), *measures, levels=levels)


def effective_columns(m: Measure) -> dict[str, nw.Expr]:
    """Name the columns that stand beside a rate of clustered trials."""
    return {
        "n_effective_customers": nw.col(m("effective")),
        "slot_correlation": nw.col(m("slot correlation")),
        "day_correlation": nw.col(m("day correlation")),
    }


def spent(*measures: Measure) -> list[str]:
    """Name what a comparison needs and a rate alone does not, to drop it: a plan repeats at every step what it carries.

    Args:
        measures: The measures of `clustered_totals`, once `effective_columns` is taken from them.
    """
    parts = ("q", "base", "corrected", *(f"{level.name}{part}" for level in LEVELS for part in ("", " correlation")))
    return [m(part) for m in measures for part in parts]


def _pairs(n: str) -> str:
    return f"_pairs({n})"
