"""Frames that may leave the analyst's desk: customer ids as pseudonyms."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NoReturn, cast

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.engines import lazy, like

if TYPE_CHECKING:
    from narwhals.typing import IntoFrameT


def pseudonymize(frame: IntoFrameT, *, secret: str) -> IntoFrameT:
    """Replace every customer id by a pseudonym that only the holder of the secret can make again.

    A pseudonym is the first 63 bits of BLAKE2b over the id, keyed with the hash of the secret. Without a key a
    hash hides nothing: a few million ids are tried in seconds (EDPB, Guidelines 01/2025 on Pseudonymisation). The same
    secret gives the same pseudonym in every frame, so outcomes and cohorts still fit together and their rates are
    those of the originals. Only ``customer_id`` is replaced, and the same id where the row's ``message`` quotes it:
    booking ids and the analyst's own columns stay as they are.

    Args:
        frame: A polars, pandas or pyarrow frame with a whole-number column ``customer_id``; a lazy one stays lazy.
        secret: What the pseudonyms are keyed with: long, random, and kept apart from the frames.

    Returns:
        The same kind of frame, with ``customer_id`` a positive Int64; nulls stay null.

    Raises:
        TypeError: The frame is on an engine that cannot run Python functions, ``customer_id`` does not hold whole
            numbers, or the secret is not text.
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
    del secret  # so that no traceback that shows variables shows it
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
