"""What a report is asked for, checked before anything is written: a page about nothing would look like a finding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.archive import Archive, holds_archive
from bookings_analytics.cohorts import read_cohorts, read_titles
from bookings_analytics.errors import ConfigurationError
from bookings_analytics.notebook import bundled
from bookings_analytics.studios import API_KEY_VARIABLE, BASE_URL_VARIABLE, ClassHours, find_hours

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

DEMO_HOURS: Final = ClassHours("Europe/Berlin", "06:00", "23:00")


@dataclass(frozen=True)
class Request:
    """What a report is to be about; the fields are the options of the command.

    Attributes:
        cohorts: The list of customers; None: the demo's list and archive.
        archive: The archive's directory or URL.
        studio: The name of a studio to ask instead, its address and key being in the environment.
        studios: The file of studios, for their time zones and hours.
        classes: A list with the classes' titles.
        since: The first class day.
        until: The last class day.
        last: How many complete weeks, such as ``4w``.
        by: The column of the list to group by; None: ``cohort``.
        timezone: The studios' time zone.
        opens: Local time before which no class begins.
        closes: Local time after which no class ends.
        with_customers: Whether to list customers by their ids.
        suppress_small: Leave out groups of fewer customers; None: none.
        xlsx: Whether to write every table into a workbook, too.
    """

    cohorts: Path | None = None
    archive: str | None = None
    studio: str | None = None
    studios: Path | None = None
    classes: Path | None = None
    since: date | None = None
    until: date | None = None
    last: str | None = None
    by: str | None = None
    timezone: str | None = None
    opens: str | None = None
    closes: str | None = None
    with_customers: bool = False
    suppress_small: int | None = None
    xlsx: bool = False


@dataclass(frozen=True)
class Checked:
    """A request whose list, archive and titles are there.

    Attributes:
        listed: The list of customers.
        archive: The archive; None: the studio is asked.
        titles: Class id → title.
        by: The columns to group by; empty where all customers are in one group.
    """

    listed: pl.DataFrame
    archive: Archive | None
    titles: Mapping[int, str]
    by: list[str]


def check(request: Request, folder: Path) -> Checked:
    """Read the list, and check that the archive, the titles, the column to group by and the folder can be used.

    Args:
        request: What is asked for.
        folder: Where the report is to be written.

    Raises:
        ArchiveError: The archive can't be read.
        CohortError: The list or the titles can't be used.
        ConfigurationError: An option can't be used, or the archive holds nothing about these customers.
    """
    _check_options(request)
    demo = bundled.bundled() / "data"
    listed = read_cohorts(_file("--cohorts", request.cohorts or demo / "cohorts.csv"))
    location = request.archive or (None if request.cohorts else str(demo / "archive"))
    archive = None if location is None else _archive(location, listed)
    by = _groups(request, listed)
    classes = request.classes or (None if request.cohorts else demo / "classes.csv")
    titles = {} if classes is None else read_titles(_file("--classes", classes))
    if request.classes is not None and archive is not None:
        _check_titles(request.classes, titles, archive)
    if archive is not None:
        titles = archive.titles() | titles
    _check_folder(folder)
    return Checked(listed, archive, titles, by)


def hours_of(request: Request) -> ClassHours:
    """Find out when the studios have classes: an option, else the file of studios, else the environment.

    Args:
        request: What is asked for.

    Raises:
        ConfigurationError: The time zone is not known, or a setting can't be used.
    """
    if request.cohorts is None:
        return DEMO_HOURS
    hours = find_hours(
        timezone=request.timezone,
        opens=request.opens,
        closes=request.closes,
        studios=request.studios,
        variables_first=True,
    )
    if not hours.timezone:
        raise ConfigurationError(
            "--archive is read by class days, in the studio's time. Add --timezone Europe/Berlin, for instance, or set "
            "BOOKINGS_TIMEZONE."
        )
    return hours


def _check_options(request: Request) -> None:
    """Check which options go together."""
    if request.with_customers and request.suppress_small:
        raise ConfigurationError(
            "--with-customers lists single customers, and --suppress-small leaves out small groups. Use one of them."
        )
    if request.cohorts is None:
        named = {
            "--archive": request.archive,
            "--studio": request.studio,
            "--studios": request.studios,
            "--classes": request.classes,
        }
        for option, value in named.items():
            if value is not None:
                raise ConfigurationError(f"{option} goes with a list of your own customers. Name it with --cohorts.")
        return
    if request.archive is None and request.studio is None:
        raise ConfigurationError(
            "--cohorts names the customers, not where their bookings are. Add --archive or --studio."
        )
    if request.archive is not None:
        return
    days = {"--since": request.since, "--until": request.until, "--last": request.last}
    for option in (option for option, value in days.items() if value is not None):
        raise ConfigurationError(
            f"{option} limits what is read from an archive; the API shows no past. Add --archive, or drop {option}."
        )
    missing = [name for name in (BASE_URL_VARIABLE, API_KEY_VARIABLE) if not os.environ.get(name)]
    if missing:
        raise ConfigurationError(f"--studio {request.studio} needs {' and '.join(missing)} in the environment. Set it.")


def _file(option: str, path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"{option} {path} is not a file. Check the path.")
    return path


def _groups(request: Request, listed: pl.DataFrame) -> list[str]:
    columns = [name for name in listed.columns if name != "customer_id"]
    if request.by is not None and request.by not in columns:
        raise ConfigurationError(
            f"--by {request.by}: {request.cohorts or 'the demo list'} has no such column. Choose one of "
            f"{', '.join(columns)}."
        )
    by = request.by or "cohort"
    return [by] if request.by or listed[by].n_unique() > 1 else []


def _archive(location: str, listed: pl.DataFrame) -> Archive:
    """Open the archive, which must hold a successful fetch of somebody on the list."""
    if not holds_archive(location):
        raise ConfigurationError(
            f"--archive {location}: there is no archive. Check the path, or make one with: bookings-analytics fetch "
            f"--archive {location}"
        )
    archive = Archive(location)
    if archive.fetches().select("fetched_at").head(1).collect().is_empty():
        raise ConfigurationError(
            f"--archive {location}: the archive is empty. Fill it first: bookings-analytics fetch --archive {location}"
        )
    if archive.cohorts(listed).filter(pl.col("fetch_outcome") == "ok").collect().is_empty():
        raise ConfigurationError(
            f"--archive {location}: it holds no successful fetch of any customer on the list. Pass the list that "
            "was fetched, with its studio if it has several."
        )
    return archive


def _check_titles(classes: Path, titles: Mapping[int, str], archive: Archive) -> None:
    there = archive.history().select(pl.col("class_id").unique()).collect()["class_id"]
    if len(there) and not there.is_in(list(titles)).any():
        raise ConfigurationError(
            f"--classes {classes}: none of its {len(titles):,} class ids is in the archive, which has "
            f"{', '.join(map(str, there.sort().head(3)))} and so on. Pass the titles of this studio."
        )


def _check_folder(folder: Path) -> None:
    """Check that the folder is there or can be made, without making it."""
    problem = None
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        problem = "File exists"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        problem = "Permission denied"
    if problem:
        raise ConfigurationError(f"{folder} can't be created: {problem}. Name another folder.")
