"""A report from what was asked for to the files: everything is checked before the first is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import vl_convert
from altair.utils.schemapi import debug_mode

from bookings_analytics.errors import ConfigurationError, ReportError
from bookings_analytics.notebook.export import with_texts
from bookings_analytics.notebook.sheets import write_workbook
from bookings_analytics.report.material import read
from bookings_analytics.report.page import page
from bookings_analytics.report.parts import Figure, Sheet
from bookings_analytics.report.questions import questions
from bookings_analytics.report.request import check
from bookings_analytics.report.summary import about, index
from bookings_analytics.studios import API_KEY_VARIABLE
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bookings_analytics.report.request import Request

WORKBOOK: Final = "report.xlsx"
_SCALE: Final = 2  # pixels of a picture for each of the chart's


def write_report(folder: Path, request: Request, *, echo: Callable[[str], object]) -> None:
    """Write a report: a first page that holds all of it, one page per question, each chart as a picture.

    Args:
        folder: Where to write; files of an earlier report there are replaced.
        request: What it is to be about.
        echo: Called with each line about what was written.

    Raises:
        ArchiveError: The archive can't be read.
        CohortError: The list or the titles can't be used.
        ConfigurationError: An option can't be used, or there is nothing to report on; nothing is written then.
        ReportError: A page would show the API key; nothing is written then.
    """
    checked = check(request, folder)
    m = read(request, checked)
    demo = request.cohorts is None
    with debug_mode(arg=False):  # charts are built of Altair's own classes, and tests validate them
        answered = list(questions(m))
    headline = about(m, demo=demo)
    pages = {f"{each.key}.html": page(each, about=headline) for each in answered}
    pages = {"index.html": index(m, answered, demo=demo), **pages}
    _refuse_key(pages)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (folder / name).write_text(text, "utf-8")
        for question in answered:
            figures = [part for part in question.parts if isinstance(part, Figure)]
            for i, figure in enumerate(figures, 1):
                spec = figure.spec
                picture = with_texts(vl_convert.vegalite_to_png(spec, scale=_SCALE), spec)
                (folder / f"{question.key}-{i}.png").write_bytes(picture)
        sheets = [part.table.sheet for each in answered for part in each.parts if isinstance(part, Sheet)]
        if request.xlsx and sheets:
            write_workbook(folder / WORKBOOK, sheets)
    except OSError as error:
        raise ConfigurationError(f"{folder} can't be written: {error.strerror}. Name another folder.") from error
    if request.xlsx and sheets:
        echo(f"{folder / WORKBOOK}: {counted(len(sheets), 'table')}")
    echo(f"{folder / 'index.html'}: {counted(len(answered), 'question')}, each also as a page of its own")


def _refuse_key(pages: dict[str, str]) -> None:
    key = os.environ.get(API_KEY_VARIABLE)
    for name, text in pages.items():
        if key and key in text:
            raise ReportError(f"{name} would show the API key, so nothing was written. Take the key out of the list.")
