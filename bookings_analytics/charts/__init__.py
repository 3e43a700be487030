"""Charts of rates: a frame in, an Altair chart out; they never display and never save.

Every chart takes what the function of the same purpose in `bookings_analytics` returns, on any engine, keeps the
frame's order of groups unless told another, says its finding as alternative text, and can be changed further like any
Altair chart. Put beside each other with ``|``, charts have their titles on one line (`altair.hconcat` aligns only their
plots).
"""

from __future__ import annotations

from bookings_analytics.charts.before_after import before_after
from bookings_analytics.charts.by_week import by_week
from bookings_analytics.charts.by_weekday import by_weekday
from bookings_analytics.charts.cancellations import cancellation_notice, cancellations
from bookings_analytics.charts.compare import compare
from bookings_analytics.charts.coverage import coverage
from bookings_analytics.charts.customers import customers
from bookings_analytics.charts.dots import no_shows, waitlist_conversion
from bookings_analytics.charts.fill import class_fill
from bookings_analytics.charts.funnel import no_show_funnel
from bookings_analytics.charts.participation import booking_vs_participation
from bookings_analytics.charts.seats import seats_lost_while_waiting
from bookings_analytics.charts.stacked import outcome_counts, waitlist_outcomes
from bookings_analytics.charts.trend import trend
from bookings_analytics.charts.visits import visits
from bookings_analytics.charts.waitlist import waitlist_chances

__all__ = [
    "before_after",
    "booking_vs_participation",
    "by_week",
    "by_weekday",
    "cancellation_notice",
    "cancellations",
    "class_fill",
    "compare",
    "coverage",
    "customers",
    "no_show_funnel",
    "no_shows",
    "outcome_counts",
    "seats_lost_while_waiting",
    "trend",
    "visits",
    "waitlist_chances",
    "waitlist_conversion",
    "waitlist_outcomes",
]


def __dir__() -> list[str]:
    """List what tab completion offers."""
    return __all__
