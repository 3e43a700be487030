"""The first page of a report: the numbers, what they say, and then every question."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics.report.number import sparkline
from bookings_analytics.report.numbers import six_numbers
from bookings_analytics.report.page import document, prose, section
from bookings_analytics.report.said import cautions, findings
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.wording import counted, days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bookings_analytics.report.material import Material
    from bookings_analytics.report.number import Change, Number
    from bookings_analytics.report.parts import Question

_ARROWS = {"up": "\N{BLACK UP-POINTING TRIANGLE} ", "down": "\N{BLACK DOWN-POINTING TRIANGLE} ", "none": ""}


def about(m: Material, *, demo: bool) -> str:
    """Write what a report is about: the days, the customers and the looks.

    Args:
        m: What the report is made of.
        demo: Whether it is the demo's.
    """
    asked = m.listed.n_unique(list(CUSTOMER_KEY))
    read = m.listed.filter(pl.col("fetch_outcome") == "ok").n_unique(list(CUSTOMER_KEY))
    first, last = m.looks
    looks = (
        f"looked at from {days(first, first)} to {days(last, last)}"
        if first != last
        else f"looked at on {days(first, first)}"
    )
    which = "the demo's list" if demo else "the list"
    when = f"Classes of {m.period.text}. " if m.period.text else "All classes that the looks show. "
    return f"{when}{counted(asked, 'customer')} on {which}, {read:,} of them could be read, {looks}."


def index(m: Material, questions: Sequence[Question], *, demo: bool) -> str:
    """Write the first page of a report, which holds all of it.

    Args:
        m: What the report is made of.
        questions: The questions with their answers.
        demo: Whether it is the demo's.
    """
    numbers = six_numbers(m)
    entries = "".join(f'<li><a href="#{each.key}">{escape(each.title)}</a></li>' for each in questions)
    against = ""
    if m.period.no_change:
        against = m.period.no_change
    elif m.period.first:
        against = f"Changes are against {days(*m.period.before)}."
    notes = " ".join(filter(None, (m.period.note, against)))
    said = "".join(f"<li>{_inline(sentence)}</li>" for sentence in findings(m, numbers))
    warned = "".join(f"<li>{escape(sentence)}</li>" for sentence in cautions(m))
    parts = [
        f'<h1>Bookings report</h1>\n<p class="quiet">{escape(about(m, demo=demo))}</p>',
        f'<p class="quiet">{escape(notes)}</p>' if notes else "",
        f'<div class="numbers">{"".join(map(_number, numbers))}</div>',
        f'<ul class="findings">{said}</ul>',
        f'<div class="cautions"><h2>With caution</h2><ul>{warned}</ul></div>' if warned else "",
        f'<nav aria-label="Questions"><ul>{entries}</ul></nav>',
        *map(section, questions),
    ]
    return document("Bookings report", "\n".join(filter(None, parts)), questions)


def _number(number: Number) -> str:
    change = "" if number.change is None else _change(number.change)
    return (
        f'<section data-number="{number.key}">'
        f"<h2>{escape(number.name)}</h2>"
        f'<p class="value">{escape(number.value)}</p><p class="detail">{escape(number.detail)}</p>'
        f'<p class="change">{change}</p>{"".join(sparkline(number))}</section>\n'
    )


def _change(change: Change) -> str:
    arrow = f'<span aria-hidden="true">{_ARROWS[change.direction]}</span>' if _ARROWS[change.direction] else ""
    css = "" if change.good is None else ' class="good"' if change.good else ' class="bad"'
    return f"Change: <span{css}>{arrow}{escape(change.text)}</span>"


def _inline(markdown: str) -> str:
    """Write a sentence of Markdown without a paragraph around it."""
    return prose(markdown).removeprefix("<p>").removesuffix("</p>")
