"""The chart of a rate over weeks: limits, center, signals, the reasons why limits start anew."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._rows import group_tooltip
from bookings_analytics.charts._style import WIDTH, finish, nothing, title
from bookings_analytics.charts._table import read
from bookings_analytics.charts._trend_axes import Axes
from bookings_analytics.charts._trend_findings import finding, together
from bookings_analytics.charts._trend_marks import Marks
from bookings_analytics.schema import TREND, TRENDS
from bookings_analytics.wording import SPELLED_OUT, days, noun, percent, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_Row = dict[str, Any]
_SIGNALS: Final = {"above": "above the limits", "below": "below the limits", "within": "within the limits"} | {
    f"run_{side}": f"one of nine or more in a row {side} the center" for side in ("above", "below")
}


def trend(weekly: IntoFrame, *, names: Mapping[Any, str] | None = None) -> alt.LayerChart:
    """Draw a rate week after week between the limits that chance alone hardly crosses, and write what that shows.

    One group has the chart for itself; several stand below each other, on the same axes.

    Args:
        weekly: What `bookings_analytics.trend` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.

    Raises:
        ValueError: If ``weekly`` lacks a column that the chart needs, or holds several rates.

    Example:
        >>> from datetime import date, timedelta
        >>> import polars as pl
        >>> from bookings_analytics import charts, schema
        >>> weekly = pl.DataFrame(
        ...     {
        ...         "week": [date(2026, 3, 2) + timedelta(weeks=week) for week in range(12)],
        ...         "week_complete": True, "rate": "no_show_rate", "value": [0.1, 0.12] * 6, "n": 100, "center": 0.11,
        ...         "limit_low": 0.02, "limit_high": 0.2, "signal": "within", "segment": 1, "slope": 0.0,
        ...         "slope_ci_low": -0.01, "slope_ci_high": 0.01, "n_undated": 0,
        ...     }
        ... )
        >>> drawn = charts.trend(pl.concat([pl.DataFrame(schema=schema.TREND), weekly], how="diagonal_relaxed"))
        >>> drawn.description
        'No-show rate by week. 1,200 seats, 2 Mar to 24 May 2026. Nothing but chance since 2 March: 12 weeks, ...'
    """
    table = read(weekly, schema=TREND, needs=TREND, made_by="trend", names=names)
    if not table.rows:
        return nothing("Rate by week", "there is no week")
    rates = {row["rate"] for row in table.rows}
    if len(rates) > 1:
        raise ValueError(f"the frame holds several rates, {', '.join(sorted(rates))}. Draw one chart for each of them.")
    facts = TRENDS[rates.pop()]
    heading = f"{facts.label[0].upper()}{facts.label[1:]} by week{table.per.replace(', by', ' and')}"
    groups = [[row for row in table.rows if row["group"] == label] for label in table.labels]
    if all(row["value"] is None for row in table.rows):
        return nothing(heading, f"no week has {facts.unit}")
    axes = Axes(groups)
    marks = Marks(axes)
    for row in table.rows:
        row["when"] = days(row["week"], row["week"] + timedelta(days=6))
        row["told"] = f"{percent(row['value'])} of {row['n']:,} {facts.unit}"
        row["seen"] = "incomplete week" if not row["week_complete"] else _SIGNALS.get(row["signal"], "not judged")
        row["limits"] = span(row["limit_low"], row["limit_high"])
        row["possible"] = span(row["value_bounds_low"], row["value_bounds_high"])
        row["why"] = row["reason"] or ""
    undated = sum({row["group"]: row["n_undated"] or 0 for row in table.rows}.values())
    counted = sum(row["n"] or 0 for row in table.rows)
    base = f"{counted:,} {facts.unit}{table.of if len(groups) > 1 else ''}, {axes.period}."
    base += f" Not dated, and not drawn: {undated:,} {facts.unit}." if undated else ""
    says = finding(groups[0], facts) if len(groups) == 1 else together(groups, _nouns(table.by))
    each = ""
    if 1 < len(groups) <= SPELLED_OUT:
        each = " " + " ".join(f"{weeks[0]['name']}: {finding(weeks, facts)}" for weeks in groups)
    tooltip = [
        *group_tooltip(table.by),
        *(alt.Tooltip(f"{field}:N", title=name) for name, field in _told(facts.label, table.rows).items()),
    ]
    return finish(
        marks.layers(tooltip, says),
        title=title(heading, base, marks.reading()),
        description=f"{heading}. {base} {says}{each}",
        width=WIDTH - 110,
        height=axes.height,
    )


def _nouns(by: Sequence[str]) -> str:
    return noun(by[0], 2) if len(by) == 1 else "groups"


def _told(label: str, rows: Sequence[_Row]) -> dict[str, str]:
    fields = {"week": "when", label: "told", "against chance": "seen", "limits": "limits"}
    if any(row["value_bounds_low"] is not None for row in rows):
        fields["whatever happened in unrecorded seats"] = "possible"
    return fields | ({"limits since": "why"} if any(row["why"] for row in rows) else {})
