"""The outcomes of an archive: classified a part at a time when they are asked for, and then kept, compressed."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.archive.class_tables import titled
from bookings_analytics.errors import ArchiveError
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.schema import OUTCOMES, PLACE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import date

    from bookings_analytics.archive.parts import Part, Parts


class ArchiveOutcomes:
    """Outcomes of everything an archive keeps. Every rate takes them, and returns eager polars.

    They show the archive as it was when they were asked for. They are classified at the first use, the customers of one
    bucket at a time, and kept in memory as Parquet: about a twentieth of what a frame takes. A rate decompresses the
    columns it needs. Where the archive keeps classes, they have a column more, ``class_title``: rates by ``class_id``
    carry it, and charts and tables of these show it.

    Args:
        parts: All rows, by whole customers.
        class_days: When each class was; None: nothing is dated.
        since: The first class day to include.
        until: The last class day to include.
        reading: Returns a context that describes a file which can't be read any more.
        classes: What the archive keeps of classes, `schema.CLASSES`.
    """

    def __init__(
        self,
        parts: Parts,
        class_days: pl.DataFrame | None,
        *,
        since: date | None = None,
        until: date | None = None,
        reading: Callable[[], AbstractContextManager[None]],
        classes: pl.DataFrame,
    ) -> None:
        self._parts = parts
        self._class_days = class_days
        self._since = since
        self._until = until
        self._reading = reading
        self._classes = classes
        self._kept: list[bytes] | None = None

    def __repr__(self) -> str:
        return f"<ArchiveOutcomes: {self.lazy().select(pl.len()).collect().item():,} outcomes>"

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield frames of whole customers: `schema.OUTCOMES`, each sorted by studio, customer and class slot."""
        for part in self._all():
            yield pl.read_parquet(part)

    def frame(self) -> pl.DataFrame:
        """Return the outcomes as a frame: `schema.OUTCOMES`, sorted by studio, customer and class slot."""
        return self.lazy().sort(PLACE_KEY).collect()

    def lazy(self) -> pl.LazyFrame:
        """Return the outcomes as a lazy frame: `schema.OUTCOMES`, in no order."""
        return pl.scan_parquet([_nothing(titled=not self._classes.is_empty()), *self._all()])

    def write(self, directory: str | Path) -> list[Path]:
        """Write the outcomes to Parquet files, each of whole customers, for tools that read them by themselves.

        Args:
            directory: Where to; it is created, or is empty.

        Returns:
            The files, ``outcomes-0000.parquet`` and so on: `schema.OUTCOMES`, Enums as dictionaries of text.

        Raises:
            ArchiveError: The directory holds something.

        Example:
            >>> from tempfile import mkdtemp
            >>> import bookings_analytics as ba
            >>> ba.Archive(mkdtemp()).outcomes().write(mkdtemp())
            []
        """
        place = Path(directory).expanduser()
        place.mkdir(parents=True, exist_ok=True)
        if others := sorted(path.name for path in place.iterdir()):
            raise ArchiveError(f"The directory {place} holds {', '.join(others[:3])}. Name an empty or a new one.")
        files = []
        for number, part in enumerate(self._all()):
            files.append(place / f"outcomes-{number:04}.parquet")
            files[-1].write_bytes(part)
        return files

    def _all(self) -> list[bytes]:
        if self._kept is None:
            self._kept = list(self._classified())
        return self._kept

    def _classified(self) -> Iterator[bytes]:
        """Classify part after part, and compress it."""
        with self._reading():
            outermost = None if self._class_days is None else self._parts.outermost_fetches()
            for part in self._parts:
                outcomes = self._of(part, outermost)
                if outcomes.height:
                    yield _compressed(titled(outcomes, self._classes))

    def _of(self, part: Part, outermost: pl.DataFrame | None) -> pl.DataFrame:
        rows = part.rows("observations")
        if rows.is_empty():
            return OUTCOMES.to_frame()
        if self._class_days is None or outermost is None:
            return classify(rows)
        # The calendar of a studio goes by its first and last fetch, whoever was fetched.
        studios = rows.select(pl.col("studio").unique())
        fetches = pl.concat([part.rows("fetches"), outermost]).join(studios, on="studio", how="semi")
        days = self._class_days.join(studios, on="studio", how="semi")
        outcomes = classify(rows, class_days=days, fetches=fetches)
        limits = [pl.col("class_day") >= self._since] if self._since else []
        limits += [pl.col("class_day") <= self._until] if self._until else []
        whole = [pl.col("week") >= self._since] if self._since else []
        whole += [pl.col("week").dt.offset_by("6d") <= self._until] if self._until else []
        if not limits:
            return outcomes
        # a week that the period cuts is not complete any more
        return outcomes.filter(limits).with_columns(pl.all_horizontal("week_complete", *whole))


def _compressed(outcomes: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    outcomes.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


@cache
def _nothing(*, titled: bool) -> bytes:
    """Return no outcomes, so that the columns are known where nothing was classified."""
    # Not when this module is loaded: a process that has used polars' threads can't be forked any more.
    titles = {"class_title": pl.String()} if titled else {}
    return _compressed(pl.Schema({**OUTCOMES, **titles}).to_frame())
