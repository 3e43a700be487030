from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings_analytics import InvalidResponseError
from bookings_analytics.errors import TypedArg
from bookings_analytics.fetch.wire import decode_bookings, decode_error
from bookings_analytics.schema import BookingStatus, ClassSlotStatus, ParticipantStatus

INT64 = st.integers(-(2**63), 2**63 - 1)
GOOD = {
    "bookingId": 2033,
    "bookingStatus": "BOOKED",
    "classSlotId": 14928,
    "classId": 7,
    "customerId": 5,
    "classSlotStatus": "COMPLETED",
    "participantStatus": "PARTICIPATING",
}
BOOKING = st.fixed_dictionaries(
    {
        "bookingId": INT64,
        "bookingStatus": st.sampled_from(get_args(BookingStatus)),
        "classSlotId": INT64,
        "classId": INT64,
        "customerId": st.just(5),
        "classSlotStatus": st.sampled_from(get_args(ClassSlotStatus)),
        "participantStatus": st.sampled_from(get_args(ParticipantStatus)),
    },
    optional={"addedLater": st.none() | st.text() | st.lists(st.integers())},
)


def body(**changes: Any) -> bytes:
    """Two bookings, the second one with these changes; ... takes a field away."""
    changed = {name: value for name, value in {**GOOD, "bookingId": 2034, **changes}.items() if value is not ...}
    return json.dumps([GOOD, changed]).encode()


@given(st.lists(BOOKING, max_size=5, unique_by=lambda booking: str(booking["bookingId"])))
def test_every_booking_is_read_as_it_is_and_new_fields_are_ignored(bookings: list[dict[str, Any]]) -> None:
    rows = decode_bookings(json.dumps(bookings).encode(), 5)
    assert [
        {
            "bookingId": row.booking_id,
            "bookingStatus": row.booking_status,
            "classSlotId": row.class_slot_id,
            "classId": row.class_id,
            "customerId": row.customer_id,
            "classSlotStatus": row.class_slot_status,
            "participantStatus": row.participant_status,
        }
        for row in rows
    ] == [{name: booking[name] for name in GOOD} for booking in bookings]


@pytest.mark.parametrize("field", ["bookingId", "classSlotId", "classId", "customerId"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("3", '"3"'),
        (3.5, "3.5"),
        (3.0, "3.0"),
        (True, "true"),
        (None, "null"),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        ([3], "[3]"),
    ],
)
def test_an_id_that_is_none_is_named_with_customer_path_and_value(field: str, value: Any, shown: str) -> None:
    with pytest.raises(InvalidResponseError) as error:
        decode_bookings(body(**{field: value}), 5)
    found = error.value
    assert found.customer_id == 5
    assert found.path == f"$[1].{field}"
    assert (
        float(found.value or "nan") == float(shown) if field and shown.lstrip("-").isdigit() else found.value == shown
    )
    for part in ("customer 5", f"$[1].{field}"):
        assert part in str(found)


@pytest.mark.parametrize("field", ["bookingStatus", "classSlotStatus", "participantStatus"])
@pytest.mark.parametrize(
    ("value", "shown"), [("NEW", '"NEW"'), ("booked", '"booked"'), (None, "null"), (1, "1"), ("", '""')]
)
def test_an_unknown_status_is_seen(field: str, value: Any, shown: str) -> None:
    with pytest.raises(InvalidResponseError) as error:
        decode_bookings(body(**{field: value}), 5)
    assert (error.value.path, error.value.value) == (f"$[1].{field}", shown)


@pytest.mark.parametrize("field", list(GOOD))
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidResponseError, match="missing required field") as error:
        decode_bookings(body(**{field: ...}), 5)
    assert (error.value.path, error.value.value) == (f"$[1].{field}", None)


def test_a_booking_of_another_customer_is_refused() -> None:
    with pytest.raises(InvalidResponseError, match="another customer") as error:
        decode_bookings(body(customerId=6), 5)
    assert (error.value.path, error.value.value) == ("$[1].customerId", "6")


def test_a_booking_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidResponseError, match="twice") as error:
        decode_bookings(body(bookingId=2033), 5)
    assert (error.value.path, error.value.value) == ("$[1].bookingId", "2033")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (b"", "''"),
        (b"[", "'['"),
        (body()[:-1], None),
        (body() + b"x", None),
        (b"<html>maintenance</html>", "'<html>maintenance</html>'"),
        (body().decode().encode("utf-16"), None),
        (b"\xef\xbb\xbf[]", None),
        (body().replace(b"PARTICIPATING", b"PARTICIP\xc4TING"), None),
        (b"[NaN]", "'[NaN]'"),
        (b"[" * 100_000, None),
        (body(added=...)[:-2] + b', "added": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", None),
    ],
)
def test_a_body_that_is_no_json_in_utf8_is_refused_and_shown(answer: bytes, value: str | None) -> None:
    with pytest.raises(InvalidResponseError) as error:
        decode_bookings(answer, 5)
    assert error.value.path == "$"
    assert error.value.value == value if value else (error.value.value or "").startswith("'")


@pytest.mark.parametrize(
    ("answer", "path"), [({}, "$"), (None, "$"), ([GOOD, None], "$[1]"), ([[GOOD]], "$[0]"), ("x", "$")]
)
def test_another_shape_than_a_list_of_bookings_is_refused(answer: Any, path: str) -> None:
    with pytest.raises(InvalidResponseError) as error:
        decode_bookings(json.dumps(answer).encode(), 5)
    assert error.value.path == path


def test_a_very_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidResponseError) as error:
        decode_bookings(body(bookingStatus="X" * 10_000), 5)
    assert len(str(error.value)) < 1_000


@given(st.binary().filter(lambda answer: answer.strip() != b"[]"))
def test_bytes_that_are_no_answer_are_refused(answer: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        decode_bookings(answer, 5)


def test_an_error_body_is_read_whole() -> None:
    data = decode_error(
        json.dumps(
            {
                "errorMessage": "no such customer",
                "errorCode": "customer.unknown",
                "traceId": "abc",
                "reference": "customerId",
                "args": [{"value": 5}],
                "typedArgs": [{"type": "INTEGER", "value": 5}, {"value": None}],
            }
        ).encode()
    )
    assert data == (
        *("no such customer", "customer.unknown", "abc", "customerId"),
        ({"value": 5},),
        (TypedArg("INTEGER", 5), TypedArg(None, None)),
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", ""),
        (b"<html>502</html>", "<html>502</html>"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'"just text"', '"just text"'),
        (b"[1]", "[1]"),
        (b"{}", ""),
        (b'{"errorMessage": null}', ""),
        (b"[" * 100_000, "[" * 200),
        (b'{"errorMessage": {"en": "no"}}', '{"en":"no"}'),
    ],
)
def test_an_error_body_that_is_not_as_specified_says_what_it_can(answer: bytes, message: str) -> None:
    assert decode_error(answer).message == message


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["errorMessage", "errorCode", "traceId", "reference", "args", "typedArgs"],
            st.recursive(st.none() | st.booleans() | st.integers(0, 9) | st.text(), st.lists)
            | st.dictionaries(st.text(), st.text()),
        ),
    )
)
def test_no_error_body_is_worse_than_the_error_it_tells_of(data: dict[str, Any]) -> None:
    assert isinstance(decode_error(json.dumps(data).encode()).message, str)
