"""Charts of one rate per group: a dot on its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bookings_analytics.charts._dots import dots
from bookings_analytics.charts._palette import CONVERTED, NO_SHOW
from bookings_analytics.charts._rows import Rows
from bookings_analytics.charts._style import BAND, nothing
from bookings_analytics.charts._table import read
from bookings_analytics.schema import NO_SHOWS, WAITLIST_CONVERSION
from bookings_analytics.wording import NONE, counted, interval, percent, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt
    from narwhals.typing import IntoFrame

_LOOKS = 2  # a day: from there on the hour of the fetch hardly moves the rate


def no_shows(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw each group's no-show rate with its interval, and a band for attendance not recorded.

    Args:
        rates: What `bookings_analytics.no_shows` returns.
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
        ...     "customer_id": [1, 1, 2, 2],
        ...     "class_id": [7, 8, 7, 7],
        ...     "outcome": ["attended", "unrecorded", "no_show", "attended"],
        ... })
        >>> frame = rates.no_shows(outcomes, by="class_id")
        >>> charts.no_shows(frame, names={7: "Yoga", 8: "Spinning"}).description
        'No-shows among booked seats, by class. 3 seats of completed classes in 2 classes. ... Yoga: 33% ...'
    """
    table = read(
        rates,
        schema=NO_SHOWS,
        needs=[
            *("n_attended", "n_no_show", "n_unrecorded", "no_show_rate"),
            *("no_show_rate_ci_low", "no_show_rate_ci_high", "no_show_rate_bounds_low", "no_show_rate_bounds_high"),
        ],
        made_by="no_shows",
        names=names,
        sort=sort,
    )
    heading = f"No-shows among booked seats{table.per}"
    if not table.rows:
        return nothing(heading)
    for row in table.rows:
        recorded = row["n_attended"] + row["n_no_show"]
        rated = row["no_show_rate"] is not None
        row["n"] = f"{recorded:,}"
        row["rate"] = percent(row["no_show_rate"])
        row["told"] = f"{interval(row, 'no_show_rate')}, {row['n_no_show']:,} of {recorded:,} seats"
        row["bounds"] = span(row["no_show_rate_bounds_low"], row["no_show_rate_bounds_high"])
        row["unrecorded"] = f"{row['n_unrecorded']:,}"
        row["note"] = (
            "" if rated else "attendance was never recorded" if row["n_unrecorded"] else "no seat in a completed class"
        )
    seats = sum(row["n_attended"] + row["n_no_show"] for row in table.rows)
    unrecorded = sum(row["n_unrecorded"] for row in table.rows)
    base = f"{counted(seats, 'seat')} of completed classes{table.of}.{table.period}"
    if unrecorded:
        base += f" Not counted: {counted(unrecorded, 'seat')} without recorded attendance."
    bands = unrecorded > 0 and any(row["no_show_rate_bounds_high"] is not None for row in table.rows)
    rows = Rows(
        table,
        tooltip={
            "no-shows": "told",
            "whatever happened in unrecorded seats": "bounds",
            "seats not recorded": "unrecorded",
        },
        columns={"no-shows": "rate", "seats": "n", "not recorded": "unrecorded"},
    )
    return dots(
        rows,
        "no_show_rate",
        color=NO_SHOW,
        bounds=("no_show_rate_bounds_low", "no_show_rate_bounds_high") if bands else None,
        whatever="whatever happened in unrecorded seats",
        heading=heading,
        base=base,
        reading="Thin line: confidence interval." + BAND * bands,
    )


def waitlist_conversion(
    rates: IntoFrame, *, names: Mapping[Any, str] | None = None, sort: str | Sequence[Any] | None = None
) -> alt.LayerChart:
    """Draw the share of each group's observed waits that got a seat, with its interval, or why it is null.

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
        ...     "class_id": [7, 8],
        ...     "n_converted": [31, 0],
        ...     "n_lapsed": [15, 0],
        ...     "n_withdrawn": [4, 0],
        ...     "n_seen_late": [3, 1],
        ...     "conversion_rate": [0.62, None],
        ...     "conversion_rate_ci_low": [0.48, None],
        ...     "conversion_rate_ci_high": [0.74, None],
        ...     "median_fetch_gap_h": [24.0, 24.0],
        ...     "reason": [None, "no wait was seen in progress"],
        ... })
        >>> charts.waitlist_conversion(frame, names={7: "Yoga", 8: "Spinning"}).description
        'Observed waits that got a seat, by class. 50 waits in 2 classes. ... Yoga: 62% (48% to 74%).'
    """
    table = read(
        rates,
        schema=[*WAITLIST_CONVERSION, "looks_per_day", "fetch_hours"],
        needs=[
            *("n_converted", "n_lapsed", "n_withdrawn", "n_seen_late", "median_fetch_gap_h", "reason"),
            *("conversion_rate", "conversion_rate_ci_low", "conversion_rate_ci_high"),
        ],
        made_by="waitlist_conversion",
        names=names,
        sort=sort,
    )
    heading = f"Observed waits that got a seat{table.per}"
    if not table.rows:
        return nothing(heading)
    for row in table.rows:
        waits = row["n_converted"] + row["n_lapsed"] + row["n_withdrawn"]
        row["n"] = f"{waits:,}"
        row["rate"] = percent(row["conversion_rate"])
        row["told"] = f"{interval(row, 'conversion_rate')}, {row['n_converted']:,} of {waits:,} waits"
        row["gap"] = NONE if row["median_fetch_gap_h"] is None else f"{row['median_fetch_gap_h']:.0f} h"
        row["note"] = row["reason"]
    ended = sum(row["n_converted"] + row["n_lapsed"] + row["n_withdrawn"] for row in table.rows)
    late = sum(row["n_seen_late"] for row in table.rows)
    base = f"{counted(ended, 'wait')}{table.of}.{table.period}"
    base += _cadence(table.rows)
    if late:
        base += f" Not counted: {late:,} first seen after their class."
    gaps = sorted({row["gap"] for row in table.rows}, key=lambda gap: (len(gap), gap))
    rows = Rows(
        table,
        tooltip={
            "got a seat": "told",
            "never got in": "n_lapsed",
            "withdrew": "n_withdrawn",
            "first seen too late": "n_seen_late",
            "median time between fetches": "gap",
        },
        columns={"got a seat": "rate", "waits": "n"},
    )
    between = f" Median time between fetches: {' to '.join(dict.fromkeys((gaps[0], gaps[-1])))}."
    return dots(
        rows,
        "conversion_rate",
        color=CONVERTED,
        heading=heading,
        base=base,
        reading="Thin line: confidence interval." + between * (gaps != [NONE]),
    )


def _cadence(rows: list[dict[str, Any]]) -> str:
    """Write that a rate seen by few looks a day belongs to their hour; empty where there are two or more."""
    seldom = [row for row in rows if row.get("looks_per_day") is not None and row["looks_per_day"] < _LOOKS]
    if not seldom:
        return ""
    hours = sorted({row["fetch_hours"] for row in seldom if row.get("fetch_hours")})
    at = f" (fetched at {' or '.join(hours)} o'clock)" if hours else ""
    return f" Fewer than two looks a day{at}: the rate belongs to that hour and can't be compared between studios."
