"""The command line, `bookings-analytics`: how it starts, and how it ends."""

from __future__ import annotations

import sys
import warnings

import typer

import bookings_analytics as ba
from bookings_analytics.cli.commands import app
from bookings_analytics.cli.endings import Exit, exit_code, in_command_terms, written_down

__all__ = ["app", "run"]


def run() -> None:
    """Run the command line; an error is one line in the command's own words, never a traceback."""
    warnings.showwarning = _show_warning
    try:
        app()
    except ba.BookingsError as error:
        typer.echo(f"{type(error).__name__}: {in_command_terms(error)}", err=True)
        sys.exit(exit_code(error))
    except Exception as error:  # noqa: BLE001 - the last net of the program: whoever runs a command reads no traceback
        typer.echo(written_down(error), err=True)
        sys.exit(Exit.UNFORESEEN)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as a line of its own, without the place in the code that it comes from."""
    typer.echo(f"Note: {message}", err=True)
