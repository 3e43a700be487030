"""Erasing people from an archive, with a receipt: every file is searched before and after."""

from __future__ import annotations

import io
import re
import time
import uuid
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl
import polars.selectors as cs

from bookings_analytics.archive import maintenance
from bookings_analytics.archive.layout import WRITER
from bookings_analytics.archive.receipt import Erasure
from bookings_analytics.archive.table import KEPT_HOURS, OvertakenError
from bookings_analytics.errors import ArchiveError
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bookings_analytics.archive.snapshot import Snapshot
    from bookings_analytics.archive.table import ArchiveTable

_DISTINCT_FROM: Final = 10_000  # a smaller number stands in many a file without being anybody's id
_NAMED: Final = 3  # files in a message
_PAUSES: Final = (0.0, 0.2, 1.0, 5.0)  # seconds
_TEXTS: Final = ("error_code", "message", "trace_id")  # of fetches: the API's own words
_STATISTICS: Final = re.compile(r'customer_id\\*": ?(\d+)')
_OTHER_NUMBERS: Final = re.compile(rb'\b(?!customer_id\b)\w+\\*": ?-?\d+(?![\w.])')  # of a log: slots, sizes, times
_PREDICATE: Final = re.compile(r'predicate\\*": ?\\*"([^"]*customer_id[^"]*)"')
_COPIES: Final = (
    "backups and copies of the archive, what a disk still holds in blocks it has freed, and lists of customers"
)
_VERSIONS: Final = "versions of objects that the bucket keeps, its backups, and lists of customers"


class Doomed(Protocol):
    """What is to go."""

    unsearched: str
    """What can't be looked for in every byte, as a sentence goes on; empty: nothing."""

    def delete(self, now: Snapshot) -> None:
        """Delete its rows, in one commit or several."""

    def hits(self, name: str, content: bytes) -> int:
        """Count the places of a file that hold it."""


class Customers:
    """Customers to erase.

    Args:
        ids: Who, by studio; None: in all studios.
        elsewhere: Numbers that some other studio has a customer of, too, who stays.
    """

    def __init__(self, ids: Mapping[str | None, Iterable[int]], elsewhere: Collection[int] = ()) -> None:
        self._ids = {studio: tuple(each) for studio, each in ids.items()}
        chosen = {each for of_studio in self._ids.values() for each in of_studio}
        everywhere = sorted(chosen.difference(elsewhere))
        self.unsearched = _unsearched(chosen, elsewhere)
        self._numbers = {str(each) for each in everywhere}
        distinct = [each for each in everywhere if each >= _DISTINCT_FROM]
        any_of_them = "|".join(map(str, distinct))
        self._quoting = f"(^|[^0-9A-Za-z])({any_of_them})([^0-9A-Za-z]|$)" if distinct else None
        as_text = b"(?<![0-9A-Za-z])(?:%b)(?![0-9A-Za-z])" % any_of_them.encode()
        as_integers = b"|".join(re.escape(each.to_bytes(8, "little")) for each in distinct)
        self._bytes = re.compile(as_text + b"|" + as_integers) if distinct else None

    def delete(self, now: Snapshot) -> None:
        """Delete their rows, and what the API said of others where it names them."""
        now.delta.delete(" OR ".join(map(self._chosen, self._ids)), writer_properties=WRITER)
        if self._quoting and self._quoted_in(now.rows("fetches").select(_TEXTS).collect()):
            quotes = {name: f"{name} ~ '{self._quoting}'" for name in _TEXTS}
            without = {name: f"CASE WHEN {quoted} THEN NULL ELSE {name} END" for name, quoted in quotes.items()}
            now.delta.update(without, predicate=" OR ".join(quotes.values()), writer_properties=WRITER)

    def _chosen(self, studio: str | None) -> str:
        ids = f"customer_id IN ({', '.join(map(str, self._ids[studio]))})"
        return ids if studio is None else f"({ids} AND studio = {maintenance.quoted(studio)})"

    def hits(self, name: str, content: bytes) -> int:
        """Count a data file's rows and the texts that name them; a log's statistics and predicates; else the bytes.

        Of those to erase in one studio whose number another studio has a customer of, rows alone are counted.
        """
        rows = decoded(name, content)
        if rows is not None:
            if name.startswith("_delta_log/"):
                return self._in_log(rows.write_json())
            if "_delta_log/" in name:  # of the classes
                return self._in_log_of_classes(rows.write_json().encode())
            if "customer_id" not in rows.columns:
                return self._quoted_in(rows)
            theirs = pl.any_horizontal(pl.lit(value=False), *(self._rows(each, rows.columns) for each in self._ids))
            others = rows.filter(~theirs)
            return rows.height - others.height + self._quoted_in(others)
        if name.startswith("_delta_log/"):
            in_log = self._in_log(content.decode("utf-8", "replace"))
            return in_log if name.endswith(".json") else in_log or self._in_bytes(content)
        return self._in_log_of_classes(content) if "_delta_log/" in name else self._in_bytes(content)

    def _in_log_of_classes(self, content: bytes) -> int:
        return self._in_bytes(_OTHER_NUMBERS.sub(b"", content))

    def _in_bytes(self, content: bytes) -> int:
        return len(self._bytes.findall(content)) if self._bytes else 0

    def _rows(self, studio: str | None, columns: list[str]) -> pl.Expr:
        chosen = pl.col("customer_id").is_in(self._ids[studio])
        here = chosen if studio is None or "studio" not in columns else chosen & (pl.col("studio") == studio)
        return here.fill_null(value=False)

    def _quoted_in(self, rows: pl.DataFrame) -> int:
        """Count the texts that name one of them."""
        texts = rows.select(cs.string()) if self._quoting else ()
        return sum(int(text.str.contains(self._quoting or "").sum()) for text in texts)

    def _in_log(self, text: str) -> int:
        found = _STATISTICS.findall(text)
        found += [number for predicate in _PREDICATE.findall(text) for number in re.findall(r"\d+", predicate)]
        return sum(number in self._numbers for number in found)


