"""Charts of counts and of times: seats lost while somebody waited, and how often customers were fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bookings_analytics.charts.frames import read
from bookings_analytics.charts.palette import INK, NO_SHOW, QUIET
from bookings_analytics.charts.rows import Rows
from bookings_analytics.charts.style import NONE, SPELLED_OUT, axis, counted, finish, nothing, one_line, title
from bookings_analytics.schema import COVERAGE, SEATS_LOST_WHILE_WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

_DAY = 24  # hours
_HOURS_UP_TO = 72
_WINDOW = 14  # days that the API looks back


def seats_lost(
    frame: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Show how many seats of each group nobody sat in while somebody waited for one.

    It counts fetched customers only: the empty seat, or the vain wait, of anybody else is not seen.

    Args:
        frame: What `bookings_analytics.seats_lost_while_waiting` returns.
        names: As for `booking_vs_participation`.
        sort: The same.

    Raises:
        ValueError: If ``frame`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({"class_id": [7, 8], "n_seats": [12, 0], "n_slots": [40, 22]})
        >>> charts.seats_lost(frame, names={7: "Yoga", 8: "Spinning"}).description
        'Seats that stayed empty while somebody waited, by class. ... Yoga: 12 in 40 classes. Spinning: 0 in ...'
    """
    table = read(
        frame,
        schema=SEATS_LOST_WHILE_WAITING,
        needs=SEATS_LOST_WHILE_WAITING,
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
        axis=axis(format=",d", tickMinStep=1, orient=rows.orient),
    )
    layers = [rows.base.mark_bar(size=round(0.4 * rows.step), color=NO_SHOW).encode(x=x), *rows.aside()]
    seats, slots = sum(row["n_seats"] for row in table.rows), sum(row["n_slots"] for row in table.rows)
    base = f"{counted(seats, 'seat')} in {slots:,} completed classes."
    only = "Of fetched customers only: the empty seats and vain waits of others are not seen, so there may be more."
    largest = sorted(table.rows, key=lambda row: row["n_seats"], reverse=True)[:SPELLED_OUT]
    told = table.rows if len(table.rows) <= SPELLED_OUT else largest
    each = " ".join(f"{one_line(row['group'])}: {row['seats']} in {row['slots']} classes." for row in told)
    return finish(layers, title=title(heading, base, only), description=f"{heading}. {base} {only} {each}", **rows.size)


def coverage(
    frame: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Show how long each group's customers went unfetched: the median and the longest gap, against the two weeks.

    The API shows what lies up to two weeks back, so after a longer gap some statuses were never seen.

    Args:
        frame: What `bookings_analytics.Archive.coverage` returns.
        names: As for `booking_vs_participation`.
        sort: The same.

    Raises:
        ValueError: If ``frame`` lacks a column that the chart needs.

    Example:
        >>> import polars as pl
        >>> from bookings_analytics import charts
        >>> frame = pl.DataFrame({
        ...     "cohort": ["trial"],
        ...     "n_customers": [120],
        ...     "n_fetches": [6600],
        ...     "median_gap_h": [24.0],
        ...     "longest_gap_h": [408.0],
        ...     "n_customers_gap_over_14_days": [3],
        ... })
        >>> charts.coverage(frame).description
        'Time between two fetches of a customer, by cohort. ... trial: median 24 h, longest 17 days.'
    """
    table = read(frame, schema=COVERAGE, needs=COVERAGE, made_by="Archive.coverage", names=names, sort=sort)
    heading = f"Time between two fetches of a customer{table.per}"
    if not table.rows:
        return nothing(heading)
    for row in table.rows:
        twice = row["median_gap_h"] is not None
        row["median"] = round(row["median_gap_h"] / _DAY, 3) if twice else None
        row["longest"] = round(row["longest_gap_h"] / _DAY, 3) if twice else None
        row["median_told"], row["longest_told"] = _time(row["median_gap_h"]), _time(row["longest_gap_h"])
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
    base = (
        f"{counted(customers, 'customer')}{table.of}; {over:,} with a gap over 14 days, so that statuses were missed."
    )
    known = [row for row in table.rows if row["median"] is not None]
    told = sorted(known, key=lambda row: row["longest"], reverse=True) if len(known) > SPELLED_OUT else known
    each = " ".join(
        f"{one_line(row['group'])}: median {row['median_told']}, longest {row['longest_told']}."
        for row in told[:SPELLED_OUT]
    )
    return finish(
        layers,
        title=title(heading, base, "Dot: median gap. Tick: longest gap."),
        description=f"{heading}. {base} {each}",
        **rows.size,
    )


def _time(hours: float | None) -> str:
    if hours is None:
        return NONE
    return f"{hours:.0f} h" if hours < _HOURS_UP_TO else f"{hours / _DAY:.0f} days"
