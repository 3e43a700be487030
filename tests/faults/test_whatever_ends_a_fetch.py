"""Whatever ends a fetch carries what was read; a network or an address that answers nobody is noticed early."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest
import stamina
from made_up_time import MadeUpStudio, MadeUpTime

import bookings_analytics as ba
from bookings_analytics import demo, schema
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STUDIO = ba.Studio("mitte", base_url="https://acme.example", api_key="made-up-and-secret")


class Answering(httpx.AsyncBaseTransport):
    """A transport that answers by a function of the request and of how many came before it."""

    def __init__(self, answer: Callable[[httpx.Request, int], httpx.Response]) -> None:
        self.sent: list[httpx.Request] = []
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return self._answer(request, len(self.sent))

    @property
    def customers(self) -> list[int]:
        return [int(sent.url.params["customerId"]) for sent in self.sent if sent.method == "GET"]


def answering(status: int = 200, **options: Any) -> Callable[[httpx.Request, int], httpx.Response]:
    return lambda *_: httpx.Response(status, **{"json": [], **options})


def fetch(ids: Sequence[int], transport: httpx.AsyncBaseTransport, **options: Any) -> ba.FetchResult:
    options = {"studios": STUDIO, "progress": False, "requests_per_minute": 10**6, **options}
    return ba.fetch_bookings(list(ids), transport=transport, **options)


def outcomes(result: ba.FetchResult | None) -> dict[str, int]:
    assert result is not None
    return dict(result.fetches.group_by("outcome").len().iter_rows())


class TestTheNet:
    def test_a_transport_that_raises_what_nobody_foresaw(self) -> None:
        def answer(request: httpx.Request, n: int) -> httpx.Response:
            if n > 20:
                raise RuntimeError(f"nobody foresaw this of {request.method}")
            return httpx.Response(200, json=[])

        with pytest.raises(RuntimeError, match="foresaw") as raised:
            fetch(range(1, 41), Answering(answer))
        counts = outcomes(raised.value.result)  # type: ignore[attr-defined] # the net sets it
        assert counts["ok"] >= 19 - 1  # the key check is a request as well
        assert sum(counts.values()) == 40

    def test_a_clock_that_raises(self) -> None:
        times = iter([datetime(2026, 6, 17, tzinfo=UTC)] * 11)
        with pytest.raises(RuntimeError) as raised:  # what a StopIteration becomes in a coroutine
            fetch(range(1, 41), Answering(answering()), clock=lambda: next(times), concurrency=1)
        assert outcomes(raised.value.result) == {"ok": 10, "not_fetched": 30}  # type: ignore[attr-defined] # as above

    @pytest.mark.parametrize("error", [ValueError("a flipped bit"), OSError("no space left"), MemoryError()])
    def test_an_archive_that_raises_what_it_never_should(self, error: Exception) -> None:
        class Broken:
            def add(self, _: ba.FetchResult) -> None:
                raise error

            def latest_fetches(self) -> pl.LazyFrame:
                return schema.FETCHES.to_frame().lazy()

        booking = {
            **dict.fromkeys(["bookingId", "classSlotId", "classId"], 1),
            "bookingStatus": "BOOKED",
            "classSlotStatus": "PLANNED",
            "participantStatus": "UNSET",
        }
        carrier = Answering(
            lambda request, _: httpx.Response(
                200, json=[{**booking, "customerId": int(request.url.params.get("customerId", 0))}]
            )
        )
        with pytest.raises(type(error)) as raised:
            fetch(range(1, 41), carrier, archive=Broken())
        result = raised.value.result  # type: ignore[attr-defined] # as above
        assert outcomes(result) == {"ok": 40}
        assert result.bookings.height == 40

    def test_a_terminal_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def closed(_: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        monkeypatch.setattr("sys.stdout.write", closed)
        with pytest.raises(BrokenPipeError) as raised:
            fetch(range(1, 11), Answering(answering()), progress=True)
        assert outcomes(raised.value.result) == {"ok": 10}  # type: ignore[attr-defined] # as above

    def test_no_frame_of_an_unforeseen_error_keeps_the_key(self) -> None:
        def answer(request: httpx.Request, _: int) -> httpx.Response:
            secret = request.headers["X-API-KEY"]
            raise RuntimeError(f"{len(secret)} characters")

        with pytest.raises(RuntimeError) as raised:
            fetch([1], Answering(answer))
        frame = raised.value.__traceback__
        shown = []
        while frame is not None:
            shown.append(repr(frame.tb_frame.f_locals) if "test_" not in frame.tb_frame.f_code.co_name else "")
            frame = frame.tb_next
        assert len(shown) > 5
        assert "made-up-and-secret" not in "".join(shown)


class TestAnAddressThatAnswersNobody:
    """Fifty customers spread over the list are asked first."""

    @pytest.mark.parametrize(
        ("answer", "kind", "says"),
        [
            (answering(404, json={}), ba.ConfigurationError, "50 not_found"),
            (answering(404, html="<html>not here</html>"), ba.ConfigurationError, "not here"),
            (answering(200, html="<html>log in</html>"), ba.ConfigurationError, "50 invalid_response"),
            (answering(302, html="moved"), ba.ConfigurationError, "50 failed"),
            (answering(400, json={}), ba.ConfigurationError, "50 rejected"),
            (answering(503, json={}), ba.ConnectionFailedError, "50 failed"),
            (answering(501, json={}), ba.ConnectionFailedError, "50 failed"),
        ],
    )
    def test_stops_after_fifty_of_a_longer_list(
        self, answer: Callable[[httpx.Request, int], httpx.Response], kind: type[ba.BookingsError], says: str
    ) -> None:
        carrier = Answering(answer)
        with pytest.raises(kind, match=says) as raised:
            fetch(range(1, 6001), carrier)
        assert len(carrier.sent) <= 300
        asked = set(carrier.customers)
        assert len(asked) == 50
        assert (min(asked), max(asked)) == (1, 5881)  # spread over the whole list
        counts = outcomes(raised.value.result)
        assert counts.pop("not_fetched") == 5950
        assert sum(counts.values()) == 50

    @pytest.mark.parametrize("reads", [1, 25, 50])
    def test_goes_on_when_one_of_the_fifty_can_be_read(self, reads: int) -> None:
        lucky = sorted({n * 120 // 50 + 1 for n in range(50)})[reads - 1]

        def answer(request: httpx.Request, _: int) -> httpx.Response:
            customer = int(request.url.params.get("customerId", 0))
            return httpx.Response(200 if customer == lucky else 404, json=[])

        assert outcomes(fetch(range(1, 121), Answering(answer))) == {"ok": 1, "not_found": 119}

    def test_one_who_opted_out_is_a_customer_that_is_known(self) -> None:
        opted_out = {"errorCode": "customer.access.disabled", "errorMessage": "opted out"}
        carrier = Answering(lambda request, _: httpx.Response(403 if request.method == "GET" else 200, json=opted_out))
        assert outcomes(fetch(range(1, 101), carrier)) == {"access_disabled": 100}

    def test_a_short_list_is_asked_whole(self) -> None:
        assert outcomes(fetch(range(1, 51), Answering(answering(400, json={})))) == {"rejected": 50}

    def test_those_left_of_a_list_of_which_others_were_read_are_no_trial_of_the_address(self) -> None:
        bad = set(range(1, 101))

        def answer(request: httpx.Request, _: int) -> httpx.Response:
            in_vain = int(request.url.params.get("customerId", 0)) in bad
            return httpx.Response(200, content=b"<html>" if in_vain else b"[]")

        first = fetch(range(1, 201), Answering(answer))
        second = fetch(range(1, 201), Answering(answer), resume=first)
        assert outcomes(first) == outcomes(second) == {"ok": 100, "invalid_response": 100}


def in_made_up_time(number: int, **studio: Any) -> tuple[MadeUpTime, MadeUpStudio, FetchJob, BaseException | None]:
    """Fetch so many customers with the real waits between attempts; return also what ended it."""
    with MadeUpTime() as loop, stamina.set_testing(False):
        carrier = MadeUpStudio(loop, **studio)
        limit = RateLimit(1000, clock=loop.time)
        job = FetchJob(
            clock=lambda: datetime.fromtimestamp(loop.now, UTC),
            concurrency=32,
            rate_limit=lambda _: limit,
            transport=carrier,
        )
        try:
            loop.run(job.run({STUDIO: range(1, number + 1)}))
        except ba.BookingsError as error:
            return loop, carrier, job, error
        return loop, carrier, job, None


class TestANetworkThatIsDown:
    @pytest.mark.parametrize("number", [40, 200, 2000])
    @pytest.mark.parametrize("begins", [0.3, 0.55, 20])
    def test_half_a_minute_of_it_loses_nobody(self, number: int, begins: float) -> None:
        _, _, job, error = in_made_up_time(number, down=lambda now: begins <= now < begins + 30)
        assert error is None
        fetches = pl.concat(job.written.fetches)
        assert fetches["outcome"].to_list() == ["ok"] * number
        assert fetches["customer_id"].n_unique() == number

    @pytest.mark.parametrize("status", [None, 503])
    def test_for_good_it_ends_the_fetch_early_and_everybody_has_a_row(self, status: int | None) -> None:
        dead = {"down": lambda now: now > 10} if status is None else {"status": lambda now: status if now > 10 else 200}
        _, carrier, job, error = in_made_up_time(6000, **dead)
        assert isinstance(error, ba.ConnectionFailedError)
        assert "answered none of the last 100 customers" in str(error)
        assert sum(sent > 10 for sent in carrier.sent) < 1300
        fetches = pl.concat(job.written.fetches)
        assert fetches.filter(outcome="failed").height >= 100
        assert fetches["customer_id"].is_duplicated().sum() == 0

    def test_from_the_beginning_it_is_noticed_by_the_key_check(self) -> None:
        _, carrier, job, error = in_made_up_time(6000, down=lambda _: True)
        assert isinstance(error, ba.ConnectionFailedError)
        assert len(carrier.sent) == 6
        assert not job.written.fetches

    @pytest.mark.parametrize("latency", [80.0, 10_000.0])
    def test_one_customer_ends_within_twenty_minutes(self, latency: float) -> None:
        loop, _, job, _ = in_made_up_time(1, latency=lambda: latency, status=lambda _: 503)
        assert loop.now <= 20 * 60 + 6 * 90  # the key check's six requests besides
        del job

    def test_lock_outs_count_as_well(self) -> None:
        with MadeUpTime() as loop, stamina.set_testing(False):
            limit = RateLimit(1000, clock=loop.time)
            carrier = Answering(
                lambda request, _: httpx.Response(
                    429 if request.method == "GET" else 200, headers={"Retry-After": "300"}, json={}
                )
            )
            job = FetchJob(
                clock=lambda: datetime.fromtimestamp(loop.now, UTC),
                concurrency=2,
                rate_limit=lambda _: limit,
                transport=carrier,
            )
            loop.run(job.run({STUDIO: [1]}))
            assert loop.now <= 20 * 60
        (fetches,) = job.written.fetches
        assert fetches["outcome"].to_list() == ["failed"]
        assert fetches["attempts"].to_list() == [len(carrier.customers)]


@pytest.mark.parametrize("status", [200, 204, 403, 404, 405, 500, 501, 503])
def test_a_head_that_is_not_supported_stops_no_fetch(status: int) -> None:
    carrier = Answering(lambda request, _: httpx.Response(status if request.method == "HEAD" else 200, json=[]))
    assert outcomes(fetch(range(1, 101), carrier)) == {"ok": 100}
    assert len(carrier.sent) == 101


class TestSeveralStudios:
    @pytest.mark.parametrize("wrong", ["key", "down", "address"])
    def test_one_that_can_not_be_read_loses_no_other(self, wrong: str) -> None:
        with demo.serve(name="mitte", limit=None) as mitte, demo.serve(name="nord", limit=None) as nord:
            bad: ba.Studio = nord
            if wrong == "key":
                bad = ba.Studio("nord", base_url=nord.base_url, api_key="wrong")
            elif wrong == "down":
                nord.close()
            else:
                nord.faults.add(status=404, times=None)
            cohorts = pl.concat(
                [part.cohorts.select("customer_id", studio=pl.lit(part.name)) for part in (mitte, nord)]
            )
            result = ba.fetch_bookings(cohorts, studios=[mitte, bad], progress=False, requests_per_minute=10**6)
            asked = {sent.customer_id for sent in nord.requests if sent.method == "GET"}
        mittes, nords = result.fetches.filter(studio="mitte"), result.fetches.filter(studio="nord")
        assert mittes.filter(outcome="ok").height == 588
        assert nords.height == 600
        assert len(asked) == (50 if wrong == "address" else 0), "a refused key is not sent again for each customer"
        outcome, code = {"key": ("failed", 401), "down": ("failed", None), "address": ("not_found", 404)}[wrong]
        assert nords.select("outcome", "http_status").unique().rows() == [(outcome, code)]
        assert nords["message"].str.contains("401|no complete answer|spread|does not exist|key").all()
        status = {"key": "401", "down": "no answer", "address": "404"}[wrong]
        assert f"nord: nobody read ({status})" in result.summary()


class TestTimes:
    def test_a_clock_that_goes_back_takes_no_time_back(self) -> None:
        start = datetime(2026, 6, 17, tzinfo=UTC)
        times = [start + timedelta(seconds=s) for s in (0, 1, 2, -3600, -3599, 3)]
        ticks = iter(times)
        result = fetch(range(1, 6), Answering(answering()), clock=lambda: next(ticks), concurrency=1)
        stamped = result.fetches.sort("customer_id")["fetched_at"].to_list()
        assert stamped == [start + timedelta(seconds=s) for s in (1, 2, 2, 2, 3)]

    def test_a_later_fetch_is_newer_whatever_the_clock_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2100, 1, 1, tzinfo=UTC)
        monkeypatch.setattr("bookings_analytics.fetch.stamps._of_this_process", {})
        monkeypatch.setattr("bookings_analytics.fetch.stamps.current_time", lambda: now)
        first = fetch([1], Answering(answering()))
        now -= timedelta(days=1)
        second = fetch([1], Answering(answering()))
        assert second.fetches["fetched_at"].item() - first.fetches["fetched_at"].item() == timedelta(seconds=1)


class TestTheEndpointsEnd:
    @pytest.mark.parametrize(
        ("headers", "says"),
        [
            ({"Deprecation": "@1782864000"}, "it is deprecated as of 1 July 2026"),
            ({"deprecation": "@4102444800"}, "it is deprecated as of 1 January 2100"),  # RFC 9745: it may lie ahead
            ({"Deprecation": "true"}, "it is deprecated."),
            ({"Sunset": "Wed, 30 Sep 2026 23:59:59 GMT"}, "it will be switched off on 30 September 2026"),
            ({"Deprecation": "soon", "Sunset": "later"}, "it is deprecated and it will be switched off."),
            ({"Sunset": "Wed, 30 Sep 99999 23:59:59 GMT"}, "it will be switched off."),
            ({"Deprecation": "@99999999999999999999"}, "it is deprecated."),
        ],
    )
    def test_what_headers_announce_is_one_warning_a_fetch(self, headers: dict[str, str], says: str) -> None:
        with pytest.warns(FutureWarning) as warned:
            result = fetch(range(1, 101), Answering(answering(headers=headers)))
        assert len(warned) == 1
        assert says in str(warned[0].message)
        assert outcomes(result) == {"ok": 100}

    def test_410_as_well(self) -> None:
        with pytest.warns(FutureWarning, match="it is gone") as warned:
            fetch(range(1, 11), Answering(answering(410, json={})))
        assert len(warned) == 1

    def test_an_endpoint_that_is_gone_for_everybody_is_called_gone_and_not_a_wrong_address(self) -> None:
        gone = answering(410, json={}, headers={"Sunset": "Wed, 30 Sep 2026 23:59:59 GMT"})
        with (
            pytest.warns(FutureWarning, match=r"gone \(410\) and it will be switched off on 30 September") as warned,
            pytest.raises(ba.ConfigurationError, match=r"The endpoint is gone: update bookings_analytics") as ended,
        ):
            fetch(range(1, 1001), Answering(gone))
        assert len(warned) == 1
        assert "address" not in str(ended.value)
        assert outcomes(ended.value.result) == {"failed": 50, "not_fetched": 950}

    def test_of_several_studios_once(self) -> None:
        studios = [ba.Studio(name, base_url=f"https://{name}.example", api_key="made-up") for name in ("a", "b", "c")]
        listed = pl.DataFrame({"customer_id": range(1, 31), "studio": ["a", "b", "c"] * 10})
        announcing = Answering(answering(headers={"Deprecation": "@1782864000"}))
        with pytest.warns(FutureWarning, match="as of 1 July 2026") as warned:
            ba.fetch_bookings(listed, studios=studios, transport=announcing, progress=False)
        assert len(warned) == 1

    def test_also_when_an_error_ends_the_fetch(self) -> None:
        refusing = Answering(answering(401, json={}, headers={"Deprecation": "true"}))
        with pytest.warns(FutureWarning, match="it is deprecated") as warned, pytest.raises(ba.AuthenticationError):
            fetch(range(1, 11), refusing)
        assert len(warned) == 1

    def test_nothing_announced_is_no_warning(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fetch([1], Answering(answering(headers={"Deprecation": "false"})))
