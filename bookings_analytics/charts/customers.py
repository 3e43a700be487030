"""The chart of how concentrated no-shows are: how few customers made how many of them."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._palette import NO_SHOW, QUIET
from bookings_analytics.charts._style import SMALL, WIDTH, axis, finish, nothing, title
from bookings_analytics.charts._table import read
from bookings_analytics.schema import CUSTOMERS
from bookings_analytics.wording import counted, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_HEIGHT: Final = 260
_TENTH: Final = 0.1
_WHOLE: Final = alt.Scale(domain=[0, 1], nice=False)
_SMALL: Final[dict[str, Any]] = {"titleColor": QUIET, "titleFontWeight": "normal"}
_HERE, _ALIKE = "these customers", "if all missed equally often"


def customers(who: IntoFrame) -> alt.LayerChart:
    """Draw the share of all no-shows against the share of the customers who made them, those with most first.

    Beside it stands the curve of customers who are all alike, each seat being missed with the same chance: also then
    some have more no-shows than others. No customer is named.

    Args:
        who: What `bookings_analytics.customers` returns, or rows of it.

    Raises:
        ValueError: If ``who`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> who = pl.DataFrame({"n_attended": [4, 6, 8, 8], "n_no_show": [4, 2, 0, 0]})
        >>> charts.customers(who).description
        'How concentrated no-shows are. 6 no-shows of 2 customers, ... The tenth with most made 27%; ...'
    """
    rows = read(who, schema=CUSTOMERS, needs=("n_attended", "n_no_show"), made_by="customers").rows
    seats = [(row["n_attended"] + row["n_no_show"], row["n_no_show"]) for row in rows]
    seats = [(n, missed) for n, missed in seats if n]
    heading = "How concentrated no-shows are"
    n_missed = sum(missed for _, missed in seats)
    if not n_missed:
        return nothing(heading, "there is no no-show" if seats else "nobody has a recorded seat")
    rate = n_missed / sum(n for n, _ in seats)
    found: dict[int, float] = {}
    for _, missed in seats:
        found[missed] = found.get(missed, 0) + 1
    curve, alike = _curve(found, _HERE), _curve(_alike(seats, rate), _ALIKE)
    for point in curve:
        whoever = f"{counted(round(point['n']), 'customer')} ({percent(point['customers'])})"
        point["told"] = (
            f"{whoever} with {counted(point['missed'], 'no-show')} or more made {percent(point['no_shows'])}"
        )
    x, y = (
        alt.X(
            "customers:Q",
            scale=_WHOLE,
            axis=axis(format=".0%", title="customers, those with most no-shows first", **_SMALL),
        ),
        alt.Y("no_shows:Q", scale=_WHOLE, axis=axis(format=".0%", title="of all no-shows", **_SMALL)),
    )
    start = {"customers": 0.0, "no_shows": 0.0}
    lines = [
        alt.Chart(alt.InlineData([start, *points]))
        .mark_line(color=color, strokeWidth=width, strokeDash=dash)
        .encode(x=x, y=y)
        for points, color, width, dash in ((alike, QUIET, 1.2, [4, 3]), (curve, NO_SHOW, 2, [1, 0]))
    ]
    dots = alt.Chart(alt.InlineData([point for point in curve if point["missed"]])).mark_point(
        filled=True, color=NO_SHOW, size=40, opacity=1
    )
    n_some = sum(missed > 0 for _, missed in seats)
    base = f"{counted(n_missed, 'no-show')} of {counted(n_some, 'customer')}, of {len(seats):,} with a recorded seat."
    top, by_chance = (_at(points, _TENTH) for points in (curve, alike))
    finding = f"The tenth with most made {percent(top)}; if all missed equally often, {percent(by_chance)}."
    return finish(
        [*lines, dots.encode(x=x, y=y, tooltip=alt.Tooltip("told:N", title="no-shows")), *_names(curve, alike)],
        title=title(heading, base, finding),
        description=f"{heading}. {base} {finding}",
        width=min(WIDTH - 90, 420),
        height=_HEIGHT,
    )


def _curve(customers_by_misses: Mapping[int, float], says: str) -> list[dict[str, Any]]:
    """Add up customers and no-shows, from those with most down to those with none."""
    n_all = sum(customers_by_misses.values())
    n_missed = sum(missed * n for missed, n in customers_by_misses.items())
    points: list[dict[str, Any]] = []
    n = so_far = 0.0
    for missed in sorted(customers_by_misses, reverse=True):
        n, so_far = n + customers_by_misses[missed], so_far + missed * customers_by_misses[missed]
        share = {"customers": round(n / n_all, 4), "no_shows": round(so_far / n_missed, 4)}
        points.append({"missed": missed, "n": n, **share, "says": says})
    return points


def _alike(seats: Sequence[tuple[int, int]], rate: float) -> dict[int, float]:
    """Compute how many customers would have each number of no-shows if all seats had the same chance to be missed."""
    expected: dict[int, float] = {}
    sizes: dict[int, int] = {}
    for n, _ in seats:
        sizes[n] = sizes.get(n, 0) + 1
    for n, times in sizes.items():
        for missed in range(n + 1):
            chance = comb(n, missed) * rate**missed * (1 - rate) ** (n - missed)
            expected[missed] = expected.get(missed, 0) + times * chance
    return expected


def _at(points: Sequence[Mapping[str, Any]], share: float) -> float:
    """Read off a curve what share of the no-shows a share of the customers made."""
    before = (0.0, 0.0)
    for point in points:
        here = (point["customers"], point["no_shows"])
        if here[0] >= share:
            return float(before[1] + (here[1] - before[1]) * (share - before[0]) / (here[0] - before[0]))
        before = here
    return 1.0


def _names(curve: Sequence[Mapping[str, Any]], alike: Sequence[Mapping[str, Any]]) -> list[alt.Chart]:
    """Name both curves inside the plot, below them, where nothing is drawn."""
    names = []
    for points, color, y in ((curve, NO_SHOW, 0.24), (alike, QUIET, 0.14)):
        line = alt.Chart(alt.InlineData([{"customers": 0.5, "no_shows": y, "says": points[0]["says"]}]))
        names.append(
            line.mark_text(align="left", **{**SMALL, "color": color}).encode(
                x="customers:Q", y="no_shows:Q", text="says:N"
            )
        )
    return names
