"""The demo studio's classes and slots, by the specification of those endpoints and by what its world knows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st

from bookings_analytics import demo, schema
from bookings_analytics.demo.timetable import CLASSES, FIRST_DAY, LAST_DAY, OUTAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/v1/classes"
SPEC = Path(__file__).parent / "openapi-classes.json"
SHARED_SPEC = Path(__file__).parents[2] / "shared" / "openapi-classes.json"


def as_it_is() -> dict[str, Any]:
    """The specification, with what it does not say.

    Times are as the vendor's own examples have them: a zone's name follows the offset, which date-time does not allow.
    An offset is a text that an earlier page gave, so most texts are none.
    """
    described: dict[str, Any] = json.loads(SPEC.read_text("utf-8"))
    time = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d\[[A-Za-z_/]+\]$"
    for name, column in described["components"]["schemas"]["ClassSlot"]["properties"].items():
        if name.endswith("DateTime"):
            assert column == {"type": "string", "format": "date-time"}
            column.update(pattern=time)
            del column["format"]
    for path in (PATH, PATH + "/{classId}/slots"):
        offset, _ = (each for each in described["paths"][path]["get"]["parameters"] if each["in"] == "query")
        assert offset["name"] == "offset"
        offset["schema"]["pattern"] = "^[0-9]{1,9}$"
    return described


whole = schemathesis.openapi.from_dict(as_it_is())
spec = whole.include(path=[PATH, PATH + "/{classId}/slots"])
class_ids = st.sampled_from([studio_class.class_id for studio_class in CLASSES])


@pytest.fixture(scope="module")
def studio() -> Iterator[demo.DemoStudio]:
    with demo.serve(limit=None) as studio:
        yield studio


@pytest.fixture(scope="module")
def client(studio: demo.DemoStudio) -> Iterator[httpx.Client]:
    headers = {"X-API-KEY": studio.api_key.reveal()}
    with httpx.Client(base_url=studio.base_url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture(autouse=True)
def _as_it_was(studio: demo.DemoStudio) -> Iterator[None]:
    yield
    studio.faults.clear()
    studio.now = demo.NOW


def pages(client: httpx.Client, path: str, size: int) -> list[dict[str, Any]]:
    found, offset = [], "0"
    while True:
        page = client.get(path, params={"sliceSize": size, "offset": offset}).raise_for_status().json()
        found.append(page)
        if not page["hasNext"]:
            return found
        offset = page["offset"]


def rows(client: httpx.Client, path: str, size: int = 100) -> list[dict[str, Any]]:
    return [row for page in pages(client, path, size) for row in page["result"]]


def test_the_specification_here_is_the_shared_one() -> None:
    """Where the shared one lies beside the checkout; it is the source."""
    sources = [path.read_bytes() for path in (SPEC, SHARED_SPEC) if path.exists()]
    assert len(set(sources)) == 1


@spec.parametrize()
@settings(max_examples=50)
def test_every_answer_follows_the_specification(case: schemathesis.Case[Any], studio: demo.DemoStudio) -> None:
    case.call_and_validate(
        base_url=studio.base_url, headers={"X-API-KEY": studio.api_key.reveal(), "Connection": "close"}
    )


@pytest.mark.parametrize("studio_class", CLASSES, ids=lambda studio_class: studio_class.title)
def test_the_slots_of_every_class_follow_the_specification(client: httpx.Client, studio_class: Any) -> None:
    response = client.get(f"{PATH}/{studio_class.class_id}/slots")
    assert response.status_code == 200
    whole[PATH + "/{classId}/slots"]["GET"].validate_response(response)
    assert response.json()["result"]


def test_the_classes_are_those_of_the_timetable_page_by_page(client: httpx.Client) -> None:
    listed = rows(client, PATH)
    assert [(row["id"], row["title"], row["category"]) for row in listed] == [
        (studio_class.class_id, studio_class.title, studio_class.category) for studio_class in CLASSES
    ]
    assert [len(page["result"]) for page in pages(client, PATH, 10)] == [10, 2]
    assert rows(client, PATH, 10) == listed


@given(class_ids, st.datetimes(FIRST_DAY.replace(tzinfo=None), LAST_DAY.replace(tzinfo=None)), st.integers(10, 100))
@settings(max_examples=40)
def test_slots_are_those_of_the_world_from_a_day_ago_to_two_weeks_ahead(
    studio: demo.DemoStudio, client: httpx.Client, class_id: int, wall: datetime, size: int
) -> None:
    studio.now = at = wall.replace(tzinfo=ZoneInfo("UTC"))
    path = f"{PATH}/{class_id}/slots"
    if studio.world.is_down(at):
        assert client.get(path).status_code == 503
        return
    due = studio.world.timetable.filter(
        pl.col("class_id") == class_id,
        pl.col("starts_at") >= at - timedelta(days=1),
        pl.col("ends_at") <= at + timedelta(days=14),
        pl.col("canceled_at").is_null() | (pl.col("canceled_at") > at),
    )
    shown = rows(client, path, size)
    assert [row["id"] for row in shown] == due["class_slot_id"].to_list()
    for row, starts_at, ends_at in zip(shown, due["starts_at"], due["ends_at"], strict=True):
        for name, time in (("startDateTime", starts_at), ("endDateTime", ends_at)):
            text, zone = row[name].removesuffix("]").split("[")
            assert datetime.fromisoformat(text) == time
            assert datetime.fromisoformat(text).utcoffset() == time.astimezone(ZoneInfo(zone)).utcoffset()


def test_the_counts_are_those_of_all_customers_bookings(studio: demo.DemoStudio, client: httpx.Client) -> None:
    shown = {
        row["id"]: row for studio_class in CLASSES for row in rows(client, f"{PATH}/{studio_class.class_id}/slots")
    }
    seats = dict.fromkeys(shown, 0)
    waits = dict.fromkeys(shown, 0)
    for customer_id in studio.world.people:
        for booking in studio.world.bookings_of(customer_id, demo.NOW):
            if booking.class_slot_id in shown:
                seats[booking.class_slot_id] += booking.booking_status in schema.SEAT_STATUSES
                waits[booking.class_slot_id] += booking.booking_status == "WAITING_LIST"
    assert {slot: row["bookedParticipants"] for slot, row in shown.items()} == seats
    assert {slot: row["waitingListParticipants"] for slot, row in shown.items()} == waits
    assert all(seats[slot] <= row["maxParticipants"] for slot, row in shown.items())
    assert sum(seats.values()) > 100
    assert sum(waits.values()) > 10


@pytest.mark.parametrize(
    ("path", "status", "reference"),
    [
        (f"{PATH}?sliceSize=9", 400, "sliceSize"),
        (f"{PATH}?sliceSize=101", 400, "sliceSize"),
        (f"{PATH}?sliceSize=many", 400, "sliceSize"),
        (f"{PATH}?offset=-1", 400, "offset"),
        (f"{PATH}/3101/slots?offset=", 400, "offset"),
        (f"{PATH}/x/slots", 400, "classId"),
        (f"{PATH}/{2**63}/slots", 400, "classId"),
        (f"{PATH}/1/slots", 404, None),
        (f"{PATH}/3101", 404, None),
    ],
)
def test_what_can_not_be_answered_is_refused(
    client: httpx.Client, path: str, status: int, reference: str | None
) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response.json().get("reference") == reference
    assert response.json()["errorMessage"]


def test_the_key_is_needed_and_head_only_checks_it(studio: demo.DemoStudio, client: httpx.Client) -> None:
    for path in (PATH, f"{PATH}/3101/slots"):
        assert httpx.get(studio.base_url + path, trust_env=False).status_code == 401
        assert client.head(path).status_code == 200
        assert client.post(path).status_code == 405


def test_each_endpoint_has_a_limit_of_its_own() -> None:
    with demo.serve(limit=2, period=1e9) as limited:
        key = {"X-API-KEY": limited.api_key.reveal()}
        for path in (PATH, f"{PATH}/3101/slots", f"{PATH}/booking?customerId=1"):
            statuses = [httpx.get(limited.base_url + path, headers=key, trust_env=False).status_code for _ in range(3)]
            assert statuses[:2] != [429, 429]
            assert statuses[2] == 429
        assert [request.path for request in limited.requests][::3] == [PATH, f"{PATH}/3101/slots", f"{PATH}/booking"]


def test_a_fault_hits_the_endpoint_it_is_planned_for(studio: demo.DemoStudio, client: httpx.Client) -> None:
    studio.faults.add(endpoint="slots", status=410, times=None)
    studio.faults.add(endpoint="classes", status=403)
    assert client.get(f"{PATH}/booking", params={"customerId": 1}).status_code == 404
    assert [client.get(PATH).status_code for _ in range(2)] == [403, 200]
    assert client.get(f"{PATH}/3101/slots").status_code == 410


def test_the_night_without_the_api_is_one_without_classes_too(studio: demo.DemoStudio, client: httpx.Client) -> None:
    studio.now = OUTAGE[0]
    assert client.get(PATH).status_code == 503
