"""How a trend is drawn: groups below each other on the same axes, and what stands in the plot of each."""

from __future__ import annotations

import textwrap
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt

from bookings_analytics.charts._palette import ATTENDED, GAP, INK, NO_SHOW, QUIET
from bookings_analytics.charts._style import BAND, axis, right_edge, top, x_pixel, y_pixel
from bookings_analytics.charts._trend_findings import in_short, segments_of
from bookings_analytics.wording import days, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Row = dict[str, Any]
_WEEK: Final = 7
_EDGE: Final = 3.5  # days from a week's mark to its edge
_LABELS: Final = 7  # weeks with a label, about
_LINE: Final = 14
_ALONE: Final = 260  # pixels of a group that has the chart for itself
_STEPS: Final = {4: 132, 12: 100}  # groups → pixels of each
_LOW_STEP: Final = 72
_HEAD, _FOOT, _MARGIN = 24, 10, 6  # pixels above and below a group's plot; of a group alone
_LETTERS: Final = {220: 34, 430: 46, 100_000: 96}  # a plot of fewer pixels → letters in a line of a sentence
_LETTER: Final = 6.6
_REASON: Final = 28  # letters in a line of a reason
_TICKS: Final = 5
_HALF: Final = 0.5
_DECIMALS: Final = 6
_BOUNDS: Final = ("value_bounds_low", "value_bounds_high")
_PLACED: Final = ("value", "limit_low", "limit_high", "center", *_BOUNDS)
_ROOM: Final = 1.5  # a band may make the axis of a group alone so many times longer; what lies beyond is cut


