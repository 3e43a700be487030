"""What an archive computes from its rows: who was read, how closely, when classes were, what became of bookings."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.archive.class_tables import titled
from bookings_analytics.archive.cohorts import check_period, fetch_outcomes, with_studio
from bookings_analytics.archive.coverage import coverage
from bookings_analytics.archive.frames import ArchiveFrames
from bookings_analytics.archive.outcomes import ArchiveOutcomes
from bookings_analytics.archive.together import reading_all
from bookings_analytics.cohorts import CohortsSource, read_cohorts
from bookings_analytics.metrics.class_days import class_days_of
from bookings_analytics.metrics.hours import opening_hours
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from narwhals.typing import IntoFrame

    from bookings_analytics.archive.parts import Parts

_SHOWN: Final = ("studio", "customers", "fetches", "first (UTC)", "last (UTC)", "observations")


class ArchiveSummaries(ArchiveFrames):
    """The frames that an archive computes from its rows."""

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
        return f"<p>Archive {escape(self._location)}{'' if rows else ': nothing has been added yet'}</p>" + (
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        )

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
            ValueError: ``since`` is after ``until``, or one of them is not a date.

        Example:
            >>> from tempfile import mkdtemp
            >>> from bookings_analytics import Archive
            >>> Archive(mkdtemp()).cohorts([12, 15]).select("customer_id", "fetch_outcome").collect().rows()
            [(12, 'not_fetched'), (15, 'not_fetched')]
        """
        check_period(since, until)
        listed = read_cohorts(cohorts)

        def known(parts: Parts) -> tuple[list[str], pl.DataFrame]:
            of_nobody = fetch_outcomes(schema.FETCHES.to_frame(), since, until)
            found = [fetch_outcomes(part.rows("fetches"), since, until) for part in parts]
            return parts.studios("fetches"), pl.concat([of_nobody, *found])

        studios, outcomes = self._by_parts(known)
        listed = with_studio(listed, studios)
        joined = listed.join(outcomes, on=CUSTOMER_KEY, how="left", maintain_order="left")
        return joined.with_columns(pl.col("fetch_outcome").fill_null("not_fetched")).lazy()

    def coverage(
        self,
        cohorts: CohortsSource | None = None,
        *,
        by: str | Sequence[str] | None = None,
        timezone: str | Mapping[str, str] | None = None,
        opens: str | Mapping[str, str] = "05:00",
        closes: str | Mapping[str, str] = "24:00",
    ) -> pl.DataFrame:
        """Compute how often customers were fetched, and how many went unfetched so long that statuses were missed.

        The API shows two weeks back, so what happened to a class is missed if nobody asks within 14 days of it.

        Args:
            cohorts: What `read_cohorts` takes; None: all customers of the archive.
            by: Column or columns to group by: of the cohorts, ``studio``, or ``day``, the day of the fetch; None: one
                row for all.
            timezone: The studio's time zone, such as "Europe/Berlin", or ``{studio: zone}``; None: days are in UTC.
            opens: With a time zone, the local time before which no class begins, or ``{studio: time}``.
            closes: With a time zone, the local time after which no class ends, or ``{studio: time}``.

        Returns:
            One row per group: its columns, then `schema.COVERAGE`, sorted by group. ``n_customers`` counts those named
            by the cohorts, fetched or not; ``n_read`` those with a successful fetch; ``n_fetches`` all their kept
            fetches; gaps (hours) are between one customer's successful fetches, ``median_gap_h`` over all gaps of the
            group; null without any. By day, a gap belongs to the day of the fetch that ended it. With a time zone also
            ``n_in_opening_hours``: fetches between opening and closing, which leave class days undecided.

        Raises:
            CohortError: The list can't be used, or names no studio while the archive has several.
            ValueError: ``by`` names no column, or one of the result's; or a studio has no time zone or hours, or one
                that does not exist.
        """

        def covered(parts: Parts) -> pl.DataFrame:
            studios = parts.studios("fetches")
            listed = None if cohorts is None else with_studio(read_cohorts(cohorts), studios)
            hours = None if timezone is None else opening_hours(studios, timezone, opens, closes)
            return coverage((part.rows("fetches") for part in parts), listed, by, hours)

        return self._by_parts(covered)

    def class_days(
        self,
        *,
        timezone: str | Mapping[str, str],
        opens: str | Mapping[str, str] = "05:00",
        closes: str | Mapping[str, str] = "24:00",
        known: IntoFrame | None = None,
    ) -> pl.DataFrame:
        """Find the day of every class slot from when it was shown and when it no longer was.

        Nightly fetches that end before `opens` date every class; where the fetches leave two days, the day is null.

        Args:
            timezone: The studio's time zone, such as "Europe/Berlin", or ``{studio: zone}``.
            opens: Local time before which no class begins, or ``{studio: time}``.
            closes: Local time after which no class ends, or ``{studio: time}``.
            known: Times from elsewhere, a timetable say: ``studio``, ``class_slot_id`` and ``starts_at`` with a time
                zone. They win over what the fetches say.

        Returns:
            `schema.CLASS_DAYS`: one row per studio and slot, sorted by them; and ``class_title`` where `fetch_classes`
            has kept classes.

        Raises:
            ValueError: A studio has no time zone or hours, or one that does not exist.
        """

        def dated(parts: Parts) -> pl.DataFrame:
            opening_hours(
                parts.studios("observations"), timezone, opens, closes
            )  # refuses a wrong one before everything is read
            rows = ((part.rows("observations"), part.rows("fetches")) for part in parts)
            return class_days_of(rows, timezone=timezone, opens=opens, closes=closes, known=known)

        return titled(self._by_parts(dated), self._of_classes("classes"))

    def outcomes(
        self, class_days: pl.DataFrame | None = None, since: date | None = None, until: date | None = None
    ) -> ArchiveOutcomes:
        """Classify everything that is kept: one outcome per studio, customer and class slot.

        Args:
            class_days: What `class_days` returned: it dates outcomes, so that rates can be grouped by week, weekday and
                month, and judges waits by the class's time. None: nothing is dated.
            since: The first class day to include; None: from the first. Rows that are not dated are left out with it.
            until: The last class day to include; None: to the last. Rows that are not dated are left out with it.

        Returns:
            Outcomes for every rate, which returns eager polars for them. They are classified at the first use, the
            customers of one bucket at a time; iterating over them yields such frames, `schema.OUTCOMES`, and
            ``class_title`` where `fetch_classes` has kept classes: charts of rates by ``class_id`` show it. Their
            ``frame()`` and ``lazy()`` are all of them in one, and ``write(directory)`` writes them to Parquet files.

        Raises:
            ArchiveError: A status is not known to this version, or a file is missing or damaged.
            ValueError: A period is named without class days, or ends before it begins.

        Example:
            >>> from tempfile import mkdtemp
            >>> import bookings_analytics as ba
            >>> ba.no_shows(ba.Archive(mkdtemp()).outcomes())["n_no_show"].item()
            0
        """
        check_period(since, until)
        if class_days is None and (since or until):
            raise ValueError("since and until are class days. Pass class_days= as well, such as archive.class_days(…).")
        parts = self._by_parts(lambda parts: parts)
        return ArchiveOutcomes(
            parts,
            class_days,
            since=since,
            until=until,
            reading=partial(reading_all, self._tables),
            classes=self._of_classes("classes"),
        )
