"""Fetching bookings from the API: one client per studio, within its rate limit, into frames or an archive."""

from __future__ import annotations

from bookings_analytics.fetch.classes import fetch_classes
from bookings_analytics.fetch.cohort import fetch_bookings

__all__ = ["fetch_bookings", "fetch_classes"]
