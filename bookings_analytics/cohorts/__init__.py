"""Who is asked about: lists of customers, and of class titles, read and checked."""

from bookings_analytics.cohorts.customers import CohortsSource, read_cohorts
from bookings_analytics.cohorts.lists import read_titles

__all__ = ["CohortsSource", "read_cohorts", "read_titles"]
