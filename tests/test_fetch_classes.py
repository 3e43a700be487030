"""Classes and slots fetched beside the bookings: what is kept, and that no answer costs more than itself."""

from __future__ import annotations

import _thread
import asyncio
import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_time import MadeUpTime

import bookings_analytics as ba
from bookings_analytics import demo, schema
from bookings_analytics.demo.timetable import CLASSES
from bookings_analytics.fetch.class_wire import Moment
from bookings_analytics.fetch.classes import ClassJob
from bookings_analytics.fetch.rate_limit import RateLimit
from bookings_analytics.fetch.studio_classes import StudioClasses

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 6, 17, 4, 15, tzinfo=UTC)
KEY = 'made-up"key\\with/every&kind'
STUDIO = ba.Studio("mitte", base_url="https://mitte.example", api_key=KEY)
YEARS = (datetime(1990, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - hypothesis wants them naive
Answers = dict[str, Any]  # path and offset → what the API answers: a body, or a response


def page(*rows: Any, more: str | None = None) -> dict[str, Any]:
    return {"result": list(rows), "hasNext": more is not None, "offset": more or str(len(rows))}


def a_class(number: int, **values: Any) -> dict[str, Any]:
    return {"id": number, "bookable": True, "title": f"Class {number}"} | values


def a_slot(number: int, **values: Any) -> dict[str, Any]:
    return {"id": number, "additionalParticipants": 0} | values


class Api(httpx.AsyncBaseTransport):
    """An API that answers as it is told, 404 where it is told nothing."""

    def __init__(self, answers: Answers) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        offset = parse_qs(request.url.query.decode()).get("offset")
        name = request.url.path.removeprefix("/v1/classes") + (f"?{offset[0]}" if offset else "")
        self.asked.append(name)
        answer = self._answers.get(name, httpx.Response(404, json={"errorMessage": "not here"}))
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def fetched(answers: Answers, **options: Any) -> tuple[Any, Api, str]:
    """Fetch, and return what came, the API, and the one line that was said."""
    api = Api(answers)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = ba.fetch_classes(STUDIO, transport=api, progress=False, clock=lambda: NOW, **options)
    assert tuple(str(each.message) for each in said) == result.notes
    assert len(result.notes) <= 1
    assert (result.classes.schema, result.slots.schema) == (schema.CLASSES, schema.SLOTS)
    return result, api, "".join(result.notes)


def test_the_demo_studios_timetable_is_what_is_kept(tmp_path: Path, studio: demo.DemoStudio) -> None:
    archive = ba.Archive(tmp_path)
    result = ba.fetch_classes(studio, archive=archive, clock=lambda: demo.NOW, progress=False)
    assert result.notes == ()
    classes, slots = archive.classes().collect(), archive.slots().collect()
    assert classes.equals(result.classes)
    assert slots.drop("class_title").equals(result.slots)
    assert classes.select("class_id", "title", "category").rows() == sorted(
        (each.class_id, each.title, each.category) for each in CLASSES
    )
    true = slots.join(studio.world.timetable, on="class_slot_id", suffix="_true")
    assert true.height == slots.height > 80
    assert true.filter(
        (pl.col("starts_at") != pl.col("starts_at_true")) | (pl.col("class_id") != pl.col("class_id_true"))
    ).is_empty()
    assert slots["observed_at"].unique().to_list() == [demo.NOW]
    assert archive.titles() == {each.class_id: each.title for each in CLASSES}


def test_every_page_is_read_by_the_opaque_offset_of_the_one_before() -> None:
    odd = "x y&z=1/ü?#%41"
    result, api, note = fetched(
        {
            "": page(a_class(1), more=odd),
            f"?{odd}": page(a_class(2), a_class(1, title="Later")),
            "/1/slots": page(a_slot(10), more="b"),
            "/1/slots?b": page(a_slot(11)),
            "/2/slots": page(),
        }
    )
    assert note == ""
    assert result.classes.select("class_id", "title").rows() == [(1, "Later"), (2, "Class 2")]
    assert result.slots.select("class_id", "class_slot_id").rows() == [(1, 10), (1, 11)]
    assert sorted(api.asked) == sorted(["", f"?{odd}", "/1/slots", "/1/slots?b", "/2/slots"])


def test_all_columns_are_those_of_the_answer_and_nothing_else_is_kept() -> None:
    slot = a_slot(
        10,
        startDateTime="2026-06-17T18:00:00.000+02:00[Europe/Berlin]",
        endDateTime="2026-06-17T16:45:00Z",
        maxParticipants=20,
        maxWaitingListParticipants=5,
        bookedParticipants=18,
        waitingListParticipants=2,
        instructors=[{"id": 1, "firstName": "Kim", "lastName": "Example"}],
    )
    shown = a_class(1, type="HYBRID", category=" Mind\n", duration=45, description="long", imgUrl="x")
    result, _, _ = fetched(
        {"": page(shown, a_class(2, title=None)), "/1/slots": page(slot), "/2/slots": page(a_slot(11))}
    )
    assert result.classes.rows() == [
        ("mitte", 1, "Class 1", "HYBRID", "Mind", 45, True, NOW),
        ("mitte", 2, None, None, None, None, True, NOW),
    ]
    starts = datetime(2026, 6, 17, 16, tzinfo=UTC)
    nothing = (None,) * 5
    assert result.slots.rows() == [
        ("mitte", 1, 10, starts, starts + timedelta(minutes=45), 20, 5, 18, 0, 2, NOW),
        ("mitte", 2, 11, *nothing, 0, None, NOW),
    ]


@given(
    st.datetimes(*YEARS), st.integers(-14 * 4, 14 * 4), st.sampled_from(["", "[America/New_York]"]), st.integers(0, 6)
)
def test_the_numeric_offset_decides_whatever_zone_stands_behind_it(
    local: datetime, quarters: int, zone: str, digits: int
) -> None:
    unit = 10 ** (6 - digits)
    local = local.replace(microsecond=local.microsecond // unit * unit)
    sign, minutes = "-" if quarters < 0 else "+", abs(quarters) * 15
    fraction = f".{local.microsecond:06}"[: digits + 1] if digits else ""
    offset = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    at = Moment(f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset}{zone}").at
    assert at == local.replace(tzinfo=UTC) - timedelta(minutes=15 * quarters)


NO_TIME = [
    "2026-06-17T18:00:00",
    "2026-06-17",
    "2026-13-01T00:00:00Z",
    "[Europe/Berlin]",
    "",
    "0001-01-01T00:00:00+14:00",
    7,
    True,
    {},
]


@pytest.mark.parametrize("text", NO_TIME, ids=str)
def test_what_is_no_time_is_an_error_of_its_page(text: Any) -> None:
    result, _, note = fetched(
        {
            "": page(a_class(1)),
            "/1/slots": page(a_slot(10), a_slot(11, startDateTime=text), more="b"),
            "/1/slots?b": page(a_slot(12)),
        }
    )
    assert result.slots["class_slot_id"].to_list() == [12]
    assert "slots of class 1: the answer does not follow" in note
    assert "$[1].startDateTime" in note


WRONG_ROWS: dict[str, Any] = {
    "no id": {"bookable": True},
    "an id of text": a_class(1) | {"id": "1"},
    "an id too large": a_class(2**63),
    "bookable as text": a_class(1, bookable="yes"),
    "bookable missing": {"id": 1},
    "a title of numbers": a_class(1, title=7),
    "a duration of minutes and a half": a_class(1, duration=45.5),
    "a duration too large": a_class(1, duration=2**31),
    "no row": None,
    "a list": [],
}


@pytest.mark.parametrize("wrong", WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_page_that_fails_its_types_is_told_and_left_out(wrong: Any) -> None:
    result, _, note = fetched(
        {"": page(a_class(5), wrong, more="b"), "?b": page(a_class(6)), "/6/slots": page(a_slot(60))}
    )
    assert result.classes["class_id"].to_list() == [6]
    assert result.slots["class_slot_id"].to_list() == [60]
    assert "classes: the answer does not follow the API's specification" in note
    assert "$[1]" in note


NO_PAGE: dict[str, Any] = {
    "an object without anything": {},
    "a list": [],
    "no offset": {"result": [], "hasNext": False},
    "an offset that is a number": {"result": [], "hasNext": True, "offset": 100},
    "hasNext as text": {"result": [], "hasNext": "no", "offset": "1"},
    "half a character": httpx.Response(200, content=b'{"result": [], "hasNext": true, "offset": "\\ud800"}'),
    "HTML": httpx.Response(200, content=b"<html>log in</html>"),
    "nothing": httpx.Response(200, content=b""),
    "nested without end": httpx.Response(200, content=b"[" * 100_000),
    "packed otherwise": httpx.Response(200, content=b"x", headers={"Content-Encoding": "br"}),
}


@pytest.mark.parametrize("body", NO_PAGE.values(), ids=NO_PAGE)
def test_what_is_no_page_ends_its_list_and_no_other(body: Any) -> None:
    result, _, note = fetched({"": page(a_class(1), a_class(2)), "/1/slots": body, "/2/slots": page(a_slot(20))})
    assert result.slots["class_slot_id"].to_list() == [20]
    assert "slots of class 1" in note
    result, api, note = fetched({"": body})
    assert (result.classes.height, api.asked) == (0, [""])
    assert "classes: the answer does not follow" in note


ENDLESS: dict[str, Answers] = {
    "an offset seen before": {"": page(a_class(1), more="b"), "?b": page(a_class(2), more="b")},
    "two in turn": {"": page(a_class(1), more="b"), "?b": page(a_class(2), more="c"), "?c": page(a_class(2), more="b")},
    "the first one again": {"": page(a_class(1), more="b"), "?b": page(a_class(2), more="0")},
    "an empty page": {"": page(a_class(1), more="b"), "?b": page(a_class(2), more="c"), "?c": page(more="d")},
}


@pytest.mark.parametrize("answers", ENDLESS.values(), ids=ENDLESS)
def test_a_list_without_end_ends_and_says_so(answers: Answers) -> None:
    slots = {f"/{number}/slots": page(a_slot(10 * number)) for number in (1, 2)}
    result, api, note = fetched(answers | slots)
    assert result.classes["class_id"].to_list() == [1, 2]
    assert result.slots.height == 2
    assert len(api.asked) <= 5
    assert "more is announced, but the pages do not go on" in note


def test_pages_that_go_on_for_ever_end_at_a_thousand() -> None:
    class Endless(Api):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.asked.append(str(request.url))
            return httpx.Response(200, json=page({"wrong": 1}, more=f"page {len(self.asked)}"))

    api = Endless({})
    other = ba.Studio("other", base_url="https://other.example", api_key=KEY)  # a limit of its own
    with pytest.warns(UserWarning, match=r"more than 1,000 pages|and \d+ more"):
        ba.fetch_classes(other, transport=api, progress=False, requests_per_minute=10_000)
    assert len(api.asked) == 1000


@pytest.mark.parametrize("status", [401, 403, 410, 429, 500, 503, 204, 302])
def test_a_status_ends_them_for_that_studio_and_what_was_read_stays(status: int) -> None:
    refusal = httpx.Response(status, json={"errorMessage": f"no: {KEY}"} if status != 204 else None)
    with MadeUpTime() as loop:
        api = Api(
            {"": page(*(a_class(number) for number in range(1, 40))), "/1/slots": page(a_slot(10))}
            | {f"/{n}/slots": refusal for n in range(2, 40)}
        )
        job = StudioClasses("mitte", lambda: NOW)
        loop.run(ClassJob({STUDIO: job}, lambda *_: RateLimit(1000, clock=loop.time), transport=api).run())
    classes, slots = job.frames()
    assert classes.height == 39
    assert slots.height <= 1
    note = job.note() or ""
    assert f"answered {status}" in note
    assert KEY not in note
    assert "\n" not in note
    assert "bookings need none of them" in note
    others = {name for name in api.asked if name not in ("", "/1/slots")}
    assert len(others) <= 8  # those under way, not all of them


@pytest.mark.parametrize("status", [400, 404])
def test_a_class_whose_slots_are_not_there_loses_its_own_alone(status: int) -> None:
    answers: Answers = {
        "": page(a_class(1), a_class(2), a_class(3)),
        "/1/slots": page(a_slot(10)),
        "/3/slots": page(a_slot(30)),
    }
    answers["/2/slots"] = httpx.Response(status, json={"errorMessage": "gone home"})
    result, _, note = fetched(answers)
    assert result.slots["class_slot_id"].to_list() == [10, 30]
    assert f"slots of class 2 answered {status}" in note
    assert "gone home" in note


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_without_the_list_no_slot_is_asked_for_and_it_is_asked_once(status: int) -> None:
    result, api, note = fetched({"": httpx.Response(status, json={"errorMessage": "no"})})
    assert api.asked == [""]
    assert (result.classes.height, result.slots.height) == (0, 0)
    assert f"classes answered {status}" in note


def test_the_date_of_their_end_is_told() -> None:
    headers = {"Sunset": "Wed, 30 Sep 2026 23:59:59 GMT"}
    _, _, note = fetched({"": httpx.Response(410, json={}, headers=headers)})
    assert "it is gone (410) and it will be switched off on 30 September 2026" in note
    shown = httpx.Response(200, json=page(), headers={"Deprecation": "@1782864000"})
    _, _, note = fetched({"": shown})
    assert "it is deprecated as of 1 July 2026" in note


def test_the_key_is_in_no_text_that_is_kept_or_said(tmp_path: Path) -> None:
    archive = ba.Archive(tmp_path)
    quoted = json.dumps(KEY)[1:-1]
    row = f'{{"id": 1, "bookable": true, "title": "{quoted}", "category": "\\u0007"}}'
    body = f'{{"result": [{row}], "hasNext": false, "offset": ""}}'
    wrong = page(a_slot(1, startDateTime=f"{'x' * 40}{KEY}"))
    result, _, note = fetched({"": httpx.Response(200, content=body.encode()), "/1/slots": wrong}, archive=archive)
    assert result.classes.select("title", "category").row(0) == ("***", None)
    assert KEY[:6] not in note
    assert not any(KEY[:8].encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_studios_are_read_each_by_itself_and_one_refused_loses_no_other(tmp_path: Path) -> None:
    nord = ba.Studio("nord", base_url="https://nord.example", api_key="other")

    class Two(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.host == "nord.example":
                return httpx.Response(403, json={"errorMessage": "no scope"})
            return httpx.Response(200, json=page(a_slot(1) if request.url.path.endswith("slots") else a_class(1)))

    archive = ba.Archive(tmp_path)
    with pytest.warns(
        UserWarning, match=r"^Studio 'nord', classes: classes answered 403 Forbidden \(no scope\)"
    ) as said:
        result = ba.fetch_classes([STUDIO, nord], archive=archive, transport=Two(), progress=False, clock=lambda: NOW)
    assert len(said) == 1
    assert result.slots["studio"].to_list() == archive.slots().collect()["studio"].to_list() == ["mitte"]


def test_both_endpoints_have_limits_of_their_own_and_are_never_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with demo.serve(limit=12, period=0.4) as studio:
        studio.cohorts  # noqa: B018 - who there is; nothing is asked
        result = ba.fetch_classes(studio, requests_per_minute=12, clock=lambda: demo.NOW)
        assert [request.status for request in studio.requests] == [200] * 13
    assert result.notes == ()
    assert capsys.readouterr().out == f"12 classes and {result.slots.height} class slots read.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute is 0: pass 1 or more"),
        ({"clock": lambda: datetime(2026, 6, 1)}, "without a time zone"),  # noqa: DTZ001 - that is what is wrong
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_asked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ba.ConfigurationError, match=message):
        ba.fetch_classes(STUDIO, transport=Api({}), **options)
    with pytest.raises(ba.ConfigurationError, match="No studio was given"):
        ba.fetch_classes([], transport=Api({}))


def test_what_was_read_before_ctrl_c_is_kept(tmp_path: Path) -> None:
    class Interrupting(Api):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/2/slots"):
                _thread.interrupt_main()
                await asyncio.sleep(60)
            return await super().handle_async_request(request)

    api = Interrupting({"": page(a_class(1), a_class(2))})
    archive = ba.Archive(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        ba.fetch_classes(STUDIO, archive=archive, transport=api, progress=False)
    assert archive.classes().collect()["class_id"].to_list() == [1, 2]
