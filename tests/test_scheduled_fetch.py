"""The fetch that runs by itself: from the command line, killed, twice at once."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import filelock
import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics import cli, demo
from bookings_analytics.cli import scheduled_fetch
from bookings_analytics.cli.endings import Exit, in_command_terms
from bookings_analytics.cli.lock import lock_of
from bookings_analytics.fetch.job import FetchJob
from bookings_analytics.fetch.rate_limit import RateLimit
from bookings_analytics.studios import ClassHours
from bookings_analytics.studios.clock import current_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# A shell's background starts processes that ignore Ctrl-C; a terminal doesn't.
PROGRAM = """import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
from bookings_analytics.cli import run; run()"""
OPTED_OUT = json.dumps(
    {"errorCode": "error.customer.access.disabled", "errorMessage": "No third-party access.", "traceId": "1"}
).encode()


@pytest.fixture
def members(studio: demo.DemoStudio, tmp_path: Path) -> Path:
    path = tmp_path / "members.csv"
    known = [c for c, person in studio.world.people.items() if person.access == "open"]
    studio.cohorts.filter(pl.col("customer_id").is_in(known[:100])).write_csv(path)
    return path


def command(studio: ba.Studio, members: Path, archive: Path, *options: str, key: str | None = None) -> list[str]:
    environment = {
        "BOOKINGS_STUDIO": studio.name,
        "BOOKINGS_BASE_URL": studio.base_url,
        "BOOKINGS_API_KEY": key or studio.api_key.reveal(),
    }
    os.environ.update(environment)
    return [
        *(sys.executable, "-c", PROGRAM),
        *("fetch", "--cohorts", str(members), "--archive", str(archive), *options),
    ]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no test's settings outlive it."""
    with monkeypatch.context() as patched:
        for name in ("BOOKINGS_STUDIO", "BOOKINGS_BASE_URL", "BOOKINGS_API_KEY"):
            patched.setenv(name, "")
        yield


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)


