"""The commands, their arguments and options, and the help that names them; what each does has a module of its own."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

import bookings_analytics as ba
from bookings_analytics.cli.options import ARCHIVE, COHORT_LIST, ArchiveArgument, Closes, DryRun, Opens
from bookings_analytics.studios import find_hours

# Imported where they are used: they bring Altair, Delta Lake and what serves HTTP, and a command needs one of these.
# ruff: noqa: PLC0415

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they could hold what nobody should read over a shoulder
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's interface of a callback
    if wanted:
        typer.echo(ba.__version__)
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Analyze class bookings of gym customers: who books, who takes part, who does not turn up."""


@app.command("lab", context_settings={"ignore_unknown_options": True})
def open_lab(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[DIR] [JUPYTERLAB OPTIONS]")] = None,
) -> None:
    """Open JupyterLab on the notebooks; options go to JupyterLab, as in `lab DIR --port 9999 --no-browser`.

    With DIR, or outside a clone of the project, the notebooks and the demo data are copied there first (default:
    ./bookings-notebooks). Files that are already there stay as they are.
    """
    from bookings_analytics.cli import lab

    options = arguments or []
    named = bool(options) and not options[0].startswith("-")
    folder = lab.prepare(Path(options[0]) if named else None, echo=typer.echo)
    lab.start(folder, options[named:])


@app.command()
def fetch(
    cohorts: Annotated[Path, COHORT_LIST],
    archive: Annotated[str, ARCHIVE],
    *,
    studios: Annotated[
        Path | None, typer.Option(help="The studios of a chain, a TOML file; default: the one studio of BOOKINGS_*.")
    ] = None,
    max_age: Annotated[float, typer.Option(min=0, help="Skip customers fetched within this many hours.")] = 12,
    failures: Annotated[
        Path | None, typer.Option(help="Write the customers who could not be fetched, with reasons, to this csv.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Wait at most this many minutes for another fetch into the archive.")
    ] = 60,
    with_classes: Annotated[
        bool, typer.Option("--with-classes", help="Fetch titles, times and places of classes as well.")
    ] = False,
    id_column: Annotated[str | None, typer.Option(help="The column of the list that holds the ids.")] = None,
    separator: Annotated[str | None, typer.Option(help="What separates the values of a csv list.")] = None,
    sheet: Annotated[str | None, typer.Option(help="The sheet of an xlsx list.")] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="The studio's time zone (Europe/Berlin); default: BOOKINGS_TIMEZONE or this machine's."),
    ] = None,
    opens: Opens = None,
    closes: Closes = None,
) -> None:
    """Fetch into an archive, for a daily schedule; studio and key come from the environment, or from --studios.

    Exit code 0: done; unknown customers and those who opted out are not a failure. 2: a setting or the key is wrong.
    3: a customer who could have been fetched was not. 4: no network or no API, and nobody was fetched.
    5: another fetch into the archive still runs. 130 or 143: interrupted or terminated. 70: an error in this program.
    """
    from bookings_analytics.cli.scheduled_fetch import fetch_into_archive

    hours = find_hours(timezone=timezone, opens=opens, closes=closes, studios=studios)
    ending = fetch_into_archive(
        ba.read_cohorts(
            cohorts,
            columns=None if id_column is None else {id_column: "customer_id"},
            separator=separator,
            sheet=sheet,
        ),
        archive,
        studios=[ba.Studio.from_env()] if studios is None else ba.read_studios(studios),
        max_age=timedelta(hours=max_age),
        failures=failures,
        wait=timedelta(minutes=wait),
        hours=hours,
        with_classes=with_classes,
        echo=typer.echo,
    )
    raise typer.Exit(ending)


@app.command()
def check(archive: ArchiveArgument) -> None:
    """Check every file of an archive, and look for what would distort its numbers; nothing is changed.

    Exit code 0: nothing is wrong. 6: something is; each problem is named with what to do.
    """
    from bookings_analytics.cli.check import check_archive

    raise typer.Exit(check_archive(archive, echo=typer.echo))


