"""The command line: `bookings-analytics lab` and `bookings-analytics demo-api`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from bookings_analytics import demo
from bookings_analytics.errors import BookingsError, ConfigurationError

FIRST_NOTEBOOK: Final = "notebooks/01_fetch_a_cohort.ipynb"

_PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

# Locals could hold what nobody should read over a shoulder.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False, add_completion=False)


@app.callback()
def main() -> None:
    """Class bookings of gym customers: who books, who takes part, who does not turn up."""


@app.command(context_settings=_PASS_ON)
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the first notebook; further options go to JupyterLab, as in `lab --port 9999 --no-browser`."""
    folder = Path(__file__).parent.parent
    if not (folder / FIRST_NOTEBOOK).is_file():
        raise ConfigurationError(f"{folder / FIRST_NOTEBOOK} is not there: run this from a clone of the project.")
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    where = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}"]
    command = [sys.executable, "-m", "jupyterlab", *where, *as_root, *context.args]
    os.execv(sys.executable, command)  # noqa: S606 - JupyterLab takes over, so that Ctrl-C reaches it


@app.command("demo-api")
def demo_api(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on this machine; 0 takes a free one.")] = 8765,
    seed: Annotated[int, typer.Option(help="The same seed makes the same studio.")] = demo.SEED,
) -> None:
    """Serve the made-up studio's API on this machine until Ctrl-C, and print how to reach it."""
    demo.serve_forever(port=port, seed=seed)


def run() -> None:
    """Run the command line; an error of this package is told in its own words, without a traceback."""
    try:
        app()
    except BookingsError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(2)
