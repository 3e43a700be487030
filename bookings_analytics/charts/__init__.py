"""Charts of rates: a frame in, an Altair chart out; they never display and never save.

Every chart takes what the function of the same purpose in `bookings_analytics` returns, on any engine, keeps the
frame's order of groups, tells its finding as alternative text, and can be changed further as any Altair chart.
"""

from __future__ import annotations

from bookings_analytics.charts.dots import booking_vs_participation

__all__ = ["booking_vs_participation"]
