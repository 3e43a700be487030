"""Options that several commands have: each is declared and explained once."""

from __future__ import annotations

from typing import Annotated, Final

import typer

COHORT_LIST: Final = typer.Option(help="The cohort list: csv, xlsx or parquet.")
ARCHIVE: Final = typer.Option(help="The archive: a directory, or the URL of an object store.")
ArchiveArgument = Annotated[str, typer.Argument(help="The archive: a directory, or the URL of an object store.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print how much would be erased, and erase nothing.")]
Opens = Annotated[
    str | None, typer.Option(help="No class begins before this local time; default: BOOKINGS_OPENS or 05:00.")
]
Closes = Annotated[
    str | None, typer.Option(help="No class ends after this local time; default: BOOKINGS_CLOSES or 24:00.")
]