def test_everything_fetched_is_exit_code_0_and_says_what_was_new(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    arguments = command(studio, members, tmp_path / "archive", "--max-age", "0")
    done = run(arguments)
    assert (done.returncode, done.stderr) == (Exit.DONE, "")
    assert done.stdout.startswith("100 customers asked, 100 read")
    archive = ba.Archive(tmp_path / "archive")
    assert archive.latest_fetches().collect().height == 100
    n = archive.bookings().collect().height
    assert f"Archive: {n:,} new, 0 changed, 0 gone, 0 unchanged bookings; 100 fetches kept, 0 skipped." in done.stdout
    oldest = archive.latest_fetches().collect()["fetched_at"].min()
    assert isinstance(oldest, datetime)
    assert f"Fetch again before {oldest + timedelta(days=14):%Y-%m-%d %H:%M} UTC" in done.stdout
    assert f"Archive: 0 new, 0 changed, 0 gone, {n:,} unchanged bookings" in run(arguments).stdout


def test_customers_who_can_never_be_fetched_are_no_failure_and_listed(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    unknown, opted_out = pl.read_csv(members)["customer_id"][:2]
    studio.faults.add(customer_id=unknown, status=404)
    studio.faults.add(customer_id=opted_out, status=403, body=OPTED_OUT)
    failures = tmp_path / "failures.csv"
    arguments = command(studio, members, tmp_path / "archive", "--failures", str(failures))
    assert run(arguments).returncode == Exit.DONE
    rows = pl.read_csv(failures).rows(named=True)
    assert {(row["customer_id"], row["outcome"]) for row in rows} == {
        (unknown, "not_found"),
        (opted_out, "access_disabled"),
    }
    assert "Entity does not exist." in {row["message"] for row in rows}
    studio.requests.clear()
    assert run(arguments).returncode == Exit.DONE
    assert pl.read_csv(failures).rows(named=True) == rows, "who was not found an hour ago is not found now"
    assert not studio.requests


def test_a_spreadsheet_runs_nothing_of_what_the_api_says(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    unknown = pl.read_csv(members)["customer_id"][0]
    said = json.dumps({"errorCode": "1", "errorMessage": '=HYPERLINK("http://evil.example")', "traceId": "Größe"})
    studio.faults.add(customer_id=unknown, status=404, body=said.encode())
    failures = tmp_path / "failures.csv"
    fetch(studio, members, tmp_path / "archive", [], failures=failures)
    assert failures.read_bytes().startswith(b"\xef\xbb\xbf")
    (row,) = pl.read_csv(failures).rows(named=True)
    assert not row["message"].startswith("=")
    assert row["trace_id"] == "Größe"


def test_a_customer_who_could_have_been_fetched_is_exit_code_3(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    broken = pl.read_csv(members)["customer_id"][0]
    studio.faults.add(customer_id=broken, status=500, times=None)
    failures, told = tmp_path / "failures.csv", list[str]()
    assert fetch(studio, members, tmp_path / "archive", told, failures=failures) == Exit.SOME_NOT_FETCHED
    assert pl.read_csv(failures).select("customer_id", "outcome").rows() == [(broken, "failed")]


@pytest.mark.parametrize("wrong", ["key", "list", "archive", "option", "variable", "failures", "zone", "hour"])
def test_a_wrong_setting_is_exit_code_2(studio: demo.DemoStudio, members: Path, tmp_path: Path, wrong: str) -> None:
    archive = tmp_path / "archive"
    options = {
        "option": ["--max-age", "soon"],
        "failures": ["--failures", str(tmp_path / "missing" / "failures.csv")],
        "zone": ["--timezone", "Europe/Nowhere"],
        "hour": ["--closes", "late"],
    }.get(wrong, [])
    if wrong == "archive":
        archive.mkdir()
        (archive / "holiday.txt").write_text("photos")
    if wrong == "list":
        members = tmp_path / "none.csv"
    arguments = command(studio, members, archive, *options, key="wrong" if wrong == "key" else None)
    if wrong == "variable":
        os.environ["BOOKINGS_BASE_URL"] = ""
    done = run(arguments)
    assert done.returncode == Exit.WRONG_SETTING
    assert "Traceback" not in done.stderr
    assert done.stderr
    assert not re.search(r"\w=(?=[\s.,)])", done.stderr), "an argument of Python is no option of a command"
    assert not any(sent.method == "GET" for sent in studio.requests)
    assert studio.api_key.reveal() not in done.stdout + done.stderr


def fetch(
    studio: ba.Studio, members: Path, archive: Path, told: list[str], *, failures: Path | None = None, **options: Any
) -> Exit:
    return scheduled_fetch.fetch_into_archive(
        ba.read_cohorts(members),
        str(archive),
        studios=[studio],
        max_age=timedelta(hours=12),
        failures=failures,
        echo=told.append,
        **{"hours": ClassHours(None, "05:00", "24:00"), **options},
    )


def test_a_studio_out_of_reach_is_exit_code_4_and_every_customer_listed(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    studio.close()
    failures, told = tmp_path / "failures.csv", list[str]()
    assert fetch(studio, members, tmp_path / "archive", told, failures=failures) == Exit.UNREACHABLE
    assert "run the command again" in told[-1]
    assert pl.read_csv(failures)["outcome"].to_list() == ["not_fetched"] * 100


def test_a_second_run_at_the_same_time_says_so_and_waits(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    studio.faults.add(delay=1.0)
    told: tuple[list[str], list[str]] = ([], [])
    first = threading.Thread(target=fetch, args=(studio, members, tmp_path / "archive", told[0]))
    first.start()
    while not studio.requests:
        time.sleep(0.01)
    assert fetch(studio, members, tmp_path / "archive", told[1]) == Exit.DONE
    first.join()
    assert not any("is running" in line for line in told[0])
    assert "is running: waiting" in told[1][0]
    assert sum(sent.method == "GET" for sent in studio.requests) == 100


def test_a_run_that_another_keeps_waiting_ends_with_exit_code_5(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    with filelock.FileLock(lock_of(str(tmp_path / "archive"))):
        code = fetch(studio, members, tmp_path / "archive", told, wait=timedelta(seconds=0.2))
    assert code == Exit.STILL_RUNNING
    assert "Nothing was fetched" in told[-1]
    assert not studio.requests


def test_a_lock_that_cannot_be_written_is_told(studio: demo.DemoStudio, members: Path, tmp_path: Path) -> None:
    lock_of(str(tmp_path / "archive")).mkdir()  # stands for what another account owns: to root, nothing is refused
    with pytest.raises(ba.ConfigurationError, match=r"lock file .*\.archive\.lock can't be written: Is a directory"):
        fetch(studio, members, tmp_path / "archive", [])


def test_the_lock_is_beside_the_archive_and_open_to_whoever_may_write_there(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o775)
    fetch(studio, members, tmp_path / "archive", [])
    lock = tmp_path / ".archive.lock"
    assert lock.stat().st_mode & 0o777 == 0o664
    assert not list((tmp_path / "archive").rglob("*.lock"))


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)], ids=["Ctrl-C", "SIGTERM"]
)
def test_stopped_it_ends_soon_and_says_what_is_kept(
    studio: demo.DemoStudio, members: Path, tmp_path: Path, sent: signal.Signals, code: Exit
) -> None:
    slow = pl.read_csv(members)["customer_id"].sort().to_list()[51::2]  # asked last, and none of the fifty asked first
    for customer in slow:
        studio.faults.add(customer_id=customer, delay=20.0)
    process = subprocess.Popen(
        command(studio, members, tmp_path / "archive"),
        stdout=subprocess.PIPE,
        text=True,
    )
    while sum(sent.method == "GET" for sent in studio.requests) < 60:
        time.sleep(0.01)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == code
    n = ba.Archive(tmp_path / "archive").latest_fetches().collect().height
    assert 0 < n <= 75
    assert f"Stopped. {n} customers" in output
    assert "run the command again" in output


def noon_somewhere() -> ZoneInfo:
    """The time zone where it is noon, give or take an hour: the tests hold at any time of day."""
    return ZoneInfo(f"Etc/GMT{datetime.now(UTC).hour - 12:+d}")


OPENS, CLOSES, MIDNIGHT = "06:00", "23:00", "24:00"


@pytest.mark.parametrize(("opens", "closes"), [(OPENS, CLOSES), (OPENS, MIDNIGHT)])
def test_a_fetch_while_the_studio_may_be_open_is_pointed_out(
    studio: demo.DemoStudio, members: Path, tmp_path: Path, opens: str, closes: str
) -> None:
    told: list[str] = []
    zone = noon_somewhere()
    fetch(studio, members, tmp_path / "archive", told, hours=ClassHours(zone.key, opens, closes))
    assert "Class days need one fetch a night" in told[-1]
    assert f"({zone.key})" in told[-1]
    told.clear()
    fetch(studio, members, tmp_path / "archive", told, hours=ClassHours(zone.key, opens, closes))
    assert not any("Class days" in line for line in told), "nobody was asked"


def test_a_fetch_while_the_studio_is_closed_is_as_it_should_be(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    fetch(studio, members, tmp_path / "archive", told, hours=ClassHours(noon_somewhere().key, "15:00", CLOSES))
    assert not any("Class days" in line for line in told)


def test_a_fetch_by_day_after_one_at_night_is_as_it_should_be(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    night = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=9)
    archive, listed, told = ba.Archive(tmp_path / "archive"), ba.read_cohorts(members), list[str]()
    ba.fetch_bookings(listed, studios=studio, archive=archive, progress=False, clock=lambda: night)
    code = scheduled_fetch.fetch_into_archive(
        listed,
        str(tmp_path / "archive"),
        studios=[studio],
        max_age=timedelta(hours=1),
        failures=None,
        echo=told.append,
        hours=ClassHours(noon_somewhere().key, OPENS, CLOSES),
    )
    assert code == Exit.DONE
    assert not any("Class days" in line for line in told)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ba.AuthenticationError("no", http_status=401), "Check BOOKINGS_API_KEY (or where the file of --studios says"),
        (ba.ConfigurationError("Check base_url= (or BOOKINGS_BASE_URL) and the list."), "BOOKINGS_BASE_URL (or base_"),
        (ba.RateLimitError("slow", http_status=429), "uses this key: run the command again."),
        (ba.ConfigurationError("studios.toml, studio 'a': api_key is not for this file"), "'a': api_key is not"),
    ],
)
def test_an_error_speaks_of_what_the_command_has(error: ba.BookingsError, says: str) -> None:
    assert says in in_command_terms(error)


def test_a_demo_clock_is_not_asked_for_every_customer(studio: demo.DemoStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def time_at(address: str) -> datetime:
        asked.append(address)
        return studio.clock()

    monkeypatch.setattr("bookings_analytics.studios.clock._time_at", time_at)
    monkeypatch.setenv("BOOKINGS_CLOCK", studio.clock_url)
    for day in range(2):
        studio.now += timedelta(days=day)
        result = ba.fetch_bookings(studio.cohorts, studios=studio, progress=False, requests_per_minute=10**6)
        times = result.fetches["fetched_at"]
        assert (times.min(), times.max()) == (studio.now, studio.now)
    assert len(asked) < 600, "in two fetches of 600 customers"


def test_an_unforeseen_error_is_one_line_and_a_file_without_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BOOKINGS_API_KEY", "very-secret")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nord = ba.Studio("nord", base_url="https://acme.example", api_key="very-secret-as-well")

    def fails() -> None:
        raise RuntimeError(f"very-secret, {nord.api_key.reveal()}")

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == Exit.UNFORESEEN
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    (log,) = tmp_path.glob("*.log")
    assert str(log) in said
    assert "RuntimeError: ***, ***\n" in log.read_text("utf-8")


def fetch_in_small_chunks(base_url: str, key: str, members: Path, archive: Path) -> None:
    studio = ba.Studio("demo", base_url=base_url, api_key=key)
    kept = ba.Archive(archive)
    read = kept.latest_fetches().select("customer_id").collect()["customer_id"].to_list()
    ids = [customer_id for customer_id in ba.read_cohorts(members)["customer_id"] if customer_id not in read]
    work = FetchJob(clock=current_time, concurrency=32, rate_limit=lambda _: RateLimit(1000), archive=kept, chunk=10)
    asyncio.run(work.run({studio: ids}))


def test_killed_twenty_times_it_goes_on_and_ends_as_if_undisturbed(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    random = Random(4)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["bookings_analytics.archive.archive", "bookings_analytics.fetch.cohort"])
    killed = 0
    disturbed = tmp_path / "disturbed"
    while killed < 20:
        place = tmp_path / f"archive {killed // 4}"  # a new one now and then, so that some are killed at the very start
        process = forks.Process(
            target=fetch_in_small_chunks, args=(studio.base_url, studio.api_key.reveal(), members, place)
        )
        process.start()
        process.join(random.uniform(0.05, 0.6))
        process.kill()
        process.join()
        killed += 1
        partial = ba.Archive(place)
        for row in partial.latest_fetches().collect().iter_rows(named=True):
            shown = partial.bookings().filter(customer_id=row["customer_id"]).collect()
            assert shown.height == row["n_bookings"]
        disturbed = place
    told: list[str] = []
    assert fetch(studio, members, disturbed, told) == Exit.DONE
    assert fetch(studio, members, tmp_path / "undisturbed", told) == Exit.DONE
    ends = [
        ba.Archive(place).bookings().drop("observed_at").sort("customer_id", "booking_id").collect()
        for place in (disturbed, tmp_path / "undisturbed")
    ]
    assert ends[0].height > 100
    assert ends[0].equals(ends[1])
