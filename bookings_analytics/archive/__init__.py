"""The archive: every change of every booking, in one Delta table."""

from __future__ import annotations

from bookings_analytics.archive.archive import Archive
from bookings_analytics.archive.receipt import Erasure
from bookings_analytics.archive.together import holds_archive

__all__ = ["Archive", "Erasure", "holds_archive"]
