"""The fetch that runs by itself: from the command line, killed, twice at once."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest

import bookings_analytics as ba
from bookings_analytics import demo
from bookings_analytics.cli import scheduled_fetch
from bookings_analytics.cli.scheduled_fetch import Exit
from bookings_analytics.fetch import job

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        *(sys.executable, "-c", "from bookings_analytics.cli import run; run()"),
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


def test_everything_read_is_exit_code_0_and_one_line(studio: demo.DemoStudio, members: Path, tmp_path: Path) -> None:
    done = run(command(studio, members, tmp_path / "archive"))
    assert (done.returncode, done.stderr) == (Exit.ALL_READ, "")
    assert done.stdout.startswith("100 customers asked, 100 read")
    assert ba.Archive(tmp_path / "archive").latest_fetches().collect().height == 100


def test_customers_who_could_not_be_read_are_exit_code_3_and_listed(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    unknown = pl.read_csv(members)["customer_id"][0]
    studio.faults.add(customer_id=unknown, status=404)
    failures = tmp_path / "failures.csv"
    arguments = command(studio, members, tmp_path / "archive", "--failures", str(failures))
    assert run(arguments).returncode == Exit.SOME_NOT_READ
    (row,) = pl.read_csv(failures).rows(named=True)
    assert (row["studio"], row["customer_id"], row["outcome"]) == ("demo", unknown, "not_found")
    assert row["message"] == "Entity does not exist."
    studio.requests.clear()
    assert run(arguments).returncode == Exit.SOME_NOT_READ, "who was not found an hour ago is not found now"
    assert pl.read_csv(failures).rows(named=True) == [row]
    assert not studio.requests


@pytest.mark.parametrize("wrong", ["key", "list", "archive", "option", "variable"])
def test_a_wrong_setting_is_exit_code_2(studio: demo.DemoStudio, members: Path, tmp_path: Path, wrong: str) -> None:
    archive = tmp_path / "archive"
    options = ["--max-age", "soon"] if wrong == "option" else []
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
    assert studio.api_key.reveal() not in done.stdout + done.stderr


def test_a_studio_out_of_reach_is_exit_code_3_and_every_customer_listed(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    studio.close()
    failures, told = tmp_path / "failures.csv", list[str]()
    code = scheduled_fetch.fetch_into_archive(
        *(members, str(tmp_path / "archive")), studio=studio, max_age=timedelta(0), failures=failures, tell=told.append
    )
    assert code == Exit.SOME_NOT_READ
    assert "no complete answer" in told[0]
    assert pl.read_csv(failures)["outcome"].to_list() == ["not_fetched"] * 100


def fetch(studio: ba.Studio, members: Path, archive: Path, told: list[str]) -> Exit:
    return scheduled_fetch.fetch_into_archive(
        members, str(archive), studio=studio, max_age=timedelta(hours=12), failures=None, tell=told.append
    )


def test_a_second_run_at_the_same_time_says_so_and_waits(
    studio: demo.DemoStudio, members: Path, tmp_path: Path
) -> None:
    studio.faults.add(delay=1.0)
    told: tuple[list[str], list[str]] = ([], [])
    first = threading.Thread(target=fetch, args=(studio, members, tmp_path / "archive", told[0]))
    first.start()
    while not studio.requests:
        time.sleep(0.01)
    assert fetch(studio, members, tmp_path / "archive", told[1]) == Exit.ALL_READ
    first.join()
    assert told[0] == []
    assert "is running: waiting" in told[1][0]
    assert sum(sent.method == "GET" for sent in studio.requests) == 100


def fetch_in_small_chunks(base_url: str, key: str, members: Path, archive: Path) -> None:
    job._CHUNK = 10
    studio = ba.Studio("demo", base_url=base_url, api_key=key)
    kept = ba.Archive(archive)
    ba.fetch_bookings(members, studios=studio, archive=kept, max_age=timedelta(hours=1), progress=False)


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
    assert fetch(studio, members, disturbed, told) == Exit.ALL_READ
    assert fetch(studio, members, tmp_path / "undisturbed", told) == Exit.ALL_READ
    ends = [
        ba.Archive(place).bookings().drop("observed_at").sort("customer_id", "booking_id").collect()
        for place in (disturbed, tmp_path / "undisturbed")
    ]
    assert ends[0].height > 100
    assert ends[0].equals(ends[1])


def test_the_lock_is_not_in_the_archive(studio: demo.DemoStudio, members: Path, tmp_path: Path) -> None:
    fetch(studio, members, tmp_path / "archive", [])
    assert not list((tmp_path / "archive").rglob("*.lock"))
    assert list(Path(tempfile.gettempdir()).glob("bookings-analytics-*.lock"))
