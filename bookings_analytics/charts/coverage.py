"""The chart of how closely an archive watched its customers: day by day, or the gaps of each group."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts._gaps import DAY_H, MISSED, duration, gaps_of_groups, in_hours
from bookings_analytics.charts._palette import NO_SHOW, QUIET, READ
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import ACROSS, axis, day_labels, finish, nothing, title
from bookings_analytics.charts._table import Table, read
from bookings_analytics.schema import COVERAGE, COVERAGE_BY_HOURS
from bookings_analytics.wording import SPELLED_OUT, counted, days, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_LABELS = 6  # of days, at most
_BY_DAY = 14  # days
_WEEKLY_FROM = 140  # days
_WIDE_BARS = 60  # as many as have 5 pixels each in the narrowest chart
_PARTED, _JOINED = 0.85, 1.4
_LETTER = 5.8  # pixels of a letter of the number of a gap
_IN_VAIN = "\N{MULTIPLICATION SIGN}"


def coverage(
    gaps: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw when each group's customers were fetched, or, of a frame without days, their median and longest gap.

    Over time, each day on which somebody was read has a bar, as tall as the share of the group's customers who were;
    where nobody was for more than two weeks, as far as the API looks back, some statuses were never seen.

    Args:
        gaps: What `bookings_analytics.Archive.coverage` returns, grouped by ``day`` to see it over time.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``gaps``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``gaps``.

    Raises:
        ValueError: If ``gaps`` lacks a column that the chart needs.

    Example:
        >>> from datetime import date, timedelta
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({
        ...     "cohort": ["trial", "trial"],
        ...     "day": [date(2026, 5, 1), date(2026, 5, 18)],
        ...     "n_customers": 120,
        ...     "n_read": [120, 118],
        ...     "n_fetches": 120,
        ...     "median_gap_h": [None, 408.0],
        ...     "longest_gap_h": [None, 408.0],
        ...     "n_customers_gap_over_14_days": [0, 118],
        ... })
        >>> charts.coverage(frame).description
        'When customers were read, by cohort. ... 1 May to 18 May 2026. trial: on 2 of 18 days, longest gap 17 days.'
        >>> charts.coverage(frame.tail(1).drop("day")).description
        'Time between two fetches of a customer, by cohort. ... trial: median 17 days, longest 17 days.'
    """
    columns = [*COVERAGE_BY_HOURS, "day"]
    table = read(gaps, schema=columns, needs=COVERAGE, made_by="Archive.coverage", names=names, sort=sort)
    over_time = not table.rows or "day" in table.rows[0]
    return _overduration(table) if over_time else gaps_of_groups(table)


def _overduration(daily: Table) -> alt.LayerChart:
    table = Table(daily.by, [_watched(daily, label) for label in daily.labels])
    heading = f"When customers were read{table.per}"
    if not any(row["n_read"] for row in daily.rows):
        return nothing(heading, "nobody was read")
    asked = sorted({row["day"] for row in daily.rows if row["day"] is not None})
    first, span = asked[0], (asked[-1] - asked[0]).days + 1
    for row in table.rows:
        row["read_on"] = f"{row['n_days']:,} of {counted(span, 'day')}"
    rows = Rows(
        table,
        tooltip={"read on": "read_on", "longest gap": "longest", "customers": "n"},
        columns={"longest gap": "longest", "customers": "n"},
    )
    weekly = span > _WEEKLY_FROM  # bars of days would be narrower than a pixel, and form patterns
    read_days = [_bar(row, first, 0.5 * rows.step) for row in daily.rows if row["n_read"]]
    in_vain = [_bar(row, first, 0) for row in daily.rows if row["n_fetches"] and not row["n_read"]]
    if weekly:
        read_days = _weeks(read_days, first, asked[-1])
    _part(read_days, span)
    missed = [_gap(row, first) for row in daily.rows if row["n_customers_gap_over_14_days"] and row["day"] > first]
    labeled = list(range(0, span, _apart(span)))
    x = alt.X(
        "start:Q",
        scale=alt.Scale(domain=[0, span], nice=False),
        axis=axis(
            labelExpr=day_labels(first, labeled),
            values=labeled,
            orient=rows.orient,
            labelPadding=19 if rows.many else 6,
        ),
    )
    of_day, of_gap = (
        {"day": "on", "read": "read", "fetches": "n_fetches"},
        {"nobody read for": "long", "customers": "n"},
    )
    middle = alt.X("middle:Q")
    bars = rows.chart(read_days, of_day).mark_bar(color=READ)
    layers = [bars.encode(x=x, x2=alt.X2("end"), size=alt.Size("height:Q", scale=None)), *rows.aside()]
    if in_vain:
        size, up = (10, rows.step / 4 + 6) if weekly else (12, 0)  # a week with such a day has a bar as well
        vain = rows.chart(in_vain, of_day).mark_text(text=_IN_VAIN, color=QUIET, fontSize=size, dy=-up)
        layers.append(vain.encode(x=middle))
    if missed:
        gaps = rows.chart(missed, of_gap)
        rule = gaps.mark_rule(color=NO_SHOW, strokeWidth=3).encode(x=alt.X("start:Q"), x2=alt.X2("end"))
        # One number per group: those of gaps that overlap would be on top of each other.
        longest = {gap["group"]: gap for gap in sorted(missed, key=lambda gap: gap["end"] - gap["start"])}
        numbers = rows.chart(list(longest.values()), of_gap).mark_text(color=NO_SHOW, fontSize=11, dy=-8)
        fits = f"{ACROSS} * (datum.end - datum.start) / {span} > {_LETTER} * length(datum.long)"
        number = numbers.encode(x=middle, text=alt.condition(fits, alt.Text("long:N"), alt.value("")))
        layers = [rule, *layers, number]
    base = f"{counted(table.customers('n_customers'), 'customer')}{table.of}, {days(first, asked[-1])}."
    base += in_hours(daily.rows)
    reading = "A bar a day, as tall as the share of the customers who were read."
    if weekly:
        reading = "A bar a week, as tall as the share of the customers who were read on its average day."
    if missed:
        reading += f" Orange: {MISSED}."
    if in_vain:
        reading += f" {_IN_VAIN}: nobody who was asked could be read."
    by_gap = sorted(table.rows, key=lambda row: row["longest_h"], reverse=True)
    told = table.rows if len(table.rows) <= SPELLED_OUT else by_gap[:SPELLED_OUT]
    each = " ".join(
        f"{row['name']}: on {row['read_on']}, longest gap {row['longest']}."
        if row["longest_h"]
        else f"{row['name']}: on {row['read_on']}."
        for row in told
    )
    return finish(layers, title=title(heading, base, reading), description=f"{heading}. {base} {each}", **rows.size)


