"""The bundled notebooks run with the analyst's own parameters, each written as a page that needs no internet."""

from __future__ import annotations

import base64
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import papermill  # type: ignore[import-untyped] # it has no types
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped] # as above

from bookings_analytics import lab
from bookings_analytics.errors import ConfigurationError, ReportError
from bookings_analytics.report_page import charts_of, index, page, title_of
from bookings_analytics.studios import API_KEY_VARIABLE, BASE_URL_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KERNEL: Final = "python3"


class _OwnKernels(AsyncKernelManager):
    """Knows this environment's kernel alone, not one of that name registered for the user."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[str(Path(sys.prefix, "share", "jupyter", "kernels"))])


def write_report(
    folder: Path,
    *,
    cohorts: Path | None = None,
    archive: str | None = None,
    studio: str | None = None,
    since: date | None = None,
    by: str | None = None,
    tell: Callable[[str], None],
) -> None:
    """Run every bundled notebook and write its page, its charts as pictures for mail, and an index of the pages.

    A notebook gets those of the parameters that it has. The key goes to it by the environment alone.

    Args:
        folder: Where to write; pages of an earlier report there are replaced.
        cohorts: The cohort list; None is the demo's.
        archive: The archive's directory or URL; None is the demo's.
        studio: The name of a studio, its base URL and key being in the environment; None is the demo studio.
        since: The first day to look at; None for all.
        by: The column of the cohort list to group by; None keeps what each notebook has.
        tell: Called with what was written.

    Raises:
        ConfigurationError: A parameter can't be used.
        ReportError: A cell failed.
    """
    parameters = _parameters(cohorts=cohorts, archive=archive, studio=studio, since=since, by=by)
    source = lab.bundled()
    taken = {path: set(papermill.inspect_notebook(path)) for path in lab.notebooks(source)}
    for option, values in parameters.items():
        if not any(known & set(values) for known in taken.values()):
            raise ConfigurationError(f"No notebook has the parameter --{option}. Leave it out.")
    given = {name: value for values in parameters.values() for name, value in values.items()}
    note = f"Written on {date.today().isoformat()}" + ("." if studio or archive else " from the demo data.")  # noqa: DTZ011 - the analyst's own day
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, str] = {}
    for path, known in taken.items():
        executed = _run(path, {name: value for name, value in given.items() if name in known}, folder)
        (folder / f"{path.stem}.html").write_text(page(executed), "utf-8")
        for i, chart in enumerate(charts_of(executed), 1):
            (folder / f"{path.stem}-{i}.png").write_bytes(base64.b64decode(chart["data"]["image/png"]))
        pages[f"{path.stem}.html"] = title_of(executed)
        (folder / "index.html").write_text(index(pages, note=note), "utf-8")
        tell(f"{folder / path.stem}.html")
    tell(f"{folder / 'index.html'}: {len(pages)} pages")


def _parameters(
    *, cohorts: Path | None, archive: str | None, studio: str | None, since: date | None, by: str | None
) -> dict[str, dict[str, str]]:
    """Give, for each option that was named, the notebooks' own parameters that it sets."""
    parameters: dict[str, dict[str, str]] = {}
    if cohorts is not None:
        if not cohorts.is_file():
            raise ConfigurationError(f"--cohorts {cohorts} is not a file. Name a csv or parquet file.")
        parameters["cohorts"] = {"cohort_file": str(cohorts.resolve())}
    if archive is not None:  # notebooks run elsewhere; a URL stays as it is
        parameters["archive"] = {"archive_path": archive if "://" in archive else str(Path(archive).resolve())}
    if studio is not None:
        missing = [name for name in (BASE_URL_VARIABLE, API_KEY_VARIABLE) if not os.environ.get(name)]
        if missing:
            raise ConfigurationError(f"--studio {studio} needs {' and '.join(missing)} in the environment. Set it.")
        parameters["studio"] = {"studio_name": studio, "base_url": os.environ[BASE_URL_VARIABLE]}
    if since is not None:
        parameters["since"] = {"since": since.isoformat()}
    if by is not None:
        parameters["by"] = {"by": by}
    return parameters


def _run(path: Path, parameters: Mapping[str, str], folder: Path) -> Mapping[str, Any]:
    """Run a notebook in a kernel of this environment, showing how many of its cells are done."""
    try:
        executed: Mapping[str, Any] = papermill.execute_notebook(
            path,
            None,  # not kept: only the pages are
            parameters,
            cwd=path.parent,
            kernel_name=_KERNEL,
            kernel_manager_class=_OwnKernels,
            progress_bar={"desc": path.stem},
        )
    except PapermillExecutionError as error:
        raise ReportError(
            f"{path.stem}, cell [{error.exec_count}], stopped with {error.ename}: {error.evalue}\n"
            f"The pages finished before it are in {folder}. Mend what it says, and run the report again."
        ) from None  # its traceback is that of papermill, not of the cell
    key = os.environ.get(API_KEY_VARIABLE)
    if key and key in json.dumps(executed, ensure_ascii=False):
        raise ReportError(
            f"{path.stem} shows the API key, so no page of it was written. Take the key out of its cells."
        )
    return executed