@app.command()
def forget(
    customer_ids: Annotated[list[int], typer.Argument(metavar="ID...", help="The ids of the customers.")],
    *,
    archive: Annotated[str, ARCHIVE],
    studio: Annotated[str | None, typer.Option(help="In this studio only; default: in all.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Erase every trace of customers from an archive, and print the receipt.

    The next fetch brings them back unless they are taken off the list.
    """
    from bookings_analytics.cli.upkeep import remove

    remove(
        archive,
        lambda kept: kept.forget(customer_ids, studio=studio, dry_run=dry_run),
        dry_run=dry_run,
        echo=typer.echo,
    )


@app.command("forget-opted-out")
def forget_opted_out(*, archive: Annotated[str, ARCHIVE], dry_run: DryRun = False) -> None:
    """Erase the customers from an archive who no longer allow access, and print the receipt.

    The next fetch brings them back unless they are taken off the list.
    """
    from bookings_analytics.cli.upkeep import remove

    remove(archive, lambda kept: kept.forget_opted_out(dry_run=dry_run), dry_run=dry_run, echo=typer.echo)


@app.command()
def retain(
    *,
    archive: Annotated[str, ARCHIVE],
    weeks: Annotated[int, typer.Option(min=1, help="How many weeks to keep, counted back from now.")],
    dry_run: DryRun = False,
) -> None:
    """Erase everything older than this many weeks from an archive, and print the receipt."""
    from bookings_analytics.cli.upkeep import remove

    remove(archive, lambda kept: kept.retain(weeks=weeks, dry_run=dry_run), dry_run=dry_run, echo=typer.echo)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path("bookings-report"),
    *,
    cohorts: Annotated[Path | None, COHORT_LIST] = None,
    archive: Annotated[str | None, ARCHIVE] = None,
    studio: Annotated[str | None, typer.Option(help="The studio's name; address and key: the environment.")] = None,
    studios: Annotated[
        Path | None, typer.Option(help="The studios of a chain, a TOML file, for their time zones and hours.")
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="Titles of classes: a list of class_id and title.")] = None,
    last: Annotated[str | None, typer.Option(help="The last complete weeks, such as 8w. [default: 4w]")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first class day.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last class day, included.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The studio's time zone (Europe/Berlin); default: BOOKINGS_TIMEZONE.")
    ] = None,
    opens: Opens = None,
    closes: Closes = None,
    by: Annotated[str | None, typer.Option(help="The column of the cohort list to group by.")] = None,
    suppress_small: Annotated[
        int | None, typer.Option(min=1, help="Leave out groups of fewer customers than this, such as 10.")
    ] = None,
    with_customers: Annotated[
        bool, typer.Option("--with-customers", help="List the customers who do not turn up, by their ids.")
    ] = False,
    xlsx: Annotated[bool, typer.Option("--xlsx", help="Write every table into report.xlsx as well.")] = False,
) -> None:
    """Write a report for whoever runs the studio: a summary, then one page per question, all readable without internet.

    With --archive it covers what the archive holds; with --studio, what the API shows now; with neither, the demo.
    Changes compare with the equally long period before.
    """
    from bookings_analytics.report import Request, write_report

    request = Request(
        cohorts=cohorts,
        archive=archive,
        studio=studio,
        studios=studios,
        classes=classes,
        since=since.date() if since else None,
        until=until.date() if until else None,
        last=last,
        by=by,
        timezone=timezone,
        opens=opens,
        closes=closes,
        suppress_small=suppress_small,
        with_customers=with_customers,
        xlsx=xlsx,
    )
    write_report(folder, request, echo=typer.echo)


@app.command("demo-api")
def demo_api(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on this machine; 0 takes a free one.")] = 8765,
    seed: Annotated[int | None, typer.Option(help="The same seed builds the same studio.")] = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"],
            help="Local time at the studio when it starts: 2025-10-20 to 2026-07-05. [default: 2026-06-17T14:00]",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(min=0, help="Seconds at the studio for each second here.")] = 1,
) -> None:
    """Serve the made-up studio's API on this machine until Ctrl-C, and print how to reach it.

    With --speed 3600 an hour passes in a second: set the four variables it prints, run fetch every few seconds, and an
    archive of weeks grows in minutes.
    """
    from bookings_analytics.demo.timetable import FIRST_DAY, LAST_DAY, TIMEZONE

    at = ba.demo.NOW if start is None else start.replace(tzinfo=TIMEZONE)
    if not FIRST_DAY <= at < LAST_DAY:
        raise typer.BadParameter(f"The demo studio has no {start:%Y-%m-%d}. Choose --start 2025-10-20 to 2026-07-05.")
    ba.demo.serve_forever(port=port, seed=ba.demo.SEED if seed is None else seed, start=at, speed=speed)
