from __future__ import annotations

import asyncio
import json
import os
import pickle
import pty
import re
import signal
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics import demo, schema
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.progress import progress_bars
from bookings_analytics.fetch.rate_limit import RateLimit
from bookings_analytics.fetch.retry import MAX_ATTEMPTS
from bookings_analytics.fetch.rows import fetched
from bookings_analytics.fetch.writer import UNWRITTEN, ChunkWriter

if TYPE_CHECKING:
    from collections.abc import Callable


def fetch(studio: ba.Studio, cohorts: Any, **options: Any) -> ba.FetchResult:
    return ba.fetch_bookings(
        cohorts, **{"studios": studio, "progress": False, "requests_per_minute": 100_000, **options}
    )


def outcomes(result: ba.FetchResult) -> dict[int, str]:
    return dict(result.fetches.select("customer_id", "outcome").iter_rows())


def truth(studio: demo.DemoStudio, customer_id: int) -> list[tuple[Any, ...]]:
    names = [name for name in schema.BOOKINGS if name not in ("studio", "observed_at", "visible")]
    bookings = studio.world.bookings_of(customer_id, studio.now)
    return sorted(tuple(getattr(booking, name) for name in names) for booking in bookings)


def test_no_booking_is_lost_or_changed_on_the_way(studio: demo.DemoStudio) -> None:
    result = fetch(studio, studio.cohorts, clock=studio.clock)
    assert result.bookings.schema == schema.BOOKINGS
    assert result.fetches.schema == schema.FETCHES
    read = result.fetches.filter(outcome="ok")
    assert read.height > 500
    expected = [row for customer_id in read["customer_id"] for row in truth(studio, customer_id)]
    columns = pl.exclude("studio", "observed_at", "visible")
    assert sorted(result.bookings.select(columns).rows()) == sorted(expected)
    assert set(result.bookings.select("studio", "observed_at", "visible").rows()) == {("demo", studio.now, True)}
    counted = dict(result.bookings.group_by("customer_id").len().iter_rows())
    assert {c: counted.get(c, 0) for c in read["customer_id"]} == dict(
        read.select("customer_id", "n_bookings").iter_rows()
    )


def test_the_result_is_the_same_in_every_run(studio: demo.DemoStudio) -> None:
    first, second = (fetch(studio, studio.cohorts, clock=studio.clock) for _ in range(2))
    assert first.bookings.equals(second.bookings)
    assert first.fetches.equals(second.fetches)
    assert first.cohorts.equals(second.cohorts)
    assert first.summary() == second.summary()


def test_the_cohorts_come_back_as_they_were_with_the_outcome_of_each_fetch(studio: demo.DemoStudio) -> None:
    result = fetch(studio, studio.cohorts)
    assert result.cohorts.columns == ["customer_id", "cohort", "studio", "contract", "age_group", "fetch_outcome"]
    assert result.cohorts.select(studio.cohorts.columns).equals(studio.cohorts)
    assert result.cohorts["fetch_outcome"].dtype == schema.FETCH_OUTCOME
    assert dict(result.cohorts.select("customer_id", "fetch_outcome").iter_rows()) == outcomes(result)


def test_a_customer_in_several_cohorts_is_asked_once(studio: demo.DemoStudio) -> None:
    customer_id = studio.cohorts["customer_id"][0]
    cohorts = pl.DataFrame({"customer_id": customer_id, "cohort": ["a", "b"]})
    result = fetch(studio, cohorts)
    assert [sent.method for sent in studio.requests] == ["HEAD", "GET"]
    assert result.cohorts.height == 2
    assert result.fetches.height == 1


