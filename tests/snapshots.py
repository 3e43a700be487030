"""Fetch results made up by hand, for tests of what keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from bookings_analytics import schema
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from collections.abc import Mapping

START = datetime(2026, 3, 1, 6, tzinfo=UTC)

Bookings = dict[int, str]  # booking_id → booking_status: what one customer's answer holds
Answer = Bookings | str  # or the outcome of a fetch that failed


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def booking(
    studio: str, customer_id: int, booking_id: int, status: str, time: datetime, *, visible: bool = True
) -> dict[str, Any]:
    """Make one row of BOOKINGS; all but the status follows from the ids."""
    return {
        "studio": studio,
        "customer_id": customer_id,
        "class_slot_id": booking_id % 7,
        "class_id": booking_id % 3,
        "booking_id": booking_id,
        "booking_status": status,
        "class_slot_status": "PLANNED",
        "participant_status": "UNSET",
        "observed_at": time,
        "visible": visible,
    }


def fetch(studio: str, customer_id: int, outcome: str, time: datetime, n_bookings: int | None) -> dict[str, Any]:
    """Make one row of FETCHES."""
    ok = outcome == "ok"
    return {
        "studio": studio,
        "customer_id": customer_id,
        "fetched_at": time,
        "outcome": outcome,
        "n_bookings": n_bookings,
        "http_status": 200 if ok else None,
        "error_code": None,
        "message": None if ok else "what went wrong",
        "trace_id": None,
        "attempts": 1,
    }


def result(time: datetime, answers: Mapping[int, Answer], *, studio: str = "mitte") -> FetchResult:
    """Make what a fetch at one time brings when these customers get these answers."""
    bookings, fetches = [], []
    for customer_id, answer in answers.items():
        if isinstance(answer, str):
            fetches.append(fetch(studio, customer_id, answer, time, None))
            continue
        fetches.append(fetch(studio, customer_id, "ok", time, len(answer)))
        bookings += [booking(studio, customer_id, each, status, time) for each, status in answer.items()]
    rows = pl.DataFrame(fetches, schema=schema.FETCHES)
    cohorts = rows.select("customer_id", "studio", cohort=pl.lit("all"), fetch_outcome="outcome")
    return FetchResult(pl.DataFrame(bookings, schema=schema.BOOKINGS), rows, cohorts)
