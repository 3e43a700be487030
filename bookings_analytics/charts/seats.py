"""The chart of seats lost while somebody waited for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts._palette import NO_SHOW
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import axis, finish, nothing, title, whole_ticks
from bookings_analytics.charts._table import read
from bookings_analytics.schema import SEATS_LOST_WHILE_WAITING
from bookings_analytics.wording import SPELLED_OUT, counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame


def seats_lost_while_waiting(
    counts: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw how many seats of each group nobody sat in while somebody waited for one.

    It counts fetched customers only: the empty seat, or the vain wait, of anybody else is not seen.

    Args:
        counts: What `bookings_analytics.seats_lost_while_waiting` returns.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.
        sort: A column of ``counts``, for its largest value first, or group values in the order wanted, as in
            ``["trial", "corporate"]``; None keeps the order of ``counts``.

    Raises:
        ValueError: If ``counts`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({"class_id": [7, 8], "n_seats": [12, 0], "n_slots": [40, 22]})
        >>> charts.seats_lost_while_waiting(frame, names={7: "Yoga", 8: "Spinning"}).description
        'Seats that stayed empty while somebody waited, by class. ... Yoga: 12 in 40 classes. Spinning: 0 in ...'
    """
    table = read(
        counts,
        schema=SEATS_LOST_WHILE_WAITING,
        needs=["n_seats", "n_slots"],
        made_by="seats_lost_while_waiting",
        names=names,
        sort=sort,
    )
    heading = f"Seats that stayed empty while somebody waited{table.per}"
    if not table.rows:
        return nothing(heading)
    for row in table.rows:
        row["seats"], row["slots"] = f"{row['n_seats']:,}", f"{row['n_slots']:,}"
        row["note"] = "" if row["n_slots"] else "no completed class"
    rows = Rows(
        table, tooltip={"seats": "seats", "completed classes": "slots"}, columns={"seats": "seats", "classes": "slots"}
    )
    most = max(1, *(row["n_seats"] for row in table.rows))
    x = alt.X(
        "n_seats:Q",
        scale=alt.Scale(domain=[0, most], nice=False),
        axis=axis(format=",d", values=whole_ticks(most), orient=rows.orient),
    )
    layers = [rows.base.mark_bar(size=round(0.4 * rows.step), color=NO_SHOW).encode(x=x), *rows.aside()]
    seats, slots = sum(row["n_seats"] for row in table.rows), sum(row["n_slots"] for row in table.rows)
    base = f"{counted(seats, 'seat')} in {slots:,} completed classes.{table.period}"
    only = "Counts fetched customers only, so the true number may be higher."
    largest = sorted(table.rows, key=lambda row: row["n_seats"], reverse=True)[:SPELLED_OUT]
    told = table.rows if len(table.rows) <= SPELLED_OUT else largest
    each = " ".join(f"{row['name']}: {row['seats']} in {row['slots']} classes." for row in told)
    return finish(layers, title=title(heading, base, only), description=f"{heading}. {base} {only} {each}", **rows.size)
