"""Charts of rates: a frame in, an Altair chart out; they never display and never save.

Every chart takes what the function of the same purpose in `bookings_analytics` returns, on any engine, keeps the
frame's order of groups unless told another, says its finding as alternative text, and can be changed further like any
Altair chart.
"""

from __future__ import annotations

from bookings_analytics.charts.coverage import coverage
from bookings_analytics.charts.differences import differences
from bookings_analytics.charts.funnel import no_show_funnel
from bookings_analytics.charts.mixes import outcome_mix, waitlist_outcomes
from bookings_analytics.charts.participation import booking_vs_participation
from bookings_analytics.charts.rates import no_show_rates, waitlist_conversion
from bookings_analytics.charts.seats import seats_lost

__all__ = [
    "booking_vs_participation",
    "coverage",
    "differences",
    "no_show_funnel",
    "no_show_rates",
    "outcome_mix",
    "seats_lost",
    "waitlist_conversion",
    "waitlist_outcomes",
]
