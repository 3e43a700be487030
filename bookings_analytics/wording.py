"""How numbers and names are written: percentages, intervals, counts, nouns and labels, the same everywhere."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

NONE: Final = "—"  # where there is no number
SPELLED_OUT: Final = 6  # groups: a text names each of up to this many, of more the extremes
_BREAKS: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")  # some of them abort vl-convert
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]()<>#+\-.!|~&$:@^]")
_FATAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # as vl-convert ends at them
_NUMBER: Final = re.compile(r"[+-]?\d+([.,]\d+)*%?")
_DATED: Final = ("week", "weekday", "month", "class_day", "hour")
_LABEL_WIDTH: Final = 30  # characters; longer labels go on in a further line
_NOUNS: Final = {"class_id": ("class", "classes"), "class_slot_id": ("class slot", "class slots")}
POSITIONS: Final = {  # what a position in the funnel means
    "below_998": "below the 99.8% limit",
    "below_95": "below the 95% limit",
    "within": "within the limits of chance",
    "above_95": "above the 95% limit",
    "above_998": "above the 99.8% limit",
}


def percent(share: float | None) -> str:
    """Write a share without decimals; what rounds to nothing or to all, but is not, says so."""
    if share is None:
        return NONE
    rounded = f"{share:.0%}"
    if rounded == "0%" and share > 0:
        return "<1%"
    return ">99%" if rounded == "100%" and share < 1 else rounded


def span(low: float | None, high: float | None) -> str:
    """Write two shares as an interval: ``61% to 67%``."""
    return NONE if low is None else f"{percent(low)} to {percent(high)}"


def interval(row: Mapping[str, Any], rate: str) -> str:
    """Write a rate with its interval: ``64% (61% to 67%)``.

    Args:
        row: A row of a frame of rates, by name.
        rate: The name of the rate.

    Example:
        >>> row = {"no_show_rate": 0.094, "no_show_rate_ci_low": 0.071, "no_show_rate_ci_high": 0.123}
        >>> interval(row, "no_show_rate")
        '9% (7% to 12%)'
    """
    return f"{percent(row[rate])} ({span(row[f'{rate}_ci_low'], row[f'{rate}_ci_high'])})"


def bounds(row: Mapping[str, Any], rate: str) -> str:
    """Write the bounds of a rate: ``between 5% and 29%``.

    Args:
        row: A row of a frame of rates, by name.
        rate: The name of the rate, of which neither bound is null.
    """
    return f"between {percent(row[f'{rate}_bounds_low'])} and {percent(row[f'{rate}_bounds_high'])}"


def spread(rows: Iterable[Mapping[str, Any]], rate: str) -> str:
    """Write the least and the largest of a rate, with their groups."""
    low, *_, high = sorted(rows, key=lambda row: row[rate])
    return f"{percent(low[rate])} ({low['name']}) to {percent(high[rate])} ({high['name']})"


def counted(n: int, one: str) -> str:
    """Write a count with its noun: ``1 seat``, ``1,204 seats``."""
    return f"{n:,} {one}{'' if n == 1 else 's'}"


def singular(unit: str) -> str:
    """Write a unit of the schema, such as ``seats held or canceled on the class day``, for a single one of it."""
    things, *which = unit.split(" ")
    return " ".join([things.removesuffix("s"), *which])


def points(difference: float | None) -> str:
    """Write a difference of shares in percentage points, with its sign: ``+5``."""
    if difference is None:
        return NONE
    whole = round(100 * difference)
    return f"{whole:+}".replace("-", "\N{MINUS SIGN}") if whole else "0"


def slope(shares: float | None) -> str:
    """Write a slope in percentage points a week, with its sign: ``+0.3``."""
    if shares is None:
        return NONE
    return f"{100 * shares:+.1f}".replace("-", "\N{MINUS SIGN}") if round(100 * shares, 1) else "0"


def points_span(low: float | None, high: float | None) -> str:
    """Write two differences of shares as an interval: ``+2 to +9``."""
    return NONE if low is None or high is None else f"{points(low)} to {points(high)}"


def days(first: date, last: date) -> str:
    """Write a period: ``4 May to 31 May 2026``."""
    end = f"{last.day} {last:%b %Y}"
    if first == last:
        return end
    return f"{first.day} {first:%b}{f' {first:%Y}' if first.year != last.year else ''} to {end}"


def amount(number: float | None) -> str:
    """Write a number of classes a week: ``0.84``."""
    return NONE if number is None else f"{number:.2f}"


def amount_interval(row: Mapping[str, Any], name: str) -> str:
    """Write a number of classes a week with its interval: ``0.84 (0.70 to 1.00)``."""
    return f"{amount(row[name])} ({amount(row[f'{name}_ci_low'])} to {amount(row[f'{name}_ci_high'])})"


def amount_change(difference: float | None) -> str:
    """Write a difference of classes a week, with its sign: ``+0.12``."""
    if difference is None:
        return NONE
    return f"{difference:+.2f}".replace("-", "\N{MINUS SIGN}") if round(difference, 2) else "0"


def noun(column: str, n: int) -> str:
    """Name what a number of groups are: ``class`` for one of class_id, ``age groups`` for several of age_group."""
    one, many = _NOUNS.get(column, (own := cleaned(column).replace("_", " "), own + "s"))
    return one if n == 1 else many


def label(value: object, column: str = "") -> str:
    """Write a value of a group column as text; a class without a date is "not dated", hour 18 is "18:00"."""
    if value is None:
        return "not dated" if column in _DATED else "(none)"
    if column == "hour" and isinstance(value, int):
        return f"{value:02}:00"
    return cleaned(str(value)) or "(empty)"


def labels(
    groups: Iterable[tuple[Any, ...]],
    names: Mapping[Any, str],
    by: Sequence[str] = (),
    classes: Mapping[tuple[Any, ...], str | None] | None = None,
) -> dict[tuple[Any, ...], str]:
    """Name each group; groups whose names are the same get their own values in brackets, or a number.

    Args:
        groups: The values of each group.
        names: Titles for some of these values.
        by: The columns of the values.
        classes: What the class of each group is called, where `names` has no title for it.
    """
    # vl-convert brings no font with a middle dot, say, and pictures would be as wide as the machine's own has it.
    values = {group: [label(*cell) for cell in zip(group, by or [""] * len(group), strict=True)] for group in groups}
    place = by.index("class_id") if classes else None

    def title(group: tuple[Any, ...], i: int) -> str:
        of_class = classes.get(group) if classes and i == place else None
        return cleaned(names.get(group[i]) or of_class or "") or values[group][i]

    titles = {group: " / ".join(title(group, i) for i in range(len(group))) or "all" for group in values}
    taken = Counter(map(wrapped, titles.values()))
    named: dict[str, tuple[Any, ...]] = {}
    for group, called in titles.items():
        own = ", ".join(values[group])
        unique = base = called if taken[wrapped(called)] == 1 or own == called else f"{called} ({own})"
        n = 1
        while wrapped(unique) in named:
            n += 1
            unique = f"{base} [{n}]"
        named[wrapped(unique)] = group
        titles[group] = unique
    return titles


def wrapped(label: str) -> str:
    """Break a label into lines."""
    return textwrap.fill(label, _LABEL_WIDTH)


def unprintable(name: str) -> bool:
    """Check whether `cleaned` would remove more from a name than spaces and line breaks."""
    return _CONTROLS.search(_BREAKS.sub(" ", name)) is not None


def cleaned(name: str) -> str:
    r"""Trim a name and remove what no chart, table or terminal can show: line breaks become spaces, controls go.

    Example:
        >>> cleaned(" Yoga\x1b[31m\nFlow ")
        'Yoga[31m Flow'
    """
    return _CONTROLS.sub("", _BREAKS.sub(" ", name)).strip()


def in_markdown(name: str) -> str:
    r"""Escape a name for Markdown and the HTML in it, so that it shows as it is and does nothing.

    Example:
        >>> print(in_markdown("A*B <img src=x> [x](y)"))
        A\*B \<img src=x\> \[x\]\(y\)
    """
    return _MARKUP.sub(r"\\\g<0>", cleaned(name))


def in_csv(text: str) -> str:
    """Write a text so that a spreadsheet shows it and calculates nothing: OWASP's rule, numbers left as they are.

    Example:
        >>> in_csv("=1+1"), in_csv("-5"), in_csv("Yoga")
        ("'=1+1", '-5', 'Yoga')
    """
    text = cleaned(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and not _NUMBER.fullmatch(text) else text


def drawable(spec: Any) -> Any:  # noqa: ANN401 - whatever JSON holds, and the same back
    """Remove from every name and text of a chart's specification the characters that abort the process drawing it."""
    if isinstance(spec, str):
        return _FATAL.sub("", spec)
    if isinstance(spec, dict):
        return {drawable(name): drawable(value) for name, value in spec.items()}
    return [drawable(value) for value in spec] if isinstance(spec, list) else spec