def _unsearched(chosen: Collection[int], elsewhere: Collection[int]) -> str:
    """Describe which numbers are looked for in rows and logs alone, or in rows alone."""
    shared = sum(each in elsewhere for each in chosen)
    short = sum(each < _DISTINCT_FROM and each not in elsewhere for each in chosen)
    of_short = f"{counted(short, 'number')} below {_DISTINCT_FROM:,} outside of rows and logs" if short else ""
    of_shared = (
        f"{counted(shared, 'number')} that a customer of another studio has too, outside of rows" if shared else ""
    )
    return "; ".join(filter(None, (of_short, of_shared)))


def decoded(name: str, content: bytes) -> pl.DataFrame | None:
    """Read a Parquet file; None if it is something else, or incomplete."""
    if not name.endswith(".parquet"):
        return None
    try:
        return pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
    except pl.exceptions.PolarsError:
        return None


def erase(archive: ArchiveTable, doomed: Doomed, *, dry_run: bool) -> Erasure:
    """Erase rows and all that still names them, and search every file before and after.

    Adds stop meanwhile: one under way fails at its commit, because the table's properties have changed since it began,
    and none begins before they are set back. So no file is removed that a commit is about to name. An erasure takes
    over from one that was interrupted; one that was not notices, waits, and begins again.

    Args:
        archive: The archive.
        doomed: What is to go.
        dry_run: Search alone.

    Raises:
        ArchiveError: The archive is damaged or can't be written, or something is left in a file that is not its own.
    """
    before, listed = _search(archive, doomed)
    if not dry_run and archive.open() is not None:
        archive.read(_verify)  # refuses before anything is removed, as the next line does
        maintenance.refuse_foreign(archive)
        for pause in _PAUSES:  # another writer may have had them in hand, and left a file that no commit names
            time.sleep(pause)
            while not _erased(archive, doomed):
                archive.commit(lambda _: None)  # waits until the other erasure has ended
            after, listed = _search(archive, doomed)
            if not any(map(maintenance.is_data_file, after)):
                break
        if after:
            raise ArchiveError(
                f"What was to be erased is still in {', '.join(list(after)[:_NAMED])}: not the archive's own, or just "
                "added by another writer. Remove these files, or stop the writer, and erase again."
            )
    else:
        after = before
    lines = "".join(f"{name} {size}\n" for name, size in sorted(listed.items()))
    return Erasure(
        files=len(listed),
        bytes=sum(listed.values()),
        hits_before=sum(before.values()),
        hits_after=sum(after.values()),
        sha256=sha256(lines.encode()).hexdigest(),
        not_promised="; ".join(filter(None, (_VERSIONS if archive.directory is None else _COPIES, doomed.unsearched))),
    )


def _search(archive: ArchiveTable, doomed: Doomed) -> tuple[dict[str, int], dict[str, int]]:
    """Find the files that hold what is to go, how often each does, and the sizes of all files."""
    found, sizes = {}, {}
    with archive.reading():
        for name, content in archive.place.files():
            sizes[name] = len(content)
            if hits := doomed.hits(name, content):
                found[name] = hits
    return found, sizes


def _verify(now: Snapshot | None) -> None:
    if now is not None:
        now.verify()


def _erased(archive: ArchiveTable, doomed: Doomed) -> bool:
    """Erase; False if another erasure took over before it was done."""
    own = uuid.uuid4().hex
    archive.commit(lambda now: maintenance.set_erasing(now, own, kept_hours=KEPT_HOURS), amid=None)
    try:
        archive.commit(doomed.delete, amid=own)
        # A commit after the deletion, whose own names the customers: the log is cleaned up to its last commit.
        archive.commit(lambda now: maintenance.set_erasing(now, own, kept_hours=0), amid=own)
        archive.commit(lambda now: maintenance.clean(archive, now, 0), amid=own)
        archive.commit(lambda now: maintenance.set_erasing(now, "", kept_hours=KEPT_HOURS), amid=own)
    except OvertakenError:
        return False
    return True
