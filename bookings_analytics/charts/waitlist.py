"""The chart of the chance to get in from the waiting list, night by night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bookings_analytics.charts._dots import dots
from bookings_analytics.charts._palette import CONVERTED
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import nothing
from bookings_analytics.charts._table import Table, read
from bookings_analytics.schema import WAITLIST_CHANCES
from bookings_analytics.wording import counted, interval, percent, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt
    from narwhals.typing import IntoFrame


def waitlist_chances(
    chances: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the share of those waiting a number of nights before the class who got a seat, with its interval.

    Args:
        chances: What `bookings_analytics.waitlist_chances` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``chances``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``chances``.

    Raises:
        ValueError: If ``chances`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> chances = pl.DataFrame({
        ...     "nights_before": [0, 1, 3],
        ...     "n_waits": [190, 210, 150],
        ...     "n_converted": [36, 73, 80],
        ...     "chance": [0.19, 0.35, 0.53],
        ...     "chance_ci_low": [0.13, 0.28, 0.44],
        ...     "chance_ci_high": [0.26, 0.42, 0.62],
        ... })
        >>> charts.waitlist_chances(chances).description
        'Chance to get in from the waiting list. ... last night before class: 19% (13% to 26%). 1 night earlier: ...'
    """
    read_table = read(
        chances,
        schema=WAITLIST_CHANCES,
        needs=[name for name in WAITLIST_CHANCES if name != "n_customers"],
        made_by="waitlist_chances",
        names=names,
        sort=sort,
    )
    heading = f"Chance to get in from the waiting list{read_table.per}"
    if not read_table.rows:
        return nothing(heading, "no customer was seen waiting in the night before a class")
    of = read_table.of
    for row in read_table.rows:
        name = _nights(row["nights_before"])
        row["name"] = f"{row['name']}, {name}" if read_table.by else name
        row["group"] = wrapped(row["name"])
        row["n"], row["share"] = f"{row['n_waits']:,}", percent(row["chance"])
        row["told"] = f"{interval(row, 'chance')}, {row['n_converted']:,} of {row['n_waits']:,}"
        row["note"] = "" if row["n_waits"] else "nobody waited"
    table = Table(read_table.by, read_table.rows)
    most = max(row["n_waits"] for row in table.rows)
    base = f"Up to {counted(most, 'wait')} a night{of}.{table.period}"
    rows = Rows(table, tooltip={"got a seat": "told"}, columns={"got a seat": "share", "waiting": "n"})
    return dots(
        rows,
        "chance",
        color=CONVERTED,
        heading=heading,
        base=base,
        reading="Of customers still on the list that night. Thin line: confidence interval.",
    )


def _nights(nights_before: int) -> str:
    if nights_before == 0:
        return "last night before class"
    return f"{nights_before} night{'' if nights_before == 1 else 's'} earlier"
