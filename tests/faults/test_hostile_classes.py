"""Whatever the two endpoints of classes answer, bookings and exit code are as without them, and a line says what came.

A fault that is found later is one more line of a table.
"""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

import bookings_analytics as ba
from bookings_analytics import demo
from bookings_analytics.cli.endings import Exit
from bookings_analytics.cli.scheduled_fetch import fetch_into_archive
from bookings_analytics.fetch.body import MAX_BODY
from bookings_analytics.studios import ClassHours

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

Fault = dict[str, Any]
Endpoint = Literal["classes", "slots"]
CLASS = {"id": 1, "bookable": True, "title": "Yoga"}
SLOT = {"id": 10, "additionalParticipants": 0}


def page(*rows: Any, more: str | None = None) -> Fault:
    """Answer every request for a page with the same one."""
    return {"body": json.dumps({"result": rows, "hasNext": more is not None, "offset": more or ""}).encode()}


# Name: (the answer to every request of an endpoint, a part of the line).
ANSWERS: dict[str, tuple[Fault, str]] = {
    # Refused, gone, or too much for the API.
    "400": ({"status": 400}, "answered 400"),
    "401": ({"status": 401}, "answered 401"),
    "403": ({"status": 403}, "answered 403"),
    "404": ({"status": 404}, "answered 404"),
    "410": ({"status": 410}, "answered 410"),
    "410 with its date": (
        {"status": 410, "headers": {"Sunset": "Wed, 30 Sep 2026 23:59:59 GMT"}},
        "it will be switched off on 30 September 2026",
    ),
    "429": ({"status": 429, "headers": {"Retry-After": "0"}}, "answered 429"),
    "500": ({"status": 500}, "answered 500"),
    "503": ({"status": 503}, "answered 503"),
    "204": ({"status": 204}, "answered 204"),
    "302": ({"status": 302}, "answered 302"),
    # Not all of it, or something else.
    "dropped before the answer": ({"drop": True}, ""),
    "dropped amid the body": ({"cut_after": 5}, ""),
    "HTML": ({"body": b"<html>log in</html>"}, "does not follow the API's specification"),
    "nothing": ({"body": b""}, "does not follow the API's specification"),
    "half of it": ({"body": b'{"result": [{"id": 1, "book'}, "does not follow the API's specification"),
    "nested without end": ({"body": b"[" * 100_000}, "does not follow the API's specification"),
    "larger than an answer may be": ({"body": b" " * (MAX_BODY + 1)}, "larger than"),
    # Pages that are none, or do not go on.
    "no envelope": ({"body": b"[]"}, "does not follow the API's specification"),
    "rows of wrong types": (page({"id": "1"}), "$[0].id"),
    "rows without what they need": (page({}), "$[0]"),
    "an id too large": (page(CLASS | SLOT | {"id": 2**63}), "$[0].id"),
    "an offset seen before": (page(CLASS | SLOT, more="again"), "more is announced, but the pages do not go on"),
    "the first offset again": (page(CLASS | SLOT, more="0"), "more is announced, but the pages do not go on"),
    "an empty page that announces more": (page(more="b"), "more is announced, but the pages do not go on"),
}
TIMES: dict[str, tuple[str | None, str | None, datetime | None]] = {  # what begins: (text, a part of the line, when)
    "none": (None, None, None),
    "a zone that is wrong": ("2026-06-17T18:00:00.000+02:00[Asia/Tokyo]", None, datetime(2026, 6, 17, 16, tzinfo=UTC)),
    "a zone that is no zone": ("2026-06-17T18:00:00+02:00[x y]", None, datetime(2026, 6, 17, 16, tzinfo=UTC)),
    "a zone alone": ("[Europe/Berlin]", "$[0].startDateTime", None),
    "no offset": ("2026-06-17T18:00:00[Europe/Berlin]", "$[0].startDateTime", None),
    "two zones": ("2026-06-17T18:00:00+02:00[Europe/Berlin][UTC]", "$[0].startDateTime", None),
}


class Without(NamedTuple):
    """How a fetch without classes ends, and what it keeps of whom."""

    members: pl.DataFrame
    ending: Exit
    bookings: pl.DataFrame


def fetched(
    studio: demo.DemoStudio, members: pl.DataFrame, archive: Path, *, with_classes: bool = True
) -> tuple[Exit, list[str], pl.DataFrame]:
    """Fetch, and return how it ended, what was warned of, and the bookings kept."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ending = fetch_into_archive(
            members,
            str(archive),
            studios=[studio],
            max_age=timedelta(0),
            failures=None,
            echo=lambda _: None,
            hours=ClassHours("UTC", "05:00", "24:00"),
            with_classes=with_classes,
        )
    kept = ba.Archive(archive).bookings().drop("observed_at").collect()
    return ending, [str(each.message) for each in said], kept


@pytest.fixture(scope="module")
def without(members: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Without:
    """Fetch bookings alone."""
    with demo.serve(limit=None) as studio:
        ending, said, kept = fetched(studio, members, tmp_path_factory.mktemp("without"), with_classes=False)
    assert said == []
    assert kept.height > 0
    return Without(members, ending, kept)


def check(studio: demo.DemoStudio, archive: Path, without: Without, says: str | None) -> None:
    """Fetch with classes, and hold the ending, the bookings, and the one line against a fetch without."""
    ending, said, kept = fetched(studio, without.members, archive)
    assert ending == without.ending == Exit.DONE
    assert kept.equals(without.bookings)
    assert len(said) == (says is not None)
    for line in said:
        assert line.startswith("Studio 'demo', classes: ")
        assert str(says) in line
        assert "\n" not in line
        assert "bookings need none of them" in line


@pytest.mark.parametrize("endpoint", ["classes", "slots"])
@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_whatever_they_answer_bookings_and_exit_code_are_as_without(
    studio: demo.DemoStudio,
    without: Without,
    tmp_path: Path,
    endpoint: Endpoint,
    case: tuple[Fault, str],
) -> None:
    fault, says = case
    studio.faults.add(endpoint=endpoint, times=None, **fault)
    check(studio, tmp_path, without, says)
    if endpoint == "slots":
        assert ba.Archive(tmp_path).classes().collect().height == 12


@pytest.mark.parametrize("case", TIMES.values(), ids=TIMES)
def test_whatever_a_class_begins_at_it_is_that_moment_or_none_or_told(
    studio: demo.DemoStudio,
    without: Without,
    tmp_path: Path,
    case: tuple[str | None, str | None, datetime | None],
) -> None:
    starts, says, at = case
    studio.faults.add(endpoint="slots", times=None, **page(SLOT | {"startDateTime": starts}))
    check(studio, tmp_path, without, says)
    slots = ba.Archive(tmp_path).slots().collect()
    assert slots["starts_at"].to_list() == ([] if says else [at])
    days = ba.Archive(tmp_path).class_days(timezone="UTC", known=slots)
    assert days.filter(class_slot_id=10, dated_by="known").is_empty()  # nobody's booking, and no start is no day


@pytest.mark.parametrize("fault", [{"status": 404}, page({"id": "1"}), {"body": b"<html>"}], ids=str)
def test_slots_of_one_class_that_can_not_be_had_lose_that_class_alone(
    studio: demo.DemoStudio,
    without: Without,
    tmp_path: Path,
    fault: Fault,
) -> None:
    studio.faults.add(endpoint="slots", times=1, **fault)
    check(studio, tmp_path, without, "slots of class ")
    archive = ba.Archive(tmp_path)
    assert archive.classes().collect().height == 12
    assert archive.slots().collect()["class_id"].n_unique() == 11
