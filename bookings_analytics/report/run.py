"""The bundled notebooks run with the analyst's own parameters, each written as a page that needs no internet."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import papermill  # type: ignore[import-untyped] # it has no types
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped] # as above

from bookings_analytics.errors import ConfigurationError, ReportError
from bookings_analytics.notebook import bundled
from bookings_analytics.report.inputs import check_archive, check_list
from bookings_analytics.report.page import charts_of, page
from bookings_analytics.report.summary import Entry, index
from bookings_analytics.studio_file import ClassHours, find_hours
from bookings_analytics.studios import API_KEY_VARIABLE, BASE_URL_VARIABLE
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KERNEL: Final = "python3"


class _OwnKernels(AsyncKernelManager):
    """The kernel of this environment, not one of the same name that is registered for the user."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[str(Path(sys.prefix, "share", "jupyter", "kernels"))])


def write_report(
    folder: Path,
    *,
    cohorts: Path | None = None,
    archive: str | None = None,
    studio: str | None = None,
    classes: Path | None = None,
    since: date | None = None,
    until: date | None = None,
    by: str | None = None,
    hours: ClassHours | None = None,
    tell: Callable[[str], None],
) -> None:
    """Run the bundled notebooks; write a page for each, its charts as pictures for mail, and a first page.

    Without a cohort list all of them run on the demo data. With one, those run that are about its customers and can
    read them: from the archive, or else from the studio. A notebook receives those of the parameters that it has; the
    key reaches it through the environment alone.

    Args:
        folder: Where to write; pages of an earlier report there are replaced.
        cohorts: The cohort list; None: the demo's.
        archive: The archive's directory or URL.
        studio: The name of a studio, its base URL and key being in the environment.
        classes: A list with the classes' titles; None: classes go by number.
        since: The first class day to look at; None: the first known.
        until: The last class day to look at; None: the last known.
        by: The column of the cohort list to group by; None: the one that each notebook names.
        hours: When the studios have classes; with an archive the time zone is needed. None: as the environment says.
        tell: Called with each line about what was written or left out.

    Raises:
        ArchiveError: The archive can't be read.
        CohortError: The cohort list or the titles can't be used.
        ConfigurationError: A parameter can't be used, or there is nothing to report on. No notebook has run then.
        ReportError: A cell failed.
    """
    given = _parameters(
        cohorts=cohorts,
        archive=archive,
        studio=studio,
        classes=classes,
        days={"since": since, "until": until},
        by=by,
        hours=hours or find_hours(),
    )
    if cohorts is not None or by is not None:
        listed = check_list(cohorts or bundled.bundled() / "data" / "cohorts.csv", by=by)
        if archive is not None:
            check_archive(archive, listed, since=since, until=until, classes=classes)
    note = f"Written on {date.today().isoformat()}{' from the demo data' * (cohorts is None)}."  # noqa: DTZ011 - the analyst's own day
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} can't be created: {error.strerror}. Name another folder.") from error
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory() as kept:
        # Only the first notebook asks the API: several processes would not know of each other's share of its limit.
        shared = {"keep_in": kept, "archive_path": kept} if studio and not archive else {}
        for path in bundled.notebooks(bundled.bundled()):
            known = set(papermill.inspect_notebook(path))
            if why := _unfit(known, given):
                tell(f"{path.stem} was left out: {why}")
                continue
            values = {name: value for name, value in (given | shared).items() if name in known}
            executed = _run(path, values, folder)
            (folder / f"{path.stem}.html").write_text(page(executed), "utf-8")
            for i, chart in enumerate(charts_of(executed), 1):
                (folder / f"{path.stem}-{i}.png").write_bytes(base64.b64decode(chart["data"]["image/png"]))
            entries.append(Entry.of(f"{path.stem}.html", executed))
            (folder / "index.html").write_text(index(entries, note=note), "utf-8")
            tell(f"{folder / path.stem}.html")
    tell(f"{folder / 'index.html'}: {counted(len(entries), 'page')}")


