"""Run the bundled notebooks and store what they show: `python -m bookings_analytics.notebook.store [NAME ...]`.

Needed after every change of a number, a text or a chart; the tests compare what is stored with a new run. Nothing that
differs from run to run is stored: no times, no widgets, no version of Python.
"""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any, Final

import nbformat
from nbclient import NotebookClient

from bookings_analytics.notebook.bundled import bundled, notebooks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PICTURED: Final = "01_fetch_a_cohort"  # its first chart is the picture of the README
_PICTURE: Final = "booking_vs_participation.png"
_KERNEL: Final = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def store(path: Path) -> None:
    """Run a notebook in a kernel of its own and write its outputs into it.

    Args:
        path: The notebook; it is overwritten.

    Raises:
        CellExecutionError: A cell failed; the notebook stays as it was.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # nbformat leaves it so
    client = NotebookClient(
        notebook,
        kernel_name=_KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
    )
    client.execute()
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call] # as above
    if path.stem == _PICTURED:
        path.with_name(_PICTURE).write_bytes(next(_pictures(notebook)))


def _pictures(notebook: Any) -> Iterator[bytes]:  # noqa: ANN401 - nbformat has no types
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode(output.data["image/png"])


def main(names: Sequence[str]) -> None:
    """Store the notebooks whose file names start with one of these, or all.

    Args:
        names: Beginnings of file names, such as ``02``; none: all notebooks.
    """
    for path in notebooks(bundled()):
        if not names or path.name.startswith(tuple(names)):
            sys.stdout.write(f"{path}\n")
            store(path)


if __name__ == "__main__":
    main(sys.argv[1:])