class Plot:
    """The geometry of such a chart, and its layers.

    Attributes:
        period: From the first day to the last.
        height: In pixels.
    """

    def __init__(self, groups: Sequence[Sequence[_Row]]) -> None:
        """Choose the axes, and place every row on them.

        Args:
            groups: The rows of each group, by week; ``week`` is a date.
        """
        rows = [row for weeks in groups for row in weeks]
        self._groups = groups
        self._rows = rows
        self._alone = len(groups) == 1
        self._first, last = (choose(row["week"] for row in rows) for choose in (min, max))
        self._n_weeks = (last - self._first).days // _WEEK + 1
        self.period = days(self._first, last + timedelta(days=_WEEK - 1))
        step = next((pixels for most, pixels in _STEPS.items() if len(groups) <= most), _LOW_STEP)
        self._step = _ALONE if self._alone else step
        self.height = self._step * len(groups)
        head, self._foot = (_MARGIN, _MARGIN) if self._alone else (_HEAD, _FOOT)
        self._used = 1 - (head + self._foot) / self._step
        drawn = [row[name] for row in rows for name in ("value", "limit_low", "limit_high", "center", "target")]
        shares = [share for share in drawn if share is not None]
        band = [row[name] for row in rows for name in _BOUNDS if self._alone and row[name] is not None]
        self._bottom, self._top = _ends(shares, band)
        for place, weeks in enumerate(groups):
            for row in weeks:
                row["at"] = (row["week"] - self._first).days
                row["floor"] = len(groups) - 1 - place
                for name in _PLACED:
                    row[f"y_{name}"] = self._y(row["floor"], row[name])

    def _y(self, floor: int, share: float | None) -> float | None:
        if share is None:
            return None
        if not self._alone:  # there, what goes on beyond a group's plot would run into its neighbor's
            share = min(max(share, self._bottom), self._top)
        up = self._foot / self._step + self._used * (share - self._bottom) / (self._top - self._bottom)
        return round(floor + up, _DECIMALS)

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

    def _x(self, field: str = "at") -> alt.X:
        since = (self._first - date(1970, 1, 1)).days
        every = _WEEK * max(1, -(-self._n_weeks // _LABELS))
        values = list(range(0, self._n_weeks * _WEEK, every))
        years = [(self._first + timedelta(days=value)).year for value in values]
        new = [value for i, value in enumerate(values) if i == 0 or years[i] != years[i - 1]]
        at = f"86400000 * ({since} + datum.value)"
        label = f"[utcFormat({at}, '%-d %b'), indexof({new}, datum.value) < 0 ? '' : utcFormat({at}, '%Y')]"
        scale = alt.Scale(domain=[-_EDGE, (self._n_weeks - 1) * _WEEK + _EDGE], nice=False)
        return alt.X(f"{field}:Q", scale=scale, axis=self._axis(values, label, grid=False))

    def _share(self, field: str) -> alt.Y:
        parts = _TICKS if self._alone else 1
        shares = [self._bottom + (self._top - self._bottom) * part / parts for part in range(parts + 1)]
        values = [self._y(floor, share) for floor in range(len(self._groups)) for share in shares]
        within = f"((datum.value - floor(datum.value)) - {self._foot / self._step}) / {self._used}"
        label = f"format({self._bottom} + {self._top - self._bottom} * {within}, '.0%')"
        scale = alt.Scale(domain=[0, len(self._groups)], nice=False)
        return alt.Y(f"{field}:Q", scale=scale, axis=self._axis(values, label))

    @staticmethod
    def _axis(values: Sequence[float | None], label: str, **options: Any) -> alt.Axis:  # noqa: ANN401 - as alt.Axis has it
        """Show every one of these values: with a smaller number of ticks, Vega would leave some out."""
        return axis(values=[*values], labelExpr=label, labelOverlap=False, **options)

    def _chart(self, rows: Sequence[_Row], y: str, x: str = "at") -> alt.Chart:
        chart: alt.Chart = alt.Chart(alt.InlineData([*rows])).encode(x=self._x(x), y=self._share(y))
        return chart

    def _band(self) -> Iterator[alt.Chart]:
        """Draw what is possible whatever happened in unrecorded seats: pale, with edges that stand out."""
        rows = [
            {"at": row["at"], "low": row["y_value_bounds_low"], "high": row["y_value_bounds_high"], "line": line}
            for line, row in _lines(self._groups, "value_bounds_low")
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
                for line, row in _lines(self._groups, name, broken_by="segment")
                for edge in (-_EDGE, _EDGE)
            ]
            if rows:
                line = self._chart(rows, "y").mark_line(color=QUIET, strokeWidth=width, strokeDash=dash)
                yield line.encode(detail="line:N")

    def _target(self) -> Iterator[alt.Chart]:
        target = self._rows[0]["target"]
        if target is not None:
            rows = [{"y": self._y(floor, target)} for floor in range(len(self._groups))]
            mark = alt.Chart(alt.InlineData(rows)).mark_rule(
                color=ATTENDED, strokeWidth=1.4, strokeDash=[1, 3], strokeCap="round"
            )
            yield mark.encode(y=self._share("y"))

    def _changes(self) -> Iterator[alt.Chart]:
        """Mark where limits start anew, and write why above the plot."""
        starts: dict[date, str] = {}
        for row in self._rows:
            if row["reason"] and row["segment"] is not None:
                starts.setdefault(min(r["week"] for r in self._rows if r["segment"] == row["segment"]), row["reason"])
        above = 6
        for week, reason in sorted(starts.items(), reverse=True):
            at = (week - self._first).days - _EDGE
            lines = textwrap.wrap(f"{week.day} {week:%b}: {reason}", _REASON, break_on_hyphens=False)
            align: Literal["left", "right"] = "left" if at < _HALF * self._n_weeks * _WEEK else "right"
            chart = alt.Chart(alt.InlineData([{"at": at, "says": "\n".join(lines)}])).encode(x=self._x())
            yield chart.mark_rule(color=INK, strokeWidth=1)
            mark = chart.mark_text(
                align=align, baseline="bottom", lineBreak="\n", lineHeight=_LINE, color=INK, fontSize=12,
                dx=-3 if align == "left" else 3,
            )  # fmt: skip
            yield mark.encode(text=alt.Text("says:N"), y=y_pixel(-above - _LINE * (len(lines) - 1)))
            above += _LINE * len(lines) + 2

    def _values(self, tooltip: list[alt.Tooltip]) -> Iterator[alt.Chart]:
        line = [{"at": row["at"], "y": row["y_value"], "line": line} for line, row in _lines(self._groups, "value")]
        yield self._chart(line, "y").mark_line(color=INK, strokeWidth=1.3).encode(detail="line:N")
        there = [_shown(row) for row in self._rows if row["value"] is not None]
        size = 34 if self._n_weeks * len(self._groups) <= 60 or self._alone else 22  # noqa: PLR2004 - marks that fit
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
        named: list[_Row] = []
        for place, weeks in enumerate(self._groups):
            floor = len(self._groups) - 1 - place
            segments = segments_of(weeks)
            last = segments[-1].weeks[-1] if segments else None
            shares = {"center": "center ", "limit_low": "limit ", "limit_high": "limit "}
            ends = [(last[name], what, QUIET) for name, what in shares.items() if last and last[name] is not None]
            if weeks[0]["target"] is not None:
                ends.append((weeks[0]["target"], "target ", ATTENDED))
            ends = ends if self._alone else [end for end in ends if end[1] == "center "]
            at = -1.0
            for share, what, color in sorted(ends):
                at = max(self._y(floor, share) or 0.0, at + _LINE / self._step)
                says = f"{what if self._alone else ''}{percent(share)}"
                named.append({"y": round(at, _DECIMALS), "says": says, "color": color})
        if named:
            text = alt.Chart(alt.InlineData(named)).mark_text(align="left", dx=6, fontSize=11)
            colored = alt.Color("color:N", scale=None)
            yield text.encode(x=right_edge(), y=self._share("y"), text=alt.Text("says:N"), color=colored)
        if not self._alone:
            heads = [
                {"y": len(self._groups) - place, "name": weeks[0]["name"], "short": short}
                | {"room": round(_LETTER * (len(weeks[0]["name"]) + len(short) + 2))}
                for place, (weeks, short) in enumerate((weeks, in_short(weeks)) for weeks in self._groups)
            ]
            chart = alt.Chart(alt.InlineData(heads)).encode(y=self._share("y"))
            name = chart.mark_text(align="left", baseline="top", dy=6, fontSize=12, fontWeight="bold", color=INK)
            yield name.encode(x=x_pixel(0), text=alt.Text("name:N"))
            # where there is no room for both, the group's name is what stays
            room = alt.ExprRef("width < datum.room ? '' : datum.short")
            short = chart.mark_text(align="right", baseline="top", dy=6, fontSize=12, color=QUIET, text=room)
            yield short.encode(x=alt.XDatum((self._n_weeks - 1) * _WEEK + _EDGE))

    def _finding(self, says: str) -> alt.Chart:
        """Write the finding below the axis, in lines that fit the plot's width."""
        lines = {
            str(letters): "\n".join(textwrap.wrap(says, letters, break_on_hyphens=False))
            for letters in _LETTERS.values()
        }
        *narrower, _ = (f"width < {pixels} ? datum['{letters}'] : " for pixels, letters in _LETTERS.items())
        mark = alt.Chart(alt.InlineData([lines])).mark_text(
            align="left", baseline="top", lineBreak="\n", lineHeight=_LINE + 2, color=INK, fontSize=12.5, dx=-34, dy=46,
            text=alt.ExprRef("".join(narrower) + f"datum['{[*lines][-1]}']"),
        )  # fmt: skip
        layer: alt.Chart = mark.encode(x=x_pixel(0), y=alt.YValue("height"))  # type: ignore[no-untyped-call] # Altair leaves it so
        return layer


def _ends(shares: Sequence[float], band: Sequence[float]) -> tuple[float, float]:
    """Choose where an axis begins and ends: at 0, or at 1 where all shares lie near it."""
    if min(shares) > _HALF:
        low, high = _ends([1 - share for share in shares], [1 - share for share in band])
        return 1 - high, 1 - low
    needed = top(shares)
    return 0.0, min(top([*shares, *band]), top([_ROOM * needed]))


def _lines(groups: Sequence[Sequence[_Row]], name: str, *, broken_by: str = "floor") -> Iterator[tuple[str, _Row]]:
    """Number the unbroken lines that a field makes: no week missing, the same group and segment."""
    for weeks in groups:
        there = [row for row in weeks if row[name] is not None]
        by = groupby(enumerate(there), lambda pair: (pair[1]["at"] - _WEEK * pair[0], pair[1][broken_by]))
        for number, (_, line) in enumerate(by):
            for _, row in line:
                yield f"{row['floor']}.{number}", row


def _shown(row: _Row) -> _Row:
    """Keep of a row what its mark needs, with its color."""
    signal = row["signal"] or ""
    color = INK if signal in {"", "within"} else NO_SHOW
    told = ("at", "when", "told", "seen", "limits", "possible", "why", "group", "name")
    exported = ("value", "n", "center", "limit_low", "limit_high", "signal")
    by = {name: value for name, value in row.items() if name.startswith("by_")}
    return {name: row[name] for name in (*told, *exported)} | by | {
        "week": row["week"].isoformat(), "y": row["y_value"],
        "color": color, "fill": color if row["week_complete"] else "white",
    }  # fmt: skip
