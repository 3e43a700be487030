"""The chart of classes booked and attended a week."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts._palette import ATTENDED, GAP, INK, QUIET
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import axis, finish, nothing, title
from bookings_analytics.charts._table import read
from bookings_analytics.schema import VISITS
from bookings_analytics.wording import NONE, SPELLED_OUT, amount, amount_interval, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

_NEAR = 0.3  # of the axis: names of marks closer than that would run into each other in a narrow chart


def visits(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw how many classes a customer of each group booked a week, how many of them were attended, and the gap.

    Args:
        rates: What `bookings_analytics.visits` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``rates``.

    Raises:
        ValueError: If ``rates`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> rates = pl.DataFrame({
        ...     "cohort": ["trial"],
        ...     "n_customers": [120],
        ...     "n_not_read": [3],
        ...     "n_weeks": [480],
        ...     "n_unrecorded": [9],
        ...     "n_undated": [2],
        ...     "booked_per_week": [0.84],
        ...     "booked_per_week_ci_low": [0.7],
        ...     "booked_per_week_ci_high": [1.0],
        ...     "attended_per_week": [0.71],
        ...     "attended_per_week_ci_low": [0.58],
        ...     "attended_per_week_ci_high": [0.86],
        ...     "attended_per_week_max": [0.73],
        ... })
        >>> charts.visits(rates).description
        'Classes a week, booked and attended, by cohort. 120 customers ... trial: 0.84 booked, 0.71 attended a week.'
    """
    booked, attended = "booked_per_week", "attended_per_week"
    table = read(
        rates,
        schema=VISITS,
        needs=[
            *("n_customers", "n_not_read", "n_weeks", "n_unrecorded", "n_undated", f"{attended}_max"),
            *(name + part for name in (booked, attended) for part in ("", "_ci_low", "_ci_high")),
        ],
        made_by="visits",
        names=names,
        sort=sort,
    )
    heading = f"Classes a week, booked and attended{table.per}"
    if not table.rows:
        return nothing(heading)
    for row in table.rows:
        known = row[booked] is not None
        row["n"] = f"{row['n_customers']:,}"
        row["told_booked"], row["told_attended"] = amount_interval(row, booked), amount_interval(row, attended)
        row["booked"], row["attended"] = amount(row[booked]), amount(row[attended])
        row["most"] = amount(row[f"{attended}_max"])
        row["unrecorded"] = f"{row['n_unrecorded']:,}"
        row["note"] = "" if known else "no complete week of a customer who could be read"
    bands = any(row["n_unrecorded"] for row in table.rows)
    base = f"{counted(table.customers('n_customers'), 'customer')}{table.of}, complete weeks only.{table.period}"
    not_read, undated = table.customers("n_not_read"), sum(row["n_undated"] for row in table.rows)
    if not_read:
        base += f" Not counted: {counted(not_read, 'customer')} who could not be read."
    if undated:
        base += f" Not dated, and not counted: {counted(undated, 'seat')}."
    rows = Rows(
        table,
        tooltip={
            "booked a week": "told_booked",
            "attended a week": "told_attended",
            "if unrecorded seats were attended": "most",
            "seats not recorded": "unrecorded",
        },
        columns={"booked": "booked", "attended": "attended", "customers": "n"},
    )
    ends = (f"{booked}_ci_high", f"{attended}_ci_high", f"{attended}_max")
    end = round(1.05 * max((row[name] or 0 for row in table.rows for name in ends), default=0) or 1, 2)
    x = alt.X(
        f"{booked}:Q",
        scale=alt.Scale(domain=[0, end], nice=False),
        axis=axis(title="classes a week", titleColor=QUIET, titleFontWeight="normal", orient=rows.orient),
    )
    up, down = -(rows.step // 7), rows.step // 7
    layers = [
        rows.base.mark_bar(size=4, color=GAP).encode(x=x, x2=alt.X2(attended)),
        *([rows.band(attended, f"{attended}_max", color=ATTENDED, y_offset=down)] if bands else []),
        rows.line(f"{booked}_ci_low", f"{booked}_ci_high", color=INK, y_offset=up),
        rows.line(f"{attended}_ci_low", f"{attended}_ci_high", color=ATTENDED, y_offset=down),
        rows.dot(booked, color=INK, fill="white", y_offset=up),
        rows.dot(attended, color=ATTENDED, y_offset=down),
        *rows.aside(),
        *_key(rows, end),
    ]
    reading = "Thin line: confidence interval. Gray: the gap."
    reading += " Pale band: up to all unrecorded seats attended." * bands
    each = " ".join(
        f"{row['name']}: {row['booked']} booked, {row['attended']} attended a week."
        for row in [row for row in table.rows if row["booked"] != NONE][:SPELLED_OUT]
    )
    return finish(
        layers,
        title=title(heading, base, reading),
        description=f"{heading}. {base} {each or 'No number could be computed.'}",
        **rows.size,
    )


def _key(rows: Rows, end: float) -> Iterable[alt.Chart]:
    """Name the two marks above the first row that has them; one above the other where they are close."""
    first = next((row for row in rows.table.rows if row["booked_per_week"] is not None), None)
    if first:
        close = abs(first["booked_per_week"] - first["attended_per_week"]) < _NEAR * end
        yield rows.key("● attended", first["attended_per_week"], color=ATTENDED, end=end)
        yield rows.key("○ booked", first["booked_per_week"], color=INK, level=int(close), end=end)
