"""Every snapshot kept: the change log of all fetches.

The API shows four weeks and no times: what happened before, and every change of a status, exists only if it was fetched
and kept. `Archive.add` compares each fetch of a customer with that customer's previous successful one and keeps what is
new, changed or gone; `Archive.history` gives it all back for `classify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive_table import ADD_NUMBER, ROWS, ArchiveTable, Kind, Snapshot, as_text
from bookings_analytics.cohorts import CohortsSource, read_cohorts
from bookings_analytics.errors import ArchiveError, CohortError
from bookings_analytics.results import CUSTOMER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from bookings_analytics.results import FetchResult

_BOOKING: Final = (*CUSTOMER, "booking_id")
_STATE: Final = tuple(name for name in schema.BOOKINGS if name not in (*_BOOKING, "observed_at", "visible"))


@dataclass(frozen=True)
class Added:
    """What one `Archive.add` wrote.

    Attributes:
        new: Bookings that the customer's previous successful fetch did not show.
        changed: Bookings that it showed otherwise.
        gone: Bookings that it showed and this one does not.
        unchanged: Bookings that it showed the same: nothing was written for them.
        fetches: Fetches kept, failed ones included.
        skipped: Fetches that were not newer than the kept one of that customer.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    unchanged: int = 0
    fetches: int = 0
    skipped: int = 0

    def __repr__(self) -> str:
        """Say it in one line."""
        return (
            f"<Added: {self.new:,} new, {self.changed:,} changed, {self.gone:,} gone, {self.unchanged:,} unchanged "
            f"bookings; {self.fetches:,} fetches kept, {self.skipped:,} skipped>"
        )