def test_every_answer_is_that_customers_outcome_and_loses_nobody_else(studio: demo.DemoStudio) -> None:
    ids = known(studio)
    cases: dict[int, tuple[dict[str, Any], str, int | None, int]] = {
        ids[0]: ({"status": 404}, "not_found", 404, 1),
        ids[1]: ({"status": 400}, "rejected", 400, 1),
        ids[2]: ({"status": 403, "body": opted_out()}, "access_disabled", 403, 1),
        ids[3]: ({"body": b'[{"bookingId": "3"}]'}, "invalid_response", None, 1),
        ids[4]: ({"status": 500, "times": None}, "failed", 500, 2 * MAX_ATTEMPTS),
        ids[5]: ({"status": 409, "times": None}, "failed", 409, 2 * MAX_ATTEMPTS),
        ids[6]: ({"status": 302, "headers": {"location": "http://127.0.0.1:1/"}}, "failed", 302, 1),
        ids[7]: ({"status": 418}, "failed", 418, 1),
        ids[8]: ({"drop": True, "times": None}, "failed", None, 2 * MAX_ATTEMPTS),
        ids[9]: ({"status": 503, "times": 2}, "ok", 200, 3),
    }
    for customer_id, (fault, *_) in cases.items():
        studio.faults.add(customer_id=customer_id, **fault)
    result = fetch(studio, ids)
    rows = {row["customer_id"]: row for row in result.fetches.iter_rows(named=True)}
    for customer_id, (_, outcome, status, attempts) in cases.items():
        row = rows.pop(customer_id)
        assert (row["outcome"], row["http_status"], row["attempts"]) == (outcome, status, attempts)
        assert (row["n_bookings"] is not None) == (not row["message"]) == (outcome == "ok")
    assert {row["outcome"] for row in rows.values()} == {"ok"}
    assert len(rows) == len(ids) - len(cases)


def test_the_apis_own_words_are_kept(studio: demo.DemoStudio) -> None:
    said = {"errorMessage": "Kein Zugriff", "errorCode": "validation.x", "traceId": "t-1"}
    ids = known(studio)[:2]
    studio.faults.add(customer_id=ids[0], status=400, body=json.dumps(said).encode())
    row = fetch(studio, ids).fetches.filter(customer_id=ids[0]).row(0, named=True)
    assert (row["message"], row["error_code"], row["trace_id"]) == ("Kein Zugriff", "validation.x", "t-1")


def test_an_unknown_status_names_customer_path_and_value_in_its_row(studio: demo.DemoStudio) -> None:
    ids = [c for c in known(studio) if truth(studio, c)][:2]
    booking = {
        **dict.fromkeys(["bookingId", "classSlotId", "classId"], 1),
        "customerId": ids[0],
        "bookingStatus": "ON_HOLD",
        "classSlotStatus": "PLANNED",
        "participantStatus": "UNSET",
    }
    studio.faults.add(customer_id=ids[0], body=json.dumps([booking]).encode())
    message = fetch(studio, ids).fetches.filter(customer_id=ids[0])["message"].item()
    for part in (f"customer {ids[0]}", "$[0].bookingStatus", '"ON_HOLD"'):
        assert part in message


@pytest.mark.parametrize(("status", "kind"), [(401, ba.AuthenticationError), (403, ba.PermissionDeniedError)])
def test_a_refused_key_stops_the_fetch_and_what_was_read_is_kept(
    studio: demo.DemoStudio, status: int, kind: type[ba.ApiError]
) -> None:
    ids = known(studio)[:50]
    studio.faults.add(customer_id=ids[40], status=status)
    for customer_id in ids[44:]:  # however slow this machine is with the refusal, nobody answers after it
        studio.faults.add(customer_id=customer_id, delay=60, times=None)
    with pytest.raises(kind) as raised:
        fetch(studio, ids, concurrency=4)
    result = raised.value.result
    assert result is not None
    by_outcome = dict(result.fetches.group_by("outcome").len().iter_rows())
    assert 30 < by_outcome["ok"] <= 44
    assert by_outcome["ok"] + by_outcome["not_fetched"] == 50
    never = result.fetches.filter(outcome="not_fetched")
    assert never.select("fetched_at", "n_bookings", "http_status").null_count().row(0) == (never.height,) * 3
    assert never["attempts"].sum() == 0
    studio.faults.clear()
    assert fetch(studio, ids, resume=result).fetches["outcome"].unique().to_list() == ["ok"]


