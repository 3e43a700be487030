"""One studio's timetable: the list of its classes, page by page, and the list of each class's slots."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.errors import (
    ApiError,
    BookingsError,
    ConnectionFailedError,
    InvalidResponseError,
    NotFoundError,
    ValidationFailedError,
)
from bookings_analytics.fetch.class_wire import (
    CLASSES_PATH,
    Class,
    Page,
    Row,
    Slot,
    decode_page,
    decode_rows,
    query,
    slots_path,
)
from bookings_analytics.fetch.connection import ApiConnection, Asked
from bookings_analytics.fetch.studio_job import run_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime

_AT_ONCE: Final = 4  # requests under way for a studio: the bookings come first
_MOST_PAGES: Final = 1_000  # of one list: 100,000 rows
_FIRST_OFFSET: Final = "0"
_SAID: Final = 3  # problems that a note spells out


class ListConnection(ApiConnection):
    """A connection to an endpoint that answers in pages."""

    async def page(self, path: str, offset: str | None, asked: str) -> Page:
        """Read one page.

        Args:
            path: The path of the list.
            offset: Where the page begins; None: the first.
            asked: What is asked for, in words.

        Raises:
            ApiError: The API answered with an error status; which subclass says which.
            ConnectionFailedError: No complete answer came.
            InvalidResponseError: The answer is not a page, or larger than `MAX_BODY`.
        """
        url = self._url_of(path).copy_with(query=query(offset))
        page, _ = await self._get(url, Asked(asked), lambda body: decode_page(body, asked, self._mask))
        return page

    def rows(self, page: Page, kind: type[Row], asked: str) -> list[Row]:
        """Decode a page's rows, or none of them.

        Args:
            page: The page.
            kind: What the rows are.
            asked: What was asked for, in words.

        Raises:
            InvalidResponseError: A row does not follow the specification.
        """
        return decode_rows(page, kind, asked, self._mask)

    def text(self, value: str | None) -> str | None:
        """Make a text fit to be kept and shown: without the key, and clean; None if nothing is left."""
        return self._mask(value) or None if value else None


class StudioClasses:
    """The fetch of one studio's classes and slots.

    Args:
        studio: The studio's name.
        clock: Returns the time that an answer is stamped with.

    Attributes:
        announced: What the answers said of the endpoints' end.
    """

    def __init__(self, studio: str, clock: Callable[[], datetime]) -> None:
        self.announced: set[str] = set()
        self._studio = studio
        self._clock = clock
        self._classes: dict[int, tuple[Any, ...]] = {}
        self._slots: dict[int, tuple[Any, ...]] = {}
        self._problems: list[str] = []

    async def run(self, lists: ListConnection, slots: ListConnection) -> None:
        """Read all there is; whatever the endpoints answer, it raises nothing.

        Args:
            lists: Connects to the list of classes.
            slots: Connects to the slots, which have a limit of their own.
        """
        try:
            async for row, at in self._rows(lists, CLASSES_PATH, Class, "classes"):
                texts = (lists.text(text) for text in (row.title, row.type, row.category))
                self._classes[row.id] = (self._studio, row.id, *texts, row.duration, row.bookable, at)
            waiting = iter(list(self._classes))
            await run_all(self._read_slots(slots, waiting) for _ in range(_AT_ONCE))
        except (ApiError, ConnectionFailedError, InvalidResponseError) as error:
            self._problems.append(_described(error))
        finally:
            self.announced = lists.announced | slots.announced

    def frames(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return what was read until now: `schema.CLASSES` and `schema.SLOTS`."""
        return (
            pl.DataFrame(list(self._classes.values()), schema.CLASSES, orient="row"),
            pl.DataFrame(list(self._slots.values()), schema.SLOTS, orient="row"),
        )

    def note(self) -> str | None:
        """Describe in a line what could not be read, and what was announced; None if there is nothing to say."""
        said = self._problems[:_SAID]
        if more := len(self._problems) - len(said):
            said.append(f"and {more:,} more")
        if self.announced:
            said.append(f"the API announces of these endpoints: {' and '.join(sorted(self.announced))}")
        if not said:
            return None
        read = f"{len(self._classes):,} classes and {len(self._slots):,} class slots were read"
        return f"Studio {self._studio!r}, classes: {'; '.join(said)}. {read}; bookings need none of them."

    async def _read_slots(self, connection: ListConnection, waiting: Iterator[int]) -> None:
        """Read the slots of classes until there are no more; one whose slots can't be had loses its own."""
        for class_id in waiting:
            asked = f"slots of class {class_id}"
            try:
                async for row, at in self._rows(connection, slots_path(class_id), Slot, asked):
                    self._slots[row.id] = self._slot(class_id, row, at)
            except (NotFoundError, ValidationFailedError, InvalidResponseError) as error:
                self._problems.append(_described(error))

    async def _rows(
        self, connection: ListConnection, path: str, kind: type[Row], asked: str
    ) -> AsyncIterator[tuple[Row, datetime]]:
        """Yield the rows of a list; a page that fails its types is left out, and an endless list ends."""
        seen, offset = {_FIRST_OFFSET}, None
        for _ in range(_MOST_PAGES):
            page = await connection.page(path, offset, asked)
            at, empty = self._clock(), False
            try:
                rows = connection.rows(page, kind, asked)
                empty = not rows
                for row in rows:
                    yield row, at
            except InvalidResponseError as error:
                self._problems.append(_described(error))
            if page.next is None:
                return
            if empty or page.next in seen:
                self._problems.append(f"{asked}: more is announced, but the pages do not go on")
                return
            seen.add(page.next)
            offset = page.next
        self._problems.append(f"{asked}: more than {_MOST_PAGES:,} pages, so the rest was left out")

    def _slot(self, class_id: int, row: Slot, at: datetime) -> tuple[Any, ...]:
        times = (time and time.at for time in (row.start_date_time, row.end_date_time))
        places = (row.max_participants, row.max_waiting_list_participants, row.booked_participants)
        return (
            *(self._studio, class_id, row.id),
            *times,
            *places,
            *(row.additional_participants, row.waiting_list_participants, at),
        )


def _described(error: BookingsError) -> str:
    """Describe in a clause what was asked for, and what came instead."""
    if isinstance(error, ApiError):
        status = f"{error.http_status} {responses.get(error.http_status, '')}".rstrip()
        said = f" ({error.message[:100]})" if error.message else ""
        return f"{error.asked} answered {status}{said}"
    return str(error).partition(". ")[0]