def _unfit(names: set[str], given: Mapping[str, Any]) -> str | None:
    """Explain why a notebook with these parameters can't be about the analyst's own customers; None if it can."""
    if "cohort_file" not in given:
        return None
    if "cohort_file" not in names:
        return "it is about the demo's customers."
    if not names & {"archive_path", "base_url"} & set(given):
        option = "--archive" if "archive_path" in names else "--studio"
        return f"it needs {option}."
    return None


def _parameters(
    *,
    cohorts: Path | None,
    archive: str | None,
    studio: str | None,
    classes: Path | None,
    days: Mapping[str, date | None],
    by: str | None,
    hours: ClassHours,
) -> dict[str, Any]:
    """Collect the notebooks' parameters that the options set."""
    parameters: dict[str, Any] = {}
    if cohorts is not None:
        parameters["change"] = None  # the day that notebook 5 names is the made-up studio's
        parameters |= {"cohort_file": _file("--cohorts", cohorts), "class_file": _file("--classes", classes)}
        if archive is None and studio is None:
            raise ConfigurationError(
                "--cohorts names the customers, not where their bookings are. Add --archive or --studio."
            )
        parameters |= _when(archive, days, hours)
    elif own := [
        name
        for name, value in {"archive": archive, "studio": studio, "classes": classes, **days}.items()
        if value is not None
    ]:
        raise ConfigurationError(f"--{own[0]} goes with a list of your own customers. Name it with --cohorts.")
    if archive is not None:  # notebooks run elsewhere; a URL stays as it is
        parameters["archive_path"] = archive if "://" in archive else str(Path(archive).resolve())
    if studio is not None:
        missing = [name for name in (BASE_URL_VARIABLE, API_KEY_VARIABLE) if not os.environ.get(name)]
        if missing:
            raise ConfigurationError(f"--studio {studio} needs {' and '.join(missing)} in the environment. Set it.")
        parameters |= {"studio_name": studio, "base_url": os.environ[BASE_URL_VARIABLE]}
    if by is not None:
        parameters["by"] = by
    return parameters


def _when(archive: str | None, days: Mapping[str, date | None], hours: ClassHours) -> dict[str, Any]:
    """Collect the parameters about days; only an archive has some."""
    for option, day in days.items():
        if archive is None and day is not None:
            raise ConfigurationError(
                f"--{option} limits what is read from an archive; the API shows no past. Add --archive, or drop "
                f"--{option}."
            )
    if archive is not None and hours.timezone is None:
        raise ConfigurationError(
            "--archive is read by class days, in the studio's time. Add --timezone Europe/Berlin, for instance."
        )
    period = {name: day.isoformat() for name, day in days.items() if day is not None}
    return {"timezone": hours.timezone, "opens": hours.opens, "closes": hours.closes, **period}


def _file(option: str, path: Path | None) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        raise ConfigurationError(f"{option} {path} is not a file. Check the path.")
    return str(path.resolve())


def _run(path: Path, parameters: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Run a notebook in a kernel of this environment, with a bar of its cells in a terminal."""
    try:
        executed: Mapping[str, Any] = papermill.execute_notebook(
            path,
            None,  # not kept: only the pages are
            parameters,
            cwd=path.parent,
            kernel_name=_KERNEL,
            kernel_manager_class=_OwnKernels,
            progress_bar={"desc": path.stem} if sys.stderr.isatty() else False,
            extra_arguments=["--log-level=ERROR"],  # a kernel warns of what nobody outside this machine can reach
        )
    except PapermillExecutionError as error:
        raise ReportError(
            f"{path.stem}, cell [{error.exec_count}], stopped with {error.ename}: {error.evalue}\n"
            f"The pages finished before it are in {folder}. Fix what it names and run the report again."
        ) from None  # its traceback is that of papermill, not of the cell
    key = os.environ.get(API_KEY_VARIABLE)
    if key and key in json.dumps(executed, ensure_ascii=False):
        raise ReportError(
            f"{path.stem} shows the API key, so no page of it was written. Take the key out of its cells."
        )
    return executed
