"""The report: a studio's numbers for whoever runs it, as pages that need no internet."""

from __future__ import annotations

from bookings_analytics.report.request import Request
from bookings_analytics.report.run import write_report

__all__ = ["Request", "write_report"]
