"""Charts of what became of bookings and of waits: the share of each outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts._palette import INK, OUTCOMES, WAIT_OUTCOMES, on
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import finish, nothing, title
from bookings_analytics.charts._table import Table, read
from bookings_analytics.schema import FEW, OUTCOME_COUNTS, WAITLIST_CONVERSION
from bookings_analytics.wording import SPELLED_OUT, counted, percent, spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_ASIDE = ("slot_canceled", "lost")  # of bookings: in no denominator
_NUMBER = 0.055  # of a bar: a percentage fits into such a part of it, also in a plot 300 wide
_THIN, _FULL = 13, 18  # pixels at least: so that a percentage fits


def outcome_counts(
    counts: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the shares of each group's requests that were attended, missed, not recorded, canceled and so on.

    A click on an outcome in the legend singles it out.

    Args:
        counts: What `bookings_analytics.outcome_counts` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: An outcome, for its largest share first, or group values in the order wanted.

    Raises:
        ValueError: If ``counts`` lacks a column that the chart needs, or ``sort`` is not an outcome.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> from bookings_analytics.metrics import rates
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2, 2],
        ...     "outcome": ["attended", "lost", "no_show", "attended"],
        ... })
        >>> charts.outcome_counts(rates.outcome_counts(outcomes)).description
        'What became of bookings. 3 requests. ... all: 67% attended, 33% no-show.'
    """
    table = read(
        counts,
        schema=OUTCOME_COUNTS,
        needs=["outcome", "n", "share"],
        made_by="outcome_counts",
        names=names,
        sort=None if isinstance(sort, str) else sort,
    )
    kinds = {kind: named for kind, named in OUTCOMES.items() if kind not in _ASIDE}
    wide = Table(table.by, _widened(table.rows))
    if isinstance(sort, str):
        if sort not in kinds:
            raise ValueError(f"{sort!r} is not an outcome with a share. Sort by one of {', '.join(kinds)}.")
        wide.rows.sort(key=lambda row: row[f"n_{sort}"] / max(1, _total(row, kinds)), reverse=True)
    heading = f"What became of bookings{table.per}"
    if not wide.rows:
        return nothing(heading)
    aside = sum(_total(row, _ASIDE) for row in wide.rows)
    total = sum(_total(row, kinds) for row in wide.rows)
    base = f"{counted(total, 'request')}{table.of}.{table.period}"
    if aside:
        base += f" Not counted: {aside:,} whose class was canceled, or that were lost from sight."
    return _mix(wide, kinds, unit="requests", heading=heading, base=base)


