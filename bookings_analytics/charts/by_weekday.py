"""The chart of any rate by weekday and group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._palette import GAP, INK, QUIET, on
from bookings_analytics.charts._rows import group_tooltip
from bookings_analytics.charts._style import WIDTH, axis, finish, nothing, title, top
from bookings_analytics.charts._timed import and_others, few, read_timed
from bookings_analytics.schema import FEW_CUSTOMERS
from bookings_analytics.wording import SPELLED_OUT, counted, interval, percent, spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoFrame

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNDATED: Final = "not dated"
_SHADES: Final = ("#DCEBF7", "#B4D3EA", "#82B4DA", "#4A90C4", "#2470A8", "#0B4F85", "#07325A")
_LETTER: Final = 6.4
_LINE: Final = 14


def by_weekday(rates: IntoFrame, rate: str, *, names: Mapping[Any, str] | None = None) -> alt.LayerChart:
    """Draw a rate by weekday and group as a heat map, with the number behind each cell.

    A cell of fewer than ten effective customers, or customers where the frame has no effective ones, stays blank.

    Args:
        rates: What a function of rates returns, grouped by ``weekday`` and any other columns.
        rate: The rate to draw, as in ``"no_show_rate"``.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.

    Raises:
        ValueError: If ``rates`` lacks the rate, its interval or ``weekday``.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> rates = pl.DataFrame({
        ...     "weekday": ["Mon", "Sat"],
        ...     "n_customers": [60, 4],
        ...     "n_attended": [90, 6],
        ...     "n_no_show": [10, 2],
        ...     "no_show_rate": [0.1, 0.25],
        ...     "no_show_rate_ci_low": [0.05, 0.04],
        ...     "no_show_rate_ci_high": [0.18, 0.6],
        ... })
        >>> charts.by_weekday(rates, "no_show_rate").description
        'No-show rate by weekday. 108 seats. Blank: 1 cell of fewer than 10 customers. all, Mon: 10% (5% to 18%).'
    """
    table, facts = read_timed(rates, rate, "weekday", names)
    heading = f"{facts.label[0].upper()}{facts.label[1:]} by weekday{and_others(table, 'weekday')}"
    if not table.rows:
        return nothing(heading)
    shown = [row for row in table.rows if row[rate] is not None and not few(row)]
    largest = max((row[rate] for row in shown), default=0.0)
    end = top([largest])
    for row in table.rows:
        blank = row[rate] is None or few(row)
        row["day"] = row["weekday"] or _UNDATED
        row["color"] = "white" if blank else _SHADES[min(len(_SHADES) - 1, int(row[rate] / end * len(_SHADES)))]
        row["ink"] = on(row["color"]) if not blank else QUIET
        row["written"] = "" if blank else percent(row[rate])
        row["n_told"] = f"{row['trials']:,}"
        row["told"] = "few customers" if few(row) else f"{interval(row, rate)}, of {row['trials']:,} {facts.unit}"
    columns = [*_WEEKDAYS, *([_UNDATED] if any(row["day"] == _UNDATED for row in table.rows) else [])]
    groups = list(dict.fromkeys(row["series"] for row in table.rows))
    label = axis(
        grid=False,
        labelExpr="split(datum.label, '\\n')",
        labelLimit=0,
        labelColor=INK,
        labelFontSize=12,
        labelPadding=8,
        labelOffset=alt.ExprRef("-7 * (length(split(datum.label, '\\n')) - 1)"),
    )
    base = alt.Chart(alt.InlineData(table.rows)).encode(
        x=alt.X(
            "day:N",
            scale=alt.Scale(type="band", domain=columns, paddingInner=0.04),
            axis=axis(
                orient="top",
                grid=False,
                labelAngle=0,
                labelFontSize=12,
                labelBaseline="bottom",
                labelPadding=20 if _UNDATED in columns else 4,
                labelExpr="split(datum.label, ' ')",
            ),
        ),
        y=alt.Y("series:N", scale=alt.Scale(type="band", domain=groups, paddingInner=0.08), sort=None, axis=label),
        tooltip=[*group_tooltip(table.by), alt.Tooltip("told:N", title=facts.label)],
    )
    layers = [
        base.mark_rect(stroke=GAP, strokeWidth=0.7).encode(color=alt.Color("color:N", scale=None)),
        base.mark_text(dy=-6, fontSize=12).encode(text=alt.Text("written:N"), color=alt.Color("ink:N", scale=None)),
        base.mark_text(dy=8, fontSize=10).encode(text=alt.Text("n_told:N"), color=alt.Color("ink:N", scale=None)),
    ]
    n_blank = len(table.rows) - len(shown)
    base_text = f"{sum(row['trials'] for row in table.rows):,} {facts.unit}.{table.period}"
    if n_blank:
        base_text += f" Blank: {counted(n_blank, 'cell')} of fewer than {FEW_CUSTOMERS} customers."
    for row in shown:
        row["name"] = f"{row['name_series']}, {row['day']}"
    told = (
        " ".join(f"{row['name']}: {interval(row, rate)}." for row in shown)
        if len(shown) <= SPELLED_OUT
        else f"From {spread(shown, rate)}."
    )
    widest = max(len(line) for group in groups for line in group.split("\n"))
    lines = max(group.count("\n") + 1 for group in groups)
    return finish(
        layers,
        title=title(heading, base_text, f"Darker: higher, up to {percent(end)}. Below each rate: its {facts.unit}."),
        description=f"{heading}. {base_text} {told}",
        width=max(300, round(WIDTH - _LETTER * widest)),
        height=max(40, _LINE * lines + 10) * len(groups),
    )
