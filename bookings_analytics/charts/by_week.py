"""The chart of any rate week after week."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._palette import ATTENDED, INK, NO_SHOW, OUTCOMES, QUIET
from bookings_analytics.charts._rows import group_tooltip
from bookings_analytics.charts._style import WIDTH, axis, day_labels, finish, nothing, right_edge, title, top
from bookings_analytics.charts._timed import and_others, read_timed
from bookings_analytics.wording import days, interval, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_COLORS: Final = (INK, ATTENDED, NO_SHOW, OUTCOMES["waiting"][1])  # of the lines, in their order
_WEEK: Final = 7
_LABELS: Final = 7  # weeks with a label, about
_HEIGHT: Final = 240
_LINE: Final = 14
_LETTER: Final = 6.4


def by_week(rates: IntoFrame, rate: str, *, names: Mapping[Any, str] | None = None) -> alt.LayerChart:
    """Draw a rate week after week: one line per group, its interval around each week, incomplete weeks hollow.

    Args:
        rates: What a function of rates returns, grouped by ``week`` and at most one set of up to four groups besides;
            with ``week_complete`` in ``by`` too, incomplete weeks are marked.
        rate: The rate to draw, as in ``"no_show_rate"``.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.

    Raises:
        ValueError: If ``rates`` lacks the rate, its interval or ``week``, or has more than four groups besides.

    Example:
        >>> from datetime import date
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> rates = pl.DataFrame({
        ...     "week": [date(2026, 5, 4), date(2026, 5, 11), None],
        ...     "n_attended": [90, 80, 9],
        ...     "n_no_show": [10, 20, 1],
        ...     "no_show_rate": [0.1, 0.2, 0.1],
        ...     "no_show_rate_ci_low": [0.05, 0.13, 0.0],
        ...     "no_show_rate_ci_high": [0.18, 0.3, 0.4],
        ... })
        >>> charts.by_week(rates, "no_show_rate").description
        'No-show rate by week. 200 seats, 4 May to 17 May 2026. Not dated, and not drawn: 10 seats. all: 10% to 20%.'
    """
    table, facts = read_timed(rates, rate, "week", names)
    heading = f"{facts.label[0].upper()}{facts.label[1:]} by week{and_others(table, 'week')}"
    dated = [row for row in table.rows if row["week"] is not None and row[rate] is not None]
    if not dated:
        return nothing(heading, "no week has a rate")
    series = list(dict.fromkeys(row["series"] for row in dated))
    if len(series) > len(_COLORS):
        raise ValueError(
            f"the frame has {len(series)} groups beside the weeks, and the chart has lines for {len(_COLORS)}. "
            "Filter the frame to those to compare."
        )
    first, last = min(row["week"] for row in dated), max(row["week"] for row in dated)
    n_weeks = (last - first).days // _WEEK + 1
    dated.sort(key=lambda row: row["week"])
    for row in dated:
        place = series.index(row["series"])
        complete = row.get("week_complete") is not False
        row["color"] = _COLORS[place]
        row["fill"] = _COLORS[place] if complete else "white"
        row["at"] = (row["week"] - first).days + 0.9 * (place - (len(series) - 1) / 2)  # beside, not over each other
        row["when"] = days(row["week"], row["week"] + timedelta(days=_WEEK - 1))
        told = f"{interval(row, rate)}, of {row['trials']:,} {facts.unit}"
        row["told"] = told if complete else f"{told}, incomplete week"
        row["week"] = row["week"].isoformat()
    end = top(row[f"{rate}_ci_high"] for row in dated)
    every = _WEEK * max(1, -(-n_weeks // _LABELS))
    labeled = list(range(0, n_weeks * _WEEK, every))
    x = alt.X(
        "at:Q",
        scale=alt.Scale(domain=[-3, (n_weeks - 1) * _WEEK + 3], nice=False),
        axis=axis(
            values=labeled,
            labelExpr=day_labels(first, labeled),
            grid=False,
            title="week from Monday",
            titleColor=QUIET,
            titleFontWeight="normal",
        ),
    )
    y = alt.Y(f"{rate}:Q", scale=alt.Scale(domain=[0, end], nice=False), axis=axis(format=".0%"))
    tooltip = [
        *group_tooltip(table.by),
        alt.Tooltip("when:N", title="week"),
        alt.Tooltip("told:N", title=facts.label),
    ]
    lines = [[row for row in dated if row["series"] == name] for name in series]
    layers = [layer for line in lines for layer in _line(line, rate, x, y, tooltip, alone=len(series) == 1)]
    lasts = [line[-1] for line in lines]
    if len(series) > 1:
        layers.append(_names(lasts, rate, end))
    undated = sum(row["trials"] for row in table.rows if row["week"] is None)
    base_text = f"{sum(row['trials'] for row in dated):,} {facts.unit}, {days(first, last + timedelta(days=6))}."
    if undated:
        base_text += f" Not dated, and not drawn: {undated:,} {facts.unit}."
    reading = "Band: confidence interval of each week." if len(series) == 1 else "Thin line: confidence interval."
    reading += " Hollow: incomplete week." * any(row["fill"] == "white" for row in dated)
    each = " ".join(
        f"{name}: {percent(min(values))} to {percent(max(values))}."
        for name in series
        for values in [[row[rate] for row in dated if row["series"] == name]]
    )
    widest = max(len(row["name_series"]) for row in lasts) if len(series) > 1 else 0
    return finish(
        layers,
        title=title(heading, base_text, reading),
        description=f"{heading}. {base_text} {each}",
        width=max(300, round(WIDTH - 40 - _LETTER * widest)),
        height=_HEIGHT,
    )


def _line(
    rows: list[dict[str, Any]], rate: str, x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip], *, alone: bool
) -> Iterator[alt.Chart]:
    """Draw the line of one group: a band of intervals if it is alone, since several would hide each other."""
    color = rows[0]["color"]
    base = alt.Chart(alt.InlineData(rows)).encode(x=x, y=y)
    low, high = alt.Y(f"{rate}_ci_low:Q"), alt.Y2(f"{rate}_ci_high:Q")
    if alone:
        band = base.mark_area(color=color, fillOpacity=0.12, stroke=color, strokeWidth=0.7, strokeDash=[2, 2])
        yield band.encode(y=low, y2=high)
    else:
        yield base.mark_rule(color=color, strokeWidth=1).encode(y=low, y2=high)
    runs = alt.Chart(alt.InlineData(_with_gaps(rows, rate)))
    yield runs.mark_line(color=color, strokeWidth=1.8).encode(x=x, y=y)
    points = base.mark_point(stroke=color, strokeWidth=1.8, size=45, opacity=1)
    yield points.encode(fill=alt.Fill("fill:N", scale=None), tooltip=tooltip)


def _names(lasts: list[dict[str, Any]], rate: str, end: float) -> alt.Chart:
    """Name each line at its end, no name over another."""
    apart = _LINE / _HEIGHT * end
    at, named = -apart, []
    for row in sorted(lasts, key=lambda row: row[rate]):
        at = round(max(row[rate], at + apart), 4)
        named.append({"y": at, "says": row["name_series"], "color": row["color"]})
    text = alt.Chart(alt.InlineData(named)).mark_text(align="left", dx=6, fontSize=12)
    layer: alt.Chart = text.encode(
        x=right_edge(), y=alt.Y("y:Q"), text=alt.Text("says:N"), color=alt.Color("color:N", scale=None)
    )
    return layer


def _with_gaps(rows: Sequence[Mapping[str, Any]], rate: str) -> list[dict[str, Any]]:
    """Break the line where a week has no rate."""
    line: list[dict[str, Any]] = []
    for row in rows:
        if line and row["at"] - line[-1]["at"] > 1.5 * _WEEK:
            line.append({"at": line[-1]["at"] + _WEEK, rate: None})
        line.append({"at": row["at"], rate: row[rate]})
    return line
