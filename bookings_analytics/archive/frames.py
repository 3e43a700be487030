"""What an archive returns: its frames, each read from one snapshot of the table."""

from __future__ import annotations

import warnings
from html import escape
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive.cohorts import fetch_outcomes, with_studio
from bookings_analytics.archive.coverage import coverage
from bookings_analytics.archive.snapshot import AHEAD, FILE, STAMPED, Kind, Snapshot, as_text, last_fetches
from bookings_analytics.archive.table import ArchiveTable
from bookings_analytics.clock import current_time
from bookings_analytics.cohorts import CohortsSource, read_cohorts
from bookings_analytics.errors import ArchiveError
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

_SHOWN: Final = ("studio", "customers", "fetches", "first (UTC)", "last (UTC)", "observations")


class ArchiveFrames:
    """The reading half of `Archive`."""

    def __init__(
        self,
        location: str | Path,
        *,
        storage_options: Mapping[str, str] | None = None,
        must_exist: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._table = ArchiveTable(location, storage_options)
        self._clock = clock or current_time
        if self._table.open() is None and must_exist:
            raise ArchiveError(f"There is no archive at {location}. Check the path; the first fetch creates one.")

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

    def cohorts(self, cohorts: CohortsSource, since: date | None = None, until: date | None = None) -> pl.LazyFrame:
        """Return a cohort list with ``fetch_outcome``, what is known of each customer: `schema.RESULT_COHORTS`.

        One bad night makes nobody unread. It is the latest of ok and access_disabled (opted out); without either
        not_found; without any of these the latest outcome; not_fetched where the archive has no fetch of the customer.
        So a customer deleted after they were read stays in the base of every rate, and one who opted out does not.

        Args:
            cohorts: What `read_cohorts` takes. A row without studio belongs to the only studio of the archive.
            since: The first day (UTC) of a period, with which only fetches in the period or within 14 days after it
                count, and opt-outs of any time. None: from the first fetch.
            until: The last day (UTC) of the period, included. None: up to the last fetch.

        Returns:
            The rows and columns of the list, in its order, and ``fetch_outcome``.

        Raises:
            CohortError: The list can't be used, or names no studio while the archive has several.
            ValueError: ``since`` is after ``until``, or one of them is no date.

        Example:
            >>> from tempfile import mkdtemp
            >>> from bookings_analytics import Archive
            >>> Archive(mkdtemp()).cohorts([12, 15]).select("customer_id", "fetch_outcome").collect().rows()
            [(12, 'not_fetched'), (15, 'not_fetched')]
        """
        fetches = self.fetches().collect()
        outcomes = fetch_outcomes(fetches, since, until)
        listed = with_studio(read_cohorts(cohorts), fetches)
        joined = listed.join(outcomes, on=CUSTOMER_KEY, how="left", maintain_order="left")
        return joined.with_columns(pl.col("fetch_outcome").fill_null("not_fetched")).lazy()

    def coverage(self, cohorts: CohortsSource | None = None, *, by: str | Sequence[str] | None = None) -> pl.DataFrame:
        """Compute how often customers were fetched, and how many went unfetched so long that statuses were missed.

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
            CohortError: The list can't be used, or names no studio while the archive has several.
            ValueError: ``by`` names no column, or one of the result's.
        """
        fetches = self.fetches().collect()
        return coverage(fetches, None if cohorts is None else with_studio(read_cohorts(cohorts), fetches), by)

    def _rows(self, kind: Kind, *, latest: bool = False, statuses_as_text: bool = False) -> pl.LazyFrame:
        """Return a table's rows with the types of the schema, after a look at their statuses and times."""
        declared = schema.BOOKINGS if kind == "observations" else schema.FETCHES
        ahead = pl.col(STAMPED[kind]) > self._until()

        def read(now: Snapshot | None) -> pl.LazyFrame:
            if now is None:
                return pl.LazyFrame(schema=as_text(declared) if statuses_as_text else declared)
            rows = now.latest(kind) if latest else now.rows(kind)
            if n_ahead := rows.filter(ahead).select(CUSTOMER_KEY).unique().collect().height:
                warnings.warn(
                    f"The archive {self._table.location} has fetches of {counted(n_ahead, 'customer')} that are ahead "
                    "of this computer's clock; they are left out until their time has come. Check the clock; "
                    "archive.check() names them.",
                    stacklevel=5,
                )
                rows = rows.filter(~ahead)
            if statuses_as_text:
                return rows.select(declared.names())
            for name, dtype in declared.items():
                if isinstance(dtype, pl.Enum):
                    _refuse_unknown(rows.filter(~pl.col(name).is_in(dtype.categories.to_list())), name)
            return rows.select(declared.names()).cast(declared)

        return self._table.read(read)

    def _until(self) -> datetime:
        """Return the time after which a stamp is ahead of the clock."""
        return self._clock() + AHEAD


def _refuse_unknown(unknown: pl.LazyFrame, name: str) -> None:
    """Refuse rows with statuses that this version does not know, if there are any."""
    for row in unknown.head(1).collect().iter_rows(named=True):
        booking = f"booking {row['booking_id']} of " if "booking_id" in row else ""
        raise ArchiveError(
            f"{name} is {row[name]!r} in {booking}customer {row['customer_id']}, studio {row['studio']!r}, in the file "
            f"{row[FILE]}: a status that this version does not know. Update bookings_analytics, or read with "
            "statuses_as_text=True."
        )
