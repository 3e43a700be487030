"""The chart of customers who booked, and who took part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts._palette import ATTENDED, GAP, INK
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import BAND, finish, nothing, title
from bookings_analytics.charts._table import read
from bookings_analytics.schema import BOOKING_VS_PARTICIPATION
from bookings_analytics.wording import NONE, SPELLED_OUT, counted, interval, percent, spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

    from bookings_analytics.charts._table import Table

_KEY_WIDTH = 0.3  # of the plot: names of marks closer than that would run into each other in a narrow one


def booking_vs_participation(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the share of customers who booked, the share who took part, and the gap between: one row per group.

    Args:
        rates: What `bookings_analytics.booking_vs_participation` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``rates``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``rates``.

    Raises:
        ValueError: If ``rates`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> from bookings_analytics.metrics import rates
        >>> outcomes = pl.DataFrame({
        ...     "studio": "mitte",
        ...     "customer_id": [1, 1, 2],
        ...     "class_slot_id": [10, 11, 10],
        ...     "outcome": ["attended", "no_show", "no_show"],
        ... })
        >>> cohorts = pl.DataFrame({"customer_id": [1, 2, 3, 4], "cohort": ["new", "new", "new", "old"]})
        >>> frame = rates.booking_vs_participation(outcomes, cohorts, by="cohort")
        >>> chart = charts.booking_vs_participation(frame, sort=["old", "new"])
        >>> chart.properties(width=300).description
        'Customers who booked, and who took part, by cohort. 4 customers in 2 cohorts. old: 0% booked, ...'
    """
    table = read(
        rates,
        schema=BOOKING_VS_PARTICIPATION,
        needs=[
            *("n_customers", "n_not_read", "n_booked", "n_participated"),
            *("booking_rate", "booking_rate_ci_low", "booking_rate_ci_high"),
            *("participation_rate", "participation_rate_ci_low", "participation_rate_ci_high"),
            *("participation_rate_min", "participation_rate_max"),
            *("participation_rate_bounds_low", "participation_rate_bounds_high"),
        ],
        made_by="booking_vs_participation",
        names=names,
        sort=sort,
    )
    heading = f"Customers who booked, and who took part{table.per}"
    if not table.rows:
        return nothing(heading)
    base = _customers_read(table)
    bands = any(
        row["participation_rate_bounds_high"] is not None
        and row["participation_rate_max"] != row["participation_rate_min"]
        for row in table.rows
    )
    for row in table.rows:
        row.update(_texts(row))
    rows = Rows(
        table,
        tooltip={"booked": "booked", "took part": "took_part", "gap": "gap", "could not be read": "n_not_read"},
        columns={"gap": "gap", "customers": "n"},
    )
    up, down = -(rows.step // 7), rows.step // 7
    layers = [
        rows.base.mark_bar(size=4, color=GAP).encode(x=rows.shares("participation_rate", 1), x2=alt.X2("booking_rate")),
        *(
            [
                rows.band(
                    "participation_rate_bounds_low", "participation_rate_bounds_high", color=ATTENDED, y_offset=down
                )
            ]
            if bands
            else []
        ),
        rows.line("booking_rate_ci_low", "booking_rate_ci_high", color=INK, y_offset=up),
        rows.line("participation_rate_ci_low", "participation_rate_ci_high", color=ATTENDED, y_offset=down),
        rows.dot("booking_rate", color=INK, fill="white", y_offset=up),
        rows.dot("participation_rate", color=ATTENDED, y_offset=down),
        *rows.aside(),
        *_key(rows),
    ]
    return finish(
        layers,
        title=title(
            heading,
            base,
            f"Thin line: confidence interval. Gray: the gap.{BAND * bands}",
        ),
        description=f"{heading}. {base} {_finding(table)}",
        **rows.size,
    )


def _customers_read(table: Table) -> str:
    base = f"{counted(table.customers('n_customers'), 'customer')}{table.of}.{table.period}"
    not_read = table.customers("n_not_read")
    return f"{base} Not counted: {not_read:,} who could not be read." if not_read else base


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    n = f"{row['n_customers']:,}"
    if row["booking_rate"] is None:
        return {"booked": NONE, "took_part": NONE, "gap": NONE, "n": n, "note": "no customer of this group was read"}
    return {
        "booked": f"{interval(row, 'booking_rate')}, {row['n_booked']:,} of {n}",
        "took_part": f"{interval(row, 'participation_rate')}, {row['n_participated']:,} of {n}",
        "gap": f"{100 * _gap(row):.0f} pp",
        "n": n,
    }


def _key(rows: Rows) -> Iterable[alt.Chart]:
    """Name the two marks above the first row that has them; one above the other where they are close."""
    first = next((row for row in rows.table.rows if row["booking_rate"] is not None), None)
    if first:
        close = _gap(first) < _KEY_WIDTH
        yield rows.key("● took part", first["participation_rate"], color=ATTENDED)
        yield rows.key("○ booked", first["booking_rate"], color=INK, level=int(close))


def _finding(table: Table) -> str:
    rated = [row for row in table.rows if row["booking_rate"] is not None]
    if len(rated) > SPELLED_OUT:
        widest = max(rated, key=_gap)
        return (
            f"Booked: {spread(rated, 'booking_rate')}. Took part: {spread(rated, 'participation_rate')}. "
            f"Widest gap: {widest['name']}, {widest['gap']}."
        )
    return " ".join(
        f"{row['name']}: {percent(row['booking_rate'])} booked, {percent(row['participation_rate'])} took "
        f"part, a gap of {row['gap']}."
        for row in rated
    )


def _gap(row: Mapping[str, Any]) -> float:
    return float(row["booking_rate"] - row["participation_rate"])
