"""JupyterLab on the bundled notebooks: those of the clone, or a copy of those that came with the package."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bookings_analytics import ConfigurationError
from bookings_analytics.notebook.bundled import IN_WHEEL, bundled, notebooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEFAULT_FOLDER: Final = Path("bookings-notebooks")
FIRST_NOTEBOOK: Final = "00_start_here.ipynb"

_SETTINGS: Final = Path(__file__).parent.parent / "jupyter"
_PARTS: Final = ("notebooks", "data")


def prepare(folder: Path | None, *, echo: Callable[[str], object]) -> Path:
    """Copy the bundled notebooks and the demo data into a folder; a file that is there already stays as it is.

    Args:
        folder: The target folder; None is the clone itself, which needs no copy, or else `DEFAULT_FOLDER`.
        echo: Called with each line of what was done.

    Returns:
        The folder that holds `notebooks` and `data`.

    Raises:
        ConfigurationError: The folder can't be created or written to.
    """
    source = bundled()
    if folder is None:
        if source != IN_WHEEL:
            return source
        folder = DEFAULT_FOLDER
    try:
        different = [path for part in _PARTS for path in _copy(source / part, folder / part)]
    except OSError as error:
        raise ConfigurationError(
            f"The notebooks can't be copied to {folder}: {error}. Name another folder: bookings-analytics lab DIR."
        ) from error
    echo(f"The notebooks and the demo data are in {folder.resolve()}")
    if different:
        echo(f"Not of this version, left as they are: {', '.join(map(str, different))}. Delete one to get it anew.")
    return folder


def _copy(source: Path, target: Path) -> Iterator[Path]:
    """Copy what a folder holds, and yield what was there already with other content; an archive is one thing."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        there = target / path.name
        if path.name.startswith("."):
            continue  # what JupyterLab left in a clone
        if not there.exists():
            _ = shutil.copytree(path, there) if path.is_dir() else shutil.copyfile(path, there)
        elif _content(there) != _content(path):
            yield there


def _content(path: Path) -> dict[Path, bytes]:
    """Read a file, or all files of a folder."""
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return {each.relative_to(path): each.read_bytes() for each in files}


def start(folder: Path, options: Sequence[str] = ()) -> NoReturn:
    """Open JupyterLab in a folder on its first notebook: it takes over this process, so that Ctrl-C reaches it.

    Args:
        folder: What `prepare` returned.
        options: Further options of JupyterLab.

    Raises:
        ConfigurationError: The folder has no notebooks.
    """
    names = [path.name for path in notebooks(folder)]
    opened = FIRST_NOTEBOOK if FIRST_NOTEBOOK in names else names[0]
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={folder.resolve()}",
        f"--LabApp.default_url=/lab/tree/notebooks/{opened}",
        *as_root,
        *options,
    ]
    # Ours turns off what asks the internet for news, and the question about it. A python3 registered for the user or
    # by JUPYTER_PATH would be taken before this environment's.
    first = {"JUPYTER_CONFIG_PATH": _SETTINGS, "JUPYTER_PATH": Path(sys.prefix, "share", "jupyter")}
    environment = dict(os.environ)
    for name, path in first.items():
        environment[name] = os.pathsep.join([str(path), *filter(None, [environment.get(name)])])
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is needed
