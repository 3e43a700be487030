"""`fetch --with-classes`: classes are kept after the bookings, and what goes wrong there is told."""

from __future__ import annotations

import _thread
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli, demo
from bookings_analytics.cli import timetable
from bookings_analytics.cli.endings import Exit
from bookings_analytics.cli.scheduled_fetch import fetch_into_archive
from bookings_analytics.studios import ClassHours

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    import pytest


def fetched(
    studio: demo.DemoStudio, members: pl.DataFrame, archive: Path, **options: Any
) -> tuple[Exit, list[str], list[str]]:
    """Fetch, and return how it ended, the log's lines, and what was warned of."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ending = fetch_into_archive(
            members,
            str(archive),
            studios=[studio],
            max_age=timedelta(0),
            failures=None,
            echo=lines.append,
            hours=ClassHours("UTC", "05:00", "24:00"),
            **options,
        )
    return ending, lines, [str(each.message) for each in said]


def bookings(archive: Path) -> pl.DataFrame:
    return ba.Archive(archive).bookings().drop("observed_at").collect()


def test_the_command_keeps_them_after_the_bookings(
    studio: demo.DemoStudio, members: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"STUDIO": studio.name, "BASE_URL": studio.base_url, "API_KEY": studio.api_key.reveal(), "TIMEZONE": "UTC"}
    for name, value in names.items():
        monkeypatch.setenv(f"BOOKINGS_{name}", value)
    members.write_csv(tmp_path / "members.csv")
    options = ["--cohorts", str(tmp_path / "members.csv"), "--archive", str(tmp_path / "archive"), "--with-classes"]
    done = CliRunner().invoke(cli.app, ["fetch", *options])
    assert done.exit_code == Exit.DONE, done.output
    archive = ba.Archive(tmp_path / "archive")
    assert f"12 classes and {archive.slots().collect().height} class slots read." in done.output
    asked = [request.path.rpartition("/")[2] for request in studio.requests if request.method == "GET"]
    assert asked == ["booking"] * 9 + ["classes"] + ["slots"] * 12


def test_without_the_option_nothing_is_asked_of_them(
    studio: demo.DemoStudio, members: pl.DataFrame, tmp_path: Path
) -> None:
    fetched(studio, members, tmp_path / "archive")
    assert {request.path for request in studio.requests} == {"/v1/classes/booking"}
    assert not (tmp_path / "archive" / "_classes").exists()


def test_an_interrupt_amid_the_classes_is_one_of_the_command_and_the_bookings_are_kept(
    studio: demo.DemoStudio, members: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        _thread.interrupt_main()
        while True:
            pass

    monkeypatch.setattr(timetable, "fetch_classes", interrupted)
    ending, lines, _ = fetched(studio, members, tmp_path / "archive", with_classes=True)
    assert ending == Exit.INTERRUPTED
    assert "9 customers fetched before that are in the archive" in lines[-1]


def test_classes_that_can_not_be_kept_are_told_and_the_bookings_are(
    studio: demo.DemoStudio, members: pl.DataFrame, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    fetched(studio, members, archive)
    (archive / "_classes").write_text("a file where a folder belongs")
    ending, lines, _ = fetched(studio, members, archive, with_classes=True)
    assert ending == Exit.DONE
    told = "The bookings are kept, the classes are not: The classes of the archive"
    assert any(line.startswith(told) for line in lines)
