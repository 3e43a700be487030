"""Class bookings of gym customers in JupyterLab: who books, who takes part, who does not turn up.

Data flows one way: `read_cohorts` → `fetch_bookings` → `classify` → the rates → `charts`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bookings_analytics.cohorts import read_cohorts
from bookings_analytics.comparisons import compare, no_show_funnel
from bookings_analytics.errors import (
    ApiError,
    ArchiveError,
    AuthenticationError,
    BookingsError,
    CohortError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    FetchInterrupted,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ReportError,
    ServerError,
    ValidationFailedError,
)
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.outcomes import classify
from bookings_analytics.rates import booking_vs_participation, no_shows, outcome_counts
from bookings_analytics.results import FetchResult
from bookings_analytics.studios import Studio
from bookings_analytics.waits import seats_lost_while_waiting, waitlist_conversion

if TYPE_CHECKING:
    from types import ModuleType

    from bookings_analytics import charts, demo, notebook, schema
    from bookings_analytics.archive import Archive

__all__ = [
    "ApiError",
    "Archive",
    "ArchiveError",
    "AuthenticationError",
    "BookingsError",
    "CohortError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "FetchInterrupted",
    "FetchResult",
    "InvalidResponseError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "ReportError",
    "ServerError",
    "Studio",
    "ValidationFailedError",
    "booking_vs_participation",
    "charts",
    "classify",
    "compare",
    "demo",
    "fetch_bookings",
    "no_show_funnel",
    "no_shows",
    "notebook",
    "outcome_counts",
    "read_cohorts",
    "schema",
    "seats_lost_while_waiting",
    "waitlist_conversion",
]


def __getattr__(name: str) -> ModuleType | type[Archive]:
    """Load the parts that not every use needs when they are first used."""
    if name in ("charts", "demo", "notebook"):
        return import_module(f"bookings_analytics.{name}")
    if name == "Archive":
        archive: type[Archive] = import_module("bookings_analytics.archive").Archive
        return archive
    raise AttributeError(f"module 'bookings_analytics' has no attribute {name!r}")
