"""How every chart looks: texts, sizes, axes.

Nothing here uses Vega-Lite's ``config``: charts with one can't be put beside each other.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt

from bookings_analytics.charts.palette import FAINT, GRID, INK, QUIET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bookings_analytics.charts.frames import Table

NONE: Final = "—"  # where there is no number
WIDTH: Final = 640  # of a whole chart, about
_CHARACTER = 6.4  # the mean width of a letter at 12 px
_LINE = 14
_FEW, _MANY = 6, 15  # rows: many of them get their axis on top, where reading begins
_CENTERED = alt.ExprRef(f"{-_LINE / 2} * (length(split(datum.label, '\\n')) - 1)")  # the lines of a label in their row
SPELLED_OUT: Final = 6  # groups: an alternative text names each of so many, of more the extremes
_EDGE = 0.1  # of the axis: a label there is not centered, to stay on the chart
_Align = Literal["left", "center", "right"]
_SMALL: Final[dict[str, Any]] = {"color": QUIET, "fontSize": 12}


def percent(share: float | None) -> str:
    """Write a share without decimals; what rounds to nothing or to all, but is not, says so."""
    if share is None:
        return NONE
    rounded = f"{share:.0%}"
    if rounded == "0%" and share > 0:
        return "<1%"
    return ">99%" if rounded == "100%" and share < 1 else rounded


def interval(row: Mapping[str, Any], rate: str) -> str:
    """Write a rate with its interval: ``64% (61% to 67%)``."""
    if row[rate] is None:
        return NONE
    return f"{percent(row[rate])} ({percent(row[f'{rate}_ci_low'])} to {percent(row[f'{rate}_ci_high'])})"


def one_line(label: str) -> str:
    """Undo the line breaks of a label."""
    return label.replace("\n", " ")


def spread(rows: Iterable[Mapping[str, Any]], rate: str) -> str:
    """Write the least and the largest of a rate, with their groups."""
    low, *_, high = sorted(rows, key=lambda row: row[rate])
    return f"{percent(low[rate])} ({one_line(low['group'])}) to {percent(high[rate])} ({one_line(high['group'])})"


def title(text: str, *subtitle: str) -> alt.TitleParams:
    """Set the title and the lines under it, flush left."""
    lines = [line for part in subtitle if part for line in textwrap.wrap(part, 100)]
    return alt.TitleParams(
        textwrap.wrap(text, 78), subtitle=lines, anchor="start", frame="bounds", offset=12,
        color=INK, fontSize=15, fontWeight="bold", subtitleColor=QUIET, subtitleFontSize=12, subtitlePadding=6,
        subtitleLineHeight=16,
    )  # fmt: skip


def percent_x(field: str, top: float, **axis: Any) -> alt.X:  # noqa: ANN401 - whatever alt.Axis takes
    """Show shares from 0 to ``top``, in percent, on a light grid."""
    quiet = alt.Axis(
        format=".0%", tickCount=5, domain=False, ticks=False, gridColor=GRID, title=None,
        labelColor=QUIET, labelFontSize=11, labelPadding=6, **axis,
    )  # fmt: skip
    return alt.X(f"{field}:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=quiet)


def nothing(heading: str, why: str) -> alt.LayerChart:
    """Say that there is nothing to show, instead of an empty plot."""
    says = f"Nothing to show: {why}."
    text = alt.Chart(alt.InlineData([{"says": says}])).mark_text(align="left", **_SMALL)
    return finish(
        [text.encode(text="says:N", x=alt.value(0), y=alt.value(8))],
        title=title(heading), description=f"{heading}. {says}", width=WIDTH, height=20,
    )  # fmt: skip


def finish(layers: Iterable[alt.Chart], **properties: Any) -> alt.LayerChart:  # noqa: ANN401 - title, width and so on
    """Lay the layers over each other, without a frame."""
    return alt.LayerChart(layer=list(layers), view=alt.ViewBackground(stroke=None), **properties)


class Rows:
    """A chart with one row a group: labels on the left, a plot, columns of numbers on the right.

    Attributes:
        table: The groups.
        step: The height of a row, in pixels.
        size: The width and height of the plot.
        base: A chart of the table's rows, one band a group, to make layers of.
    """

    def __init__(self, table: Table, *, tooltip: Mapping[str, str], columns: Mapping[str, str]) -> None:
        """Measure the labels.

        Args:
            table: The groups.
            tooltip: What a mark tells under the pointer, after its group: heading to field.
            columns: The columns of numbers: heading to field.
        """
        lines = [label.split("\n") for label in table.labels]
        widest = max(len(line) for label in lines for line in label)
        roomy = 42 if len(lines) <= _FEW else 30 if len(lines) <= _MANY else 20
        aside = widest + sum(len(heading) + 3 for heading in columns)
        self.table = table
        self.columns = columns
        self.step = max(roomy, _LINE * max(map(len, lines)) + 6)
        self.size = {"width": max(300, round(WIDTH - _CHARACTER * aside)), "height": self.step * len(lines)}
        self.many = len(lines) > _MANY
        axis = alt.Axis(
            title=None, domain=False, ticks=False, grid=True, gridColor=FAINT, tickBand="center", labelLimit=0,
            labelExpr="split(datum.label, '\\n')", labelOffset=_CENTERED, labelColor=INK, labelFontSize=12,
            labelPadding=8,
        )  # fmt: skip
        self.base: alt.Chart = alt.Chart(alt.InlineData(table.rows)).encode(
            y=alt.Y("group:N", scale=alt.Scale(type="band", domain=table.labels), sort=None, axis=axis),
            tooltip=[
                *(alt.Tooltip(f"by_{i}:N", title=name) for i, name in enumerate(table.by)),
                *(alt.Tooltip(f"{field}:N", title=heading) for heading, field in tooltip.items()),
            ],
        )

    def x(self, field: str, top: float) -> alt.X:
        """Show shares from 0 to ``top``, the axis above the rows where they are many."""
        return percent_x(field, top, orient="top" if self.many else "bottom")

    def in_columns(self) -> Iterable[alt.Chart]:
        """Write the columns of numbers."""
        right = self.size["width"] + 8.0
        for heading, field in self.columns.items():
            right += _CHARACTER * (len(heading) + 3)
            yield self.base.mark_text(align="right", **_SMALL).encode(text=f"{field}:N", x=alt.value(right))
            yield self.above(heading, x=alt.value(right), align="right", color=QUIET)

    def key(self, says: str, at: float, *, color: str, level: int = 0) -> alt.Chart:
        """Name a mark that stands at the share ``at`` of the first row."""
        align: _Align = "left" if at < _EDGE else "right" if at > 1 - _EDGE else "center"
        return self.above(says, x=alt.datum(at), align=align, color=color, level=level + self.many)

    def above(self, says: str, *, level: int = 0, color: str, align: _Align, x: Any) -> alt.Chart:  # noqa: ANN401 - a channel
        """Write above the plot."""
        data = alt.InlineData([{"says": says}])
        mark = alt.Chart(data).mark_text(align=align, baseline="bottom", color=color, fontSize=12)
        layer: alt.Chart = mark.encode(text="says:N", x=x, y=alt.value(-6 - 16 * level))
        return layer

    def notes(self, field: str) -> alt.Chart:
        """Say in a row why it has no mark."""
        mark = self.base.mark_text(align="left", fontStyle="italic", **_SMALL)
        layer: alt.Chart = mark.encode(text=f"{field}:N", x=alt.value(6))
        return layer

    def dots(self, rate: str, *, color: str, filled: bool = True, y_offset: int = 0) -> Iterable[alt.Chart]:
        """Draw a rate as a dot on its confidence interval."""
        rule = self.base.mark_rule(strokeWidth=1.5, color=color, yOffset=y_offset)
        yield rule.encode(x=f"{rate}_ci_low:Q", x2=f"{rate}_ci_high")
        fill = color if filled else "white"
        dot = self.base.mark_point(size=55, stroke=color, strokeWidth=1.8, fill=fill, opacity=1, yOffset=y_offset)
        yield dot.encode(x=f"{rate}:Q")

    def band(self, rate: str, *, color: str, y_offset: int = 0) -> alt.Chart:
        """Draw, pale and broad, between what bounds have a rate if nobody recorded some attendance."""
        mark = self.base.mark_rule(strokeWidth=7, opacity=0.3, color=color, yOffset=y_offset)
        layer: alt.Chart = mark.encode(x=f"{rate}_min:Q", x2=f"{rate}_max")
        return layer
