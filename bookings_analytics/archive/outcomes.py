"""The outcomes of an archive, classified when they are asked for and then kept."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.metrics.outcomes import classify

if TYPE_CHECKING:
    from datetime import date


class ArchiveOutcomes:
    """Outcomes of everything an archive keeps. Every rate takes them, and returns eager polars.

    They show the archive as it was when they were asked for, and are classified once, at the first use.

    Args:
        history: Every observation.
        class_days: When each class was; None: nothing is dated.
        fetches: Every fetch; needed with `class_days`.
        since: The first class day to include.
        until: The last class day to include.
    """

    def __init__(
        self,
        history: pl.LazyFrame,
        class_days: pl.DataFrame | None,
        fetches: pl.LazyFrame | None,
        *,
        since: date | None = None,
        until: date | None = None,
    ) -> None:
        self._history = history
        self._class_days = class_days
        self._fetches = fetches
        self._since = since
        self._until = until

    def __repr__(self) -> str:
        return f"<ArchiveOutcomes: {self.frame().height:,} outcomes>"

    def frame(self) -> pl.DataFrame:
        """Return the outcomes as a frame: OUTCOMES of `bookings_analytics.schema`."""
        return self._classified

    def lazy(self) -> pl.LazyFrame:
        """Return the outcomes as a lazy frame: OUTCOMES of `bookings_analytics.schema`."""
        return self._classified.lazy()

    @cached_property
    def _classified(self) -> pl.DataFrame:
        fetches = None if self._fetches is None else self._fetches.collect()
        outcomes = classify(self._history.collect(), class_days=self._class_days, fetches=fetches)
        limits = [pl.col("class_day") >= self._since] if self._since else []
        limits += [pl.col("class_day") <= self._until] if self._until else []
        return outcomes.filter(limits) if limits else outcomes
