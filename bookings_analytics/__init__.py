"""Class bookings of gym customers in JupyterLab: who books, who takes part, who does not turn up.

Data flows one way: `read_cohorts` → `fetch_bookings` → `classify` → the rates → `charts`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bookings_analytics import schema
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
    ReportError,
    ServerError,
    ValidationFailedError,
)
from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.cancellations import cancellation_notice, cancellations
from bookings_analytics.metrics.chances import waitlist_chances
from bookings_analytics.metrics.class_days import class_days
from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.customers import customers
from bookings_analytics.metrics.fill import class_fill
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.metrics.pseudonyms import pseudonymize
from bookings_analytics.metrics.rates import booking_vs_participation, no_shows, outcome_counts
from bookings_analytics.metrics.small_groups import suppress_small
from bookings_analytics.metrics.trend import trend
from bookings_analytics.metrics.visits import visits
from bookings_analytics.metrics.waitlist import seats_lost_while_waiting, waitlist_conversion
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    __version__: str

    from bookings_analytics import charts, demo, notebook
    from bookings_analytics.archive.archive import Archive
    from bookings_analytics.fetch.classes import fetch_classes
    from bookings_analytics.fetch.cohort import fetch_bookings
    from bookings_analytics.studios import Studio, read_studios

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
    "before_after",
    "booking_vs_participation",
    "cancellation_notice",
    "cancellations",
    "charts",
    "class_days",
    "class_fill",
    "classify",
    "compare",
    "customers",
    "demo",
    "fetch_bookings",
    "fetch_classes",
    "no_show_funnel",
    "no_shows",
    "notebook",
    "outcome_counts",
    "pseudonymize",
    "read_cohorts",
    "read_studios",
    "schema",
    "seats_lost_while_waiting",
    "suppress_small",
    "trend",
    "visits",
    "waitlist_chances",
    "waitlist_conversion",
]

# What imports Altair, an HTTP client or Delta Lake is loaded when it is first used: name → its module, None: a module.
_LOADED_WHEN_USED = {
    "Archive": "archive.archive",
    "Studio": "studios",
    "charts": None,
    "demo": None,
    "fetch_bookings": "fetch.cohort",
    "fetch_classes": "fetch.classes",
    "notebook": None,
    "read_studios": "studios",
}


def __dir__() -> list[str]:
    """List what tab completion offers."""
    return [*__all__, "__version__"]


if not TYPE_CHECKING:  # a name that is not there stays an error for type checkers

    def __getattr__(name: str) -> object:
        """Load the parts that not every use needs when they are first used."""
        if name == "__version__":
            return import_module("importlib.metadata").version("bookings-analytics")
        if name not in _LOADED_WHEN_USED:
            raise AttributeError(f"module 'bookings_analytics' has no attribute {name!r}")
        module = import_module(f"bookings_analytics.{_LOADED_WHEN_USED[name] or name}")
        found = getattr(module, name) if _LOADED_WHEN_USED[name] else module
        globals()[name] = found  # asked for once
        return found
