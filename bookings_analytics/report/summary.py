"""The first page of a report: what each of its pages asks, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from bookings_analytics.report.page import answer_of, document, prose, title_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Entry:
    """One page of a report as its first page lists it.

    Attributes:
        file: The page's file name.
        title: Its title.
        answer: The first paragraph that it writes in words, as Markdown; empty without one.
    """

    file: str
    title: str
    answer: str

    @classmethod
    def of(cls, file: str, notebook: Mapping[str, Any]) -> Entry:
        """Read the entry from an executed notebook.

        Args:
            file: The page's file name.
            notebook: The notebook that the page shows.
        """
        return cls(file, title_of(notebook), answer_of(notebook))


def index(entries: Iterable[Entry], *, note: str) -> str:
    """Write the first page of a report, with each page's title and answer.

    Args:
        entries: The pages in their order.
        note: What the report is about and when it was written, as text.
    """
    listed = "\n".join(
        f'<h2><a href="{escape(entry.file)}">{escape(entry.title)}</a></h2>\n{prose(entry.answer)}' for entry in entries
    )
    return document("Bookings report", f"<h1>Bookings report</h1>\n<p>{escape(note)}</p>\n{listed}")
