"""The timetable beside the bookings: titles, categories, times and places of classes, for whoever may read them.

No number needs it. Whatever these endpoints answer, they end neither a fetch of bookings nor anything else: what was
read is kept, and what was not is said in one line per studio.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import polars as pl

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.fetch import transport as transports
from bookings_analytics.fetch.connection import Timeouts
from bookings_analytics.fetch.plan import named
from bookings_analytics.fetch.rate_limit import rate_limit_of
from bookings_analytics.fetch.stamps import forward_clock
from bookings_analytics.fetch.studio_classes import ListConnection, StudioClasses
from bookings_analytics.fetch.studio_job import run_all
from bookings_analytics.fetch.threads import Stoppable, run_in_thread
from bookings_analytics.schema import CLASS_KEY, SLOT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import httpx

    from bookings_analytics.fetch.rate_limit import RateLimit
    from bookings_analytics.studios import Studio


class ClassArchive(Protocol):
    """What a fetch of classes needs of an archive."""

    def add_classes(self, classes: pl.DataFrame, slots: pl.DataFrame) -> None:
        """Keep what a look at the timetable showed."""


@dataclass(frozen=True, repr=False)
class FetchedClasses:
    """The outcome of a fetch of classes.

    Attributes:
        classes: `schema.CLASSES`, sorted by studio and class.
        slots: `schema.SLOTS`, sorted by studio and slot.
        notes: What could not be read and why, and what the API announces: a line for each studio with any.
    """

    classes: pl.DataFrame
    slots: pl.DataFrame
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Summarize how many classes and slots were read."""
        return f"{self.classes.height:,} classes and {self.slots.height:,} class slots read."

    def __repr__(self) -> str:
        return f"<FetchedClasses: {self.summary()}>"


def fetch_classes(
    studios: Studio | Sequence[Studio],
    *,
    archive: ClassArchive | None = None,
    progress: bool = True,
    requests_per_minute: int = 1000,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], datetime] | None = None,
) -> FetchedClasses:
    """Fetch the studios' classes, and their slots from yesterday to in two weeks: titles, times, places, counts.

    A few requests a day beside the bookings, within limits of their own. Bookings need none of it: a key that may not
    read classes, or an API without them, raises nothing and is warned of.

    Args:
        studios: One studio, or several.
        archive: Where to keep them, an `Archive`; `archive.classes()` and `archive.slots()` return them.
        progress: Whether to print how many were read.
        requests_per_minute: The API's limit, per studio and endpoint.
        transport: What carries the requests, for tests and proxies.
        clock: Returns the time (aware) that ``observed_at`` is stamped with; None: this machine's
            clock, or the demo studio's that ``BOOKINGS_CLOCK`` names.

    Returns:
        Classes and slots: `schema.CLASSES` and `schema.SLOTS`, with notes of what could not be read.

    Raises:
        ConfigurationError: A setting is wrong: no studio, two of one name, a proxy that can't be used.
        ArchiveError: The archive can't be written.

    Warns:
        UserWarning: Something could not be read, or the API announces the end of an endpoint; a line for each studio.

    Examples:
        >>> import bookings_analytics as ba
        >>> with ba.demo.serve() as studio:
        ...     fetched = ba.fetch_classes(studio, progress=False)
        >>> fetched.classes["title"].head(2).to_list()
        ['Sunrise Cycling', 'Morning Yoga']
    """
    if requests_per_minute < 1:
        raise ConfigurationError(f"requests_per_minute is {requests_per_minute}: pass 1 or more.")
    stamps = forward_clock(clock)
    if (now := stamps.begin()).tzinfo is None:
        raise ConfigurationError(f"clock returns {now} without a time zone: let it return aware times, such as UTC.")
    jobs = {studio: StudioClasses(name, stamps) for name, studio in named(studios).items()}
    work = ClassJob(jobs, partial(_limit, requests_per_minute=requests_per_minute), transport=transport)
    try:
        run_in_thread(work.run(), work, lambda: None)
    finally:  # what was read until Ctrl-C is kept, too
        fetched = _assembled(list(jobs.values()))
        if archive is not None:
            archive.add_classes(fetched.classes, fetched.slots)
    for note in fetched.notes:
        warnings.warn(note, stacklevel=2)
    if progress:
        print(fetched.summary())  # noqa: T201 - what a notebook keeps
    return fetched


class ClassJob(Stoppable):
    """One fetch of the classes of one or several studios, all at once.

    Args:
        jobs: What is to be done for each studio.
        rate_limit: Returns the limit of a studio's endpoint.
        transport: What carries the requests; None for the network.
        timeouts: How long a request may take.
    """

    def __init__(
        self,
        jobs: Mapping[Studio, StudioClasses],
        rate_limit: Callable[[Studio, str], RateLimit],
        *,
        transport: httpx.AsyncBaseTransport | None,
        timeouts: Timeouts | None = None,
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._rate_limit = rate_limit
        self._transport = transport
        self._timeouts = timeouts or Timeouts()

    async def run(self) -> None:
        """Read every studio's classes and slots; end early, without an error, when stopped.

        Raises:
            ConfigurationError: The environment names a proxy or certificates that can't be used.
        """
        certificates = transports.certificates() if self._transport is None else None

        async def read(studio: Studio, job: StudioClasses) -> None:
            classes, slots = (
                ListConnection(
                    studio,
                    rate_limit=self._rate_limit(studio, endpoint),
                    transport=self._transport,
                    timeouts=self._timeouts,
                    certificates=certificates,
                )
                for endpoint in ("classes", "slots")
            )
            async with classes, slots:
                await job.run(classes, slots)

        await self.until_stopped(run_all(read(studio, job) for studio, job in self._jobs.items()))


def _limit(studio: Studio, endpoint: str, *, requests_per_minute: int) -> RateLimit:
    return rate_limit_of(studio, requests_per_minute, endpoint)


def _assembled(jobs: Sequence[StudioClasses]) -> FetchedClasses:
    classes, slots = (pl.concat(frames) for frames in zip(*(job.frames() for job in jobs), strict=True))
    notes = tuple(note for job in jobs if (note := job.note()))
    return FetchedClasses(classes.sort(CLASS_KEY), slots.sort(SLOT_KEY), notes)
