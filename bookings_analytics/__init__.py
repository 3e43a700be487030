"""Class bookings of gym customers in JupyterLab: who books, who takes part, who does not turn up.

Data flows one way: `read_cohorts` → `fetch_bookings` → `classify` → the rates → `charts`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bookings_analytics.cohorts import read_cohorts
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
    ServerError,
    ValidationFailedError,
)
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.results import FetchResult
from bookings_analytics.studios import Studio

if TYPE_CHECKING:
    from types import ModuleType

    from bookings_analytics import charts, demo, notebook, schema

__all__ = [
    "ApiError",
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
    "ServerError",
    "Studio",
    "ValidationFailedError",
    "charts",
    "demo",
    "fetch_bookings",
    "notebook",
    "read_cohorts",
    "schema",
]


def __getattr__(name: str) -> ModuleType:
    """Load the parts that not every use needs when they are first used."""
    if name in ("charts", "demo", "notebook"):
        return import_module(f"bookings_analytics.{name}")
    raise AttributeError(f"module 'bookings_analytics' has no attribute {name!r}")
