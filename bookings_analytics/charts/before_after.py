"""The chart of two periods: each group before and after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt

from bookings_analytics.charts._comparison import NEEDED, label_and_unit, notes, one_comparison, write_texts
from bookings_analytics.charts._palette import GAP, INK
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import SMALL, axis, finish, nothing, title, top
from bookings_analytics.charts._table import read
from bookings_analytics.schema import COMPARISON, RATES
from bookings_analytics.wording import SPELLED_OUT, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_APART: Final = 9  # pixels from a dot to what is written beside it
_NEAR: Final = 0.3  # of the axis: names of marks closer than that would run into each other in a narrow chart


def before_after(
    comparison: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw a rate of each group before and after a change, joined by a bar, and the difference with its interval.

    Args:
        comparison: What `bookings_analytics.before_after` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``comparison``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``comparison``.

    Raises:
        ValueError: If ``comparison`` lacks a column that the chart needs, or compares several rates.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> comparison = pl.DataFrame({
        ...     "cohort": ["trial"],
        ...     "rate": ["no_show_rate"],
        ...     "baseline": ["before"],
        ...     "value": [0.07],
        ...     "baseline_value": [0.12],
        ...     "difference": [-0.05],
        ...     "difference_ci_low": [-0.09],
        ...     "difference_ci_high": [-0.02],
        ...     "n": [410],
        ...     "baseline_n": [390],
        ... })
        >>> charts.before_after(comparison).description
        'No-show rate before and after, by cohort. 390 seats before, 410 after. trial: 12% before, 7% after, ...'
    """
    table = read(comparison, schema=COMPARISON, needs=NEEDED, made_by="before_after", names=names, sort=sort)
    if not table.rows:
        return nothing("Before and after", "there is no group")
    first = one_comparison(table)
    rate = first["rate"]
    label, unit = label_and_unit(rate)
    heading = f"{label[0].upper()}{label[1:]} before and after{table.per}"
    for row in table.rows:
        write_texts(row)
        row["n_before"], row["n_after"] = f"{row['baseline_n']:,}", f"{row['n']:,}"
        missing = [name for name, field in (("before", "baseline_value"), ("after", "value")) if row[field] is None]
        row["note"] = "no rate before or after" if len(missing) > 1 else ""
        row["beside"] = f"no rate {missing[0]}" if len(missing) == 1 else ""
    before, after = sum(row["baseline_n"] for row in table.rows), sum(row["n"] for row in table.rows)
    base = f"{before:,} {unit} before, {after:,} after.{table.period}"
    rows = Rows(
        table,
        tooltip={
            "before": "baseline_told",
            "after": "value_told",
            "difference": "told",
            "interval": "range",
            f"{unit} before": "n_before",
            f"{unit} after": "n_after",
            "customers in both": "shared",
        },
        columns={"difference": "told", "interval of it": "range"},
    )
    values = [row[name] for row in table.rows for name in ("value", "baseline_value") if row[name] is not None]
    if rate in RATES:
        end = top(values)
        x = rows.shares("value", end)
    else:
        end = round(1.05 * max(values, default=0) or 1, 2)
        x = alt.X("value:Q", scale=alt.Scale(domain=[0, end], nice=False), axis=axis(orient=rows.orient))
    layers = [
        rows.base.mark_bar(size=4, color=GAP).encode(x=x, x2=alt.X2("baseline_value")),
        rows.dot("baseline_value", color=INK, fill="white"),
        rows.dot("value", color=INK),
        *_beside(rows, end),
        *rows.aside(),
    ]
    marked = next((row for row in table.rows if row["difference"] is not None), None)
    if marked:
        close = abs(marked["difference"]) < _NEAR * end
        layers.append(rows.key("● after", marked["value"], color=INK, end=end))
        layers.append(rows.key("○ before", marked["baseline_value"], color=INK, level=int(close), end=end))
    drawn = [row for row in table.rows if row["difference"] is not None]
    spelled = drawn if len(drawn) <= SPELLED_OUT else [row for row in drawn if row["apart"]]
    each = " ".join(
        f"{row['name']}: {row['baseline_told']} before, {row['value_told']} after, {row['told']} ({row['range']})."
        for row in spelled
    )
    apart = sum(row["apart"] for row in drawn)
    reading = f"Interval of the difference leaves out zero: {counted(apart, 'group')} of {len(drawn)}."
    return finish(
        layers,
        title=title(heading, base, reading, notes(table).replace("Thin line:", "Differences:")),
        description=f"{heading}. {base} {each or 'No interval leaves out zero.'}",
        **rows.size,
    )


def _beside(rows: Rows, end: float) -> Iterator[alt.Chart]:
    """Write beside a dot that the other period has no rate: on that side where there is room."""
    for field in ("value", "baseline_value"):
        alone = [row for row in rows.table.rows if row["beside"] and row[field] is not None]
        for left in (True, False):
            there = [row for row in alone if (row[field] <= end / 2) == left]
            if there:
                align: Literal["left", "right"] = "left" if left else "right"
                mark = rows.chart(there, {}).mark_text(
                    align=align, dx=_APART if left else -_APART, fontStyle="italic", **SMALL
                )
                layer: alt.Chart = mark.encode(x=alt.X(f"{field}:Q"), text=alt.Text("beside:N"))
                yield layer
