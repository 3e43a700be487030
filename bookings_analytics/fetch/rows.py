"""One row per customer: what an answer or an error means for the customer asked for."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from bookings_analytics import schema
from bookings_analytics.errors import (
    ApiError,
    AuthenticationError,
    BookingsError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    ValidationFailedError,
)
from bookings_analytics.fetch.wire import OPTED_OUT, Booking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class FetchRow(NamedTuple):
    """One row of `schema.FETCHES`."""

    studio: str
    customer_id: int
    fetched_at: datetime
    outcome: str
    n_bookings: int | None
    http_status: int | None
    error_code: str | None
    message: str | None
    trace_id: str | None
    attempts: int


def fetched(studio: str, customer_id: int, at: datetime, n_bookings: int, attempts: int) -> FetchRow:
    """Return the row of a customer whose bookings came."""
    return FetchRow(studio, customer_id, at, "ok", n_bookings, 200, None, None, None, attempts)


def not_read(studio: str, customer_id: int, at: datetime, outcome: str, error: BookingsError) -> FetchRow:
    """Return the row of a customer whose bookings did not come."""
    status, code, message, trace = None, None, str(error), None
    if isinstance(error, ApiError):
        status, code, trace = error.http_status, error.error_code, error.trace_id
        message = error.message or f"{status} {responses.get(status, '')}".rstrip() + ", without a message"
    return FetchRow(studio, customer_id, at, outcome, None, status, code, message, trace, error.attempts)


def outcome_of(error: BookingsError) -> str | None:
    """Return what an error means for its customer; None if it means the end of the studio's fetch."""
    match error:
        case PermissionDeniedError(error_code=str() as code) if code.endswith(OPTED_OUT):
            return "access_disabled"
        case AuthenticationError() | PermissionDeniedError():
            return None
        case NotFoundError():
            return "not_found"
        case ValidationFailedError():
            return "rejected"
        case InvalidResponseError():
            return "invalid_response"
    return "failed"


def bookings_frame(fetches: pl.DataFrame, rows: Sequence[Booking]) -> pl.DataFrame:
    """Set studio and time of its fetch beside each booking.

    Args:
        fetches: The fetches as `schema.FETCHES`.
        rows: Their bookings, in the order of `fetches`.
    """
    read = fetches.filter(pl.col("n_bookings") > 0)
    once_each = read.select(pl.col("studio", "fetched_at").repeat_by("n_bookings").explode())
    columns = {
        "studio": once_each["studio"],
        "observed_at": once_each["fetched_at"],
        "visible": [True] * len(rows),
        **{name: [getattr(row, name) for row in rows] for name in Booking.__struct_fields__},
    }
    return pl.DataFrame({name: columns[name] for name in schema.BOOKINGS}, schema=schema.BOOKINGS)
