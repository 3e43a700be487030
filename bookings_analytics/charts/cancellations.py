"""Charts of canceled seats: how many were given up on the class day, and how long before the others were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._dots import dots
from bookings_analytics.charts._palette import INK, LATE, QUIET
from bookings_analytics.charts._rows import Rows, group_tooltip
from bookings_analytics.charts._style import (
    ACROSS,
    SMALL,
    WIDTH,
    axis,
    finish,
    nothing,
    right_edge,
    title,
    x_pixel,
    y_pixel,
)
from bookings_analytics.charts._table import read
from bookings_analytics.schema import CANCELLATION_NOTICE, CANCELLATIONS
from bookings_analytics.wording import SPELLED_OUT, counted, interval, percent, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_LONGEST: Final = 14  # days that the API looks ahead
_NAMED: Final = 0.02  # shares from here on are written above their bars
_WIDE: Final = 413  # pixels from which labels of neighboring bars do not touch
_UNKNOWN: Final = _LONGEST + 2  # where the bar of cancellations without a day stands: a gap away from the days


def cancellations(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the share of each group's seats that was canceled late, with its interval.

    Late is on the class day, or after the deadline that the rates were computed with. Where it is not known of too many
    cancellations, a band shows between what the share lies.

    Args:
        rates: What `bookings_analytics.cancellations` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``rates``.

    Raises:
        ValueError: If ``rates`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({
        ...     "cohort": ["trial", "corporate"],
        ...     "n_attended": [160, 340],
        ...     "n_no_show": [14, 20],
        ...     "n_unrecorded": [6, 0],
        ...     "n_late": [20, 15],
        ...     "n_ambiguous": 0,
        ...     "n_undated": 0,
        ...     "late_cancel_rate": [0.1, 0.04],
        ...     "late_cancel_rate_ci_low": [0.07, 0.02],
        ...     "late_cancel_rate_ci_high": [0.15, 0.07],
        ...     "late_cancel_rate_min": [0.1, 0.04],
        ...     "late_cancel_rate_max": [0.1, 0.04],
        ... })
        >>> charts.cancellations(frame).description
        'Seats canceled on the class day, by cohort. 575 seats ... trial: 10% (7% to 15%). corporate: 4% (2% to 7%).'
    """
    rate = "late_cancel_rate"
    table = read(
        rates,
        schema=CANCELLATIONS,
        needs=[
            *("n_attended", "n_no_show", "n_unrecorded", "n_late", "n_ambiguous", "n_undated"),
            *(rate, f"{rate}_ci_low", f"{rate}_ci_high", f"{rate}_min", f"{rate}_max"),
        ],
        made_by="cancellations",
        names=names,
        sort=sort,
    )
    late, unknown_are = _late(table.rows[0].get("deadline_h") if table.rows else None)
    heading = f"Seats canceled {late}{table.per}"
    if not table.rows:
        return nothing(heading)
    for row in table.rows:
        row["of"] = row["n_late"] + row["n_attended"] + row["n_no_show"] + row["n_unrecorded"]
        row["unknown"] = row["n_ambiguous"] + row["n_undated"]
        row["n"], row["late"] = f"{row['of']:,}", percent(row[rate])
        row["told"] = f"{interval(row, rate)}, {row['n_late']:,} of {row['of']:,} seats"
        row["bounds"] = span(row[f"{rate}_min"], row[f"{rate}_max"])
        row["note"] = ""
        if row[rate] is None and not row["of"] + row["unknown"]:
            row["note"] = "no seat in a completed class"
    bands = any(row["unknown"] for row in table.rows)
    seats, unknown = sum(row["of"] for row in table.rows), sum(row["unknown"] for row in table.rows)
    base = f"{counted(seats, 'seat')} held or canceled {late}{table.of}.{table.period}"
    if unknown:
        base += f" Not counted: {counted(unknown, 'cancellation')} that may have been {late} or earlier."
    rows = Rows(
        table,
        tooltip={
            f"canceled {late}": "told",
            unknown_are: "bounds",
            "not known": "unknown",
        },
        columns={"late": "late", "seats": "n"} | ({"not known": "unknown"} if bands else {}),
    )
    return dots(
        rows,
        rate,
        color=LATE,
        bounds=(f"{rate}_min", f"{rate}_max") if bands else None,
        whatever=unknown_are,
        heading=heading,
        base=base,
        reading="Thin line: confidence interval." + f" Pale band: {unknown_are}." * bands,
    )


def _late(deadline_h: float | None) -> tuple[str, str]:
    """Write when a late cancellation was, and what its band allows for."""
    if deadline_h is None:
        return "on the class day", "whatever the unknown days were"
    return f"less than {deadline_h:g} h before the class", "whatever the unknown times were"


