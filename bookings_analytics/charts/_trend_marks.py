"""What is drawn in the chart of a trend: values, limits, target, changes, names and the finding."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal

import altair as alt

from bookings_analytics.charts._palette import ATTENDED, GAP, INK, NO_SHOW, QUIET
from bookings_analytics.charts._style import ACROSS, BAND, right_edge, x_pixel, y_pixel
from bookings_analytics.charts._trend_axes import DECIMALS, EDGE, HALF, WEEK, Axes, Row
from bookings_analytics.charts._trend_findings import in_short, segments_of
from bookings_analytics.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

_LINE: Final = 14
_LETTERS: Final = {220: 34, 430: 46, 100_000: 96}  # a plot of fewer pixels → letters in a line of a sentence
_LETTER: Final = 6.6
_REASON: Final = 28  # letters in a line of a reason


class Marks:
    """The layers of such a chart."""

    def __init__(self, axes: Axes) -> None:
        """Remember where everything stands.

        Args:
            axes: The geometry.
        """
        self._axes = axes
        self._rows = [row for weeks in axes.groups for row in weeks]

    def reading(self) -> str:
        """Write how the marks are to be read."""
        rows = self._rows
        parts = []
        if any(row["limit_low"] is not None for row in rows):
            parts.append("Dashed: limits that chance alone hardly crosses, around the center.")
        if any(row["signal"] in {"above", "below"} for row in rows):
            parts.append("Orange diamond: beyond them.")
        if any((row["signal"] or "").startswith("run") for row in rows):
            parts.append("Orange dot: one of nine or more weeks in a row on one side of the center.")
        if any(not row["week_complete"] for row in rows):
            parts.append("Hollow: incomplete week.")
        band = BAND.strip() if any(row["value_bounds_low"] is not None for row in rows) else ""
        return " ".join([*parts, band]).strip()

    def layers(self, tooltip: list[alt.Tooltip], says: str) -> Iterator[alt.Chart]:
        """Draw everything, what lies behind first.

        Args:
            tooltip: What a mark tells under the pointer.
            says: The finding, to be written below.
        """
        yield from self._band()
        yield from self._limits()
        yield from self._target()
        yield from self._changes()
        yield from self._values(tooltip)
        yield from self._names()
        yield self._finding(says)

    def _chart(self, rows: Sequence[Row], y: str, x: str = "at") -> alt.Chart:
        chart: alt.Chart = alt.Chart(alt.InlineData([*rows])).encode(x=self._axes.x(x), y=self._axes.share(y))
        return chart

    def _band(self) -> Iterator[alt.Chart]:
        """Draw what is possible whatever happened in unrecorded seats: pale, with edges that stand out."""
        rows = [
            {"at": row["at"], "low": row["y_value_bounds_low"], "high": row["y_value_bounds_high"], "line": line}
            for line, row in _lines(self._axes.groups, "value_bounds_low")
        ]
        if rows:
            chart = self._chart(rows, "low")
            band = chart.mark_area(fill=GAP, fillOpacity=0.13, stroke=GAP, strokeWidth=0.9, clip=True)
            yield band.encode(y2=alt.Y2("high"), detail="line:N")

    def _limits(self) -> Iterator[alt.Chart]:
        """Draw limits and center, from edge to edge of each week."""
        for name, dash, width in (("limit_low", [4, 3], 1.1), ("limit_high", [4, 3], 1.1), ("center", [1, 0], 1.1)):
            rows = [
                {"at": row["at"] + edge, "y": row[f"y_{name}"], "line": line}
                for line, row in _lines(self._axes.groups, name, broken_by="segment")
                for edge in (-EDGE, EDGE)
            ]
            if rows:
                line = self._chart(rows, "y").mark_line(color=QUIET, strokeWidth=width, strokeDash=dash)
                yield line.encode(detail="line:N")

    def _target(self) -> Iterator[alt.Chart]:
        target = self._rows[0]["target"]
        if target is not None:
            rows = [{"y": self._axes.y(floor, target)} for floor in range(len(self._axes.groups))]
            mark = alt.Chart(alt.InlineData(rows)).mark_rule(
                color=ATTENDED, strokeWidth=1.4, strokeDash=[1, 3], strokeCap="round"
            )
            yield mark.encode(y=self._axes.share("y"))

    def _changes(self) -> Iterator[alt.Chart]:
        """Mark where limits start anew, and write why above the plot."""
        starts: dict[date, str] = {}
        for row in self._rows:
            if row["reason"] and row["segment"] is not None:
                starts.setdefault(min(r["week"] for r in self._rows if r["segment"] == row["segment"]), row["reason"])
        above = 6
        for week, reason in sorted(starts.items(), reverse=True):
            at = (week - self._axes.first).days - EDGE
            lines = textwrap.wrap(f"{week.day} {week:%b}: {reason}", _REASON, break_on_hyphens=False)
            align: Literal["left", "right"] = "left" if at < HALF * self._axes.n_weeks * WEEK else "right"
            chart = alt.Chart(alt.InlineData([{"at": at, "says": "\n".join(lines)}])).encode(x=self._axes.x())
            yield chart.mark_rule(color=INK, strokeWidth=1)
            mark = chart.mark_text(
                align=align, baseline="bottom", lineBreak="\n", lineHeight=_LINE, color=INK, fontSize=12,
                dx=-3 if align == "left" else 3,
            )  # fmt: skip
            yield mark.encode(text=alt.Text("says:N"), y=y_pixel(-above - _LINE * (len(lines) - 1)))
            above += _LINE * len(lines) + 2

    def _values(self, tooltip: list[alt.Tooltip]) -> Iterator[alt.Chart]:
        line = [
            {"at": row["at"], "y": row["y_value"], "line": line} for line, row in _lines(self._axes.groups, "value")
        ]
        yield self._chart(line, "y").mark_line(color=INK, strokeWidth=1.3).encode(detail="line:N")
        there = [_shown(row) for row in self._rows if row["value"] is not None]
        size = 34 if self._axes.n_weeks * len(self._axes.groups) <= 60 or self._axes.alone else 22  # noqa: PLR2004 - marks that fit
        for rows, shape, large in (
            ([row for row in there if row["signal"] not in {"above", "below"}], "circle", 1.0),
            ([row for row in there if row["signal"] in {"above", "below"}], "diamond", 2.6),
        ):
            if rows:
                points = self._chart(rows, "y").mark_point(shape=shape, size=size * large, strokeWidth=1.4, opacity=1)
                color, fill = (alt.Stroke("color:N", scale=None), alt.Fill("fill:N", scale=None))
                yield points.encode(stroke=color, fill=fill, tooltip=tooltip)

    def _names(self) -> Iterator[alt.Chart]:
        """Name the lines at their right end, and each of several groups above its plot."""
        named: list[Row] = []
        for place, weeks in enumerate(self._axes.groups):
            floor = len(self._axes.groups) - 1 - place
            segments = segments_of(weeks)
            last = segments[-1].weeks[-1] if segments else None
            shares = {"center": "center ", "limit_low": "limit ", "limit_high": "limit "}
            ends = [(last[name], what, QUIET) for name, what in shares.items() if last and last[name] is not None]
            if weeks[0]["target"] is not None:
                ends.append((weeks[0]["target"], "target ", ATTENDED))
            ends = ends if self._axes.alone else [end for end in ends if end[1] == "center "]
            at = -1.0
            for share, what, color in sorted(ends):
                at = max(self._axes.y(floor, share) or 0.0, at + _LINE / self._axes.step)
                says = f"{what if self._axes.alone else ''}{percent(share)}"
                named.append({"y": round(at, DECIMALS), "says": says, "color": color})
        if named:
            text = alt.Chart(alt.InlineData(named)).mark_text(align="left", dx=6, fontSize=11)
            colored = alt.Color("color:N", scale=None)
            yield text.encode(x=right_edge(), y=self._axes.share("y"), text=alt.Text("says:N"), color=colored)
        if not self._axes.alone:
            heads = [
                {"y": len(self._axes.groups) - place, "name": weeks[0]["name"], "short": short}
                | {"room": round(_LETTER * (len(weeks[0]["name"]) + len(short) + 2))}
                for place, (weeks, short) in enumerate((weeks, in_short(weeks)) for weeks in self._axes.groups)
            ]
            chart = alt.Chart(alt.InlineData(heads)).encode(y=self._axes.share("y"))
            name = chart.mark_text(align="left", baseline="top", dy=6, fontSize=12, fontWeight="bold", color=INK)
            yield name.encode(x=x_pixel(0), text=alt.Text("name:N"))
            # where there is no room for both, the group's name is what stays
            room = alt.ExprRef(f"{ACROSS} < datum.room ? '' : datum.short")
            short = chart.mark_text(align="right", baseline="top", dy=6, fontSize=12, color=QUIET, text=room)
            yield short.encode(x=alt.XDatum((self._axes.n_weeks - 1) * WEEK + EDGE))

    def _finding(self, says: str) -> alt.Chart:
        """Write the finding below the axis, in lines that fit the plot's width."""
        lines = {
            str(letters): "\n".join(textwrap.wrap(says, letters, break_on_hyphens=False))
            for letters in _LETTERS.values()
        }
        *narrower, _ = (f"{ACROSS} < {pixels} ? datum['{letters}'] : " for pixels, letters in _LETTERS.items())
        mark = alt.Chart(alt.InlineData([lines])).mark_text(
            align="left", baseline="top", lineBreak="\n", lineHeight=_LINE + 2, color=INK, fontSize=12.5, dx=-34, dy=46,
            text=alt.ExprRef("".join(narrower) + f"datum['{[*lines][-1]}']"),
        )  # fmt: skip
        layer: alt.Chart = mark.encode(x=x_pixel(0), y=alt.YValue("height"))  # type: ignore[no-untyped-call] # Altair leaves it so
        return layer


def _lines(groups: Sequence[Sequence[Row]], name: str, *, broken_by: str = "floor") -> Iterator[tuple[str, Row]]:
    """Number the unbroken lines that a field makes: no week missing, the same group and segment."""
    for weeks in groups:
        there = [row for row in weeks if row[name] is not None]
        by = groupby(enumerate(there), lambda pair: (pair[1]["at"] - WEEK * pair[0], pair[1][broken_by]))
        for number, (_, line) in enumerate(by):
            for _, row in line:
                yield f"{row['floor']}.{number}", row


def _shown(row: Row) -> Row:
    """Select what a row's mark needs, and add its color."""
    signal = row["signal"] or ""
    color = INK if signal in {"", "within"} else NO_SHOW
    told = ("at", "when", "told", "seen", "limits", "possible", "why", "group", "name")
    exported = ("value", "n", "center", "limit_low", "limit_high", "signal")
    by = {name: value for name, value in row.items() if name.startswith("by_")}
    return {name: row[name] for name in (*told, *exported)} | by | {
        "week": row["week"].isoformat(), "y": row["y_value"],
        "color": color, "fill": color if row["week_complete"] else "white",
    }  # fmt: skip
