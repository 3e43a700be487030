"""The rows an archive returns, each frame read from one snapshot of the table."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive.layout import AHEAD, STAMPED, Kind, as_text, last_fetches
from bookings_analytics.archive.parts import Parts, with_types
from bookings_analytics.archive.together import (
    PartsTogether,
    archives_at,
    no_single_one,
    reading_all,
    refuse_shared_studios,
)
from bookings_analytics.errors import ArchiveError
from bookings_analytics.schema import BOOKING_KEY, CLASS_KEY, CUSTOMER_KEY, SLOT_KEY
from bookings_analytics.studios.clock import current_time
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from bookings_analytics.archive.class_tables import ClassTable
    from bookings_analytics.archive.snapshot import Snapshot
    from bookings_analytics.archive.table import ArchiveTable

T = TypeVar("T")


class ArchiveFrames:
    """The rows of an archive: what `Archive` returns as it was kept."""

    def __init__(
        self,
        location: str | Path,
        *,
        storage_options: Mapping[str, str] | None = None,
        must_exist: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._location = str(location)
        self._tables = archives_at(location, storage_options)
        self._clock = clock or current_time
        if [table.open() for table in self._tables] == [None] and must_exist:
            raise ArchiveError(f"There is no archive at {location}. Check the path; the first fetch creates one.")
        if len(self._tables) > 1:
            refuse_shared_studios(self._tables, self._until())

    def __repr__(self) -> str:
        return f"<Archive {self._location!r}>"

    @property
    def _table(self) -> ArchiveTable:
        """The one archive that is changed.

        Raises:
            ArchiveError: There are several, which are read together.
        """
        if len(self._tables) > 1:
            raise no_single_one(self._location, self._tables)
        return self._tables[0]

    def history(self, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Return every observation: `schema.BOOKINGS`, sorted by studio, customer, booking and time.

        Rows of a fetch that is more than 5 minutes ahead of the clock are left out until their time has come.

        Args:
            statuses_as_text: Return statuses as text, also those that this version does not know.

        Raises:
            ArchiveError: A status is not known to this version, or a file is missing or damaged; the message names the
                file.
        """
        rows = self._rows("observations", statuses_as_text=statuses_as_text)
        return rows.sort(*BOOKING_KEY, "observed_at")

    def bookings(self, as_of: datetime | None = None, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Return every booking ever seen as it was known at a time: `schema.BOOKINGS`, one row per booking.

        Bookings that were gone by then have ``visible`` false. Sorted by studio, customer and booking. Rows of a fetch
        that is more than 5 minutes ahead of the clock are left out until their time has come.

        Args:
            as_of: A time with a time zone; what was observed at that very time counts. None: the latest.
            statuses_as_text: Return statuses as text, also those that this version does not know.

        Raises:
            ArchiveError: A status is not known to this version, a file is missing or damaged, or ``as_of`` has no time
                zone.
        """
        rows = self._rows("observations", statuses_as_text=statuses_as_text)
        if as_of is not None:
            if as_of.tzinfo is None:
                raise ArchiveError(f"as_of is {as_of} without a time zone. Pass one with it, such as UTC.")
            rows = rows.filter(pl.col("observed_at") <= as_of)
        latest = rows.group_by(BOOKING_KEY).agg(pl.col("observed_at").max())
        return rows.join(latest, on=[*BOOKING_KEY, "observed_at"], how="semi").sort(BOOKING_KEY)

    def fetches(self, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Return every kept fetch: `schema.FETCHES`, sorted by studio, customer and time.

        A fetch that is more than 5 minutes ahead of the clock is left out until its time has come.

        Args:
            statuses_as_text: Return outcomes as text, also those that this version does not know.

        Raises:
            ArchiveError: An outcome is not known to this version, or a file is missing or damaged; the message names
                the file.
        """
        rows = self._rows("fetches", statuses_as_text=statuses_as_text)
        return rows.sort(*CUSTOMER_KEY, "fetched_at", "outcome")

    def latest_fetches(self) -> pl.LazyFrame:
        """Return each customer's last fetch: `schema.FETCHES`, sorted by studio and customer.

        What it costs depends on the number of customers, not on the age of the archive. A fetch that is more than 5
        minutes ahead of the clock is never the last one.

        Raises:
            ArchiveError: An outcome is not known to this version, or a file is missing or damaged; the message names
                the file.
        """
        return last_fetches(self._rows("fetches", latest=True)).sort(CUSTOMER_KEY)

    def files(self, table: Kind) -> list[str]:
        """Return the Parquet files of a table as it is now, for engines that read them by themselves.

        Their rows have statuses as text, and a column ``add_number`` beside those of the schema. They hold every row,
        also one of a fetch that is ahead of the clock; `check` names these.

        Args:
            table: "observations", the rows of `history`; or "fetches", those of `fetches`.

        Returns:
            Full paths or URLs, sorted: ``spark.read.parquet(*archive.files("observations"))``.

        Raises:
            ArchiveError: A file is missing or damaged; the message names it.
            ValueError: The archive has no such table.

        Example:
            >>> from tempfile import mkdtemp
            >>> from bookings_analytics import Archive
            >>> Archive(mkdtemp()).files("observations")
            []
        """
        if table not in STAMPED:
            raise ValueError(f"an archive has no table {table!r}. Name one of: {', '.join(STAMPED)}.")
        return sorted(
            path for each in self._tables for path in each.read(lambda now: [] if now is None else now.paths(table))
        )

    def _rows(self, kind: Kind, *, latest: bool = False, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Return a table's rows with the types of the schema, after a look at their statuses and times."""
        declared = schema.BOOKINGS if kind == "observations" else schema.FETCHES

        def read(now: Snapshot | None) -> pl.LazyFrame:
            if now is None:
                return pl.LazyFrame(schema=as_text(declared) if statuses_as_text else declared)
            rows = self._in_time(now.latest(kind) if latest else now.rows(kind), kind)
            return rows.select(declared.names()) if statuses_as_text else with_types(rows, kind)

        return pl.concat([table.read(read) for table in self._tables])

    def _by_parts(self, use: Callable[[Parts], T]) -> T:
        """Run `use` on all rows by whole customers; again if an erasure or a compaction meanwhile removed files."""

        def parts_of(now: Snapshot | None) -> Parts:
            if now is not None:
                self._in_time(now.rows("fetches"), "fetches")
            return Parts(now, self._until())

        if len(self._tables) == 1:
            return self._tables[0].read(lambda now: use(parts_of(now)))
        with reading_all(self._tables):
            return use(PartsTogether([parts_of(table.open()) for table in self._tables]))

    def _in_time(self, rows: pl.LazyFrame, kind: Kind) -> pl.LazyFrame:
        """Leave out rows that are ahead of the clock, with a warning."""
        ahead = pl.col(STAMPED[kind]) > self._until()
        n_ahead = rows.filter(ahead).select(CUSTOMER_KEY).unique().collect().height
        if not n_ahead:
            return rows
        warnings.warn(
            f"The archive {self._location} has fetches of {counted(n_ahead, 'customer')} that are ahead "
            "of this computer's clock; they are left out until their time has come. Check the clock; "
            "archive.check() names them.",
            stacklevel=6,
        )
        return rows.filter(~ahead)

    def _of_classes(self, name: ClassTable) -> pl.DataFrame:
        """Read the latest look at every class or slot, sorted by studio and id."""
        rows = pl.concat([table.classes.rows(name, self._until()) for table in self._tables])
        return rows.sort(CLASS_KEY if name == "classes" else SLOT_KEY)

    def _until(self) -> datetime:
        """Return the time after which a stamp is ahead of the clock."""
        return self._clock() + AHEAD
