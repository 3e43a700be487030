"""Charts with one row per group: labels on the left, a plot, columns of numbers on the right."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import altair as alt

from bookings_analytics.charts._palette import FAINT, INK, QUIET
from bookings_analytics.charts._style import SMALL, WIDTH, axis, right_edge, share_axis, x_pixel, y_pixel
from bookings_analytics.wording import noun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bookings_analytics.charts._table import Table

_Align = Literal["left", "center", "right"]

_LETTER = 6.4  # the mean width of a letter at 12 px
_LINE = 14
_FEW, _MANY = 6, 15  # rows: many of them get their axis on top, where reading begins
_EDGE = 0.1  # of the axis: a label there is not centered, to stay on the chart


class Rows:
    """The geometry of such a chart, and the layers that several of them share.

    Attributes:
        table: The groups.
        base: A chart of the table's rows, one band per group, to make layers of.
        step: The height of a row, in pixels.
        size: The width and height of the plot.
        many: Whether the axis of shares is on top.
    """

    def __init__(self, table: Table, *, tooltip: Mapping[str, str], columns: Mapping[str, str]) -> None:
        """Measure the labels and the notes: a row's ``note`` says why it has no mark.

        Args:
            table: The groups.
            tooltip: What a mark tells under the pointer, after its group: heading to field.
            columns: The columns of numbers: heading to field.

        Raises:
            ValueError: If several rows are of one group.
        """
        if len(table.labels) < len(table.rows):
            raise ValueError(
                f"the frame has {len(table.rows)} rows for {len(table.labels)} groups, and a chart draws one for each. "
                "Pass the frame as the rates' function made it."
            )
        labels = [label.split("\n") for label in table.labels]
        widest = max(len(line) for label in labels for line in label) + sum(len(heading) + 3 for heading in columns)
        width = max(300, round(WIDTH - _LETTER * widest))
        for row in table.rows:
            row["note"] = textwrap.fill(row.get("note") or "", round(width / _LETTER))
        lines = [max(len(label), row["note"].count("\n") + 1) for label, row in zip(labels, table.rows, strict=True)]
        most = max([lines[0], *(sum(pair) / 2 for pair in pairwise(lines))])  # a tall text may reach into a low row
        roomy = 42 if len(labels) <= _FEW else 30 if len(labels) <= _MANY else 20
        self.table = table
        self.columns = columns
        self.step = max(roomy, round(_LINE * most) + (4 if most == 1 else 12))
        self.size = {"width": width, "height": self.step * len(labels)}
        self.many = len(labels) > _MANY
        self.tooltip = group_tooltip(table.by)
        self.base = self.chart(table.rows, tooltip)

    def chart(self, rows: list[dict[str, Any]], tooltip: Mapping[str, str]) -> alt.Chart:
        """Make a chart of rows of the groups, one band per group, to make layers of."""
        groups = axis(
            grid=True, gridColor=FAINT, tickBand="center", labelExpr="split(datum.label, '\\n')", labelLimit=0,
            labelOffset=_centered("datum.label"), labelColor=INK, labelFontSize=12, labelPadding=8,
        )  # fmt: skip
        chart: alt.Chart = alt.Chart(alt.InlineData(rows)).encode(
            y=alt.Y("group:N", scale=alt.Scale(type="band", domain=self.table.labels), sort=None, axis=groups),
            tooltip=[*self.tooltip, *(alt.Tooltip(f"{field}:N", title=name) for name, field in tooltip.items())],
        )
        return chart

    @property
    def orient(self) -> Literal["top", "bottom"]:
        """The side of the plot's axis."""
        return "top" if self.many else "bottom"

    def shares(self, field: str, end: float) -> alt.X:
        """Show shares from 0 to ``end``."""
        return share_axis(field, end, orient=self.orient)

    def aside(self) -> Iterable[alt.Chart]:
        """Write the columns of numbers, and the notes."""
        right = 8.0  # from the right edge of the plot
        for heading, field in self.columns.items():
            right += _LETTER * (len(heading) + 3)
            mark = self.base.mark_text(align="right", dx=right, **SMALL)
            yield mark.encode(text=alt.Text(f"{field}:N"), x=right_edge())
            yield self.above(heading, x=right_edge(), dx=right, align="right", color=QUIET)
        if any(row["note"] for row in self.table.rows):
            centered = _centered("datum.note")
            mark = self.base.mark_text(align="left", fontStyle="italic", lineBreak="\n", dy=centered, **SMALL)
            yield mark.encode(text=alt.Text("note:N"), x=x_pixel(6))

    def key(self, says: str, at: float, *, color: str, level: int = 0, end: float = 1) -> alt.Chart:
        """Name a mark that stands at ``at`` in the first row, on an axis from 0 to ``end``."""
        align: _Align = "left" if at < _EDGE * end else "right" if at > (1 - _EDGE) * end else "center"
        return self.above(says, x=alt.XDatum(at), align=align, color=color, level=level + self.many)

    def above(
        self,
        says: str,
        *,
        x: Any,  # noqa: ANN401 - a value or datum of Altair
        align: _Align,
        color: str,
        level: int = 0,
        dx: float = 0,
    ) -> alt.Chart:
        """Write above the plot."""
        mark = alt.Chart(alt.InlineData([{"says": says}])).mark_text(
            align=align, baseline="bottom", color=color, fontSize=12, dx=dx
        )
        layer: alt.Chart = mark.encode(text=alt.Text("says:N"), x=x, y=y_pixel(-6 - 16 * level))
        return layer

    def line(self, low: str, high: str, *, color: str, y_offset: int = 0) -> alt.Chart:
        """Draw a thin line between two fields: an interval."""
        mark = self.base.mark_rule(strokeWidth=1.5, color=color, yOffset=y_offset)
        layer: alt.Chart = mark.encode(x=alt.X(f"{low}:Q"), x2=alt.X2(high))
        return layer

    def band(self, low: str, high: str, *, color: str, y_offset: int = 0) -> alt.Chart:
        """Draw a pale broad line between two fields: bounds. Its outline is what stands out from white."""
        mark = self.base.mark_bar(
            size=8, fill=color, fillOpacity=0.2, stroke=color, strokeWidth=1, yOffset=y_offset, clip=True
        )
        layer: alt.Chart = mark.encode(x=alt.X(f"{low}:Q"), x2=alt.X2(high))
        return layer

    def dot(self, field: str, *, color: str, fill: str | None = None, y_offset: int = 0) -> alt.Chart:
        """Draw a dot."""
        mark = self.base.mark_point(
            size=55, stroke=color, strokeWidth=1.8, fill=fill or color, opacity=1, yOffset=y_offset
        )
        layer: alt.Chart = mark.encode(x=alt.X(f"{field}:Q"))
        return layer


def group_tooltip(by: list[str]) -> list[alt.Tooltip]:
    """Show the group columns by what they are called in words, without what ends a string.

    Vega-Lite 5 puts them into its expressions as they are, and Vega-Lite 6 escapes them: neither can be relied on.
    """
    ends = str.maketrans({'"': "\N{RIGHT DOUBLE QUOTATION MARK}", "\\": "\N{REVERSE SOLIDUS OPERATOR}"})
    return [alt.Tooltip(f"by_{i}:N", title=noun(name, 1).translate(ends)) for i, name in enumerate(by)]


def _centered(text: str) -> alt.ExprRef:
    """Move a text of several lines up, so that they stand in the middle of their row."""
    return alt.ExprRef(f"{-_LINE / 2} * (length(split({text}, '\\n')) - 1)")