def cancellation_notice(
    notice: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw how many days before the class each group's seats were canceled, the class day in a color of its own.

    Args:
        notice: What `bookings_analytics.cancellation_notice` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: Group values in the order wanted, as in ``["trial", "corporate"]``; None keeps the order of ``notice``.

    Raises:
        ValueError: If ``notice`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> notice = pl.DataFrame({"days_before": [0, 1, 5, None], "n": [6, 2, 1, 1], "share": [0.6, 0.2, 0.1, 0.1]})
        >>> charts.cancellation_notice(notice).description
        'Days between cancellation and class. 10 cancellations. all: 60% on the class day, 20% the day before, ...'
    """
    table = read(
        notice, schema=CANCELLATION_NOTICE, needs=["days_before", "n", "share"], made_by="cancellation_notice",
        names=names, sort=sort,
    )  # fmt: skip
    heading = f"Days between cancellation and class{table.per}"
    total = sum(row["n"] for row in table.rows)
    if not total:
        return nothing(heading, "no seat was canceled")
    groups = table.labels
    most = max(row["share"] or 0 for row in table.rows)
    bars, labels, each = [], [], []
    for place, group in enumerate(groups):
        own = [row for row in table.rows if row["group"] == group]
        n = sum(row["n"] for row in own)
        lines = group.split("\n")
        labels.append({"label": lines, "y": place + 0.55, "n": f"{n:,}", "base": place + 0.9})
        known = {row["days_before"]: row["share"] or 0 for row in own}
        apart = _apart(known)
        soon = f"{percent(known.get(0, 0))} on the class day, {percent(known.get(1, 0))} the day before"
        each.append(f"{own[0]['name']}: {soon}, {percent(known.get(None, 0))} on a day that is not known.")
        for row in own:
            day = row["days_before"]
            bars.append(
                {name: value for name, value in row.items() if name.startswith("by_") or name in {"group", "name"}}
                | {"days_before": day, "n": row["n"], "share": row["share"]}
                | {
                    "x": _UNKNOWN if day is None else day,
                    "top": round(place + 0.9 - 0.72 * (row["share"] or 0) / most, 4),
                    "base": place + 0.9,
                    "when": "not known" if day is None else "on the class day" if day == 0 else f"{day} days before",
                    "told": f"{percent(row['share'])}, {row['n']:,} of {n:,}",
                    "percent": percent(row["share"]) if (row["share"] or 0) >= _NAMED else "",
                    "apart": day in apart,
                    "color": LATE if day == 0 else QUIET if day is not None else "white",
                }
            )
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-0.6, _UNKNOWN + 0.6], nice=False),
        axis=axis(
            grid=False,
            values=[*range(0, _LONGEST + 1, 2), _UNKNOWN],
            labelExpr=f"datum.value == {_UNKNOWN} ? 'not known' : datum.value == 0 ? 'class day' : datum.label",
            title="days before class",
            titleColor=QUIET,
            titleFontWeight="normal",
        ),
    )
    y = alt.Y("top:Q", scale=alt.Scale(domain=[len(groups), 0], nice=False, zero=False), axis=None)
    tooltip = [
        *group_tooltip(table.by),
        alt.Tooltip("when:N", title="canceled"),
        alt.Tooltip("told:N", title="cancellations"),
    ]
    chart = alt.Chart(alt.InlineData(bars)).encode(x=x, y=y)
    named = alt.Chart(alt.InlineData(labels)).encode(y=alt.Y("y:Q"))
    right = 8 + 6.4 * len("cancellations")
    layers = [
        chart.mark_bar(size=14, stroke=QUIET, strokeWidth=0.7).encode(
            y2=alt.Y2("base:Q"), tooltip=tooltip, color=alt.Color("color:N", scale=None)
        ),
        chart.mark_text(dy=-6, fontSize=10, color=INK).encode(
            text=alt.Text("percent:N"),
            opacity=alt.condition(f"{ACROSS} >= {_WIDE} || datum.apart", alt.value(1), alt.value(0)),
        ),
        named.mark_rule(color=QUIET, strokeWidth=0.7).encode(y=alt.Y("base:Q")),
        named.mark_text(align="right", dx=-8, color=INK, fontSize=12).encode(text=alt.Text("label:N"), x=x_pixel(0)),
        named.mark_text(align="right", dx=right, **SMALL).encode(text=alt.Text("n:N"), x=right_edge()),
        alt.Chart(alt.InlineData([{"says": "cancellations"}]))
        .mark_text(align="right", dx=right, baseline="bottom", **SMALL)
        .encode(text=alt.Text("says:N"), x=right_edge(), y=y_pixel(-2)),
    ]
    base = f"{counted(total, 'cancellation')}{table.of}.{table.period}"
    widest = max(len(line) for group in groups for line in group.split("\n"))
    return finish(
        layers,
        title=title(heading, base, "Of each group's cancellations of a seat. Colored: on the class day."),
        description=f"{heading}. {base} {' '.join(each[:SPELLED_OUT])}",
        width=max(300, round(WIDTH - 6.4 * (widest + len("cancellations") + 3))),
        height=max(44, 90 if len(groups) == 1 else 54) * len(groups),
    )


def _apart(shares: Mapping[int | None, float]) -> set[int | None]:
    """Choose the days whose labels stay on a narrow chart: the class day, then large shares, none beside another."""
    chosen: set[int | None] = set()
    for day in sorted(shares, key=lambda day: (day != 0, -shares[day])):
        if day is None or not {day - 1, day + 1} & chosen:
            chosen.add(day)
    return chosen
