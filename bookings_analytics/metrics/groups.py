"""The groups of a rate: their customers and rows, and their order in the result.

A group is named by the columns of ``by``. Those of the cohorts frame say which customers it has; those that only the
outcomes have (a class, say) split these customers' bookings further. Group columns are never joined on, because a join
would lose the groups that null names.

A rate reads the same everywhere: `read_groups` of `bookings_analytics.metrics.grouping`, count per customer (or slot),
`Groups.attach`, `Groups.totals`, the formulas of `bookings_analytics.metrics.intervals`, `Groups.result`, `like`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw

from bookings_analytics.metrics.engines import aggregate, join_groups, ordered, settled
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MEMBERS = "_members"  # customers of a group who could be read
NOT_READ = "_not_read"  # customers of a group who could not


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
            is not a group column, or the outcomes carry no titles.
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
        """Select and sort as `ordered` does, and add the days that each group's rows cover and its class's title.

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
        totals = settled(aggregate(rows, self.by, sums, amounts), in_polars=False)
        if self.members is None:
            return totals
        cohort_group = ["_all", *(name for name in self.by if name not in self.own)]
        sizes = {name: nw.col(name).sum() for name in (MEMBERS, NOT_READ)}
        groups = settled(aggregate(self.members.with_columns(_all=nw.lit(1)), cohort_group, sizes), in_polars=False)
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
