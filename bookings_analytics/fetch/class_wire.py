"""The wire of the timetable: paths, parameters and names of its two endpoints, and their pages turned into rows.

A page has an envelope, which says where the next one begins, and its rows. The two are decoded apart, so that rows that
do not follow the specification cost their own page and no other.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from bookings_analytics.fetch.wire import UNREADABLE, Int64, located

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES_PATH: Final = "/v1/classes"
_SIZE: Final = 100  # rows of a page, the most there can be

_ZONE: Final = re.compile(r"\[[^\[\]]*\]$")  # the zone's name behind the offset, which says it all
_AWARE: Final = Annotated[datetime, msgspec.Meta(tz=True)]

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


def slots_path(class_id: int) -> str:
    """Return the path of a class's slots.

    Args:
        class_id: The class.
    """
    return f"{CLASSES_PATH}/{class_id}/slots"


def query(offset: str | None) -> bytes:
    """Write the query of a page.

    Args:
        offset: Where it begins, as the page before said; None: the first.
    """
    size = f"sliceSize={_SIZE}"
    return (size if offset is None else f"{size}&offset={quote(offset, safe='')}").encode()


class Moment:
    """A time of the API: the numeric offset decides, the zone's name behind it is dropped.

    Attributes:
        at: The time, in UTC.

    Raises:
        ValueError: The text is not a time with an offset.
    """

    def __init__(self, text: str) -> None:
        try:
            self.at = msgspec.convert(_ZONE.sub("", text), _AWARE).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            raise ValueError("Expected a time with its offset") from None  # the value may hold the key


class Class(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One class as the API returns it; other fields are ignored, null counts as absent."""

    id: Int64
    bookable: bool
    title: str | None = None
    type: str | None = None
    category: str | None = None
    duration: Int32 | None = None


class Slot(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One class on one day as the API returns it; other fields are ignored, null counts as absent."""

    id: Int64
    additional_participants: Int32
    start_date_time: Moment | None = None
    end_date_time: Moment | None = None
    max_participants: Int32 | None = None
    max_waiting_list_participants: Int32 | None = None
    booked_participants: Int32 | None = None
    waiting_list_participants: Int32 | None = None


class Page(NamedTuple):
    """A page whose envelope could be read.

    Attributes:
        rows: The bytes of its rows.
        next: Where the next page begins; None if there is none.
    """

    rows: bytes
    next: str | None


Row = TypeVar("Row", Class, Slot)


class _Envelope(msgspec.Struct, rename="camel", frozen=True):
    result: msgspec.Raw
    has_next: bool
    offset: str


def _moment(kind: type[Any], value: Any) -> Moment:  # noqa: ANN401 - whatever JSON holds
    if kind is Moment and isinstance(value, str):
        return Moment(value)
    raise ValueError(f"Expected a time, got `{type(value).__name__}`")


_envelope = msgspec.json.Decoder(_Envelope)
_decoders: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {
    Class: msgspec.json.Decoder(list[Class]),
    Slot: msgspec.json.Decoder(list[Slot], dec_hook=_moment),
}


def decode_page(body: bytes, asked: str, mask: Callable[[str], str]) -> Page:
    """Read a page's envelope.

    Args:
        body: The answer's body.
        asked: What was asked for, in words.
        mask: Makes a text of the answer fit to be shown.

    Raises:
        InvalidResponseError: The body is not JSON in UTF-8, or no envelope.
    """
    try:
        page = _envelope.decode(body)
        page.offset.encode()  # an address can't hold half a pair of surrogates
        return Page(bytes(page.result), page.offset if page.has_next else None)
    except UNREADABLE as error:
        problem = str(error)
    raise located(problem, body, None, mask, asked=asked)


def decode_rows(page: Page, kind: type[Row], asked: str, mask: Callable[[str], str]) -> list[Row]:
    """Read a page's rows, or none of them.

    Args:
        page: The page.
        kind: What the rows are.
        asked: What was asked for, in words.
        mask: Makes a text of the answer fit to be shown.

    Raises:
        InvalidResponseError: A row does not follow the specification.
    """
    try:
        rows: list[Row] = _decoders[kind].decode(page.rows)
    except UNREADABLE as error:
        problem = str(error)
    else:
        return rows
    raise located(problem, page.rows, None, mask, asked=asked)
