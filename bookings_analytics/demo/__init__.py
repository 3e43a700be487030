"""A made-up studio behind the same HTTP API as a real one: no internet, nobody's data. For notebooks and tests."""

from __future__ import annotations

from bookings_analytics.demo.clock import NOW, StudioClock
from bookings_analytics.demo.server import DemoStudio, serve, serve_forever
from bookings_analytics.demo.world import SEED, World

__all__ = ["NOW", "SEED", "DemoStudio", "StudioClock", "World", "serve", "serve_forever"]


def __dir__() -> list[str]:
    """Return the names that tab completion offers."""
    return __all__
