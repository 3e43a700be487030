"""The funnel of no-shows: many groups against the limits of chance."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt

from bookings_analytics.charts._comparison import RECORDED_APART
from bookings_analytics.charts._palette import INK, NO_SHOW, QUIET
from bookings_analytics.charts._rows import group_tooltip
from bookings_analytics.charts._style import SMALL, WIDTH, axis, finish, nothing, right_edge, title, top
from bookings_analytics.charts._table import read
from bookings_analytics.schema import NO_SHOW_FUNNEL
from bookings_analytics.wording import POSITIONS, counted, percent, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_SIZE: Final = {"width": WIDTH - 90, "height": 380}
_LIMITS: Final = {"95%": NormalDist().inv_cdf(0.975), "99.8%": NormalDist().inv_cdf(0.999)}
_READING: Final = (
    "Not a ranking: between the dashed limits (95%) the order is chance. Of 1,000 that are all alike, about 50 lie "
    "outside them, about 2 outside the solid ones (99.8%)."
)
_LETTER, _LINE = 6, 13  # pixels, at 11 px
_BESIDE = 9  # pixels from a mark to its name
_RIGHT = 0.75  # of the plot's width: from there on names stand to the left of their marks
_LINES = 3  # from a mark's own on, up and down, that its name may stand on
_STEPS = 80  # of a curve
_SHAPES: Final = {"below": "triangle-down", "within": "circle", "above": "triangle-up"}


def no_show_funnel(funnel: IntoFrame, *, names: Mapping[Any, str] | None = None) -> alt.LayerChart:
    """Draw each group's no-show rate against the number of its seats, with limits that chance alone rarely crosses.

    Triangles lie outside the 95 % limits, filled ones outside the 99.8 % limits too; only they are named.

    Args:
        funnel: What `bookings_analytics.no_show_funnel` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.

    Raises:
        ValueError: If ``funnel`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> from bookings_analytics.metrics import funnel
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": range(200),
        ...     "class_id": [7] * 100 + [8] * 100,
        ...     "outcome": ["attended"] * 95 + ["no_show"] * 35 + ["attended"] * 70,
        ... })
        >>> frame = funnel.no_show_funnel(outcomes, by="class_id")
        >>> charts.no_show_funnel(frame, names={7: "Yoga", 8: "Spinning"}).description
        'No-show rate against chance, by class. 200 seats in 2 classes; 18% ... Outside: Yoga, 5%, 5 of 100 seats, ...'
    """
    table = read(
        funnel,
        schema=NO_SHOW_FUNNEL,
        needs=["n_no_show", "n_recorded", "no_show_rate", "center", "dispersion", "position"],
        made_by="no_show_funnel",
        names=names,
    )
    heading = f"No-show rate against chance{table.per}"
    rows = [row for row in table.rows if row["no_show_rate"] is not None]
    if not rows:
        return nothing(heading, "nobody recorded attendance" if table.rows else "the frame has no group")
    for row in rows:
        row["label"] = row["name"]
        row["told"] = f"{percent(row['no_show_rate'])}, {row['n_no_show']:,} of {row['n_recorded']:,} seats"
        row["means"] = POSITIONS[row["position"]]
        row["shape"] = _SHAPES[row["position"].partition("_")[0]]
        row["fill"] = NO_SHOW if row["position"].endswith("998") else "white"
    center, variance = rows[0]["center"], rows[0]["dispersion"] * rows[0]["center"] * (1 - rows[0]["center"])
    seats = math.ceil(1.04 * max(row["n_recorded"] for row in rows))
    outer = 1.1 * max(_LIMITS.values()) * math.sqrt(variance / seats)
    end = top([1.05 * max(row["no_show_rate"] for row in rows), 2 * center, center + outer])
    x = alt.X(
        "n_recorded:Q",
        scale=alt.Scale(domain=[0, seats], nice=False),
        axis=axis(title="seats with recorded attendance", titleColor=QUIET, titleFontWeight="normal", titleFontSize=12),
    )
    y = alt.Y("no_show_rate:Q", scale=alt.Scale(domain=[0, end], nice=False), axis=axis(format=".0%"))
    outside = [row for row in rows if row["position"] != "within"]
    named = _beside(outside, seats, end)
    layers = [
        *_limits(center, variance, seats, end),
        *_marks(rows, x, y, table.by),
        *_drawn(named),
    ]
    base = (
        f"{counted(sum(row['n_recorded'] for row in rows), 'seat')}{table.of}; {percent(center)} of all were no-shows."
    )
    base += table.period
    unseen = len(table.rows) - len(rows)
    if unseen:
        base += f" Not drawn, without a recorded seat: {unseen:,}."
    base += _unevenly(rows)
    if unnamed := len(outside) - len(named):
        base += f" Outside the limits, but without room for a name: {unnamed:,}."
    return finish(
        layers,
        title=title(heading, base, _READING),
        description=f"{heading}. {base} {_finding(rows)}",
        **_SIZE,
    )


def _unevenly(rows: list[dict[str, Any]]) -> str:
    """Write between which groups the recorded shares lie, where they differ enough to put one outside."""
    known = [row for row in rows if row.get("recorded_share") is not None]
    shares = [row["recorded_share"] for row in known]
    if not known or max(shares) - min(shares) <= RECORDED_APART:
        return ""
    return f" Attendance was recorded for {spread(known, 'recorded_share')} of their seats, which may put one outside."


def _limits(center: float, variance: float, seats: float, end: float) -> Iterator[alt.Chart]:
    """Draw the mean and, on either side, the limits, each named at the right edge, where its upper curve ends."""
    level = alt.Chart(alt.InlineData([{"center": center}]))
    yield level.mark_rule(color=QUIET).encode(y=alt.Y("center:Q"))
    line_height = _LINE / _SIZE["height"] * end
    names, at = [], center - line_height
    ends = {name: center + z * math.sqrt(variance / seats) for name, z in {"mean": 0, **_LIMITS}.items()}
    for name, high in ends.items():
        at = max(high, at + line_height)  # not over the name below
        if high <= end:
            says = f"mean {percent(center)}" if name == "mean" else name
            names.append({"center": round(at, 4), "says": says})
    text = alt.Chart(alt.InlineData(names)).mark_text(align="left", dx=4, **SMALL)
    yield text.encode(y=alt.Y("center:Q"), x=right_edge(), text=alt.Text("says:N"))
    for dash, z in zip(([4, 3], [1, 0]), _LIMITS.values(), strict=True):
        curve = alt.InlineData(_curve(z, center, variance, seats, end))
        line = alt.Chart(curve).mark_line(color=QUIET, strokeWidth=1, strokeDash=dash)
        yield line.encode(x=alt.X("n_recorded:Q"), y=alt.Y("high:Q"))
        yield line.encode(x=alt.X("n_recorded:Q"), y=alt.Y("low:Q"))


def _curve(z: float, center: float, variance: float, seats: float, end: float) -> list[dict[str, float | None]]:
    """Follow a limit from where it enters the plot, in even steps of its distance from the mean."""
    widest, narrowest = end - center, z * math.sqrt(variance / seats)
    if not 0 < narrowest < widest:  # all alike, or so few seats that the limit lies beyond the plot
        return []
    steps = [widest + (narrowest - widest) * step / _STEPS for step in range(_STEPS + 1)]
    touching = [center] if narrowest < center < widest else []  # where the lower limit leaves 0
    return [
        {
            "n_recorded": round(variance * (z / width) ** 2, 2),
            "low": round(center - width, 4) if width <= center else None,
            "high": round(center + width, 4),
        }
        for width in sorted([*steps, *touching], reverse=True)
    ]


def _marks(rows: list[dict[str, Any]], x: alt.X, y: alt.Y, by: list[str]) -> Iterator[alt.Chart]:
    tooltip = [
        *group_tooltip(by),
        alt.Tooltip("group:N", title="name"),
        alt.Tooltip("told:N", title="no-shows"),
        alt.Tooltip("means:N", title="is"),
    ]
    inside = [row for row in rows if row["position"] == "within"]
    outside = [row for row in rows if row["position"] != "within"]
    dots = alt.Chart(alt.InlineData(inside)).mark_point(size=36, color=QUIET, fill="white", strokeWidth=1.2, opacity=1)
    yield dots.encode(x=x, y=y, tooltip=tooltip)
    triangles = alt.Chart(alt.InlineData(outside)).mark_point(size=80, color=NO_SHOW, strokeWidth=1.6, opacity=1)
    yield triangles.encode(
        x=x,
        y=y,
        tooltip=tooltip,
        shape=alt.Shape("shape:N", scale=None),
        fill=alt.Fill("fill:N", scale=None),
    )


def _beside(rows: list[dict[str, Any]], seats: float, end: float) -> list[dict[str, Any]]:
    """Place the names of the groups outside at their marks, as far as they find room there, the farthest out first."""
    marks = [_place(row, seats, end) for row in rows]
    placed = [(across - _BESIDE + 1, across + _BESIDE - 1, height) for across, height in marks]
    labels = []
    for row in sorted(rows, key=lambda row: (not row["position"].endswith("998"), -row["no_show_rate"], row["group"])):
        free = next(_free(row, placed, seats, end), None)
        if free is None:
            continue
        side, box = free
        placed.append(box)
        at = round((1 - box[2] / _SIZE["height"]) * end, 4)
        labels.append({"label": row["label"], "n_recorded": row["n_recorded"], "at": at, "side": side})
    return labels


def _drawn(labels: list[dict[str, Any]]) -> Iterator[alt.Chart]:
    """Draw the names that were placed."""
    sides: dict[int, Literal["left", "right"]] = {1: "left", -1: "right"}
    for side, align in sides.items():
        own = alt.InlineData([label for label in labels if label["side"] == side])
        for halo in (4, 0):  # so that no limit runs through a name
            text = alt.Chart(own).mark_text(
                align=align, dx=side * _BESIDE, color=INK, fontSize=11, stroke="white", strokeWidth=halo
            )
            yield text.encode(x=alt.X("n_recorded:Q"), y=alt.Y("at:Q"), text=alt.Text("label:N"))


def _place(row: Mapping[str, Any], seats: float, end: float) -> tuple[float, float]:
    """Return where a group's mark is, in pixels from the left and from the top."""
    return row["n_recorded"] / seats * _SIZE["width"], (1 - row["no_show_rate"] / end) * _SIZE["height"]


def _free(
    row: Mapping[str, Any], placed: Sequence[tuple[float, float, float]], seats: float, end: float
) -> Iterator[tuple[int, tuple[float, float, float]]]:
    """Find free places for a name, the nearest first: the side of its mark, and its left and right edge and height."""
    width = _LETTER * len(row["label"])
    across, height = _place(row, seats, end)
    usual = -1 if row["n_recorded"] > _RIGHT * seats else 1
    places = [
        (side, (left, left + width, at))
        for line in range(_LINES)
        for at in dict.fromkeys((height + line * _LINE, height - line * _LINE))
        for side in (usual, -usual)
        for left in [across + (_BESIDE if side > 0 else -_BESIDE - width)]
    ]
    for side, (left, right, at) in places:
        inside = left >= 0 and right <= _SIZE["width"] and 0 <= at <= _SIZE["height"] - _LINE / 2
        if inside and not any(left < end_ and start < right and abs(at - of) < _LINE for start, end_, of in placed):
            yield side, (left, right, at)


def _finding(rows: list[dict[str, Any]]) -> str:
    outside = [row for row in rows if row["position"] != "within"]
    told = "; ".join(f"{row['label']}, {row['told']}, {row['means']}" for row in outside)
    return f"Outside: {told}." if told else "None lies outside the limits of chance."
