"""Classes and their slots, kept beside the bookings: what they are called, when they begin, how many they take.

They say nothing of customers and need none of the care that the change log takes. Each is a Delta table of its own
below ``_classes``, to which every look is appended. Reading takes the latest look at each class or slot; every so many
looks the others are dropped.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, get_args

import polars as pl
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from bookings_analytics import schema
from bookings_analytics.archive.integrity import Integrity
from bookings_analytics.errors import ArchiveError
from bookings_analytics.schema import CLASS_KEY, SLOT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

ClassTable: TypeAlias = Literal["classes", "slots"]
T = TypeVar("T")

DIRECTORY: Final = "_classes"  # below another table, Delta Lake leaves alone what begins with an underscore
_COLUMNS: Final[Mapping[ClassTable, pl.Schema]] = {"classes": schema.CLASSES, "slots": schema.SLOTS}
_KEYS: Final[Mapping[ClassTable, tuple[str, ...]]] = {"classes": CLASS_KEY, "slots": SLOT_KEY}
CLASS_TABLES: Final[tuple[ClassTable, ...]] = get_args(ClassTable)
_LOOKS: Final = 30  # files that are read one by one, before they become one
_KEPT_HOURS: Final = 24  # what was replaced stays that long, for those who are still reading it
_ATTEMPTS: Final = 50  # against other writers
_PAUSE: Final = 0.05  # seconds between two attempts
_WRITER: Final = WriterProperties(compression="ZSTD")
_UNREADABLE: Final = (DeltaError, OSError, pl.exceptions.ComputeError)


class ClassTables:
    """The two tables of an archive.

    Args:
        root: The archive's directory or URL.
        storage_options: How to reach the object store; None in a directory.
    """

    def __init__(self, root: str, storage_options: dict[str, str] | None) -> None:
        self._root = root
        self._storage_options = storage_options
        directory = None if "://" in root else Path(root, DIRECTORY)
        self._integrity = {name: Integrity(directory and directory / name) for name in CLASS_TABLES}

    def rows(self, name: ClassTable, until: datetime) -> pl.DataFrame:
        """Read the latest look at every class or slot, sorted by studio and id.

        Args:
            name: Which table.
            until: Looks stamped later are ahead of the clock, and left out until their time has come.

        Raises:
            ArchiveError: The table can't be read.
        """
        return self._tried(
            name,
            "read",
            lambda table: (
                _COLUMNS[name].to_frame() if table is None else _latest(name, self._all(name, table), until).collect()
            ),
        )

    def add(self, classes: pl.DataFrame, slots: pl.DataFrame, until: datetime) -> None:
        """Keep a look. Nothing that was kept before is lost, whoever else writes meanwhile.

        Args:
            classes: The classes it showed, `schema.CLASSES`.
            slots: Their slots, `schema.SLOTS`.
            until: Looks stamped later are ahead of the clock.

        Raises:
            ArchiveError: A table can't be written.
        """
        frames: Mapping[ClassTable, pl.DataFrame] = {"classes": classes, "slots": slots}
        for name, frame in frames.items():
            if frame.height:
                rows = frame.select(pl.col(column).cast(kind) for column, kind in _COLUMNS[name].items())
                self._tried(name, "written", partial(self._append, name, rows))
                if self._tried(name, "read", _n_files) > _LOOKS:
                    self._rewrite(name, until)

    def rename_studio(self, old: str, new: str, until: datetime) -> None:
        """Rename a studio in both tables.

        Args:
            old: The name it has.
            new: The name it gets.
            until: Looks stamped later are ahead of the clock.

        Raises:
            ArchiveError: A table can't be written.
        """
        for name in CLASS_TABLES:
            self._rewrite(name, until, pl.col("studio").replace(old, new))

    def compact(self, until: datetime) -> None:
        """Drop all looks but the latest ones.

        Args:
            until: Looks stamped later are ahead of the clock, and stay beside the latest before them.

        Raises:
            ArchiveError: A table can't be written.
        """
        for name in CLASS_TABLES:
            self._rewrite(name, until)

    def problems(self, until: datetime) -> Iterator[str]:
        """Read every file, and describe what can't be read.

        Args:
            until: Looks stamped later are ahead of the clock.
        """
        for name in CLASS_TABLES:
            try:
                self.rows(name, until)
            except ArchiveError as error:
                yield str(error)

    def _rewrite(self, name: ClassTable, until: datetime, *changes: pl.Expr) -> None:
        """Replace a table by its latest looks, changed. A look that is added meanwhile stays: it is not replaced."""

        def write(table: DeltaTable | None) -> None:
            if table is None:
                return
            looks = self._all(name, table).with_columns(*changes)
            rows = pl.concat([_latest(name, looks, until), looks.filter(pl.col("observed_at") > until)]).collect()
            write_deltalake(table, rows, mode="overwrite", writer_properties=_WRITER)
            self._integrity[name].record()
            table.vacuum(_KEPT_HOURS, dry_run=False, enforce_retention_duration=False, full=True)
            table.create_checkpoint()
            table.cleanup_metadata()
            self._integrity[name].prune()

        self._tried(name, "written", write)

    def _append(self, name: ClassTable, rows: pl.DataFrame, _: DeltaTable | None) -> None:
        write_deltalake(
            self._place(name),
            rows,
            mode="append",
            writer_properties=_WRITER,
            storage_options=self._storage_options,
        )
        self._integrity[name].record()

    def _all(self, name: ClassTable, table: DeltaTable) -> pl.LazyFrame:
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        self._integrity[name].verify(dict(actions.select("path", "size_bytes").iter_rows()))
        if "://" in self._root:
            rows = pl.scan_delta(table, storage_options=self._storage_options)
        else:  # of a directory with letters other than ASCII's, polars would not find the files
            files = [f"{self._place(name)}/{path}" for path in actions["path"]]
            rows = pl.scan_parquet(files, glob=False) if files else _COLUMNS[name].to_frame().lazy()
        return rows.select(pl.col(column).cast(kind) for column, kind in _COLUMNS[name].items())

    def _tried(self, name: ClassTable, done: str, use: Callable[[DeltaTable | None], T]) -> T:
        """Run `use` on a table as it is now; again where another writer was quicker.

        Raises:
            ArchiveError: It failed, and nobody else had written meanwhile.
        """
        version = None
        for attempt in range(1, _ATTEMPTS + 1):
            before = version
            try:
                table = self._opened(name)
                version = None if table is None else table.version()
                return use(table)
            except _UNREADABLE as error:
                if attempt == _ATTEMPTS or (attempt > 1 and before == version):
                    raise ArchiveError(
                        f"The {name} of the archive {self._root} can't be {done}: {' '.join(str(error).split())}. "
                        f"The bookings are not affected. Check that {self._place(name)} can be reached, or remove it "
                        "and fetch the classes again."
                    ) from error
            time.sleep(_PAUSE)
        raise AssertionError("the last attempt raises")

    def _opened(self, name: ClassTable) -> DeltaTable | None:
        if not DeltaTable.is_deltatable(self._place(name), self._storage_options):
            return None
        self._integrity[name].verify_log()
        return DeltaTable(self._place(name), storage_options=self._storage_options)

    def _place(self, name: ClassTable) -> str:
        return f"{self._root}/{DIRECTORY}/{name}"


def titles_of(classes: pl.DataFrame) -> dict[int, str]:
    """Return the titles of classes by their numbers; a number of several titles in several studios has none.

    Args:
        classes: `schema.CLASSES`.
    """
    known = classes.drop_nulls("title")
    one = known.group_by("class_id").agg(pl.col("title").unique()).filter(pl.col("title").list.len() == 1)
    return dict(one.select("class_id", pl.col("title").list.first()).sort("class_id").iter_rows())


def titled(rows: pl.DataFrame, classes: pl.DataFrame) -> pl.DataFrame:
    """Add what each row's class is called, ``class_title``, last; nothing is added where no class is known.

    Args:
        rows: Any rows with `schema.CLASS_KEY`; their order is kept.
        classes: `schema.CLASSES`.
    """
    if classes.is_empty():
        return rows
    return rows.join(classes.select(*CLASS_KEY, class_title="title"), on=CLASS_KEY, how="left", maintain_order="left")


def _latest(name: ClassTable, looks: pl.LazyFrame, until: datetime) -> pl.LazyFrame:
    by_time = looks.filter(pl.col("observed_at") <= until).sort("observed_at", maintain_order=True)
    return by_time.unique(_KEYS[name], keep="last", maintain_order=True).sort(_KEYS[name])


def _n_files(table: DeltaTable | None) -> int:
    return len(table.file_uris()) if table else 0
