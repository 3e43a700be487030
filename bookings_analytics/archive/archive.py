"""Every snapshot kept: the change log of all fetches.

The API shows four weeks and no times: what happened before, and every change of a status, exists only if it was fetched
and kept. `Archive.add` compares each fetch of a customer with that customer's previous successful one and keeps what is
new, changed or gone; `Archive.history` returns it all for `classify`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.archive import maintenance
from bookings_analytics.archive.changes import Added, changes, newer
from bookings_analytics.archive.check import alike_studios
from bookings_analytics.archive.class_tables import titled, titles_of
from bookings_analytics.archive.incoming import incoming
from bookings_analytics.archive.layout import last_seen
from bookings_analytics.archive.upkeep import ArchiveUpkeep
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from bookings_analytics.archive.snapshot import Snapshot
    from bookings_analytics.results import FetchResult


class Archive(ArchiveUpkeep):
    """All snapshots of a studio's or a chain's customers, in a directory or an object store.

    Several processes may add at once: nothing is lost or doubled. Every frame shows the archive as it was when it was
    asked for; collect it within a day, and ask again after `forget`. A fetch whose stamp is more than 5 minutes ahead
    of the clock is kept, but stays out of every frame, and nothing is compared with it, until its time has come.

    A directory that holds nothing but archives, of different studios, is read as one. `forget`, `forget_opted_out`,
    `retain` and `compact` go to each of them; what else changes an archive takes one.

    Args:
        location: A directory, or the URL of an object store, such as ``s3://bucket/archive``. The first `add` creates
            it.
        storage_options: How to reach the object store, with the names that Delta Lake and polars share:
            ``AWS_REGION``, ``AWS_ENDPOINT_URL`` and the like.
        must_exist: Refuse a place where nothing has been added yet: for reading, where a typo would look like an empty
            archive.
        clock: Returns the current time, aware; None: the computer's clock, or the demo studio's that
            ``BOOKINGS_CLOCK`` names.

    Raises:
        ArchiveError: Something else is there, an archive of a newer format, a damaged log, or, with `must_exist`,
            nothing. Nothing is touched.

    Examples:
        >>> import tempfile
        >>> import bookings_analytics as ba
        >>> archive = Archive(tempfile.mkdtemp())
        >>> with ba.demo.serve() as studio:
        ...     result = ba.fetch_bookings(studio.cohorts.head(3), studios=studio, progress=False)
        >>> archive.add(result)
        <Added: ... new, 0 changed, 0 gone, 0 unchanged; 3 fetches kept, 0 skipped>
        >>> archive.add(result)
        <Added: 0 new, 0 changed, 0 gone, 0 unchanged; 0 fetches kept, 3 skipped (not newer than the kept fetch)>
        >>> outcomes = ba.classify(archive.history())
    """

    def add(
        self,
        result: FetchResult | None = None,
        *,
        bookings: IntoFrame | None = None,
        fetches: IntoFrame | None = None,
    ) -> Added:
        """Store a fetch: what is new, changed or gone since each customer's previous successful fetch.

        A successful fetch that is not newer than the customer's last kept successful one is skipped, and so is any
        other fetch that is not newer than the customer's last kept one; to add the same result again changes nothing.
        Kept fetches that are ahead of the clock are not compared with. Fetches that failed are kept in `fetches` and
        do not concern bookings: they neither make a booking gone nor stand in the way of a successful fetch from
        before them. Time stamps are cut to whole seconds. All is written in one commit, or nothing; about every
        hundredth add compacts the archive. A new studio that shares most of its class slots with another one is warned
        of.

        Args:
            result: What `fetch_bookings` returned. Customers never asked are left out.
            bookings: In place of a result: what another source says of bookings, in a frame with the columns of
                `schema.BOOKINGS`. ``observed_at`` is the ``fetched_at`` of the customer's row in `fetches`;
                ``visible`` may be absent.
            fetches: In place of a result: who was asked, in a frame with the columns of `schema.FETCHES`, one row per
                customer, also of those without bookings. What concerns the request (``http_status``, ``error_code``,
                ``message``, ``trace_id``, ``attempts``) may be absent.

        Returns:
            The counts, with what was skipped and what is ahead of the clock.

        Raises:
            ArchiveError: The rows contradict the schema, each other or themselves (the message names row and value),
                or the archive is damaged or can't be written. Nothing was written.
            TypeError: Neither a result nor both frames were passed.

        Example:
            >>> from datetime import UTC, datetime
            >>> from tempfile import mkdtemp
            >>> import polars as pl
            >>> at = datetime(2026, 5, 4, 4, 15, tzinfo=UTC)
            >>> key = {"studio": "mitte", "customer_id": 14925548}
            >>> booking = key | {"class_slot_id": 7, "class_id": 2, "booking_id": 31, "booking_status": "BOOKED"}
            >>> booking |= {"class_slot_status": "PLANNED", "participant_status": "UNSET", "observed_at": at}
            >>> fetch = key | {"fetched_at": at, "outcome": "ok", "n_bookings": 1}
            >>> Archive(mkdtemp()).add(bookings=pl.DataFrame([booking]), fetches=pl.DataFrame([fetch]))
            <Added: 1 new, 0 changed, 0 gone, 0 unchanged; 1 fetches kept, 0 skipped>
        """
        seen, asked = incoming(result, bookings, fetches)
        until = self._until()

        if asked.is_empty():
            return Added()

        def write(now: Snapshot) -> tuple[Added, int, int, list[str]]:
            buckets = now.buckets_of(asked["customer_id"])
            known = now.latest("fetches", buckets=buckets)
            kept, n_ahead = newer(asked, known, until)
            if kept.is_empty():
                return Added(skipped=asked.height, ahead=n_ahead), 0, 0, []
            read = kept.filter(pl.col("outcome") == "ok")
            latest = now.latest("observations", buckets=buckets)
            before = latest.filter(pl.col("observed_at") <= until).join(read.lazy(), on=CUSTOMER_KEY, how="semi")
            compared = changes(last_seen(before).collect(), seen.join(read, on=CUSTOMER_KEY, how="semi"), read)
            alike = _alike(now, seen, known)
            number = now.append(compared.filter(pl.col("change") != "unchanged").drop("change"), kept)
            counts = dict(compared.group_by("change").len().iter_rows())
            skipped = asked.height - kept.height
            return Added(**counts, fetches=kept.height, skipped=skipped, ahead=n_ahead), number, now.compacted, alike

        added, number, compacted, alike = self._table.commit(write)
        for each in alike:
            warnings.warn(each, stacklevel=2)
        if number:
            maintenance.tidy(self._table, number, compacted, until)
        return added

    def add_classes(self, classes: pl.DataFrame, slots: pl.DataFrame) -> None:
        """Store what a look at the timetable showed, beside the bookings; `fetch_classes` does so by itself.

        Of each class and each slot the latest look is kept; what is no longer shown stays. A look that is more than 5
        minutes ahead of the clock counts when its time has come.

        Args:
            classes: CLASSES of `bookings_analytics.schema`.
            slots: SLOTS of `bookings_analytics.schema`.

        Raises:
            ArchiveError: They can't be written.
        """
        self._table.commit(lambda _: None)  # so that the archive is there, and no erasure is under way
        self._table.classes.add(classes, slots, self._until())

    def classes(self) -> pl.LazyFrame:
        """Return every class that the studios have shown: `schema.CLASSES`, sorted by studio and class.

        Empty until `fetch_classes` has kept some. ``observed_at`` is the last time that a class was shown.

        Raises:
            ArchiveError: They can't be read.
        """
        return self._of_classes("classes").lazy()

    def slots(self) -> pl.LazyFrame:
        """Return every class slot that the studios have shown: `schema.SLOTS`, sorted by studio and slot.

        Empty until `fetch_classes` has kept some, classes with them: then there is a column more, ``class_title``.
        Pass it to `class_days` as ``known``: the API's own times then date the classes.

        Raises:
            ArchiveError: They can't be read.

        Example:
            >>> from tempfile import mkdtemp
            >>> from bookings_analytics import Archive
            >>> Archive(mkdtemp()).slots().select("class_slot_id", "starts_at").collect().rows()
            []
        """
        return titled(self._of_classes("slots"), self._of_classes("classes")).lazy()

    def titles(self) -> dict[int, str]:
        """Return the titles of classes by ``class_id``, for the ``names`` of every chart.

        A number that two studios use for classes of different titles has none.

        Raises:
            ArchiveError: They can't be read.
        """
        return titles_of(self._of_classes("classes"))


def _alike(now: Snapshot, bookings: pl.DataFrame, known: pl.LazyFrame) -> list[str]:
    """Describe the studios of an add that are new and share most of their class slots with another one.

    Args:
        now: The archive before the add.
        bookings: What is added.
        known: Kept fetches of customers near those of the add: a studio that has some is not new.
    """

    def without(studios: pl.LazyFrame) -> pl.DataFrame:
        return bookings.lazy().join(studios, on="studio", how="anti").collect()

    if without(known).is_empty() or (new := without(now.latest("fetches"))).is_empty():
        return []
    return list(alike_studios(now.latest("observations"), new=new.lazy()))