def test_a_wrong_key_is_noticed_before_anybody_is_asked(studio: demo.DemoStudio) -> None:
    wrong = ba.Studio("demo", base_url=studio.base_url, api_key="wrong")
    with pytest.raises(ba.AuthenticationError) as raised:
        fetch(wrong, known(studio))
    assert [sent.method for sent in studio.requests] == ["HEAD"]
    assert raised.value.result is not None
    assert set(outcomes(raised.value.result).values()) == {"not_fetched"}


def test_a_studio_that_can_not_be_reached_is_noticed_at_once(studio: demo.DemoStudio) -> None:
    studio.close()
    with pytest.raises(ba.ConnectionFailedError) as raised:
        fetch(studio, known(studio))
    assert raised.value.result is not None
    assert set(outcomes(raised.value.result).values()) == {"not_fetched"}


def test_404_for_everybody_points_to_the_base_url(studio: demo.DemoStudio) -> None:
    with pytest.raises(ba.ConfigurationError, match=r"'demo' answered 404 for every customer.*base_url") as raised:
        fetch(studio, [1, 2, 3])
    assert raised.value.result is not None
    assert set(outcomes(raised.value.result).values()) == {"not_found"}


def test_the_times_are_the_clocks(studio: demo.DemoStudio) -> None:
    ids = known(studio)[:3]
    berlin = timezone(timedelta(hours=2))
    result = fetch(studio, ids, clock=lambda: datetime(2026, 6, 17, 14, tzinfo=berlin))
    assert result.fetches["fetched_at"].unique().to_list() == [datetime(2026, 6, 17, 12, tzinfo=UTC)]
    before = datetime.now(UTC)
    assert fetch(studio, ids).fetches["fetched_at"].is_between(before, datetime.now(UTC)).all()


def test_a_clock_without_time_zone_is_refused(studio: demo.DemoStudio) -> None:
    with pytest.raises(ba.ConfigurationError, match="aware"):
        fetch(studio, known(studio)[:1], clock=lambda: datetime(2026, 6, 17))  # noqa: DTZ001 - what is refused
    assert not studio.requests


def test_two_days_give_two_truths(studio: demo.DemoStudio) -> None:
    ids = known(studio)[:50]
    first = fetch(studio, ids, clock=studio.clock)
    studio.now += timedelta(days=3)
    second = fetch(studio, ids, clock=studio.clock)
    assert not first.bookings.drop("observed_at").equals(second.bookings.drop("observed_at"))


class TestSeveralStudios:
    def test_all_are_read_and_named(self) -> None:
        with demo.serve(name="mitte") as mitte, demo.serve(name="nord", seed=2) as nord:
            cohorts = pl.concat(
                [part.cohorts.head(50).with_columns(studio=pl.lit(part.name)) for part in (mitte, nord)]
            )
            result = fetch(mitte, cohorts, studios=[mitte, nord])
            for part in (mitte, nord):
                assert len(part.requests) == 51
                read = result.fetches.filter(studio=part.name, outcome="ok")
                assert result.bookings.filter(studio=part.name).height == read["n_bookings"].sum() > 0

    def test_the_same_id_in_two_studios_is_two_customers(self) -> None:
        with demo.serve(name="mitte") as mitte, demo.serve(name="nord") as nord:
            customer_id = known(mitte)[0]
            result = fetch(
                mitte, pl.DataFrame({"customer_id": customer_id, "studio": ["mitte", "nord"]}), studios=[mitte, nord]
            )
        assert result.fetches["studio"].to_list() == ["mitte", "nord"]

    def test_a_customer_has_to_name_one_that_was_given(self, studio: demo.DemoStudio) -> None:
        other = ba.Studio("nord", base_url=studio.base_url, api_key="any")
        with pytest.raises(ba.CohortError, match=r"row 1 .* customer 5, names no studio.*'demo', 'nord'"):
            fetch(studio, [5], studios=[studio, other])
        with pytest.raises(ba.CohortError, match=r"row 2 .* customer 6, is of studio 'west'"):
            fetch(studio, pl.DataFrame({"customer_id": [5, 6], "studio": ["demo", "west"]}))
        assert not studio.requests

    def test_none_or_two_of_one_name_are_refused(self, studio: demo.DemoStudio) -> None:
        with pytest.raises(ba.ConfigurationError, match="No studio"):
            fetch(studio, [5], studios=[])
        with pytest.raises(ba.ConfigurationError, match="called 'demo'"):
            fetch(studio, [5], studios=[studio, studio])


