"""The command line as ``python -m bookings_analytics``."""

from __future__ import annotations

from bookings_analytics.cli import run

if __name__ == "__main__":
    run()
