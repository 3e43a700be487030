"""What the charts of comparisons share: their texts, and what has to be said of their base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bookings_analytics.schema import PER_WEEK, RATES
from bookings_analytics.wording import SPELLED_OUT, amount, amount_change, percent, points

if TYPE_CHECKING:
    from bookings_analytics.charts._table import Table

NEEDED: Final = (
    *("rate", "baseline", "value", "baseline_value", "n", "baseline_n"),
    *("difference", "difference_ci_low", "difference_ci_high"),
)
RECORDED_APART: Final = 0.05  # recorded shares that differ by more could make a difference by themselves


def label_and_unit(rate: str) -> tuple[str, str]:
    """Name a rate, or a number a week, and what it is of."""
    facts = RATES[rate] if rate in RATES else PER_WEEK[rate]
    return facts.label, facts.unit


def one_comparison(table: Table) -> dict[str, Any]:
    """Return the first row of a table of one rate and one baseline.

    Raises:
        ValueError: If it has several.
    """
    if len({(row["rate"], row["baseline"]) for row in table.rows}) > 1:
        raise ValueError("the frame compares several rates or baselines. Draw one chart for each of them.")
    return table.rows[0]


def write_texts(row: dict[str, Any]) -> None:
    """Add to a row what is written of it: values, difference, interval, and whether that leaves out zero."""
    share = row["rate"] in RATES
    known = row["difference"] is not None
    value, change = (percent, points) if share else (amount, amount_change)
    row["apart"] = known and (row["difference_ci_low"] > 0 or row["difference_ci_high"] < 0)
    row["told"] = change(row["difference"]) + " pp" * (known and share)
    row["range"] = f"{change(row['difference_ci_low'])} to {change(row['difference_ci_high'])}" if known else ""
    row["value_told"], row["baseline_told"] = value(row["value"]), value(row["baseline_value"])
    shared = row.get("n_shared_customers")
    row["shared"] = "not counted" if shared is None else f"{shared:,}"


def notes(table: Table) -> str:
    """Write which confidence the intervals have, and whose attendance was recorded differently."""
    first = table.rows[0]
    told = ""
    if first.get("confidence") is not None:
        together = ", all of them together" if first.get("simultaneous") else ""
        told = f"Thin line: {first['confidence']:.0%} interval{together}."
    uneven = [
        row
        for row in table.rows
        if row.get("recorded_share") is not None
        and row.get("baseline_recorded_share") is not None
        and abs(row["recorded_share"] - row["baseline_recorded_share"]) > RECORDED_APART
    ]
    if uneven:
        which = "; ".join(
            f"{row['name']} {percent(row['recorded_share'])} against {percent(row['baseline_recorded_share'])}"
            for row in uneven[:SPELLED_OUT]
        )
        more = f" and {len(uneven) - SPELLED_OUT} more" if len(uneven) > SPELLED_OUT else ""
        told += f" Attendance was recorded for different shares of seats, which may be the difference: {which}{more}."
    return told.strip()