@pytest.mark.parametrize("setting", [{"concurrency": 0}, {"requests_per_minute": 0}])
def test_a_setting_that_can_not_work_is_refused(studio: demo.DemoStudio, setting: dict[str, int]) -> None:
    with pytest.raises(ba.ConfigurationError, match="1 or more"):
        fetch(studio, [5], **setting)


def test_it_works_inside_a_running_event_loop(studio: demo.DemoStudio) -> None:
    async def cell() -> ba.FetchResult:
        return fetch(studio, known(studio)[:5])

    assert asyncio.run(cell()).fetches.height == 5


def test_it_works_in_a_thread(studio: demo.DemoStudio) -> None:
    results: list[ba.FetchResult] = []
    thread = threading.Thread(target=lambda: results.append(fetch(studio, known(studio)[:5])))
    thread.start()
    thread.join()
    assert results[0].fetches.height == 5


class TestResume:
    def test_only_the_rest_is_asked(self, studio: demo.DemoStudio) -> None:
        ids = known(studio)[:20]
        studio.faults.add(customer_id=ids[0], status=404)
        studio.faults.add(customer_id=ids[1], status=418)
        studio.faults.add(customer_id=ids[2], body=b"[")
        first = fetch(studio, ids[:15])
        studio.requests.clear()
        second = fetch(studio, ids, resume=first)
        assert {sent.customer_id for sent in studio.requests if sent.method == "GET"} == {*ids[1:3], *ids[15:]}
        assert outcomes(second) == {customer_id: "not_found" if customer_id == ids[0] else "ok" for customer_id in ids}
        kept = first.bookings.join(second.bookings, on=first.bookings.columns, how="semi")
        assert kept.equals(first.bookings)

    def test_nobody_is_asked_twice_when_all_was_read(self, studio: demo.DemoStudio) -> None:
        result = fetch(studio, studio.cohorts)
        studio.requests.clear()
        again = fetch(studio, studio.cohorts, resume=result)
        assert not studio.requests
        assert again.fetches.equals(result.fetches)
        assert again.bookings.equals(result.bookings)

    def test_customers_of_another_list_stay_out(self, studio: demo.DemoStudio) -> None:
        ids = known(studio)[:10]
        result = fetch(studio, ids[:2], resume=fetch(studio, ids))
        assert sorted(outcomes(result)) == sorted(ids[:2])
        assert set(result.bookings["customer_id"]) <= set(ids[:2])