def _watched(daily: Table, label: str) -> dict[str, Any]:
    """Collect the days of one group in one row."""
    rows = [row for row in daily.rows if row["group"] == label]
    gaps = [row["longest_gap_h"] for row in rows if row["longest_gap_h"] is not None]
    n = max(row["n_customers"] for row in rows)
    n_days = sum(row["n_read"] > 0 for row in rows)
    return {
        **{name: value for name, value in rows[0].items() if name.startswith("by_")},
        "group": label,
        "name": rows[0]["name"],
        "n_customers": n,
        "n": f"{n:,}",
        "n_days": n_days,
        "longest_h": max(gaps, default=0),
        "longest": duration(max(gaps, default=None)),
        "note": "" if n_days else "nobody was read",
    }


def _bar(row: Mapping[str, Any], first: date, height: float) -> dict[str, Any]:
    share = row["n_read"] / row["n_customers"]
    start = (row["day"] - first).days
    return {
        **{name: value for name, value in row.items() if name.startswith("by_")},
        "group": row["group"],
        "name": row["name"],
        "day": row["day"].isoformat(),
        **{name: row[name] for name in COVERAGE},
        "on": days(row["day"], row["day"]),
        "read": f"{percent(share)}, {row['n_read']:,} of {row['n_customers']:,}",
        "start": start,
        "middle": start + 0.5,
        "end": start + 1,
        "height": round(height * share, 1),
    }


def _weeks(bars: list[dict[str, Any]], first: date, last: date) -> list[dict[str, Any]]:
    """Turn one bar per day into one for each seven days from the first: its height is the mean of theirs."""
    weeks: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for bar in bars:
        weeks.setdefault((bar["group"], bar["start"] // 7), []).append(bar)
    drawn = []
    for (_, week), own in weeks.items():
        begins = first + timedelta(days=7 * week)
        n_days = min(7, (last - begins).days + 1)
        share = sum(bar["n_read"] / bar["n_customers"] for bar in own) / n_days
        drawn.append(
            own[0]
            | {
                "on": days(begins, begins + timedelta(days=n_days - 1)),
                "read": f"{percent(share)} a day, on {len(own)} of {n_days} days",
                "n_fetches": sum(bar["n_fetches"] for bar in own),
                "start": 7 * week,
                "middle": 7 * week + n_days / 2,
                "end": 7 * week + n_days,
                "height": round(sum(bar["height"] for bar in own) / n_days, 1),
            }
        )
    return drawn


def _part(bars: list[dict[str, Any]], span: int) -> None:
    """Leave a gap after each bar; where they are too narrow for it, overlap them: else their edges form patterns."""
    for bar in bars:
        wide = bar["end"] - bar["start"]
        bar["end"] = min(span, bar["start"] + wide * (_PARTED if span / wide <= _WIDE_BARS else _JOINED))


def _apart(span: int) -> int:
    """Choose how many days lie between two labels: whole weeks of more than two."""
    return -(-span // _LABELS) if span <= _BY_DAY else 7 * math.ceil(span / 7 / _LABELS)


def _gap(row: Mapping[str, Any], first: date) -> dict[str, Any]:
    """Draw the gap that ended on a day, as far back as the chart goes."""
    end = (row["day"] - first).days
    start = max(0, round(end - row["longest_gap_h"] / DAY_H, 3))
    return {
        **{name: value for name, value in row.items() if name.startswith("by_")},
        "group": row["group"],
        "name": row["name"],
        "long": duration(row["longest_gap_h"]),
        "n": f"{row['n_customers_gap_over_14_days']:,}",
        "start": start,
        "middle": (start + end) / 2,
        "end": end,
    }