def waitlist_outcomes(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the shares of each group's observed waits that got a seat, never got in, withdrew, still wait and so on.

    A click on an outcome in the legend singles it out.

    Args:
        rates: What `bookings_analytics.waitlist_conversion` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``rates``.

    Raises:
        ValueError: If ``rates`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({
        ...     "n_converted": [31],
        ...     "n_lapsed": [15],
        ...     "n_withdrawn": [4],
        ...     "n_pending": [6],
        ...     "n_lost": [0],
        ...     "n_slot_canceled": [4],
        ... })
        >>> charts.waitlist_outcomes(frame).description
        'What became of observed waits. 60 waits. all: 52% got a seat, 25% never got in, 7% withdrew, ...'
    """
    table = read(
        rates,
        schema=WAITLIST_CONVERSION,
        needs=[f"n_{kind}" for kind in WAIT_OUTCOMES],
        made_by="waitlist_conversion",
        names=names,
        sort=sort,
    )
    heading = f"What became of observed waits{table.per}"
    if not table.rows:
        return nothing(heading)
    base = f"{counted(sum(_total(row, WAIT_OUTCOMES) for row in table.rows), 'wait')}{table.of}.{table.period}"
    return _mix(table, WAIT_OUTCOMES, unit="waits", heading=heading, base=base)


def _widened(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn one row per group and outcome into one row per group."""
    wide: dict[str, dict[str, Any]] = {}
    for row in rows:
        own = {name: value for name, value in row.items() if name in {"group", "name"} or name.startswith("by_")}
        counts = wide.setdefault(row["group"], own | {f"n_{kind}": 0 for kind in OUTCOMES})
        counts[f"n_{row['outcome']}"] = row["n"]
    return list(wide.values())


def _total(row: Mapping[str, Any], kinds: Iterable[str]) -> int:
    return sum(row[f"n_{kind}"] for kind in kinds)


def _mix(table: Table, kinds: Mapping[str, tuple[str, str]], *, unit: str, heading: str, base: str) -> alt.LayerChart:
    """Draw a bar of shares for each group, its parts in the order of ``kinds``."""
    for row in table.rows:
        row["total"] = _total(row, kinds)
        row["n"] = f"{row['total']:,}"
        row["note"] = "" if row["total"] else f"no {unit}"
    thin = f"Thin bars: fewer than {FEW} {unit}." if any(0 < row["total"] < FEW for row in table.rows) else ""
    rows = Rows(table, tooltip={unit: "n"}, columns={unit: "n"})
    present = {kind: named for kind, named in kinds.items() if any(row[f"n_{kind}"] for row in table.rows)}
    if not present:
        return nothing(heading, f"no {unit} in any group")
    parts = [part for row in table.rows for part in _parts(row, present)]
    picked = alt.selection_point(name=f"picked_{unit}", fields=["outcome"], bind="legend")
    names, colors = zip(*present.values(), strict=True)
    legend = alt.Legend(
        orient="top",
        offset=26,  # above the headings of the columns
        title=None,
        symbolType="square",
        symbolStrokeColor=INK,
        symbolStrokeWidth=0.7,
        labelLimit=0,
        labelFontSize=12,
        labelColor=INK,
    )
    bars = rows.chart(parts, {"outcome": "outcome", "share": "percent", unit: "of"})
    layers = [
        bars.mark_bar(stroke=INK, strokeWidth=0.7)  # the outline tells pale parts from the ground
        .encode(
            x=rows.shares("start", 1),
            x2=alt.X2("end"),
            color=alt.Color("outcome:N", scale=alt.Scale(domain=names, range=colors), legend=legend),
            size=alt.condition(
                f"datum.total < {FEW}", alt.value(max(_THIN, 0.32 * rows.step)), alt.value(max(_FULL, 0.64 * rows.step))
            ),
            opacity=alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.15)),
        )
        .add_params(picked)
        .properties(name=f"parts_{unit}"),
        bars.mark_text(fontSize=11).encode(
            x=alt.X("middle:Q"), text=alt.Text("label:N"), color=alt.Color("ink:N", scale=None)
        ),
        *rows.aside(),
    ]
    return finish(
        layers,
        title=title(heading, base, thin),
        description=f"{heading}. {base} {_finding(table, present)}",
        **rows.size,
    )


def _parts(row: Mapping[str, Any], kinds: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, Any]]:
    start = 0
    own = {name: value for name, value in row.items() if name in {"group", "name"} or name.startswith("by_")}
    for kind, (name, color) in kinds.items():
        n = row[f"n_{kind}"]
        if n:
            share = n / row["total"]
            yield own | {
                "outcome": name,
                "share": round(share, 9),
                "percent": percent(share),
                "n": n,
                "total": row["total"],
                "of": f"{n:,} of {row['total']:,}",
                "start": round(start / row["total"], 4),
                "middle": round((start + n / 2) / row["total"], 4),
                "end": round((start + n) / row["total"], 4),
                "label": percent(share) if share >= _NUMBER else "",
                "ink": on(color),
            }
        start += n


def _finding(table: Table, kinds: Mapping[str, tuple[str, str]]) -> str:
    rows = [row for row in table.rows if row["total"]]
    if len(rows) > SPELLED_OUT:
        shared = [row | {kind: row[f"n_{kind}"] / row["total"] for kind in kinds} for row in rows]
        return " ".join(f"{name.capitalize()}: {spread(shared, kind)}." for kind, (name, _) in kinds.items())
    return " ".join(
        f"{row['name']}: "
        + ", ".join(f"{percent(row[f'n_{kind}'] / row['total'])} {name}" for kind, (name, _) in kinds.items())
        + "."
        for row in rows
    )
