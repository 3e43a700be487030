"""The chart of how full classes were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._palette import ATTENDED, GAP, INK, QUIET
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import finish, nothing, title
from bookings_analytics.charts._table import read
from bookings_analytics.schema import CLASS_FILL
from bookings_analytics.wording import NONE, SPELLED_OUT, counted, percent, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_FULL: Final = 1.0  # every place taken
_NEEDS: Final = ("n_slots", "n_slots_left_out", "n_places", "n_listed", "filled_share", "listed_share")


def class_fill(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the share of their places that classes filled, and how much of it by customers of the list.

    Args:
        rates: What `bookings_analytics.class_fill` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted, as in
            ``[18, 19]``; None keeps the order of ``rates``.

    Raises:
        ValueError: If ``rates`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> rates = pl.DataFrame({
        ...     "hour": [7, 18],
        ...     "n_slots": [20, 24],
        ...     "n_slots_left_out": [0, 1],
        ...     "n_places": [400, 480],
        ...     "n_listed": [90, 216],
        ...     "filled_share": [0.5, 0.95],
        ...     "listed_share": [0.45, 0.5],
        ... })
        >>> charts.class_fill(rates).description
        'How full classes were, by hour. 44 class slots. ... 07:00: 50% filled, 45% of the booked on the list. 18...'
    """
    table = read(rates, schema=CLASS_FILL, needs=_NEEDS, made_by="class_fill", names=names, sort=sort)
    heading = f"How full classes were{table.per}"
    if not table.rows:
        return nothing(heading)
    n_slots, left_out = (sum(row[name] for row in table.rows) for name in ("n_slots", "n_slots_left_out"))
    base = f"{counted(n_slots, 'class slot')}.{table.period}"
    if left_out:
        base += f" Not counted: {left_out:,} not looked at since they began, or whose places the API does not tell."
    if not n_slots:
        return nothing(heading, "no class was looked at after it had begun")
    listed = any(row["listed_share"] is not None for row in table.rows)
    for row in table.rows:
        row["n"] = f"{row['n_slots']:,}"
        row["filled"] = NONE if row["filled_share"] is None else percent(row["filled_share"])
        row["listed"] = NONE if row["listed_share"] is None else percent(row["listed_share"])
        row["places"] = f"{row['n_places']:,}"
        row["ours"] = round(row["n_listed"] / row["n_places"], 4) if row["n_places"] and listed else None
        row["note"] = "" if row["n_places"] else "no class counted"
    columns = {"filled": "filled", "on the list": "listed", "classes": "n"}
    if not listed:
        del columns["on the list"]
    tooltip = {"filled": "filled", "of the booked on the list": "listed", "classes": "n", "places": "places"}
    rows = Rows(table, tooltip=tooltip, columns=columns)
    end = max([_FULL, *(row["filled_share"] * 1.02 for row in table.rows if row["filled_share"] is not None)])
    height = max(8, round(0.55 * rows.step))
    full = alt.Chart(alt.InlineData([{"full": _FULL}])).mark_rule(color=QUIET, strokeDash=[4, 3])
    layers = [
        rows.base.mark_bar(size=height, fill=GAP, fillOpacity=0.35, stroke=INK, strokeWidth=0.7).encode(
            x=rows.shares("filled_share", round(end, 2)), x2=alt.XDatum(0)
        ),
        *([rows.base.mark_bar(size=height, color=ATTENDED).encode(x=alt.X("ours:Q"), x2=alt.XDatum(0))] * listed),
        full.encode(x=alt.X("full:Q")),
        *rows.aside(),
    ]
    reading = "Bar: taken places." + " Blue: by customers of the list." * listed + " Dashed line: every place."
    return finish(
        layers,
        title=title(heading, base, reading),
        description=f"{heading}. {base} {_finding(table.rows, listed=listed)}",
        **rows.size,
    )


def _finding(rows: Sequence[Mapping[str, Any]], *, listed: bool) -> str:
    counts = [row for row in rows if row["n_places"]]
    if len(counts) > SPELLED_OUT:
        return f"Filled: {spread(counts, 'filled_share')}."
    return " ".join(
        f"{row['name']}: {row['filled']} filled" + f", {row['listed']} of the booked on the list" * listed + "."
        for row in counts
    )
