"""The Delta table under an archive, as one commit left it: what is read from it, and added to it.

`bookings_analytics.archive.layout` describes the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
from deltalake import CommitProperties, Transaction, write_deltalake

from bookings_analytics.archive.layout import ADD_NUMBER, FILE, ROWS, WRITER, Kind, bucket_of, stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from deltalake import DeltaTable

ERASING_KEY: Final = "bookings_analytics.erasing"
RENEWED_EVERY: Final = 20  # adds; how many of them an add has to read beside the latest tables, at most
_ADD, _WIDTH, _RENEWAL = "add", "bucket_width", "renewal"  # of two transactions of one name at once, one fails


class Snapshot:
    """The table as one commit left it: what is read later from it is read as of that commit.

    Attributes:
        delta: The Delta table.
        version: The number of that commit.
        add_number: The number of the last add.
        width: How many neighboring ids share a bucket; None: all are in bucket 0.
        has_buckets: Whether the table is partitioned by bucket; not so in an archive of format 1.
        compacted: The last add that the latest tables know.
        erasing: Which erasure is under way; empty if none is.
    """

    def __init__(
        self,
        table: DeltaTable,
        root: str,
        storage_options: dict[str, str] | None,
        verify: Callable[[Mapping[str, int]], None],
    ) -> None:
        self.delta = table
        self.version = table.version()
        self.add_number = table.transaction_version(_ADD) or 0
        self.width = table.transaction_version(_WIDTH)
        metadata = table.metadata()
        self.has_buckets = "bucket" in metadata.partition_columns
        self.erasing = metadata.configuration.get(ERASING_KEY, "")
        self._root = root
        self._storage_options = storage_options
        self._verify = verify
        # Without a file, Delta does not name all columns.
        numbers = dict.fromkeys(("size_bytes", "num_records", f"max.{ADD_NUMBER}", "partition.bucket"), pl.Int64)
        columns = {"path": pl.String, "partition.table": pl.String, **numbers}
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        files = actions if actions.height else pl.DataFrame(schema=columns)
        self._files = files if self.has_buckets else files.with_columns(pl.lit(0, pl.Int64).alias("partition.bucket"))
        known = self._files.filter(self._is_latest)[f"max.{ADD_NUMBER}"].max()
        self.compacted = known if isinstance(known, int) else 0
        # A file without statistics is read: nothing says that the latest tables know it.
        self._later = (pl.col(f"max.{ADD_NUMBER}") > self.compacted).fill_null(value=True)

    _is_latest: Final = pl.col("partition.table").str.starts_with("latest_")

    def files(self) -> dict[str, int]:
        """Return every data file, by its path below the archive, with its size in bytes."""
        return dict(self._files.select("path", "size_bytes").iter_rows())

    def verify(self) -> None:
        """Check all files, before Delta Lake rewrites some: a damaged one would become a new one without a trace.

        Raises:
            DamagedFileError: One is missing or was changed.
        """
        self._verify(self.files())

    def paths(self, kind: Kind) -> list[str]:
        """Return the full paths of a table's files, sorted."""
        return sorted(self._checked_paths(pl.col("partition.table") == kind))

    def studios(self) -> list[str]:
        """Return the studios that have fetches, sorted."""
        return self.latest("fetches").select(pl.col("studio").unique().sort()).collect()["studio"].to_list()

    def customer_ids(self) -> pl.Series:
        """Return every id that has a fetch, once and sorted."""
        return self.latest("fetches").select(pl.col("customer_id").unique().sort()).collect()["customer_id"]

    def buckets(self) -> list[int]:
        """Return the buckets that hold anything, sorted."""
        return self._buckets(pl.lit(value=True))

    def later_buckets(self) -> list[int]:
        """Return the buckets that hold something the latest tables do not know, sorted."""
        return self._buckets(~self._is_latest & self._later)

    def buckets_of(self, customer_ids: pl.Series) -> list[int]:
        """Return the buckets of some customers, sorted."""
        found = customer_ids.to_frame("customer_id").select(bucket_of(self.width).unique().sort())
        return found.to_series().to_list()

    def buckets_between(self, first: int, end: int) -> list[int]:
        """Return the buckets that can hold an id from ``first`` to before ``end``, sorted."""
        if self.width is None:
            return self.buckets()
        return [each for each in self.buckets() if first // self.width <= each <= (end - 1) // self.width]

    def n_rows(self, bucket: int | None = None) -> int:
        """Count the rows of a bucket, or of all."""
        files = self._files if bucket is None else self._files.filter(pl.col("partition.bucket") == bucket)
        return int(files["num_records"].sum())

    def latest_rows(self) -> int:
        """Count the rows of the latest tables, and of what they do not know yet."""
        return int(self._files.filter(self._is_latest | self._later)["num_records"].sum())

    def rows(self, kind: Kind, *, buckets: Collection[int] | None = None) -> pl.LazyFrame:
        """Return all rows of a table, or those of some buckets, each with its file."""
        return self._scan(pl.col("partition.table") == kind, kind, buckets)

    def latest(self, kind: Kind, *, buckets: Collection[int] | None = None) -> pl.LazyFrame:
        """Return rows that hold the latest of each customer, and some that later ones have replaced.

        Args:
            kind: Which table.
            buckets: Whose customers; None: all.
        """
        since = self._scan((pl.col("partition.table") == kind) & self._later, kind, buckets)
        return pl.concat([self.renewed(kind, buckets=buckets), since.filter(pl.col(ADD_NUMBER) > self.compacted)])

    def renewed(self, kind: Kind, *, buckets: Collection[int] | None = None) -> pl.LazyFrame:
        """Return the rows of a latest table as they were last renewed, or those of some buckets."""
        return self._scan(pl.col("partition.table") == f"latest_{kind}", kind, buckets)

    def stacked(self, **frames: pl.DataFrame) -> pl.DataFrame:
        """Stack rows of several tables in one frame, as this Delta table has them."""
        together = stacked(self.width, **frames)
        return together if self.has_buckets else together.drop("bucket")

    def append(self, observations: pl.DataFrame, fetches: pl.DataFrame) -> int:
        """Add rows to both tables in one commit, and return its number.

        Raises:
            DeltaError: Another add committed first, so that these rows may no longer be right.
        """
        number = self.add_number + 1
        write_deltalake(
            self.delta,
            self.stacked(observations=observations, fetches=fetches).with_columns(pl.lit(number).alias(ADD_NUMBER)),
            mode="append",
            writer_properties=WRITER,
            commit_properties=CommitProperties(app_transactions=[Transaction(_ADD, number)]),
        )
        return number

    def as_renewal(self) -> CommitProperties:
        """Return what makes a commit a renewal: of two at once one fails, while adds go on beside it."""
        return CommitProperties(app_transactions=self._renewal())

    def as_rewriting(self, width: int | None = None) -> CommitProperties:
        """Return what makes a commit one that rewrites all rows: neither an add nor a renewal can go on beside it.

        Args:
            width: The width of the buckets that the rows are moved to; None: they stay in theirs.
        """
        rewriting = [Transaction(_ADD, self.add_number + 1), *self._renewal()]
        return CommitProperties(app_transactions=[*rewriting, *([Transaction(_WIDTH, width)] if width else [])])

    def _renewal(self) -> list[Transaction]:
        return [Transaction(_RENEWAL, self.version)]

    def _buckets(self, chosen: pl.Expr) -> list[int]:
        return self._files.filter(chosen)["partition.bucket"].unique().sort().to_list()

    def _scan(self, chosen: pl.Expr, kind: Kind, buckets: Collection[int] | None) -> pl.LazyFrame:
        if buckets is not None:
            chosen &= pl.col("partition.bucket").is_in(list(buckets))
        paths = self._checked_paths(chosen)
        if not paths:
            return pl.LazyFrame(schema={**ROWS[kind], FILE: pl.String()})
        return pl.scan_parquet(
            paths,
            storage_options=self._storage_options,
            glob=False,
            hive_partitioning=False,
            include_file_paths=FILE,
        ).select(*ROWS[kind], FILE)

    def _checked_paths(self, chosen: pl.Expr) -> list[str]:
        files = dict(self._files.filter(chosen).select("path", "size_bytes").iter_rows())
        self._verify(files)
        return [f"{self._root}/{path}" for path in files]
