from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bookings_analytics import demo
from bookings_analytics.archive import Archive
from bookings_analytics.cli import app
from bookings_analytics.demo.clock import StudioClock
from bookings_analytics.demo.faults import RateLimit, Window
from bookings_analytics.demo.timetable import FIRST_DAY, LAST_DAY
from bookings_analytics.errors import ConfigurationError
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.studios import Studio
from bookings_analytics.studios.clock import current_time

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/v1/classes/booking"
SPEC = Path(__file__).parent / "openapi.json"
SHARED_SPEC = Path(__file__).parents[2] / "shared" / "openapi.json"

spec = schemathesis.openapi.from_path(SPEC)


@pytest.fixture(scope="module")
def unlimited() -> Iterator[demo.DemoStudio]:
    with demo.serve(limit=None) as studio:
        yield studio


@pytest.fixture
def client(unlimited: demo.DemoStudio) -> Iterator[httpx.Client]:
    with client_of(unlimited) as client:
        yield client
    unlimited.faults.clear()
    unlimited.now = demo.NOW


def client_of(studio: demo.DemoStudio) -> httpx.Client:
    return httpx.Client(
        base_url=studio.base_url, headers={"X-API-KEY": studio.api_key.reveal()}, trust_env=False, timeout=20
    )


def get(client: httpx.Client, customer_id: object) -> httpx.Response:
    return client.get(PATH, params={"customerId": str(customer_id)})


def customers(studio: demo.DemoStudio, access: str = "open") -> list[int]:
    return [person.customer_id for person in studio.world.people.values() if person.access == access]


# ---- the specification


def test_the_specification_here_is_the_shared_one() -> None:
    """Where the shared one lies beside the checkout; it is the source."""
    sources = [path.read_bytes() for path in (SPEC, SHARED_SPEC) if path.exists()]
    assert len(set(sources)) == 1


@spec.parametrize()
@settings(max_examples=50)
def test_every_answer_follows_the_specification(case: schemathesis.Case[Any], unlimited: demo.DemoStudio) -> None:
    case.call_and_validate(
        base_url=unlimited.base_url, headers={"X-API-KEY": unlimited.api_key.reveal(), "Connection": "close"}
    )


@pytest.mark.parametrize("access", ["open", "unknown", "disabled"])
def test_every_customers_answer_follows_the_specification(unlimited: demo.DemoStudio, access: str) -> None:
    answers = set()
    with client_of(unlimited) as client:
        for customer_id in customers(unlimited, access):
            response = get(client, customer_id)
            spec[PATH]["GET"].validate_response(response)
            answers.add(response.status_code)
    assert answers == {{"open": 200, "unknown": 404, "disabled": 403}[access]}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500])
def test_every_planned_error_follows_the_specification(
    unlimited: demo.DemoStudio, client: httpx.Client, status: int
) -> None:
    unlimited.faults.add(status=status)
    response = get(client, customers(unlimited)[0])
    assert response.status_code == status
    spec[PATH]["GET"].validate_response(response)


# ---- the answers


def test_a_customers_bookings_are_those_of_the_world_at_the_studios_time(
    unlimited: demo.DemoStudio, client: httpx.Client
) -> None:
    for customer_id in customers(unlimited)[:50]:
        shown = [
            {
                "bookingId": booking.booking_id,
                "bookingStatus": booking.booking_status,
                "classSlotId": booking.class_slot_id,
                "classId": booking.class_id,
                "customerId": customer_id,
                "classSlotStatus": booking.class_slot_status,
                "participantStatus": booking.participant_status,
            }
            for booking in unlimited.world.bookings_of(customer_id, demo.NOW)
        ]
        response = get(client, customer_id)
        assert response.headers["content-type"] == "application/json"
        assert response.json() == shown


