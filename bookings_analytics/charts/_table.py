"""From a frame of rates to the rows that a chart draws: its groups, their labels, their order."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from bookings_analytics.schema import COHORTS, OUTCOMES, PERIOD, TITLES
from bookings_analytics.wording import cleaned, counted, days, label, labels, noun, unprintable, wrapped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

_DECIMALS = 9  # above what differs from run to run, and so many that a percentage of it is rounded but once


@dataclass(frozen=True)
class Table:
    """The rows of a rates frame, in the order in which they are drawn.

    Attributes:
        by: The group columns, in the frame's order.
        rows: Each row's values under the schema's names, rounded; ``group``, its group's label in lines; ``name``, the
            same in one line; and ``by_0``, ``by_1``, …: the values of the group columns as text, whose own names could
            upset Vega-Lite.
    """

    by: list[str]
    rows: list[dict[str, Any]]

    @property
    def labels(self) -> list[str]:
        """The groups' labels, each once, in drawing order."""
        return list(dict.fromkeys(row["group"] for row in self.rows))

    @property
    def per(self) -> str:
        """How a title goes on: ``, by cohort and class``; empty without groups."""
        return f", by {' and '.join(noun(column, 1) for column in self.by)}" if self.by else ""

    @property
    def of(self) -> str:
        """How a count goes on: `` in 4 cohorts``; empty without groups."""
        n = len(self.labels)
        return f" in {n:,} {noun(self.by[0] if len(self.by) == 1 else 'group', n)}" if self.by else ""

    @property
    def period(self) -> str:
        """The days that the frame speaks of: `` 4 May to 31 May 2026.``; empty where it names none."""
        first = [row["first_day"] for row in self.rows if row.get("first_day") is not None]
        last = [row["last_day"] for row in self.rows if row.get("last_day") is not None]
        return f" {days(date.fromisoformat(min(first)), date.fromisoformat(max(last)))}." if first and last else ""

    def customers(self, count: str) -> int:
        """Add up a count of customers, once where rows (classes, say) share the same customers."""
        own = [f"by_{i}" for i, name in enumerate(self.by) if name in COHORTS or name not in OUTCOMES]
        return sum({tuple(row[name] for name in own): row[count] for row in self.rows}.values())


def read(
    frame: IntoFrame,
    *,
    schema: Iterable[str],
    needs: Iterable[str],
    made_by: str,
    names: Mapping[Any, str] | None = None,
    sort: str | Sequence[Any] | None = None,
) -> Table:
    """Read a frame of rates into rows that JSON can hold.

    Args:
        frame: A frame that Narwhals knows, eager or lazy.
        schema: The columns of such frames; every other column is a group column.
        needs: Those of them that the chart draws.
        made_by: The function that makes such frames, for the error message.
        names: Titles for values of the group columns; they win over the frame's own, ``class_title``.
        sort: A column, for the largest value first, or values of a group column in the order wanted; None keeps the
            frame's order.

    Raises:
        ValueError: If a column that the chart draws or sorts by is missing, or a group column holds lists.
    """
    eager = _eager(frame)
    known = {*schema, *PERIOD, *titles_in(eager.columns)}
    by = [name for name in eager.columns if name not in known]
    missing = [name for name in needs if name not in eager.columns]
    if missing:
        raise ValueError(
            f"the frame has no column {', '.join(missing)}; it has {', '.join(eager.columns) or 'none'}. "
            f"Pass a frame that {made_by} made."
        )
    if isinstance(sort, str) and sort not in eager.columns:
        raise ValueError(f"the frame has no column {sort!r} to sort by. Choose one of {', '.join(eager.columns)}.")
    rows = _sorted(list(eager.rows(named=True)), by, sort)
    groups = [tuple(row[name] for name in by) for row in rows]
    called = [row.get("class_title") for row in rows]
    _warn_of_unprintable([*by, *(value for group in groups for value in group), *(names or {}).values(), *called])
    try:
        named = labels(groups, names or {}, by, dict(zip(groups, called, strict=True)) if "class_id" in by else None)
    except TypeError:  # of a value without a hash
        nested = next(name for name in by for row in rows if isinstance(row[name], list | dict | pl.Series))
        raise ValueError(f"column {nested} holds several values per row, which can't name a group. Drop it.") from None
    return Table(
        by,
        [
            {name: _rounded(row[name]) for name in row if name in known}
            | {name: str(row[name]) for name in ("first_day", "last_day") if row.get(name) is not None}
            | {f"by_{i}": label(value, by[i]) for i, value in enumerate(group)}
            | {"group": wrapped(named[group]), "name": named[group]}
            for row, group in zip(rows, groups, strict=True)
        ],
    )


def titles_in(columns: Collection[str]) -> frozenset[str]:
    """Return the columns that say what a class is called; without a ``class_id`` its title is a group by itself."""
    return frozenset(TITLES if "class_id" in columns else ())


def _eager(frame: Any) -> nw.DataFrame[Any]:  # noqa: ANN401 - any frame that Narwhals knows
    known = nw.from_native(frame)
    if isinstance(known, nw.DataFrame):
        return known
    if known.implementation.is_duckdb():
        return nw.from_native(pl.DataFrame(frame))  # Narwhals' own way asks for pyarrow
    eager: nw.DataFrame[Any] = known.collect(backend="polars")
    return eager


def _sorted(rows: list[dict[str, Any]], by: list[str], sort: str | Sequence[Any] | None) -> list[dict[str, Any]]:
    if sort is None:
        return rows
    if isinstance(sort, str):
        absent = [row for row in rows if row[sort] is None]
        return sorted((row for row in rows if row[sort] is not None), key=lambda row: row[sort], reverse=True) + absent
    place = {value: i for i, value in enumerate(sort)}
    return sorted(rows, key=lambda row: [place.get(row[name], len(place)) for name in by])


def _rounded(value: object) -> object:
    return round(value, _DECIMALS) if isinstance(value, float) else cleaned(value) if isinstance(value, str) else value


def _warn_of_unprintable(values: Iterable[object]) -> None:
    found = list(dict.fromkeys(value for value in values if isinstance(value, str) and unprintable(value)))
    if found:
        warnings.warn(
            f"control characters were left out of {counted(len(found), 'name')}, the first of them {found[0]!r}. "
            "Remove them from the list the names come from.",
            stacklevel=4,  # where the chart is asked for
        )
