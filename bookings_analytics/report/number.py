"""A number of a report's first page: how it is written, its change, and its weeks as a small picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from bookings_analytics.wording import percent, points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

PP: Final = "points"
_POINT: Final = 0.01


@dataclass(frozen=True)
class Change:
    """By how much a number changed against the period before.

    Attributes:
        text: The change in words.
        direction: Which way; "none" where it is no more than chance, or has no interval.
        good: Whether the studio wants it so; None where there is no direction.
    """

    text: str
    direction: Literal["up", "down", "none"] = "none"
    good: bool | None = None


@dataclass(frozen=True)
class Number:
    """One of the six numbers.

    Attributes:
        key: Its name in the page.
        name: What it is called.
        value: The number in words.
        detail: Its interval and what it is of.
        change: Its change; None where none is shown.
        weeks: The number of each complete week: its Monday, and the value.
        written: How a value of a week is written.
    """

    key: str
    name: str
    value: str
    detail: str
    change: Change | None
    weeks: list[tuple[date, float | None]]
    written: Callable[[float | None], str] = percent


def in_points(difference: float) -> str:
    """Write a difference of shares in percentage points, with a decimal where it is below one.

    Args:
        difference: The difference; 0.05 is five points.
    """
    return points(difference) if abs(difference) >= _POINT else signed(100 * difference, 1)


def signed(difference: float, decimals: int) -> str:
    """Write a number with its sign, and with as many decimals more as keep it from reading as zero.

    Args:
        difference: The number.
        decimals: How many decimals it has otherwise.
    """
    while difference and not round(difference, decimals):
        decimals += 1
    return f"{difference:+.{decimals}f}".replace("-", "\N{MINUS SIGN}") if difference else "0"


def sparkline(number: Number) -> Iterator[str]:
    """Draw the weeks of a number as a small picture in HTML, which says in words what it shows.

    Args:
        number: One of the six.
    """
    known = [(i, value) for i, (_, value) in enumerate(number.weeks) if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return
    values = [value for _, value in known]
    width, height, edge = 150, 34, 4
    low, high = min(values), max(values)
    spread = (high - low) or 1
    step = (width - 2 * edge) / (len(number.weeks) - 1)

    def place(i: int, value: float) -> str:
        return f"{edge + i * step:.1f},{height - edge - (value - low) / spread * (height - 2 * edge):.1f}"

    first, last = number.weeks[known[0][0]][0], number.weeks[known[-1][0]][0]
    write = number.written
    says = (
        f"{len(number.weeks)} weeks from {first.day} {first:%b}: between {write(low)} and {write(high)}, "
        f"{write(values[-1])} in the week of {last.day} {last:%b}."
    )
    span = f"{write(low)} in all" if write(low) == write(high) else f"{write(low)} to {write(high)} in"
    line = " ".join(place(*each) for each in known)
    x, y = place(*known[-1]).split(",")
    yield (
        f'<svg class="weeks" role="img" aria-label="{says}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><polyline points="{line}"/><circle cx="{x}" cy="{y}" r="3"/></svg>'
        f'<p class="ends">{span} {len(number.weeks)} weeks</p>'
    )
