"""Who is in which group: the part that all rates share.

A group is named by the columns of ``by``. Those of the cohorts frame say which customers it has; those that only the
outcomes have (a class, say) split these customers' bookings further. Group columns are never joined on, because a join
would lose the groups that null names.

A rate reads the same everywhere: `read_groups`, count per customer (or slot), `Groups.attach`, `Groups.totals`, the
formulas of `bookings_analytics.metrics.intervals`, `Groups.result`, `like`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw
import polars as pl

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.engines import aggregate, join_groups, lazy, ordered, rows_of
from bookings_analytics.schema import CLASS_KEY, CUSTOMER_KEY, OUTCOME, PERIOD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

MEMBERS = "_members"  # customers of a group who could be read
NOT_READ = "_not_read"  # customers of a group who could not
_COUNTS = frozenset(f"n_{kind}" for kind in OUTCOME.categories)


@dataclass(frozen=True)
class Groups:
    """The groups of one call.

    Attributes:
        by: The group columns, in the order of the result.
        own: Those of them that only the outcomes have.
        members: One row per customer and group of the cohorts frame: `CUSTOMER_KEY`, the columns of ``by`` that are not
            ``own``, and 1 or 0 in `MEMBERS` and `NOT_READ`. None without a cohorts frame.
        listed: ``cohort`` → its values and their places in the list; empty where no order is kept.
        expected: The columns of ``by``: groups that a result has also where no row is counted; None: no further ones.
        period: The columns of ``by`` and those of `schema.PERIOD` that the outcomes allow; None: they carry no days.
        titles: ``class_id``, with ``studio`` where that is a group column too, and ``class_title``; None: ``class_id``
            is no group column, or the outcomes carry no titles.
    """

    by: tuple[str, ...]
    own: tuple[str, ...]
    members: nw.LazyFrame[Any] | None
    listed: Mapping[str, nw.LazyFrame[Any]]
    expected: nw.LazyFrame[Any] | None = None
    period: nw.LazyFrame[Any] | None = None
    titles: nw.LazyFrame[Any] | None = None

    @property
    def shared(self) -> list[str]:
        """The group columns that say which customers a group has; the others split the bookings of these."""
        return [name for name in self.by if name not in self.own or name in CUSTOMER_KEY]

    def ordered(
        self, result: nw.LazyFrame[Any], columns: Iterable[str], *, then: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        """Select the group columns and those of the result, sorted by group: cohorts in the order of the list."""
        return ordered(result, self.by, columns, listed=self.listed, then=then)

    def result(
        self, result: nw.LazyFrame[Any], columns: Iterable[str], *, then: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        """Select and sort as `ordered` does, and add of which days each group's rows are, and what its class is called.

        These are the columns of `schema.PERIOD` and `schema.TITLES` that the outcomes allow.
        """
        titled, names = self.titled(result)
        columns = [*columns, *names]
        if self.period is None:
            return self.ordered(titled, columns, then=then)
        days = [name for name in self.period.collect_schema().names() if name not in self.by]
        dated = join_groups(titled.drop(*days, strict=False), self.period, self.by, how="left")
        if "week_complete" in days:  # a week without a row is in a result only because it is complete
            unseen = ~nw.col("week").is_null() & nw.col("week_complete").is_null()
            dated = dated.with_columns(week_complete=unseen | nw.col("week_complete"))
        return self.ordered(dated, [*columns, *days], then=then)

    def titled(self, result: nw.LazyFrame[Any]) -> tuple[nw.LazyFrame[Any], list[str]]:
        """Add the title of each group's class, where there is one; the second is what was added."""
        if self.titles is None:
            return result, []
        key = [name for name in self.titles.collect_schema().names() if name in self.by]
        return join_groups(result, self.titles, key, how="left"), ["class_title"]

    def attach(self, rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Keep the rows of the base's customers, once for each of their groups, and add the cohorts' group columns.

        Args:
            rows: Any frame with the columns `CUSTOMER_KEY` and ``own``.
        """
        if self.members is None:
            return rows
        base = self.members.filter(nw.col(MEMBERS) == 1).drop(MEMBERS, NOT_READ)
        return rows.join(base, on=list(CUSTOMER_KEY), how="inner")

    def totals(
        self,
        rows: nw.LazyFrame[Any],
        sums: Mapping[str, nw.Expr],
        amounts: Mapping[str, nw.Expr] | None = None,
    ) -> nw.LazyFrame[Any]:
        """Aggregate rows that `attach` returned, for every group, also one expected or of the cohorts that has no row.

        Args:
            rows: What to aggregate.
            sums: Name → aggregation that gives a count or a sum of counts, which is 0 for a group without rows.
            amounts: Name → aggregation that gives a sum of any numbers, likewise.

        Returns:
            One row per group: the columns ``by``, those of ``sums`` and ``amounts`` and, with a cohorts frame,
            `MEMBERS` and `NOT_READ`: those of the whole cohort group, also where ``own`` columns split its bookings. A
            cohort group without any row appears once, null in ``own``.
        """
        if self.expected is not None:
            rows = nw.concat([rows, self.expected], how="diagonal")
        totals = aggregate(rows, self.by, sums, amounts)
        if self.members is None:
            return totals
        cohort_group = ["_all", *(name for name in self.by if name not in self.own)]
        sizes = {name: nw.col(name).sum() for name in (MEMBERS, NOT_READ)}
        groups = aggregate(self.members.with_columns(_all=nw.lit(1)), cohort_group, sizes)
        both = nw.concat([groups, totals.with_columns(_all=nw.lit(1), _found=nw.lit(1))], how="diagonal")
        return (
            both.with_columns(
                nw.col(MEMBERS, NOT_READ).max().over(*cohort_group).fill_null(0),
                _rows=nw.col("_all").sum().over(*cohort_group),
            )
            .filter((nw.col("_found") == 1) | (nw.col("_rows") == 1))
            .with_columns(nw.col(*sums, *(amounts or {})).fill_null(0))
            .drop("_all", "_found", "_rows")
        )


def read_groups(
    outcomes: IntoFrame,
    cohorts: IntoFrame | None,
    by: str | Sequence[str] | None,
    *,
    result: Iterable[str],
    counting: nw.Expr | None = None,
) -> tuple[nw.LazyFrame[Any], Groups]:
    """Check the arguments that all rates share.

    Args:
        outcomes: The outcomes.
        cohorts: The cohorts, with or without ``fetch_outcome``; None: all customers of the outcomes.
        by: The columns to group by.
        result: The columns of the result, which no group column may be called.
        counting: Which rows the result is made of, to find its first and last day; None: all.

    Returns:
        The outcomes as a lazy frame, and the groups.

    Raises:
        CohortError: The cohorts frame does not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names a column that is not there, is in both frames, or is one of the result's.
    """
    bookings = lazy(outcomes)
    columns = (by,) if isinstance(by, str) else tuple(dict.fromkeys(by or ()))
    there = bookings.collect_schema()
    if cohorts is None:
        _check_by(columns, there, {}, result)
        return bookings, _labeled(bookings, Groups(columns, columns, None, {}), counting)
    listed = lazy(cohorts)
    if listed.implementation is not bookings.implementation:
        raise TypeError(
            f"the outcomes are on {bookings.implementation.value} and the cohorts on {listed.implementation.value}; "
            "pass both on the same engine."
        )
    listed = _with_studio(listed, bookings)
    theirs = listed.collect_schema()
    _check_by(columns, there, theirs, result)
    if "fetch_outcome" not in theirs:
        listed = listed.with_columns(fetch_outcome=nw.lit("ok"))
    named = [name for name in columns if name in theirs]
    read = nw.when(nw.col("fetch_outcome") == "ok").then(1).otherwise(0).max()
    members = (
        listed.group_by(*dict.fromkeys((*CUSTOMER_KEY, *named)))
        .agg(read.alias(MEMBERS))
        .with_columns((1 - nw.col(MEMBERS)).alias(NOT_READ))
    )
    own = tuple(name for name in columns if name not in theirs)
    groups = Groups(columns, own, members, _places(listed) if "cohort" in named else {})
    return bookings, _labeled(bookings, groups, counting)


def _labeled(bookings: nw.LazyFrame[Any], groups: Groups, counting: nw.Expr | None) -> Groups:
    return _dated(bookings, replace(groups, titles=_titles(bookings, groups)), counting)


def _titles(bookings: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any] | None:
    """List what the outcomes call each class: none where they call it differently."""
    names = bookings.collect_schema().names()
    if "class_id" not in groups.own or "class_title" not in names or "class_title" in groups.by:
        return None
    title = nw.col("class_title")
    key = [name for name in CLASS_KEY if name in groups.by]
    found = bookings.group_by(*key).agg(_first=title.min(), _last=title.max())
    one = nw.when(nw.col("_first") == nw.col("_last")).then(nw.col("_first"))
    return found.with_columns(class_title=one).select(*key, "class_title")


def _dated(bookings: nw.LazyFrame[Any], groups: Groups, counting: nw.Expr | None) -> Groups:
    """Find of which days the rows of each group are and, where ``week`` names it, whether that week is complete."""
    names = bookings.collect_schema().names()
    if "class_day" not in names:
        return groups
    chosen = nw.lit(1) if counting is None else nw.when(counting).then(1).otherwise(0)
    rows = groups.attach(bookings).with_columns(_chosen=chosen)
    days = {"first_day": nw.col("_day").min(), "last_day": nw.col("_day").max()}
    if "week" in groups.own and "week_complete" in names and "week_complete" not in groups.by:
        rows = rows.with_columns(
            _incomplete=nw.when(~nw.col("week_complete")).then(1).otherwise(0),
            _dated=nw.when(~nw.col("week_complete").is_null()).then(1).otherwise(0),
        )
        days |= {"_incomplete": nw.col("_incomplete").max(), "_dated": nw.col("_dated").max()}
    rows = rows.with_columns(_day=nw.when(nw.col("_chosen") == 1).then(nw.col("class_day")))
    period = rows.group_by(*groups.by).agg(**days) if groups.by else rows.select(**days)
    if "_dated" in days:
        complete = nw.when(nw.col("_dated") == 1).then(nw.col("_incomplete") == 0)
        period = period.with_columns(week_complete=complete).drop("_incomplete", "_dated")
    return replace(groups, period=period)


def _places(cohorts: nw.LazyFrame[Any]) -> dict[str, nw.LazyFrame[Any]]:
    """Find the place of each cohort in the list; an Enum has an order already, and only polars keeps that of rows."""
    if not cohorts.implementation.is_polars() or cohorts.collect_schema()["cohort"] == nw.Enum:
        return {}
    numbered = cast("pl.LazyFrame", cohorts.select("cohort").to_native()).with_row_index("_place")
    return {"cohort": nw.from_native(numbered.group_by("cohort").agg(pl.min("_place")))}


def fill_only_studio(cohorts: nw.LazyFrame[Any], studios: Collection[str]) -> nw.LazyFrame[Any]:
    """Fill in the studio where a list names none and only one can be meant."""
    only = next(iter(studios), None) if len(studios) == 1 else None
    return cohorts if only is None else cohorts.with_columns(nw.col("studio").fill_null(only))


def _with_studio(cohorts: nw.LazyFrame[Any], outcomes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Fill in the studio where the cohorts name none and only one is possible."""
    columns = cohorts.collect_schema().names()
    if "customer_id" not in columns:
        raise CohortError(f"the cohorts have no column customer_id, only {', '.join(columns)}; see read_cohorts.")
    if "studio" not in columns:
        cohorts = cohorts.with_columns(studio=nw.lit(None, nw.String))
    if (None,) not in rows_of(cohorts.select("studio").unique()):
        return cohorts
    studios = sorted(studio for (studio,) in rows_of(outcomes.select("studio").unique()))
    if len(studios) > 1:
        raise CohortError(
            f"some cohort rows name no studio, and the outcomes come from {len(studios)} ({', '.join(studios)}): a "
            "customer number alone does not say whose customer it is. Fill in the cohorts' column studio."
        )
    return fill_only_studio(cohorts, studios)


def _check_by(
    by: Sequence[str],
    outcomes: Mapping[str, nw.dtypes.DType],
    cohorts: Mapping[str, nw.dtypes.DType],
    result: Iterable[str],
) -> None:
    for name in by:
        if name not in outcomes and name not in cohorts:
            known = ", ".join(sorted({*outcomes, *cohorts}))
            missing = "" if cohorts else "; for a column of the cohorts, pass cohorts="
            raise ValueError(f"by names {name!r}, which is no column. To choose from: {known}{missing}.")
        if name in outcomes and name in cohorts and name not in CUSTOMER_KEY:
            raise ValueError(f"by names {name!r}, a column of both the outcomes and the cohorts; rename one of them.")
        if name in {*result, *_COUNTS, *PERIOD} - {"week_complete"} or name.startswith("_"):
            raise ValueError(f"by names {name!r}, a name that the rates need for themselves; rename that column.")
        dtype = cohorts[name] if name in cohorts else outcomes[name]
        if dtype.is_nested():
            raise ValueError(
                f"by names {name!r}, a column of type {dtype}: a group needs one value a row. Turn it into text, or "
                "into one row per value, first."
            )
