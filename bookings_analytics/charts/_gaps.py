"""The chart of the gaps between the fetches of each group: the median and the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._palette import INK, NO_SHOW, QUIET
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import axis, finish, title
from bookings_analytics.schema import API_WINDOW
from bookings_analytics.wording import NONE, SPELLED_OUT, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bookings_analytics.charts._table import Table

DAY_H: Final = 24
_HOURS_UP_TO: Final = 72
_WINDOW: Final = API_WINDOW.days  # that the API looks back
MISSED: Final = f"a gap over {_WINDOW} days, so that statuses were missed"


def gaps_of_groups(table: Table) -> alt.LayerChart:
    """Draw the median and the longest gap of each group.

    Args:
        table: One row per group: `bookings_analytics.schema.COVERAGE`.
    """
    heading = f"Time between two fetches of a customer{table.per}"
    for row in table.rows:
        twice = row["median_gap_h"] is not None
        row["median"] = round(row["median_gap_h"] / DAY_H, 3) if twice else None
        row["longest"] = round(row["longest_gap_h"] / DAY_H, 3) if twice else None
        row["median_told"], row["longest_told"] = duration(row["median_gap_h"]), duration(row["longest_gap_h"])
        row["over"], row["n"] = f"{row['n_customers_gap_over_14_days']:,}", f"{row['n_customers']:,}"
        row["note"] = "" if twice else "no customer was fetched twice"
    rows = Rows(
        table,
        tooltip={"median gap": "median_told", "longest gap": "longest_told", "fetches": "n_fetches", "customers": "n"},
        columns={"over 14 days": "over", "customers": "n"},
    )
    end = max([_WINDOW + 1, *(row["longest"] * 1.05 for row in table.rows if row["longest"] is not None)])
    x = alt.X(
        "median:Q",
        scale=alt.Scale(domain=[0, round(end, 1)], nice=False),
        axis=axis(title="days", titleColor=QUIET, titleFontWeight="normal", orient=rows.orient),
    )
    layers = [
        alt.Chart(alt.InlineData([{"window": _WINDOW}]))
        .mark_rule(color=NO_SHOW, strokeDash=[4, 3])
        .encode(x=alt.X("window:Q")),
        rows.line("median", "longest", color=INK),
        rows.dot("median", color=INK).encode(x=x),
        rows.base.mark_tick(color=INK, thickness=2, size=12, opacity=1).encode(x=alt.X("longest:Q")),
        *rows.aside(),
        rows.above("14 days", x=alt.XDatum(_WINDOW), align="center", color=NO_SHOW, level=int(rows.many)),
    ]
    customers = sum(row["n_customers"] for row in table.rows)
    over = sum(row["n_customers_gap_over_14_days"] for row in table.rows)
    base = f"{counted(customers, 'customer')}{table.of}; {over:,} with {MISSED}.{in_hours(table.rows)}"
    known = [row for row in table.rows if row["median"] is not None]
    told = sorted(known, key=lambda row: row["longest"], reverse=True) if len(known) > SPELLED_OUT else known
    each = " ".join(
        f"{row['name']}: median {row['median_told']}, longest {row['longest_told']}." for row in told[:SPELLED_OUT]
    )
    return finish(
        layers,
        title=title(heading, base, "Dot: median gap. Tick: longest gap."),
        description=f"{heading}. {base} {each}",
        **rows.size,
    )


def in_hours(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write how many fetches lay between opening and closing, where that is known: "" if it is not.

    Args:
        rows: Rows of `bookings_analytics.schema.COVERAGE_BY_HOURS`, or of COVERAGE.
    """
    known = [row for row in rows if row.get("n_in_opening_hours") is not None]
    if not known:
        return ""
    within, fetches = (sum(row[name] for row in known) for name in ("n_in_opening_hours", "n_fetches"))
    if not within:
        return " No fetch was in opening hours."
    return f" {within:,} of {fetches:,} fetches were in opening hours: they leave days of classes open."


def duration(hours: float | None) -> str:
    """Write a time between two fetches: in hours up to three days, then in days."""
    if hours is None:
        return NONE
    return f"{hours:.0f} h" if hours < _HOURS_UP_TO else f"{hours / DAY_H:.0f} days"
