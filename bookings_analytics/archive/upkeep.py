"""The upkeep of an archive: who is erased from it, what is renamed, checked and compacted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

import polars as pl

from bookings_analytics.archive import maintenance
from bookings_analytics.archive.check import ArchiveCheck, check
from bookings_analytics.archive.erasure import Customers, erase
from bookings_analytics.archive.receipt import Erasure, receipt_of_all
from bookings_analytics.archive.retention import Outdated
from bookings_analytics.archive.summaries import ArchiveSummaries
from bookings_analytics.archive.together import in_each
from bookings_analytics.cohorts import read_cohorts
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ArchiveUpkeep(ArchiveSummaries):
    """What removes, renames, checks and compacts what an archive keeps.

    On a directory of archives, `forget`, `forget_opted_out`, `retain` and `compact` go to each, one after another.
    Where one can't be changed, the others are nevertheless, and the error names it.
    """

    @property
    def _each(self) -> dict[str, Self]:
        """The archives of a directory of several, by name, each by itself."""
        paths = [table.directory for table in self._tables if table.directory]
        return {path.name: type(self)(path, clock=self._clock) for path in paths} if len(self._tables) > 1 else {}

    def forget(self, customer_ids: Iterable[int], *, studio: str | None = None, dry_run: bool = False) -> Erasure:
        """Erase customers: their rows, and every trace of their ids in data files, logs, checkpoints and statistics.

        A later fetch of such a customer brings them back: take them off the cohort lists too. Other writers wait
        meanwhile; what one of them is just writing as this begins may leave an unused file, which the next `compact`
        after a day removes. An erasure that was interrupted is completed by calling it again; until then nothing can
        be added. Every file below the archive is searched before and after: one that is not the archive's own stays,
        and is refused if it holds an id.

        Args:
            customer_ids: Who to forget.
            studio: In which studio; None: in all.
            dry_run: Only search: nothing is changed.

        Returns:
            The receipt.

        Raises:
            CohortError: An id is not a positive integer.
            ArchiveError: The archive can't be written, its object store holds files of something else, or an id is left
                in a file that is not the archive's own, which the message names.

        Example:
            >>> import tempfile
            >>> import bookings_analytics as ba
            >>> receipt = ba.Archive(tempfile.mkdtemp()).forget([14925548])
            >>> receipt.hits_before, receipt.hits_after
            (0, 0)
        """
        ids = list(dict.fromkeys(customer_ids))
        known = read_cohorts(ids)["customer_id"].to_list() if ids else []
        if each := self._each:
            return in_each(each, lambda one: one.forget(known, studio=studio, dry_run=dry_run), receipt_of_all)
        return self._erase({studio: known} if known else {}, dry_run=dry_run)

    def forget_opted_out(self, *, dry_run: bool = False) -> Erasure:
        """Erase customers who no longer allow access: whose latest fetch that says so, or was ``ok``, says so.

        Studio by studio: who opted out in one stays in another. They return with the next fetch unless they are taken
        off the list.

        Args:
            dry_run: Only search: nothing is changed.

        Returns:
            The receipt.

        Raises:
            ArchiveError: As `forget`.
        """
        if each := self._each:
            return in_each(each, lambda one: one.forget_opted_out(dry_run=dry_run), receipt_of_all)
        settled = self.fetches().filter(pl.col("outcome").is_in(["ok", "access_disabled"])).sort("fetched_at")
        latest = settled.unique(CUSTOMER_KEY, keep="last", maintain_order=True).filter(outcome="access_disabled")
        gone = latest.select(CUSTOMER_KEY).collect().group_by("studio", maintain_order=True).agg("customer_id")
        return self._erase(dict(gone.iter_rows()), dry_run=dry_run)

    def _erase(self, ids: Mapping[str | None, Iterable[int]], *, dry_run: bool) -> Erasure:
        elsewhere = [
            numbers.filter(pl.col("customer_id").is_in(list(chosen)), pl.col("studio") != studio)
            for studio, chosen in ids.items()
            if studio is not None
            for numbers in (self.fetches(statuses_as_text=True), self.history(statuses_as_text=True))
        ]
        kept = {number for rows in elsewhere for number in rows.select("customer_id").unique().collect()["customer_id"]}
        return erase(self._table, Customers(ids, kept), dry_run=dry_run or not ids)

    def retain(self, *, weeks: int, dry_run: bool = False) -> Erasure:
        """Erase what is older than a number of weeks: fetches, and bookings that no fetch has shown since.

        Of a younger booking every row stays, so that the next fetch finds nothing changed that has not.

        Args:
            weeks: How many weeks before now, from 1.
            dry_run: Only search: nothing is changed.

        Returns:
            The receipt.

        Raises:
            ArchiveError: As `forget`.
            ValueError: The weeks are not a whole number from 1.
        """
        if not isinstance(weeks, int) or isinstance(weeks, bool) or weeks < 1:
            raise ValueError(f"weeks is {weeks!r}; pass a whole number of at least 1.")
        if each := self._each:
            return in_each(each, lambda one: one.retain(weeks=weeks, dry_run=dry_run), receipt_of_all)
        cutoff = self._clock() - timedelta(weeks=weeks)
        return erase(self._table, Outdated(self._table.open(), cutoff), dry_run=dry_run)

    def rename_studio(self, old: str, new: str) -> None:
        """Rename a studio in everything that is kept, before it is fetched under its new name.

        Without that, its customers would count twice: under the old name and under the new.

        Args:
            old: The name it has in the archive.
            new: The name it is fetched under from now on; spaces around it are removed.

        Raises:
            ArchiveError: No studio of the archive is called `old`, one is called `new` already, or `new` is empty.
        """
        maintenance.rename_studio(self._table, old, new)
        self._table.classes.rename_studio(old, cleaned(new), self._until())

    def check(self) -> ArchiveCheck:
        """Check every file of the archive, and look for what would distort numbers. Nothing is changed.

        Verifies the log since its last checkpoint, size and checksum of every data file, and that all can be read.
        Reports fetches ahead of the clock, studios that share most of their class slots, and an unfinished erasure.
        In an object store, which verifies its objects itself, files are only read.

        Returns:
            The findings; its text has a line for each problem, with what to do.

        Example:
            >>> import tempfile
            >>> import bookings_analytics as ba
            >>> ba.Archive(tempfile.mkdtemp()).check()
            <ArchiveCheck: 0 files, nothing wrong>
        """
        found = [check(table, self._until()) for table in self._tables]
        return ArchiveCheck(
            sum(each.n_files for each in found),
            sum(each.n_without_checksum for each in found),
            tuple(problem for each in found for problem in each.problems),
        )

    def compact(self) -> None:
        """Merge many small files, and remove what they replace after a day: reading gets faster.

        Every hundred adds do that on their own.

        Raises:
            ArchiveError: The archive is damaged, can't be written, or its object store holds files of something else.
        """
        if each := self._each:
            in_each(each, lambda one: one.compact(), lambda _: None)
        else:
            maintenance.compact(self._table, self._until())
            self._table.classes.compact(self._until())
