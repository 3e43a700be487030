"""The drawing of one rate per group: a dot on its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bookings_analytics.charts._style import finish, title, top
from bookings_analytics.wording import SPELLED_OUT, interval, spread

if TYPE_CHECKING:
    import altair as alt

    from bookings_analytics.charts._rows import Rows


def dots(
    rows: Rows,
    rate: str,
    *,
    color: str,
    bounds: tuple[str, str] | None = None,
    whatever: str = "",
    heading: str,
    base: str,
    reading: str,
) -> alt.LayerChart:
    """Draw a dot on its interval for each row, and a band where there are bounds.

    Args:
        rows: The geometry, with the table's rows.
        rate: The field of the dot; those of its interval follow from its name.
        color: The color of all marks.
        bounds: The fields of the band's two ends, which each row's ``bounds`` says in words; None draws none.
        whatever: What the band allows for, as in "whatever happened in unrecorded seats".
        heading: What the chart shows.
        base: Of what and of how many.
        reading: What its marks mean.
    """
    rated = [row for row in rows.table.rows if row[rate] is not None]
    ends = [f"{rate}_ci_high", bounds[1]] if bounds else [f"{rate}_ci_high"]
    end = top(row[name] for row in rows.table.rows for name in ends)
    if len(rated) > SPELLED_OUT:
        finding = f"From {spread(rated, rate)}."
    else:
        within = (f", {row['bounds']} {whatever}" if bounds else "" for row in rated)
        finding = " ".join(
            f"{row['name']}: {interval(row, rate)}{band}." for row, band in zip(rated, within, strict=True)
        )
    layers = [
        *([rows.band(*bounds, color=color)] if bounds else []),
        rows.line(f"{rate}_ci_low", f"{rate}_ci_high", color=color),
        rows.dot(rate, color=color).encode(x=rows.shares(rate, end)),
        *rows.aside(),
    ]
    described = f"{heading}. {base} {finding or 'No rate could be computed.'}"
    return finish(layers, title=title(heading, base, reading), description=described, **rows.size)
