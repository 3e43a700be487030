"""Class bookings of gym customers in JupyterLab: who books, who takes part, who does not turn up.

Data flows one way: `read_cohorts` → `fetch_bookings` → `classify` → the rates → `charts`.
"""

from bookings_analytics.cohorts import read_cohorts
from bookings_analytics.fetch import fetch_bookings
from bookings_analytics.results import FetchResult
from bookings_analytics.studios import Studio

__all__ = ["FetchResult", "Studio", "fetch_bookings", "read_cohorts"]
