"""Every snapshot kept: the change log of all fetches.

The API shows four weeks and no times: what happened before, and every change of a status, exists only if it was fetched
and kept. `Archive.add` compares each fetch of a customer with that customer's previous successful one and keeps what is
new, changed or gone; `Archive.history` gives it all back for `classify`.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive import maintenance
from bookings_analytics.archive.changes import Added, changes, checked, newer
from bookings_analytics.archive.coverage import coverage
from bookings_analytics.archive.snapshot import FILE, Kind, Snapshot, as_text, last_fetches, last_seen
from bookings_analytics.archive.table import ArchiveTable
from bookings_analytics.cohorts import CohortsSource, read_cohorts
from bookings_analytics.errors import ArchiveError, CohortError
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from bookings_analytics.results import FetchResult

_SHOWN: Final = ("studio", "customers", "fetches", "first (UTC)", "last (UTC)", "observations")


class Archive:
    """All snapshots of a studio's or a chain's customers, in a directory or an object store.

    Several processes may add at once: nothing is lost or doubled. Every frame shows the archive as it was when it was
    asked for; collect it within a day, and ask again after `forget`.

    Args:
        location: A directory, or the URL of an object store, such as ``s3://bucket/archive``. The first `add` creates
            it.
        storage_options: How to reach the object store, with the names that Delta Lake and polars share:
            ``AWS_REGION``, ``AWS_ENDPOINT_URL`` and the like.

    Raises:
        ArchiveError: Something else is there, or an archive of a newer format. Nothing is touched.

    Examples:
        >>> import tempfile
        >>> import bookings_analytics as ba
        >>> archive = Archive(tempfile.mkdtemp())
        >>> with ba.demo.serve() as studio:
        ...     result = ba.fetch_bookings(studio.cohorts.head(3), studios=studio, progress=False)
        >>> archive.add(result)
        <Added: ... new, 0 changed, 0 gone, 0 unchanged; 3 fetches kept, 0 skipped>
        >>> archive.add(result)
        <Added: 0 new, 0 changed, 0 gone, 0 unchanged; 0 fetches kept, 3 skipped>
        >>> outcomes = ba.classify(archive.history())
    """

    def __init__(self, location: str | Path, *, storage_options: Mapping[str, str] | None = None) -> None:
        self._table = ArchiveTable(location, storage_options)
        self._table.open()

    def __repr__(self) -> str:
        return f"<Archive {self._table.location!r}>"

    def _repr_html_(self) -> str:
        """Show for each studio how many customers, fetches and observations there are, and since when."""
        times = pl.col("fetched_at").dt.strftime("%Y-%m-%d %H:%M")
        asked = self.fetches(statuses_as_text=True).group_by("studio")
        seen = self.history(statuses_as_text=True).group_by("studio").agg(observations=pl.len())
        table = (
            asked.agg(pl.col("customer_id").n_unique(), pl.len(), times.min().alias("first"), times.max().alias("last"))
            .join(seen, on="studio", how="left")
            .sort("studio")
            .collect()
        )
        rows = "".join(
            f"<tr><td>{escape(studio)}</td><td>{customers:,}</td><td>{fetches:,}</td><td>{first}</td><td>{last}</td>"
            f"<td>{observations or 0:,}</td></tr>"
            for studio, customers, fetches, first, last, observations in table.iter_rows()
        )
        head = "".join(f"<th>{name}</th>" for name in _SHOWN)
        return f"<p>Archive {escape(self._table.location)}{'' if rows else ': nothing has been added yet'}</p>" + (
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        )

    def add(self, result: FetchResult) -> Added:
        """Keep a fetch: what is new, changed or gone against each customer's previous successful fetch.

        A successful fetch that is not newer than the customer's last kept successful one is skipped, and so is any
        other fetch that is not newer than the customer's last kept one; to add the same result again changes nothing.
        Fetches that failed are kept in `fetches` and say nothing about bookings: they neither make a booking gone nor
        stand in the way of a successful fetch from before them. All is written in one commit, or nothing; about every
        hundredth add compacts the archive.

        Args:
            result: What `fetch_bookings` gave. Customers never asked are left out.

        Raises:
            ArchiveError: The result contradicts itself, or the archive can't be written; nothing was.
        """
        bookings, fetches = checked(result)

        if fetches.is_empty():
            return Added()

        def write(now: Snapshot) -> tuple[Added, int | None]:
            kept = newer(fetches, now.latest("fetches"))
            if kept.is_empty():
                return Added(skipped=fetches.height), None
            read = kept.filter(pl.col("outcome") == "ok")
            known = last_seen(now.latest("observations").join(read.lazy(), on=CUSTOMER_KEY, how="semi")).collect()
            compared = changes(known, bookings.join(read, on=CUSTOMER_KEY, how="semi"), read)
            number = now.append(compared.filter(pl.col("change") != "unchanged").drop("change"), kept)
            counts = dict(compared.group_by("change").len().iter_rows())
            return Added(**counts, fetches=kept.height, skipped=fetches.height - kept.height), number

        added, number = self._table.commit(write)
        if number is not None:
            maintenance.tidy(self._table, number)
        return added

    def history(self, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Give every observation: `schema.BOOKINGS`, sorted by studio, customer, booking and time.

        Args:
            statuses_as_text: Give statuses as text, also those that this version does not know.

        Raises:
            ArchiveError: A status is not known to this version; the message names it, its booking and its file.
        """
        rows = self._rows("observations", statuses_as_text=statuses_as_text)
        return rows.sort(*BOOKING_KEY, "observed_at")

    def bookings(self, as_of: datetime | None = None, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Give every booking ever seen as it was known at a time: `schema.BOOKINGS`, one row per booking.

        Bookings that were gone by then are there with ``visible`` false. Sorted by studio, customer and booking.

        Args:
            as_of: A time with a time zone; what was observed at that very time counts. None: the latest.
            statuses_as_text: As for `history`.

        Raises:
            ArchiveError: As for `history`; or ``as_of`` has no time zone.
        """
        rows = self._rows("observations", statuses_as_text=statuses_as_text)
        if as_of is not None:
            if as_of.tzinfo is None:
                raise ArchiveError(f"as_of is {as_of} without a time zone. Give it one, such as UTC.")
            rows = rows.filter(pl.col("observed_at") <= as_of)
        latest = rows.group_by(BOOKING_KEY).agg(pl.col("observed_at").max())
        return rows.join(latest, on=[*BOOKING_KEY, "observed_at"], how="semi").sort(BOOKING_KEY)

    def fetches(self, *, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Give every kept fetch: `schema.FETCHES`, sorted by studio, customer and time.

        Args:
            statuses_as_text: Give outcomes as text, also those that this version does not know.

        Raises:
            ArchiveError: An outcome is not known to this version; the message names it, its customer and its file.
        """
        rows = self._rows("fetches", statuses_as_text=statuses_as_text)
        return rows.sort(*CUSTOMER_KEY, "fetched_at", "outcome")

    def latest_fetches(self) -> pl.LazyFrame:
        """Give each customer's last fetch: `schema.FETCHES`, sorted by studio and customer.

        What it costs depends on the number of customers, not on the age of the archive.

        Raises:
            ArchiveError: As for `fetches`.
        """
        return last_fetches(self._rows("fetches", latest=True)).sort(CUSTOMER_KEY)

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
        latest = self.latest_fetches().select(*CUSTOMER_KEY, fetch_outcome="outcome").collect()
        listed = _with_studio(read_cohorts(cohorts), latest)
        outcomes = listed.join(latest, on=CUSTOMER_KEY, how="left", maintain_order="left")
        return outcomes.with_columns(pl.col("fetch_outcome").fill_null("not_fetched")).lazy()

    def coverage(self, cohorts: CohortsSource | None = None, *, by: str | Sequence[str] | None = None) -> pl.DataFrame:
        """Say how often customers were fetched, and how many went unfetched for so long that statuses were missed.

        The API shows two weeks back, so what happened to a class is missed if nobody asks within 14 days of it.

        Args:
            cohorts: What `read_cohorts` takes; None: all customers of the archive.
            by: Column or columns to group by: of the cohorts, ``studio``, or ``day``, the day (UTC) of the fetch; None:
                one row for all.

        Returns:
            One row per group: its columns, then `schema.COVERAGE`, sorted by group. ``n_customers`` counts those named
            by the cohorts, fetched or not; ``n_read`` those with a successful fetch; ``n_fetches`` all their kept
            fetches; gaps (hours) are between one customer's successful fetches, ``median_gap_h`` over all gaps of the
            group; null without any. By day, a gap belongs to the day of the fetch that ended it.

        Raises:
            CohortError: As for `cohorts`.
            ValueError: ``by`` names no column, or one of the result's.
        """
        fetches = self.fetches().collect()
        return coverage(fetches, None if cohorts is None else _with_studio(read_cohorts(cohorts), fetches), by)

    def forget(self, customer_ids: Iterable[int], *, studio: str | None = None) -> None:
        """Erase customers: their rows, and every trace of their ids in data files, logs, checkpoints and statistics.

        A later fetch of such a customer brings them back: take them off the cohort lists too. Other writers wait
        meanwhile; what one of them is just writing as this begins may leave an unused file, which the next `compact`
        after a day removes. An erasure that was interrupted is completed by calling it again; until then nothing can
        be added.

        Args:
            customer_ids: Who to forget.
            studio: In which studio; None: in all.

        Raises:
            CohortError: An id is none.
            ArchiveError: The archive can't be written, or holds files of something else.
        """
        ids = list(dict.fromkeys(customer_ids))
        if ids:
            maintenance.erase(self._table, read_cohorts(ids)["customer_id"].to_list(), studio)

    def compact(self) -> None:
        """Put many small files together and remove what they replace after a day: reading gets faster.

        Every hundred adds do that on their own.

        Raises:
            ArchiveError: The archive can't be written, or holds files of something else.
        """
        maintenance.compact(self._table)

    def _rows(self, kind: Kind, *, latest: bool = False, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Give a table's rows with the types of the schema, after a look at their statuses."""
        declared = schema.BOOKINGS if kind == "observations" else schema.FETCHES
        now = self._table.open()
        if now is None:
            return pl.LazyFrame(schema=as_text(declared) if statuses_as_text else declared)
        rows = now.latest(kind) if latest else now.rows(kind)
        if statuses_as_text:
            return rows.select(declared.names())
        for name, dtype in declared.items():
            if isinstance(dtype, pl.Enum):
                _refuse_unknown(rows.filter(~pl.col(name).is_in(dtype.categories.to_list())), name)
        return rows.select(declared.names()).cast(declared)


def _with_studio(cohorts: pl.DataFrame, fetches: pl.DataFrame) -> pl.DataFrame:
    """Fill in the archive's only studio where the cohorts name none."""
    studios = fetches["studio"].unique().sort().to_list()
    nameless = cohorts["studio"].is_null()
    if len(studios) > 1 and nameless.any():
        raise CohortError(
            f"row {nameless.arg_true()[0] + 1} of the cohorts names no studio, and the archive has {len(studios)}: "
            f"{', '.join(studios)}. Name one of them in the column studio."
        )
    return cohorts.with_columns(pl.col("studio").fill_null(studios[0])) if studios else cohorts


def _refuse_unknown(unknown: pl.LazyFrame, name: str) -> None:
    """Refuse rows with statuses that this version does not know, if there are any."""
    for row in unknown.head(1).collect().iter_rows(named=True):
        booking = f"booking {row['booking_id']} of " if "booking_id" in row else ""
        raise ArchiveError(
            f"{name} is {row[name]!r} in {booking}customer {row['customer_id']}, studio {row['studio']!r}, in the file "
            f"{row[FILE]}: a status that this version does not know. Update bookings_analytics, or read with "
            "statuses_as_text=True."
        )