class Archive:
    """All snapshots of a chain's customers, in a directory or an object store.

    Several processes may add at once. Reading gives lazy polars frames, each as the archive was when it was asked for.

    Args:
        location: A directory, or the URL of an object store, such as ``s3://bucket/archive``. It is created by the
            first `add`.
        storage_options: How to reach the object store, as `deltalake` takes it: ``AWS_REGION`` and the like.

    Raises:
        ArchiveError: Something else is there, or an archive of a newer version.

    Examples:
        >>> import bookings_analytics as ba
        >>> archive = ba.Archive("archive")  # doctest: +SKIP
    """

    def __init__(self, location: str | Path, *, storage_options: Mapping[str, str] | None = None) -> None:
        self._table = ArchiveTable(location, storage_options)
        self._table.open()

    def add(self, result: FetchResult) -> Added:
        """Keep a fetch: what is new, changed or gone against each customer's previous successful fetch.

        A successful fetch that is not newer than the customer's last kept successful one is skipped, and so is any
        other fetch that is not newer than the customer's last kept one: to add the same result again changes nothing.
        Fetches that failed are kept in `fetches` and say nothing about bookings. All is written in one commit, or
        nothing.

        Args:
            result: What `fetch_bookings` gave. Customers never asked are left out.

        Raises:
            ArchiveError: The result contradicts itself, or other writers were quicker for a whole minute.
        """
        bookings, fetches = _checked(result)

        def write(snapshot: Snapshot) -> Added:
            kept = _newer(fetches, snapshot.latest("fetches"))
            if kept.is_empty():
                return Added(skipped=fetches.height)
            read = kept.filter(pl.col("outcome") == "ok")
            known = _known(snapshot.latest("observations").join(read.lazy(), on=CUSTOMER, how="semi")).collect()
            changes = _changes(known, bookings.join(read, on=CUSTOMER, how="semi"), read)
            observations = changes.filter(pl.col("change") != "unchanged").drop("change")
            snapshot.append(observations=observations, fetches=kept)
            counts = dict(changes.group_by("change").len().iter_rows())
            return Added(**counts, fetches=kept.height, skipped=fetches.height - kept.height)

        return Added(skipped=0) if fetches.is_empty() else self._table.commit(write)

    def history(self, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Give every observation: `schema.BOOKINGS`, sorted by studio, customer, booking and time.

        Args:
            statuses_as_text: Give statuses as text, also those that this version does not know.

        Raises:
            ArchiveError: A status is not known to this version; the message names it, its booking and its file.
        """
        return self._read("observations", statuses_as_text=statuses_as_text).sort(*_BOOKING, "observed_at")

    def bookings(self, as_of: datetime | None = None, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Give every booking ever seen as it was known at a time: `schema.BOOKINGS`, one row per booking.

        Bookings that were gone by then are there with ``visible`` false.

        Args:
            as_of: A time with a time zone; None: now.
            statuses_as_text: As for `history`.

        Raises:
            ArchiveError: As for `history`; or ``as_of`` has no time zone.
        """
        rows = self._read("observations", statuses_as_text=statuses_as_text)
        if as_of is not None:
            if as_of.tzinfo is None:
                raise ArchiveError(f"as_of is {as_of} without a time zone. Give it one, such as UTC.")
            rows = rows.filter(pl.col("observed_at") <= as_of)
        return rows.sort("observed_at").unique(_BOOKING, keep="last", maintain_order=True).sort(_BOOKING)

    def fetches(self) -> pl.LazyFrame:
        """Give every kept fetch: `schema.FETCHES`, sorted by studio, customer and time."""
        return self._read("fetches").sort(*CUSTOMER, "fetched_at", "outcome")

    def latest_fetches(self) -> pl.LazyFrame:
        """Give each customer's last fetch: `schema.FETCHES`, sorted by studio and customer.

        What it costs depends on the number of customers, not on the age of the archive.
        """
        snapshot = self._table.open()
        rows = ROWS["fetches"].to_frame().lazy() if snapshot is None else snapshot.latest("fetches")
        return _last_fetches(rows).select(schema.FETCHES.names()).cast(schema.FETCHES).sort(CUSTOMER)

    def cohorts(self, cohorts: CohortsSource) -> pl.LazyFrame:
        """Give a cohort list with ``fetch_outcome`` from each customer's last fetch: `schema.RESULT_COHORTS`.

        Args:
            cohorts: What `read_cohorts` takes. A row without studio belongs to the only studio of the archive.

        Returns:
            The rows and columns of the list, in its order; ``fetch_outcome`` is not_fetched where the archive has no
            fetch of that customer.

        Raises:
            CohortError: The list can't be used, or names no studio while the archive has several.
        """
        latest = self.latest_fetches().select(*CUSTOMER, fetch_outcome="outcome").collect()
        listed = self._with_studio(read_cohorts(cohorts), latest["studio"].unique().sort().to_list())
        return (
            listed.lazy()
            .join(latest.lazy(), on=CUSTOMER, how="left", maintain_order="left")
            .with_columns(pl.col("fetch_outcome").fill_null("not_fetched"))
        )

    def _with_studio(self, cohorts: pl.DataFrame, studios: list[str]) -> pl.DataFrame:
        if len(studios) > 1 and cohorts["studio"].has_nulls():
            row = cohorts["studio"].is_null().arg_true()[0] + 1
            raise CohortError(
                f"row {row} of the cohorts names no studio, and the archive has {len(studios)}: {', '.join(studios)}. "
                "Name one of them in the column studio."
            )
        return cohorts.with_columns(pl.col("studio").fill_null(studios[0])) if studios else cohorts

    def _read(self, kind: Kind, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        snapshot = self._table.open()
        declared = schema.BOOKINGS if kind == "observations" else schema.FETCHES
        if snapshot is None:
            return (as_text(declared) if statuses_as_text else declared).to_frame().lazy()
        rows = snapshot.rows(kind).drop(ADD_NUMBER)
        return rows if statuses_as_text else rows.cast(declared)


def _checked(result: FetchResult) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take the rows of a result as the table has them: without customers never asked, and statuses as text."""
    fetches = result.fetches.filter(pl.col("outcome") != "not_fetched").cast(as_text(schema.FETCHES))
    bookings = result.bookings.cast(as_text(schema.BOOKINGS))
    twice = fetches.filter(pl.struct(CUSTOMER).is_duplicated())
    unread = bookings.join(fetches.filter(pl.col("outcome") == "ok"), on=CUSTOMER, how="anti")
    for rows, problem in (
        (twice, "holds two fetches of it. Add one result after the other"),
        (unread, "holds bookings of it, but no successful fetch. Add the result as fetch_bookings gave it"),
        (bookings.filter(pl.struct(_BOOKING).is_duplicated()), "holds a booking of it twice. Leave one out"),
    ):
        for studio, customer_id in rows.select(CUSTOMER).head(1).iter_rows():
            raise ArchiveError(f"Customer {customer_id} of studio {studio!r}: the result {problem}.")
    return bookings, fetches


def _last_fetches(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Choose each customer's last fetch; of two at one time the successful one."""
    by_time = rows.sort("fetched_at", pl.col("outcome") == "ok", maintain_order=True)
    return by_time.unique(CUSTOMER, keep="last", maintain_order=True)


def _newer(fetches: pl.DataFrame, latest: pl.LazyFrame) -> pl.DataFrame:
    """Keep the fetches that are newer than the customer's last one: a successful one than the last successful one."""
    last = latest.group_by(CUSTOMER).agg(
        last=pl.col("fetched_at").max(), last_ok=pl.col("fetched_at").filter(pl.col("outcome") == "ok").max()
    )
    compared = fetches.lazy().join(last, on=CUSTOMER, how="left", maintain_order="left").collect()
    before = pl.when(pl.col("outcome") == "ok").then("last_ok").otherwise("last")
    return compared.filter(before.is_null() | (pl.col("fetched_at") > before)).select(fetches.columns)


def _known(latest: pl.LazyFrame) -> pl.LazyFrame:
    """Give what each customer's last successful fetch showed."""
    rows = latest.sort(ADD_NUMBER).unique(_BOOKING, keep="last", maintain_order=True)
    return rows.filter("visible")


def _changes(known: pl.DataFrame, seen: pl.DataFrame, fetches: pl.DataFrame) -> pl.DataFrame:
    """Compare what was known of some customers with what their new fetches show: BOOKINGS and ``change``."""
    both = seen.select(*_BOOKING, *_STATE, now=True).join(
        known.select(*_BOOKING, *_STATE, before=True), on=_BOOKING, how="full", coalesce=True, suffix="_before"
    )
    differs = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_before") for name in _STATE)
    change = (
        pl.when(pl.col("now").is_null())
        .then(pl.lit("gone"))
        .when(pl.col("before").is_null())
        .then(pl.lit("new"))
        .when(differs)
        .then(pl.lit("changed"))
        .otherwise(pl.lit("unchanged"))
    )
    return (
        both.with_columns(change=change)
        .with_columns(pl.coalesce(name, f"{name}_before") for name in _STATE)
        .with_columns(visible=pl.col("change") != "gone")
        .join(fetches.select(*CUSTOMER, observed_at="fetched_at"), on=CUSTOMER)
        .sort(_BOOKING)
        .select(*schema.BOOKINGS, "change")
    )
