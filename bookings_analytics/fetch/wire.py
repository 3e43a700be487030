"""The wire: the endpoint's path, parameter, header and names, and its bytes turned into rows, strictly.

Nothing else in the package knows these names. polars is not used to read the bytes: building frames from
dicts turns an unknown Enum value, a missing field and a null into a silent null, and `"3"` and 3.5 into 3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec

from bookings_analytics.errors import InvalidResponseError, TypedArg
from bookings_analytics.schema import BookingStatus, ClassSlotStatus, ParticipantStatus
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Callable

PATH: Final = "/v1/classes/booking"
CUSTOMER_PARAMETER: Final = "customerId"
KEY_HEADER: Final = "X-API-KEY"
OPTED_OUT: Final = "customer.access.disabled"  # how the errorCode of a customer who opted out ends

_LONGEST_VALUE_SHOWN: Final = 200
_LONGEST_VALUE_READ: Final = 10_000  # characters that are masked before what is shown is cut out of them
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # nested without end

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Booking(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One booking as the API returns it; fields it may add are ignored."""

    booking_id: Int64
    booking_status: BookingStatus
    class_slot_id: Int64
    class_id: Int64
    customer_id: Int64
    class_slot_status: ClassSlotStatus
    participant_status: ParticipantStatus


class ErrorData(NamedTuple):
    """The fields of an error body, as far as they are there."""

    message: str
    error_code: str | None = None
    trace_id: str | None = None
    reference: str | None = None
    args: tuple[Any, ...] = ()
    typed_args: tuple[TypedArg, ...] = ()


_bookings_decoder = msgspec.json.Decoder(list[Booking])


def decode_bookings(body: bytes, customer_id: int, mask: Callable[[str], str] = cleaned) -> list[Booking]:
    """Read the bookings of the customer asked for, or nothing at all.

    Args:
        body: The answer's body.
        customer_id: The customer asked for.
        mask: Makes a text of the answer fit for an error's message.

    Raises:
        InvalidResponseError: The body is not JSON in UTF-8, does not follow the specification, names another
            customer, or holds a booking twice.
    """
    try:
        bookings = _bookings_decoder.decode(body)
    except UNREADABLE as error:
        problem = str(error)
    else:
        seen: set[int] = set()
        for row, booking in enumerate(bookings):
            if booking.customer_id != customer_id:
                raise InvalidResponseError(
                    "it holds a booking of another customer",
                    customer_id=customer_id,
                    path=f"$[{row}].customerId",
                    value=str(booking.customer_id),
                )
            if booking.booking_id in seen:
                raise InvalidResponseError(
                    "it holds a booking twice",
                    customer_id=customer_id,
                    path=f"$[{row}].bookingId",
                    value=str(booking.booking_id),
                )
            seen.add(booking.booking_id)
        return bookings
    # Outside the except block, so that the new error does not drag the decoder's along.
    raise located(problem, body, customer_id, mask)


def located(
    problem: str, body: bytes, customer_id: int | None, mask: Callable[[str], str], *, asked: str | None = None
) -> InvalidResponseError:
    """Name the place and the value that msgspec stumbled over: its message has the place, only sometimes the value.

    Args:
        problem: The message.
        body: What could not be read.
        customer_id: The customer asked for; None if the request was for none.
        mask: Makes a text of the answer fit for an error's message.
        asked: What was asked for, in words; None: the customer.
    """
    reason, _, place = problem.partition(" - at `$")
    reason, path = _start(reason, mask), mask("$" + place.rstrip("`"))
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE as error:
        start = repr(_start(body[:_LONGEST_VALUE_READ].decode("utf-8", "replace"), mask))
        return InvalidResponseError(mask(str(error)), customer_id=customer_id, value=start, asked=asked)
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        value = value[key or int(index)]
    if missing := re.search(r"missing required field `(\w+)`", reason):
        return InvalidResponseError(reason, customer_id=customer_id, path=f"{path}.{missing[1]}", asked=asked)
    shown = _start(msgspec.json.encode(value).decode(), mask)
    return InvalidResponseError(reason, customer_id=customer_id, path=path, value=shown, asked=asked)


def _start(text: str, mask: Callable[[str], str]) -> str:
    """Return the start of a text, masked before it is cut: half a key is a secret as well."""
    return mask(text[:_LONGEST_VALUE_READ])[:_LONGEST_VALUE_SHOWN]


def decode_error(body: bytes, mask: Callable[[str], str] = cleaned) -> ErrorData:
    """Read as much of an error body as is there: it may be empty, HTML, or not what the specification says.

    Args:
        body: The answer's body.
        mask: Makes a text of the answer fit to be shown.
    """
    try:
        data = msgspec.json.decode(body)
    except UNREADABLE:
        data = None
    if not isinstance(data, dict):
        return ErrorData(_start(body[:_LONGEST_VALUE_READ].decode("utf-8", "replace"), mask))
    data = _masked(data, mask)

    def text(name: str) -> str | None:
        value = data.get(name)
        return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()

    def items(name: str) -> list[Any]:
        value = data.get(name)
        return value if isinstance(value, list) else [] if value is None else [value]

    return ErrorData(
        message=text("errorMessage") or "",
        error_code=text("errorCode"),
        trace_id=text("traceId"),
        reference=text("reference"),
        args=tuple(items("args")),
        typed_args=tuple(
            TypedArg(arg.get("type"), arg.get("value")) if isinstance(arg, dict) else TypedArg(None, arg)
            for arg in items("typedArgs")
        ),
    )


def _masked(value: Any, mask: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Mask every text of a decoded JSON value, at whatever depth."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(each, mask) for each in value]
    if isinstance(value, dict):
        return {mask(name): _masked(each, mask) for name, each in value.items()}
    return value
