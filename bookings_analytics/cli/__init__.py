"""The command line: `bookings-analytics lab`, `fetch`, `report` and `demo-api`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from bookings_analytics import demo
from bookings_analytics.cli import lab, scheduled_fetch
from bookings_analytics.errors import BookingsError, FetchInterrupted
from bookings_analytics.studios import Studio

# Locals could hold what nobody should read over a shoulder.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False, add_completion=False)


@app.callback()
def main() -> None:
    """Class bookings of gym customers: who books, who takes part, who does not turn up."""


@app.command("lab", context_settings={"ignore_unknown_options": True})
def open_lab(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[DIR] [JUPYTERLAB OPTIONS]")] = None,
) -> None:
    """Open JupyterLab on the notebooks; options go to JupyterLab, as in `lab DIR --port 9999 --no-browser`.

    With DIR, or outside a clone of the project, they and the demo data are copied there first (default:
    ./bookings-notebooks). A file that is there already stays as it is.
    """
    options = arguments or []
    named = bool(options) and not options[0].startswith("-")
    folder = lab.prepare(Path(options[0]) if named else None, tell=typer.echo)
    lab.start(folder, options[named:])


@app.command()
def fetch(
    cohorts: Annotated[Path, typer.Option(help="The cohort list: csv or parquet.")],
    archive: Annotated[str, typer.Option(help="The archive: a directory, or the URL of an object store.")],
    max_age: Annotated[float, typer.Option(min=0, help="Who was read within so many hours is not asked again.")] = 12,
    failures: Annotated[Path | None, typer.Option(help="Write who could not be read, and why, into this csv.")] = None,
) -> None:
    """Fetch into an archive, for a daily schedule; the studio and its key come from the environment.

    Exit code 0: everybody was read. 3: some could not be. 2: the key or another setting is wrong.
    """
    raise typer.Exit(
        scheduled_fetch.fetch_into_archive(
            cohorts,
            archive,
            studio=Studio.from_env(),
            max_age=timedelta(hours=max_age),
            failures=failures,
            tell=typer.echo,
        )
    )


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path("bookings-report"),
    *,
    cohorts: Annotated[Path | None, typer.Option(help="The cohort list: csv or parquet.")] = None,
    archive: Annotated[
        str | None, typer.Option(help="The archive: a directory, or the URL of an object store.")
    ] = None,
    studio: Annotated[str | None, typer.Option(help="The studio's name; address and key: the environment.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Titles of classes: csv with class_id and title.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first day to look at.")] = None,
    by: Annotated[str | None, typer.Option(help="The column of the cohort list to group by.")] = None,
) -> None:
    """Run the notebooks and write each as a page that needs no internet; without options, on the demo data.

    With --archive it shows what was kept; with --studio, what the API shows now.
    """
    from bookings_analytics.report.run import write_report  # noqa: PLC0415 - what runs notebooks is slow to import

    day = since.date() if since else None
    write_report(
        folder,
        cohorts=cohorts,
        archive=archive,
        studio=studio,
        classes=classes,
        since=day,
        by=by,
        tell=typer.echo,
    )


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
    except FetchInterrupted as error:
        typer.echo(str(error), err=True)
        sys.exit(scheduled_fetch.Exit.INTERRUPTED)
    except BookingsError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(scheduled_fetch.Exit.WRONG_SETTING)
