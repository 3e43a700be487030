"""Frames that may leave the analyst's desk: customer ids as pseudonyms, small groups without their numbers."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from itertools import combinations, takewhile
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

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


def pseudonymize(frame: IntoFrameT, *, secret: str) -> IntoFrameT:
    """Replace every customer id by a pseudonym that only the holder of the secret can make again.

    A pseudonym is the first 63 bits of BLAKE2b over the id, keyed with the hash of the secret. A hash without a key
    would be none: a few million ids are tried in seconds (EDPB, Guidelines 01/2025 on Pseudonymisation). The same
    secret gives the same pseudonym in every frame, so outcomes and cohorts still fit together and their rates are
    those of the originals. Only ``customer_id`` is replaced, and the same id where the row's ``message`` quotes it:
    booking ids and the analyst's own columns stay as they are.

    Args:
        frame: A polars, pandas or pyarrow frame with a whole-number column ``customer_id``; a lazy one stays lazy.
        secret: What the pseudonyms are keyed with: long, random, and kept apart from the frames.

    Returns:
        The same kind of frame, with ``customer_id`` a positive Int64; nulls stay null.

    Raises:
        TypeError: The frame is on an engine that cannot run Python functions, ``customer_id`` is no whole number, or
            the secret no text.
        ValueError: The secret is empty, or the frame has no column ``customer_id``.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 1], "cohort": ["new", "new", "old"]})
        >>> first, second, third = ba.pseudonymize(cohorts, secret="not a real secret")["customer_id"]
        >>> (first == third, first == second, first > 2**32)
        (True, False, True)
    """
    pseudonyms = _Pseudonyms(secret)
    del secret  # so that no traceback that shows variables has it
    rows = lazy(frame)
    columns = rows.collect_schema()
    kind = columns.get("customer_id")
    if kind is None:
        raise ValueError(
            f"the frame has no column customer_id, only {', '.join(columns.names())}: pass outcomes, "
            "bookings, fetches or cohorts."
        )
    if not kind.is_integer():
        raise TypeError(f"customer_id is of type {kind}: cast it to Int64.")
    if not rows.implementation.is_polars():
        raise TypeError(
            f"pseudonyms are made in Python, which {rows.implementation.value} cannot run: collect the frame to polars."
        )
    ids = pl.col("customer_id")
    replaced = [ids.map_batches(pseudonyms.of_ids, return_dtype=pl.Int64, is_elementwise=True)]
    if columns.get("message") == nw.String:
        quoting = pl.struct("customer_id", "message").map_batches(pseudonyms.in_texts, return_dtype=pl.String)
        replaced.append(quoting.alias("message"))
    native = cast("pl.LazyFrame", rows.to_native()).with_columns(replaced)
    return like(frame, nw.from_native(native))


def suppress_small(rates: IntoFrameT, fewer_than: int = 10) -> IntoFrameT:
    """Remove the numbers of groups of few customers, and of as many more as keep them from being computed.

    Whoever has this frame may know the totals as well: of all groups, and by any of its group columns. A single
    suppressed group would follow from such a total by subtraction, so the next smallest groups are suppressed too,
    until no suppressed group is determined by the published groups and the totals (a question of rank; complementary
    suppression: Willenborg & de Waal, Elements of Statistical Disclosure Control, 2001). None of these
    further groups is suppressed in vain. A comparison has the numbers of two groups, and is suppressed with either.

    Args:
        rates: What any function of rates returned: its group columns first, and ``n_customers``.
        fewer_than: Groups of fewer customers are suppressed; a whole number from 1.

    Returns:
        The same kind of frame with the same rows; every column but the group columns and the titles of
        classes is null in suppressed groups, in all rows of such a group where it has several.

    Raises:
        ValueError: ``fewer_than`` is not a whole number from 1, or the frame has no ``n_customers``.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> rates = pl.DataFrame({"cohort": ["new", "old", "trial"], "n_customers": [4, 900, 60]})
        >>> ba.suppress_small(rates).rows()
        [('new', None), ('old', 900), ('trial', None)]
    """
    if isinstance(fewer_than, bool) or not isinstance(fewer_than, int) or fewer_than < 1:
        raise ValueError(f"fewer_than is {fewer_than!r}: use a whole number from 1, such as 10.")
    rows = lazy(rates)
    columns = rows.collect_schema().names()
    if "n_customers" not in columns:
        raise ValueError(
            "the frame has no column n_customers, so nobody can say how many customers a group has. Pass what a "
            "function of rates returned, with that column."
        )
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


class _Pseudonyms:
    """The pseudonyms of one secret, which neither a plan nor a pickle of it shows."""

    __slots__ = ("_key",)

    def __init__(self, secret: object) -> None:
        if secret is not None and not isinstance(secret, str):
            raise TypeError(f"the secret is a {type(secret).__name__}: pass a long random text as secret=.")
        if secret is None or not secret.strip():  # None: a variable that is not set
            raise ValueError(
                "the secret is empty: pass a long random text as secret=, and keep it apart from the frames."
            )
        self._key = hashlib.blake2b(secret.encode()).digest()

    def __reduce__(self) -> NoReturn:
        raise TypeError("Pseudonyms that are still to be made cannot be pickled: collect the frame first.")

    def of_ids(self, ids: pl.Series) -> pl.Series:
        known = ids.drop_nulls().unique()
        made = [self._of(customer_id) for customer_id in known]
        return ids.replace_strict(known, pl.Series(made, dtype=pl.Int64), default=None, return_dtype=pl.Int64)

    def in_texts(self, rows: pl.Series) -> pl.Series:
        """Replace a customer's own id in that customer's text."""
        texts = [
            text
            if text is None or customer_id is None
            else re.sub(rf"(?<!\d){customer_id}(?!\d)", str(self._of(customer_id)), text)
            for customer_id, text in rows.struct.unnest().iter_rows()
        ]
        return pl.Series(rows.name, texts, dtype=pl.String)

    def _of(self, customer_id: int) -> int:
        digest = hashlib.blake2b(str(customer_id).encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1 or 1


def _group_columns(columns: Sequence[str]) -> list[str]:
    """List the columns that a frame of rates is grouped by: those before the first of its result.

    A list may have columns that other results use, such as ``value``. So it is looked first whose result it is; a frame
    that is none's, since columns were taken out of it, is grouped by what no result has.
    """
    whole = [set(result) for result in _RESULTS if set(result) <= set(columns)]
    names = max(whole, key=len, default=set().union(*_RESULTS)) - {"week"}  # a week is a group, also in a trend
    return [name for name in takewhile(lambda name: name not in names, columns) if name not in _titles(columns)]


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
