"""Rates that may leave the analyst's desk: small groups without their numbers, and without a way to compute them."""

from __future__ import annotations

from bisect import bisect_left
from itertools import combinations, takewhile
from typing import TYPE_CHECKING, Any, Final, cast

import narwhals as nw
import polars as pl

from bookings_analytics import schema
from bookings_analytics.metrics.engines import lazy, like

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from narwhals.typing import IntoFrameT

_SIZES: Final = ("n_customers", "baseline_n_customers")  # the second: of what a comparison compares with
_RESULTS: Final = (*schema.RESULTS, schema.TREND)
_PRIME: Final = (1 << 61) - 1  # arithmetic modulo a large prime: exact enough for sums of zeros and ones, and quick
_Row = dict[int, int]  # one linear equation: group → coefficient


def suppress_small(rates: IntoFrameT, fewer_than: int = 10) -> IntoFrameT:
    """Remove the numbers of groups of few customers, and of as many more as keep them from being computed.

    Whoever has this frame may know the totals as well: of all groups, and by any of its group columns. A single
    suppressed group would follow from such a total by subtraction, so the next smallest groups are suppressed too,
    until no suppressed group is determined by the published groups and the totals (a question of rank; complementary
    suppression: Willenborg & de Waal, Elements of Statistical Disclosure Control, 2001). Every one of
    these further groups is needed. A comparison has the numbers of two groups, and is suppressed with either.

    Args:
        rates: What any function of rates returned: its group columns first, and ``n_customers``.
        fewer_than: Groups of fewer customers are suppressed; a whole number from 1.

    Returns:
        The same kind of frame with the same rows; every column but the group columns and the titles of
        classes is null in suppressed groups, in all rows of such a group where it has several.

    Raises:
        ValueError: ``fewer_than`` is not a whole number from 1, or the frame has no ``n_customers``: those of `trend`
            and `class_fill` have none.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> rates = pl.DataFrame({"cohort": ["new", "old", "trial"], "n_customers": [4, 900, 60]})
        >>> ba.suppress_small(rates).rows()
        [('new', None), ('old', 900), ('trial', None)]
    """
    if isinstance(fewer_than, bool) or not isinstance(fewer_than, int) or fewer_than < 1:
        raise ValueError(f"fewer_than is {fewer_than!r}: use a whole number of at least 1, such as 10.")
    rows = lazy(rates)
    columns = rows.collect_schema().names()
    if "n_customers" not in columns:
        raise ValueError(_why_unknown(columns))
    by = _group_columns(columns)
    table = cast("pl.DataFrame", rows.collect("polars").to_native())
    key = [*by, "_all"]  # which is there where nothing else is
    table = table.with_columns(_all=pl.lit(0))
    size = pl.min_horizontal(pl.col(name).fill_null(-1) for name in columns if name in _SIZES)
    groups = table.group_by(key, maintain_order=True).agg(n_customers=size.min())
    sizes = groups["n_customers"].to_list()
    hidden = _suppressed(groups.select(by).rows(), sizes, fewer_than)
    marks = groups.select(key).with_columns(
        _hidden=pl.Series([i in hidden for i in range(len(sizes))], dtype=pl.Boolean)
    )
    marked = table.join(marks, on=key, how="left", nulls_equal=True, maintain_order="left")
    values = [name for name in columns if name not in {*by, *_titles(by)}]
    shown = marked.with_columns(pl.when("_hidden").then(None).otherwise(pl.col(values)).name.keep()).drop(
        "_all", "_hidden"
    )
    return like(rates, nw.from_native(shown.lazy()))


def _group_columns(columns: Sequence[str]) -> list[str]:
    """List the columns that a frame of rates is grouped by: those before the first of its result.

    A list may have columns that other results use, such as ``value``. So the result all of whose columns are in the
    frame is looked for first; where columns were dropped and no result is whole, a group column is one that no result
    has.
    """
    whole = [set(result) for result in _RESULTS if set(result) <= set(columns)]
    names = max(whole, key=len, default=set().union(*_RESULTS)) - {"week"}  # a week is a group, also in a trend
    return [name for name in takewhile(lambda name: name not in names, columns) if name not in _titles(columns)]