def test_two_days_give_two_truths(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    changes = unlimited.world.changes.sort("changed_at").filter(
        pl.col("changed_at") <= demo.NOW, pl.col("customer_id").is_in(customers(unlimited))
    )
    customer_id, booking_id = changes.select("customer_id", "booking_id").row(-1)
    before, after, late = changes["changed_at"][-1] - timedelta(seconds=1), demo.NOW, demo.NOW + timedelta(weeks=2.5)

    def status_at(now: datetime) -> dict[int, str]:
        unlimited.now = now
        assert unlimited.clock() == now
        return {booking["bookingId"]: booking["bookingStatus"] for booking in get(client, customer_id).json()}

    assert status_at(before).get(booking_id) != status_at(after)[booking_id]
    assert booking_id not in status_at(late)


@pytest.mark.parametrize("given_", ["", "x", "1.5", "1e3", "٣", "1 2", str(2**63), str(-(2**63) - 1), "9" * 40])
def test_400_for_what_is_no_whole_number_within_int64(client: httpx.Client, given_: str) -> None:
    response = get(client, given_)
    assert response.status_code == 400
    body = response.json()
    assert body["reference"] == "customerId"
    assert body["args"] == [{"value": given_}]
    assert body["typedArgs"] == [{"value": given_, "type": "STRING"}]
    assert body["errorMessage"]
    assert body["errorCode"]
    assert body["traceId"]


@pytest.mark.parametrize("query", ["", "?customerid=1", "?customerId=1&customerId=2"])
def test_400_for_no_customer_or_two(client: httpx.Client, query: str) -> None:
    assert client.get(PATH + query).status_code == 400


@pytest.mark.parametrize("customer_id", [1, 0, -1, 2**63 - 1, -(2**63)])
def test_404_for_a_customer_nobody_knows(client: httpx.Client, customer_id: int) -> None:
    response = get(client, customer_id)
    assert response.status_code == 404
    assert response.json()["typedArgs"] == [{"value": customer_id, "type": "INTEGER"}]


def test_403_for_a_customer_who_opted_out(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    response = get(client, customers(unlimited, "disabled")[0])
    assert response.status_code == 403
    assert response.json()["errorCode"].endswith("customer.access.disabled")


@pytest.mark.parametrize("headers", [{}, {"X-API-KEY": "wrong"}, {"X-API-KEY": "ü".encode()}, {"Authorization": "key"}])
@pytest.mark.parametrize("path", [PATH, "/v1/elsewhere"])
def test_401_without_the_key(unlimited: demo.DemoStudio, headers: dict[str, Any], path: str) -> None:
    response = httpx.get(unlimited.base_url + path, headers=headers, trust_env=False)
    assert response.status_code == 401
    assert response.json()["errorMessage"]
    head = httpx.head(unlimited.base_url + path, headers=headers, trust_env=False)
    assert head.status_code == 401
    assert head.content == b""


def test_head_only_checks_the_key(client: httpx.Client) -> None:
    for query in ("", "?customerId=x", "?customerId=1"):
        response = client.head(PATH + query)
        assert response.status_code == 200
        assert response.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_405_for_other_methods(client: httpx.Client, method: str) -> None:
    response = client.request(method, PATH, params={"customerId": "1"})
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert response.json()["errorMessage"]


@pytest.mark.parametrize("path", ["/", "/v1", "/classes/booking", "/v1/v1/classes/booking", PATH + "/"])
def test_404_for_other_paths(client: httpx.Client, path: str) -> None:
    assert client.get(path, params={"customerId": "1"}).status_code == 404


# ---- the log


def test_every_request_is_logged_but_never_the_key(unlimited: demo.DemoStudio) -> None:
    known = customers(unlimited)[0]
    n_before = len(unlimited.requests)
    started = time.monotonic()
    with client_of(unlimited) as client:
        client.head(PATH)
        get(client, known).raise_for_status()
        client.get(PATH, params={"customerId": "x"}, headers={"Accept-Language": "en"})
    logged = list(unlimited.requests)[n_before:]
    assert [(r.method, r.customer_id, r.status) for r in logged] == [
        ("HEAD", None, 200),
        ("GET", known, 200),
        ("GET", None, 400),
    ]
    assert logged[2].headers["accept-language"] == "en"
    assert started <= logged[0].arrived_at <= logged[1].arrived_at <= logged[2].arrived_at <= time.monotonic()
    assert unlimited.api_key.reveal() not in repr(logged)


# ---- faults


def test_planned_faults_hit_the_customer_so_many_times_one_after_the_other(
    unlimited: demo.DemoStudio, client: httpx.Client
) -> None:
    one, other = customers(unlimited)[:2]
    unlimited.faults.add(customer_id=one, status=503, times=2)
    unlimited.faults.add(customer_id=one, status=409)
    assert get(client, other).status_code == 200
    assert [get(client, one).status_code for _ in range(4)] == [503, 503, 409, 200]


def test_a_fault_for_any_customer_lasts_until_it_is_cleared(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    unlimited.faults.add(status=500, times=None)
    assert [get(client, customer_id).status_code for customer_id in customers(unlimited)[:5]] == [500] * 5
    unlimited.faults.clear()
    assert get(client, customers(unlimited)[0]).status_code == 200


def test_a_wrong_key_stays_a_wrong_key_whatever_is_planned(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    unlimited.faults.add(status=503)
    assert client.get(PATH, headers={"X-API-KEY": "wrong"}).status_code == 401
    assert get(client, customers(unlimited)[0]).status_code == 503


def test_a_body_and_headers_can_be_anything(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    page = b"<html>Bad gateway"
    unlimited.faults.add(status=502, body=page, headers={"content-type": "text/html"})
    response = get(client, 1)
    assert (response.status_code, response.content, response.headers["content-type"]) == (502, page, "text/html")
    unlimited.faults.add(body=b"")
    response = get(client, 1)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/json"
    unlimited.faults.add(status=429, headers={"Retry-After": "7"})
    response = get(client, 1)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["errorMessage"]


def test_a_redirect(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    unlimited.faults.add(status=302, headers={"location": "https://elsewhere.example/"})
    assert get(client, 1).headers["location"] == "https://elsewhere.example/"


def test_a_large_body_comes_in_chunks_of_unknown_total(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    unlimited.faults.add(body=b"x" * 300_000, chunked=True)
    response = get(client, 1)
    assert "content-length" not in response.headers
    assert response.content == b"x" * 300_000


@pytest.mark.parametrize("cut_after", [0, 1, 100])
def test_a_body_is_cut_short(unlimited: demo.DemoStudio, client: httpx.Client, cut_after: int) -> None:
    whole = get(client, customers(unlimited)[0])
    unlimited.faults.add(cut_after=cut_after)
    problem = f"received {cut_after} bytes, expected {len(whole.content)}"
    with pytest.raises(httpx.RemoteProtocolError, match=problem):
        get(client, customers(unlimited)[0])
    assert get(client, customers(unlimited)[0]).content == whole.content


def test_a_connection_is_closed_without_an_answer(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    unlimited.faults.add(drop=True)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        get(client, customers(unlimited)[0])
    assert unlimited.requests[-1].status is None
    assert get(client, customers(unlimited)[0]).status_code == 200


def test_a_slow_answer_is_the_true_one(unlimited: demo.DemoStudio, client: httpx.Client) -> None:
    customer_id = customers(unlimited)[0]
    unlimited.faults.add(customer_id=customer_id, delay=0.3)
    started = time.monotonic()
    slow = get(client, customer_id)
    assert time.monotonic() - started >= 0.3
    assert slow.content == get(client, customer_id).content


# ---- the rate limit


@given(
    st.lists(st.floats(0, 3), max_size=60),
    st.integers(1, 6),
    st.sampled_from([1.0, 2.5]),
    st.sampled_from([0.5, 3.0]),
    st.sampled_from(["sliding", "fixed"]),
)
def test_one_request_too_many_locks_out_all_of_the_next_minute(
    pauses: list[float], limit: int, period: float, lockout: float, window: Window
) -> None:
    rate_limit = RateLimit(limit=limit, period=period, lockout=lockout, window=window)
    now, locked_until = 1000.0, 0.0
    answered: list[float] = []
    for pause in pauses:
        now += pause
        left = rate_limit.refuse(now)
        if now < locked_until:
            assert left == locked_until - now
            continue
        if window == "sliding":
            n = sum(now - period <= at for at in answered)
        else:
            n = sum(at // period == now // period for at in answered)
        if n < limit:
            assert left is None
            answered.append(now)
        else:
            assert left == lockout
            locked_until, answered = now + lockout, []


@pytest.mark.parametrize("window", ["sliding", "fixed"])
@pytest.mark.parametrize("retry_after", [False, True])
def test_too_many_requests_get_429_until_the_lock_out_is_over(window: Window, *, retry_after: bool) -> None:
    # A period so long that no busy machine lets it pass, or lets a fixed window start in the middle.
    with demo.serve(limit=5, period=1e9, lockout=0.5, window=window, retry_after=retry_after) as studio:
        client = client_of(studio)
        ids = customers(studio)[:6]
        with client:
            assert [get(client, customer_id).status_code for customer_id in ids[:5]] == [200] * 5
            refused = get(client, ids[5])
            assert refused.status_code == 429
            assert refused.headers.get("retry-after") == ("1" if retry_after else None)
            assert client.head(PATH).status_code == 200, "HEAD only checks the key"
            time.sleep(0.5)
            assert get(client, ids[5]).status_code == 200


def test_the_limit_is_the_real_one_by_default() -> None:
    with demo.serve() as studio, client_of(studio) as client:
        customer_id = customers(studio)[0]
        statuses = [get(client, customer_id).status_code for _ in range(1002)]
    seconds = studio.requests[-1].arrived_at - studio.requests[0].arrived_at
    assert statuses.count(200) >= 1000
    if seconds < 60:
        assert statuses == [200] * 1000 + [429] * 2


# ---- the clock


def test_its_clock_stands_still_or_runs_as_fast_as_wanted_until_the_last_day() -> None:
    seconds = iter([100.0, 100.0, 101.0, 110.0, 111.0, 10.0**9, 1.0, 2.0])
    clock = StudioClock(demo.NOW, speed=60, timer=lambda: next(seconds))
    assert clock() == demo.NOW
    assert clock() == demo.NOW + timedelta(minutes=1)
    clock.set(FIRST_DAY)
    assert clock() == FIRST_DAY + timedelta(minutes=1)
    assert clock() == LAST_DAY
    still = StudioClock(demo.NOW, timer=lambda: next(seconds))
    assert still() == demo.NOW


def test_its_clock_stops_on_its_last_day() -> None:
    assert StudioClock(LAST_DAY, speed=1).stopped
    assert not StudioClock(LAST_DAY - timedelta(hours=1), speed=1).stopped


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_speed_that_no_clock_has_is_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError, match=r"speed=.* is not a pace for a clock. Pass 0 or more"):
        StudioClock(demo.NOW, speed=speed)


def test_it_answers_by_the_clock_it_is_served_with_and_shows_its_time_without_a_key() -> None:
    now = [demo.NOW]
    with demo.serve(clock=lambda: now[0], limit=None) as studio, client_of(studio) as client:
        customer_id = customers(studio)[-1]
        for now[0] in (demo.NOW, datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)):
            assert studio.now == studio.clock() == now[0]
            assert len(get(client, customer_id).json()) == len(studio.world.bookings_of(customer_id, now[0]))
            assert httpx.get(studio.clock_url, trust_env=False).text == now[0].isoformat()
        with pytest.raises(ConfigurationError, match="comes from the clock= it was served with: set it there"):
            studio.now = demo.NOW


def test_a_clock_that_leaves_its_months_is_told_and_answers_nothing() -> None:
    now = [demo.NOW]
    with demo.serve(clock=lambda: now[0], limit=None) as studio, client_of(studio) as client:
        now[0] = datetime(2030, 1, 1, tzinfo=UTC)
        response = get(client, customers(studio)[0])
        assert response.status_code == 500
        assert "clock()=2030-01-01 00:00:00+00:00 is not a time of the demo studio" in response.json()["errorMessage"]
    with pytest.raises(ConfigurationError, match=r"clock\(\)=2030-01-01"):
        demo.serve(clock=lambda: now[0])


# ---- others by its clock


def test_without_a_clock_the_time_is_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", " "):
        monkeypatch.delenv("BOOKINGS_CLOCK", raising=False)
        if value is not None:
            monkeypatch.setenv("BOOKINGS_CLOCK", value)
        before = datetime.now(UTC)
        assert before <= current_time() <= datetime.now(UTC)


def test_the_time_is_the_studios_where_a_variable_names_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with demo.serve(limit=None) as studio:
        monkeypatch.setenv("BOOKINGS_CLOCK", studio.clock_url)
        for studio.now in (demo.NOW, FIRST_DAY):
            assert current_time() == studio.now
        assert not studio.requests, "it counts for no limit"


def test_a_fetch_takes_its_time_from_the_clock_that_the_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive = Archive(tmp_path / "archive")
    with demo.serve(limit=None) as studio:
        monkeypatch.setenv("BOOKINGS_CLOCK", studio.clock_url)

        def fetch_at(now: datetime) -> list[datetime]:
            studio.now = now
            some = customers(studio)[:3]
            hours = timedelta(hours=12)
            result = fetch_bookings(some, studios=studio, archive=archive, max_age=hours, progress=False)
            return result.fetches["fetched_at"].to_list()

        night, noon, next_night = (demo.NOW - timedelta(hours=hours) for hours in (10, 2, -14))
        assert all(abs(at - night) < timedelta(seconds=10) for at in fetch_at(night))
        assert fetch_at(noon) == [], "fetched less than twelve hours ago, by the studio's clock"
        assert all(abs(at - next_night) < timedelta(seconds=10) for at in fetch_at(next_night))


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://192.168.0.7:8765/clock", "names http://192.168.0.7, but a clock is taken from this machine only"),
        ("http://example.com/clock", "names http://example.com, but"),
        ("http://127.0.0.1.example.com/clock", "but a clock is taken from this machine only"),
        ("https://127.0.0.1:8765/clock", "names https://127.0.0.1, but"),
        ("http://user:secret@example.com/clock", "names http://example.com, but"),
        ("127.0.0.1:8765", "but a clock is taken from this machine only"),
        ("http://[::1", "is not a URL"),
        ("http://127.0.0.1:99999/clock", "is not a URL"),
        ("http://127.0.0.1:1/clock", "No time came from the clock at http://127.0.0.1:1: .*refused"),
    ],
)
def test_a_clock_elsewhere_or_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch, address: str, problem: str) -> None:
    monkeypatch.setenv("BOOKINGS_CLOCK", address)
    with pytest.raises(ConfigurationError, match=problem) as raised:
        current_time()
    assert "Set BOOKINGS_CLOCK to the line that bookings-analytics demo-api prints" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "answer", "problem"),
    [
        ("/elsewhere", None, "status 401"),
        ("/clock", datetime(2026, 6, 1), "has no time zone"),  # noqa: DTZ001 - which is the point
    ],
)
def test_what_is_no_time_is_told(
    monkeypatch: pytest.MonkeyPatch, path: str, answer: datetime | None, problem: str
) -> None:
    now = [demo.NOW]
    with demo.serve(clock=lambda: now[0]) as studio:
        now[0] = answer or demo.NOW
        monkeypatch.setenv("BOOKINGS_CLOCK", studio.base_url + path)
        with pytest.raises(ConfigurationError, match=problem):
            current_time()


def test_the_command_starts_when_and_runs_as_fast_as_told() -> None:
    program = "from bookings_analytics.cli import run; run()"
    options = ["demo-api", "--port", "0", "--start", "2026-03-29T04:15", "--speed", "0"]
    with subprocess.Popen([sys.executable, "-c", program, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, *_, clock_line = (process.stdout.readline() for _ in range(5))
        assert "its time: 2026-03-29 02:15 UTC" in first, "daylight saving has begun two hours before"
        told = httpx.get(clock_line.strip().removeprefix("BOOKINGS_CLOCK="), trust_env=False).text
        assert told == "2026-03-29T02:15:00+00:00"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--start", "2025-10-19"], "has no 2025-10-19"),
        (["--start", "2026-07-06"], "has no 2026-07-06"),
        (["--start", "June"], "does not match the formats"),
        (["--speed", "-1"], "greater than or equal to 0"),
    ],
)
def test_a_start_or_a_speed_that_the_command_can_not_use_is_refused(options: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["demo-api", *options])
    assert result.exit_code == 2
    assert problem in " ".join(result.output.replace("│", " ").split())


# ---- starting and stopping


def test_it_is_a_studio_with_a_key_of_its_own_that_it_does_not_show(unlimited: demo.DemoStudio) -> None:
    with demo.serve(name="second") as second:
        assert isinstance(second, Studio)
        assert (unlimited.name, second.name) == ("demo", "second")
        assert second.base_url != unlimited.base_url
        assert second.api_key.reveal() != unlimited.api_key.reveal()
        assert second.api_key.reveal() not in repr(second)
        assert httpx.head(second.base_url + PATH, headers={"X-API-KEY": unlimited.api_key.reveal()}).status_code == 401
        assert second.cohorts.equals(unlimited.cohorts)


def test_it_closes_at_once_with_connections_open_and_answers_under_way() -> None:
    n_threads = threading.active_count()
    answers: list[httpx.Response] = []
    with demo.serve() as studio:
        studio.faults.add(delay=60)
        with client_of(studio) as idle, client_of(studio) as waiting:
            idle.head(PATH)
            n_before = len(studio.requests)
            asking = threading.Thread(target=lambda: answers.append(get(waiting, customers(studio)[0])))
            asking.start()
            while len(studio.requests) == n_before:
                time.sleep(0.01)
            started = time.monotonic()
            studio.close()
            asking.join()
            assert time.monotonic() - started < 20
    assert [answer.status_code for answer in answers] == [200]
    assert threading.active_count() == n_threads
    with pytest.raises(httpx.ConnectError):
        httpx.head(studio.base_url, trust_env=False)


def test_it_can_be_closed_before_it_is_up_and_twice() -> None:
    studios = [demo.serve() for _ in range(5)]
    for studio in studios:
        studio.close()
        studio.close()


@pytest.mark.parametrize(
    "now", [demo.NOW.replace(tzinfo=None), datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
)
def test_a_time_outside_its_months_is_refused(unlimited: demo.DemoStudio, now: datetime) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"now={now} is not a time of the demo studio")):
        demo.serve(now=now)
    with pytest.raises(ConfigurationError, match=r"Pass an aware datetime from 2025-10-19 22:00.* to 2026-07-05 22:00"):
        unlimited.now = now
    assert unlimited.now == demo.NOW


def test_a_name_that_no_studio_can_have_is_refused_and_nothing_left_open() -> None:
    with pytest.raises(ConfigurationError, match="needs a name"):
        demo.serve(name=" ")


def test_a_taken_port_is_told(unlimited: demo.DemoStudio) -> None:
    port = httpx.URL(unlimited.base_url).port
    assert port is not None
    with pytest.raises(ConfigurationError, match=f"Port {port} .* Choose another port"):
        demo.serve_forever(port=port)


def run(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_in_a_terminal_it_tells_where_it_is_and_serves_until_ctrl_c() -> None:
    with run("from bookings_analytics import demo; demo.serve_forever(port=0)") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        settings_ = dict(process.stdout.readline().strip().split("=", 1) for _ in range(4))
        assert settings_["BOOKINGS_BASE_URL"] in first
        studio = Studio(
            settings_["BOOKINGS_STUDIO"],
            base_url=settings_["BOOKINGS_BASE_URL"],
            api_key=settings_["BOOKINGS_API_KEY"],
        )
        url = studio.base_url + PATH
        assert httpx.head(url, headers={"X-API-KEY": studio.api_key.reveal()}, trust_env=False).status_code == 200
        told = datetime.fromisoformat(httpx.get(settings_["BOOKINGS_CLOCK"], trust_env=False).text)
        assert demo.NOW < told < demo.NOW + timedelta(hours=1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_in_a_terminal_its_clock_runs_as_fast_as_told_and_stops_on_its_last_day() -> None:
    code = "demo.serve_forever(port=0, start=LAST_DAY - timedelta(seconds=1), speed=3600)"
    imports = "from datetime import timedelta; from bookings_analytics.demo.timetable import LAST_DAY"
    with run(f"from bookings_analytics import demo; {imports}; {code}") as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(6)]
        assert told[-1] == "The studio's last day is reached, and its clock stands still: start it again.\n"
        clock_url = told[4].strip().removeprefix("BOOKINGS_CLOCK=")
        assert httpx.get(clock_url, trust_env=False).text == LAST_DAY.isoformat()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_program_that_forgets_to_close_it_ends_quietly() -> None:
    with run("from bookings_analytics import demo; print(demo.serve().name)") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "demo\n", "")
