"""The chart of groups against a baseline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts._comparison import NEEDED, label_and_unit, notes, one_comparison, write_texts
from bookings_analytics.charts._palette import INK, QUIET
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import axis, finish, nothing, title
from bookings_analytics.charts._table import read
from bookings_analytics.schema import COMPARISON, RATES
from bookings_analytics.wording import SPELLED_OUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_GRAIN = 0.05  # the axis ends at whole five points


def compare(
    comparison: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw by how many percentage points a rate of each group differs from the baseline's, with its interval.

    A filled dot's interval leaves out zero.

    Args:
        comparison: What `bookings_analytics.compare` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``comparison``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``comparison``.

    Raises:
        ValueError: If ``comparison`` lacks a column that the chart needs, or compares several rates or baselines.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> comparison = pl.DataFrame({
        ...     "cohort": ["trial"],
        ...     "rate": ["no_show_rate"],
        ...     "baseline": ["long-term"],
        ...     "value": [0.12],
        ...     "baseline_value": [0.07],
        ...     "difference": [0.05],
        ...     "difference_ci_low": [0.02],
        ...     "difference_ci_high": [0.09],
        ...     "n": [410],
        ...     "baseline_n": [2210],
        ... })
        >>> charts.compare(comparison).description
        'Difference in no-show rate from long-term, by cohort. long-term: 7% of 2,210 seats. trial: +5 pp ...'
    """
    table = read(comparison, schema=COMPARISON, needs=NEEDED, made_by="compare", names=names, sort=sort)
    if not table.rows:
        return nothing("Differences from the baseline", "there is no group beside the baseline")
    first = one_comparison(table)
    called, unit = label_and_unit(first["rate"])
    called_by = {str(value): name for value, name in (names or {}).items()}
    baseline = called_by.get(first["baseline"]) or first.get("baseline_title") or first["baseline"]
    heading = f"Difference in {called} from {baseline}{table.per}"
    for row in table.rows:
        write_texts(row)
        row["against"] = f"{row['value_told']} against {row['baseline_told']}"
        row["count"] = f"{row['n']:,}"
        row["note"] = "no rate to compare" if row["difference"] is None else ""
    base = f"{baseline}: {first['baseline_told']} of {first['baseline_n']:,} {unit}.{table.period}"
    rows = Rows(
        table,
        tooltip={
            "difference": "told",
            "interval": "range",
            called: "against",
            unit: "count",
            "customers in both": "shared",
        },
        columns={"difference": "told", unit: "count"},
    )
    drawn = [row for row in table.rows if row["difference"] is not None]
    low = min([-_GRAIN, *(row["difference_ci_low"] for row in drawn)])
    high = max([_GRAIN, *(row["difference_ci_high"] for row in drawn)])
    ends = [_GRAIN * math.floor(low / _GRAIN), _GRAIN * math.ceil(high / _GRAIN)]
    scaled = "format(100 * datum.value, '.0f')" if first["rate"] in RATES else "datum.label"
    x = alt.X(
        "difference:Q",
        scale=alt.Scale(domain=[round(end, 2) for end in ends], nice=False),
        axis=axis(labelExpr=f"(datum.value > 0 ? '+' : '') + {scaled}", orient=rows.orient),
    )
    layers = [
        alt.Chart(alt.InlineData([{"zero": 0}])).mark_rule(color=INK).encode(x=alt.X("zero:Q")),
        rows.line("difference_ci_low", "difference_ci_high", color=INK),
        rows.dot("difference", color=INK).encode(
            x=x, fill=alt.when("datum.apart").then(alt.value(INK)).otherwise(alt.value("white"))
        ),
        *rows.aside(),
        rows.above("← lower", x=alt.XDatum(0), align="right", dx=-8, color=QUIET, level=int(rows.many)),
        rows.above("higher →", x=alt.XDatum(0), align="left", dx=8, color=QUIET, level=int(rows.many)),
    ]
    reading = "In percentage points. " * (first["rate"] in RATES)
    reading += "Thin line: confidence interval. " * ("Thin line" not in notes(table))
    reading += "Filled dot: the interval leaves out zero."
    described = f"{heading}. {base} {_finding(drawn)}"
    return finish(layers, title=title(heading, base, reading, notes(table)), description=described, **rows.size)


def _finding(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "No difference could be computed."
    told = rows if len(rows) <= SPELLED_OUT else [row for row in rows if row["apart"]]
    each = " ".join(f"{row['name']}: {row['told']} ({row['range']})." for row in told)
    return each or "No interval leaves out zero."
