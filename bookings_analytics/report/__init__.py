"""The report: the notebooks run on an analyst's own data, as pages that need no internet."""

from __future__ import annotations

from bookings_analytics.report.run import write_report

__all__ = ["write_report"]