def _why_unknown(columns: Sequence[str]) -> str:
    if set(schema.TREND) <= set(columns):
        return (
            "a trend does not hold how many customers its weeks are of. Pass the rates by week, such as "
            "no_shows(…, by=['cohort', 'week']), or compute the trend of larger groups."
        )
    if set(schema.CLASS_FILL) <= set(columns):
        return (
            "class_fill counts the places of classes, and does not hold how many customers its groups are of. Leave "
            "small groups of the list out before you call it."
        )
    return (
        "the frame has no column n_customers, so the size of its groups is unknown. Pass what a function of "
        "rates returned, with that column."
    )


def _titles(columns: Iterable[str]) -> Iterable[str]:
    """List the columns that say what a class is called: they name the groups of ``class_id``, and no others."""
    return schema.TITLES if "class_id" in columns else ()


def _suppressed(groups: Sequence[tuple[Any, ...]], sizes: Sequence[int], fewer_than: int) -> set[int]:
    """Choose the groups to suppress: the small ones, and what protects them."""
    totals = [set(members) for members in _totals(groups)]
    small = {i for i, size in enumerate(sizes) if size < fewer_than}
    # A group that is all there is of a studio, say, is that studio's total: nothing suppressed beside it would help.
    protected = small - _determined(set(range(len(groups))), totals)
    others = sorted(set(range(len(groups))) - small, key=lambda i: (sizes[i], i))

    def holds(added: Iterable[int]) -> bool:
        return not protected & _determined(small.union(added), totals)

    needed = bisect_left(range(len(others)), x=True, key=lambda n: holds(others[:n]))
    hidden = small | _without(others[:needed], holds)
    while spare := (_determined(hidden, totals) - small) & hidden:  # who knows it anyway may read it
        hidden -= spare
    return hidden


def _without(added: Sequence[int], holds: Callable[[set[int]], bool]) -> set[int]:
    """Publish again, the largest first, every added group that the protection holds without."""
    needed = set(added)
    parts = [list(reversed(added))]
    while parts:
        part = parts.pop()
        if holds(needed.difference(part)):
            needed.difference_update(part)
        elif len(part) > 1:
            half = len(part) // 2
            parts += [part[half:], part[:half]]
    return needed


def _totals(groups: Sequence[tuple[Any, ...]]) -> Iterator[Iterable[int]]:
    """List the groups that add up to each total which may be known: by every proper subset of the group columns."""
    width = len(groups[0]) if groups else 0
    for size in range(width):
        for chosen in combinations(range(width), size):
            members: dict[tuple[Any, ...], list[int]] = {}
            for i, group in enumerate(groups):
                members.setdefault(tuple(group[column] for column in chosen), []).append(i)
            yield from members.values()


def _determined(hidden: set[int], totals: Iterable[set[int]]) -> set[int]:
    """Find the suppressed groups whose value follows from the totals, the published groups being known.

    Each total is an equation in the suppressed groups. Solved as far as they go (Gauss-Jordan), a group is determined
    if an equation holds it alone.
    """
    solved: dict[int, _Row] = {}
    for equation in {frozenset(total & hidden) for total in totals}:
        row = dict.fromkeys(equation, 1)
        for pivot in [group for group in row if group in solved]:
            _eliminate(row, pivot, solved[pivot])
        if row:
            pivot = next(iter(row))
            inverse = pow(row[pivot], -1, _PRIME)
            row = {group: value * inverse % _PRIME for group, value in row.items()}
            for other in solved.values():
                _eliminate(other, pivot, row)
            solved[pivot] = row
    return {pivot for pivot, row in solved.items() if len(row) == 1}


def _eliminate(row: _Row, pivot: int, by: _Row) -> None:
    factor = row.get(pivot, 0)
    if factor:
        for group, value in by.items():
            left = (row.get(group, 0) - factor * value) % _PRIME
            if left:
                row[group] = left
            else:
                row.pop(group, None)