def interrupted(
    studio: demo.DemoStudio, after: Callable[[], bool], **options: Any
) -> tuple[ba.FetchInterrupted, float]:
    """Press Ctrl-C once `after` holds; give the error, and the seconds until it came."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in a shell's background goes without
    pressed = []

    def press() -> None:
        while not after():
            time.sleep(0.005)
        pressed.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(ba.FetchInterrupted) as raised:
        fetch(studio, studio.cohorts, **options)
    took = time.monotonic() - pressed[0]
    thread.join()
    return raised.value, took


class TestInterrupt:
    def test_it_stops_within_a_second_and_keeps_what_was_read(self, studio: demo.DemoStudio) -> None:
        studio.faults.add(customer_id=studio.cohorts["customer_id"][301], delay=60, times=None)
        error, took = interrupted(studio, lambda: len(studio.requests) == studio.cohorts.height + 1)
        assert took < 1
        assert isinstance(error, KeyboardInterrupt)
        result = error.result
        assert result is not None
        assert result.fetches.filter(outcome="not_fetched")["customer_id"].to_list() == [
            studio.cohorts["customer_id"][301]
        ]
        assert "599 of 600" in str(error)
        studio.faults.clear()
        studio.requests.clear()
        whole = fetch(studio, studio.cohorts, resume=result)
        assert len(studio.requests) == 2
        assert whole.bookings.drop("observed_at").equals(fetch(studio, studio.cohorts).bookings.drop("observed_at"))

    def test_it_stops_within_a_second_while_the_speed_limit_holds_everything(self, studio: demo.DemoStudio) -> None:
        error, took = interrupted(studio, lambda: len(studio.requests) > 90, requests_per_minute=100)
        assert took < 1
        assert error.result is not None
        assert error.result.fetches.filter(outcome="ok").height > 50

    def test_it_stops_within_a_second_before_the_key_was_checked(self, studio: demo.DemoStudio) -> None:
        studio.faults.add(delay=60, times=None)
        error, took = interrupted(studio, lambda: len(studio.requests) > 0)
        assert took < 1
        assert error.result is not None
        assert error.result.bookings.is_empty()


class TestWhatIsShown:
    def test_two_lines_say_what_was_read_and_what_not(
        self, studio: demo.DemoStudio, capsys: pytest.CaptureFixture[str]
    ) -> None:
        result = fetch(studio, studio.cohorts, progress=True)
        out, err = capsys.readouterr()
        counts = f"600 customers asked, 588 read, {result.bookings.height:,} bookings"
        assert out == f"{counts};\nnot read: 6 not_found, 6 access_disabled.\n"
        assert err == ""
        assert result.summary() in repr(result)

    def test_nothing_is_shown_when_not_wanted(
        self, studio: demo.DemoStudio, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fetch(studio, studio.cohorts, progress=False)
        assert capsys.readouterr() == ("", "")

    def test_a_log_gets_plain_lines_now_and_then(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress_bars({"mitte": 20}, shown=True, line_every=0) as update:
            update({"mitte": 3})
            update({"mitte": 19})
        assert capsys.readouterr().err == "3 of 20 customers\n19 of 20 customers\n"
        with progress_bars({"mitte": 20}, shown=True) as update:
            update({"mitte": 19})
        assert capsys.readouterr().err == ""

    def test_of_several_studios_each_has_a_line_until_it_is_done(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress_bars({"mitte": 20, "nord": 1000}, shown=True, line_every=0) as update:
            update(Counter({"mitte": 20}))
            update(Counter({"mitte": 20, "nord": 7}))
        assert capsys.readouterr().err == (
            "mitte: 20 of 20 customers\nnord: 0 of 1,000 customers\nnord: 7 of 1,000 customers\n"
        )

    def test_a_notebook_shows_the_counts_and_why_some_were_not_read(self, studio: demo.DemoStudio) -> None:
        ids = known(studio)[:3]
        studio.faults.add(customer_id=ids[0], status=418, body=b'{"errorMessage": "<b>gone & away</b>"}')
        html = fetch(studio, ids)._repr_html_()
        assert "3 customers asked, 2 read" in html
        assert "&lt;b&gt;gone &amp; away&lt;/b&gt;" in html
        assert "<table>" not in fetch(studio, ids[1:])._repr_html_()

    def test_customers_never_asked_are_no_customers_asked(self, studio: demo.DemoStudio) -> None:
        with pytest.raises(ba.AuthenticationError) as raised:
            fetch(ba.Studio("demo", base_url=studio.base_url, api_key="wrong"), known(studio)[:3])
        assert raised.value.result is not None
        assert raised.value.result.summary() == (
            "0 customers asked, 0 read, 0 bookings; 3 never asked (continue with resume=)."
        )

    def test_a_terminal_shows_a_bar_with_rate_and_time_left(self, studio: demo.DemoStudio) -> None:
        """Run in a terminal of its own, as an analyst would see it."""
        script = f"""
            import bookings_analytics as ba
            studio = ba.Studio("demo", base_url={studio.base_url!r}, api_key=input())
            ba.fetch_bookings({known(studio)[:100]}, studios=studio)
            """
        studio.faults.add(customer_id=known(studio)[99], delay=0.5)
        terminal, end = pty.openpty()
        termios.tcsetwinsize(end, (24, 100))
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=end
        ) as process:
            out, _ = process.communicate(studio.api_key.reveal().encode(), timeout=60)
        shown = os.read(terminal, 100_000).decode()
        os.close(terminal)
        os.close(end)
        assert re.search(r"99%.*99/100 \[00:0\d<00:0\d, +[\d.]+ customers/s\]", shown)
        assert out.decode().startswith("100 customers asked, 100 read")
        assert out.decode().count("\n") == 1


class Kept:
    """An archive in memory: the least that a fetch needs of one."""

    def __init__(self) -> None:
        self.results: list[ba.FetchResult] = []

    def add(self, result: ba.FetchResult) -> None:
        self.results.append(result)

    def latest_fetches(self) -> pl.LazyFrame:
        every = pl.concat([schema.FETCHES.to_frame(), *(result.fetches for result in self.results)])
        return every.sort("fetched_at").unique(["studio", "customer_id"], keep="last").lazy()

    def bookings(self) -> pl.DataFrame:
        return pl.concat([result.bookings for result in self.results]).sort("studio", "customer_id", "booking_id")


class TestIntoAnArchive:
    def test_every_chunk_is_written_as_it_comes_and_nothing_is_lost(self, studio: demo.DemoStudio) -> None:
        archive = Kept()
        result = fetch(studio, studio.cohorts, archive=archive, clock=studio.clock)
        whole = fetch(studio, studio.cohorts, clock=studio.clock)
        assert [kept.fetches.height for kept in archive.results] == [300, 300]
        assert archive.bookings().equals(whole.bookings)
        assert result.bookings.is_empty()
        assert result.fetches.equals(whole.fetches)
        assert result.cohorts.equals(whole.cohorts)

    def test_customers_fetched_recently_are_not_asked_again(self, studio: demo.DemoStudio) -> None:
        archive = Kept()
        ids = known(studio)[:20]
        studio.faults.add(customer_id=ids[0], status=404)
        studio.faults.add(customer_id=ids[1], status=418)
        options: dict[str, Any] = {"archive": archive, "max_age": timedelta(hours=12), "clock": studio.clock}
        fetch(studio, ids[:15], **options)
        studio.requests.clear()
        studio.now += timedelta(hours=11)
        result = fetch(studio, ids, **options)
        asked = [ids[1], *ids[15:]]
        assert sorted(outcomes(result)) == sorted(asked)
        assert {sent.customer_id for sent in studio.requests if sent.method == "GET"} == set(asked)
        kept = dict(result.cohorts.select("customer_id", "fetch_outcome").iter_rows())
        assert kept == {customer_id: "not_found" if customer_id == ids[0] else "ok" for customer_id in ids}
        assert "14 not asked, their kept fetch is recent enough" in result.summary()
        studio.now += timedelta(hours=2)
        assert len(outcomes(fetch(studio, ids, **options))) == 14

    def test_nobody_left_to_ask_is_no_wrong_address(self, studio: demo.DemoStudio) -> None:
        archive = Kept()
        ids = known(studio)[:2]
        fetch(studio, ids, archive=archive)
        studio.faults.add(customer_id=ids[1], status=404, times=None)
        again = fetch(studio, [*ids, 17], archive=archive, max_age=timedelta(hours=1))
        assert outcomes(again) == {17: "not_found"}

    def test_an_interrupt_leaves_everything_read_in_the_archive(self, studio: demo.DemoStudio) -> None:
        archive = Kept()
        studio.faults.add(customer_id=studio.cohorts["customer_id"].sort()[500], delay=60, times=None)
        error, took = interrupted(studio, lambda: len(studio.requests) == studio.cohorts.height + 1, archive=archive)
        assert took < 1
        assert error.result is not None
        assert sum(kept.fetches.height for kept in archive.results) == 599
        assert error.result.fetches.filter(outcome="not_fetched").height == 1

    def test_an_archive_that_fails_stops_the_fetch_and_what_it_did_not_take_is_in_the_result(
        self, studio: demo.DemoStudio
    ) -> None:
        class Full(Kept):
            def add(self, result: ba.FetchResult) -> None:
                if self.results:
                    raise ba.ArchiveError("the disk is full")
                super().add(result)

        archive = Full()
        with pytest.raises(ba.ArchiveError, match="disk is full") as raised:
            fetch(studio, studio.cohorts, archive=archive, clock=studio.clock)
        assert raised.value.result is not None
        together = pl.concat([archive.bookings(), raised.value.result.bookings])
        assert together.height == raised.value.result.fetches["n_bookings"].sum()

    def test_a_slow_archive_slows_the_fetch_instead_of_filling_the_memory(self, studio: demo.DemoStudio) -> None:
        chunk, concurrency = 20, 8
        ahead: list[int] = []

        class Slow(Kept):
            def add(self, result: ba.FetchResult) -> None:
                time.sleep(0.05)
                super().add(result)
                written = sum(kept.fetches.height for kept in self.results)
                ahead.append(sum(sent.method == "GET" for sent in studio.requests) - written)

        archive = Slow()
        job = FetchJob(
            clock=studio.clock,
            concurrency=concurrency,
            rate_limit=lambda _: RateLimit(100_000),
            archive=archive,
            chunk=chunk,
        )
        asyncio.run(job.run({studio: studio.cohorts["customer_id"].to_list()}))
        assert sum(kept.fetches.height for kept in archive.results) == 600
        assert chunk < max(ahead) <= (UNWRITTEN + 1) * chunk + 2 * concurrency

    def test_each_studio_is_written_by_itself_and_a_large_one_in_larger_chunks(self) -> None:
        archive = Kept()

        async def fetch_all() -> None:
            writer = ChunkWriter(archive)
            sizes = {"small": 250, "middling": 700, "large": 50_000}
            for name, n in sizes.items():
                writer.expect(name, n)
            for each in range(700):
                for name, n in sizes.items():
                    if each < n:
                        writer.add(fetched(name, each, datetime(2026, 6, 17, tzinfo=UTC), 0, 1), ())
                        await writer.ready()
            await writer.finish()

        asyncio.run(fetch_all())
        written = [(kept.fetches["studio"].unique().item(), kept.fetches.height) for kept in archive.results]
        assert sorted(written) == [
            *[("large", 200), ("large", 500)],
            *[("middling", 100), ("middling", 300), ("middling", 300), ("small", 250)],
        ]

    def test_settings_that_contradict_each_other_are_refused(self, studio: demo.DemoStudio) -> None:
        ids = known(studio)[:2]
        with pytest.raises(ba.ConfigurationError, match="needs archive="):
            fetch(studio, ids, max_age=timedelta(hours=1))
        with pytest.raises(ba.ConfigurationError, match="without archive="):
            fetch(studio, ids, archive=Kept(), resume=fetch(studio, ids))
        with pytest.raises(ba.ConfigurationError, match="went into an archive"):
            fetch(studio, ids, resume=fetch(studio, [c for c in known(studio) if truth(studio, c)], archive=Kept()))


def test_a_result_can_be_pickled(studio: demo.DemoStudio) -> None:
    result = fetch(studio, known(studio)[:3])
    assert pickle.loads(pickle.dumps(result)).bookings.equals(result.bookings)


def known(studio: demo.DemoStudio) -> list[int]:
    """List the ids of all customers that can be read, in the order in which they are asked."""
    return [c for c in studio.cohorts["customer_id"].sort().to_list() if studio.world.people[c].access == "open"]


def opted_out() -> bytes:
    return b'{"errorMessage": "opted out", "errorCode": "openapi.customer.access.disabled"}'
