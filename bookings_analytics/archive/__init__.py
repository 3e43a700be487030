"""The archive: every change of every booking, in one Delta table."""

from __future__ import annotations

from bookings_analytics.archive.archive import Archive

__all__ = ["Archive"]
