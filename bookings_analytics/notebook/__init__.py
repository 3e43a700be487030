"""What a notebook needs: charts and frames that show offline, tables, files, and findings in words."""

from __future__ import annotations

from bookings_analytics.notebook.export import save
from bookings_analytics.notebook.findings import Findings, findings
from bookings_analytics.notebook.load import Loaded, load
from bookings_analytics.notebook.renderer import setup
from bookings_analytics.notebook.tables import ShownTable, table
from bookings_analytics.wording import interval

__all__ = ["Findings", "Loaded", "ShownTable", "findings", "interval", "load", "save", "setup", "table"]


def __dir__() -> list[str]:
    """List what tab completion offers."""
    return __all__
