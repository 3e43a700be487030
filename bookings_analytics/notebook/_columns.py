"""What the columns of results are called, and what kind of number each holds: the same in tables and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from bookings_analytics import schema
from bookings_analytics.charts._palette import OUTCOMES, WAIT_OUTCOMES
from bookings_analytics.wording import POSITIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

Kind = Literal["text", "count", "share", "difference", "amount", "hours", "day"]

_OF_CUSTOMERS: Final = {name: kind for name, kind in schema.CUSTOMERS.items() if name not in schema.CUSTOMER_KEY}
KNOWN: Final = {name: kind for frame in (*schema.RESULTS, _OF_CUSTOMERS) for name, kind in frame.items()}
KNOWN_OF_TRENDS: Final = KNOWN | schema.TREND  # some of whose columns a list may have, to group other results by
ENDS: Final = (
    ("_ci_low", "_ci_high", ", interval"),
    ("_min", "_max", ", bounds"),
    ("_bounds_low", "_bounds_high", ", 95% range"),
    ("_low", "_high", ""),
)
AMOUNTS: Final = {  # numbers that are not shares, with their decimals
    "dispersion": 2,
    "n_effective_customers": 0,
    "slot_correlation": 2,
    "day_correlation": 2,
    "looks_per_day": 1,
    **{f"{name}{part}": 2 for name in schema.PER_WEEK for part in ("", "_ci_low", "_ci_high", "_max")},
}
_VALUES: Final = {**{kind: named for kind, (named, _) in (OUTCOMES | WAIT_OUTCOMES).items()}}
_CALLED: Final = {
    "class_day": "day",
    "late_cancel_rate": "late-cancel rate",
    "unused_rate": "unused rate",
    "n_late": "canceled late",
    "n_waits": "waits",
    "n_weeks": "weeks",
    "no_show_estimate": "no-show rate, drawn toward that of all",
    "n_ambiguous": "perhaps canceled late",
    "n_undated": "not dated",
    "n_slot_canceled": "class canceled",
    "n_effective_customers": "effective customers",
    "looks_per_day": "looks a day",
    "booked_per_week": "booked a week",
    "attended_per_week": "attended a week",
    "attended_per_week_max": "attended a week if all unrecorded were",
    "n_shared_customers": "customers in both",
    "limit_95": "95% limits",
    "limit_998": "99.8% limits",
    "n_customers_gap_over_14_days": "customers with a gap over 14 days",
}


def known_in(columns: Collection[str]) -> dict[str, pl.DataType]:
    """Return the columns, with their types, that a frame with these columns is not grouped by."""
    return KNOWN_OF_TRENDS if {"limit_low", "week_complete"} <= set(columns) else KNOWN


def words(name: str) -> str:
    """Return what a column is called in a heading."""
    plain = name.removeprefix("n_").removesuffix("_h").replace("no_show", "no-show").replace("_", " ")
    return _CALLED.get(name, plain)


def said(name: str, value: object) -> str:
    """Write a status or the name of a rate in words."""
    text = str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "signal":
        return text.replace("run_", "in a run ").replace("within", "no")
    if name == "rate":
        facts = (schema.RATES | schema.TRENDS | schema.PER_WEEK).get(text)
        return facts.label if facts else text
    return POSITIONS.get(text) or (_VALUES.get(text, text) if name in {"outcome", "wait_outcome"} else text)


def of_shares(row: Mapping[str, Any]) -> bool:
    """Check whether a row speaks of shares: all do but comparisons of classes a week."""
    return row.get("rate") is None or row["rate"] in schema.RATES | schema.TRENDS


def kind_of(name: str, row: Mapping[str, Any]) -> Kind:
    """Return what kind of number a column of a result holds.

    Args:
        name: The column.
        row: One of its rows: in a comparison, the rate decides.
    """
    dtype = KNOWN_OF_TRENDS[name]
    if dtype == pl.Date:
        return "day"
    if dtype.is_integer():
        return "count"
    if not dtype.is_float():
        return "text"
    if name.endswith("_h"):
        return "hours"
    compared = name in {"value", "baseline_value"} or name.startswith("difference")
    if name in AMOUNTS or (compared and not of_shares(row)):
        return "amount"
    return "difference" if name.startswith(("difference", "slope")) else "share"
