"""A made-up studio behind the same HTTP API as a real one: no internet, nobody's data. For notebooks and tests."""

from __future__ import annotations

from bookings_analytics.demo.server import NOW, DemoStudio, serve, serve_forever
from bookings_analytics.demo.world import SEED, World

__all__ = ["NOW", "SEED", "DemoStudio", "World", "serve", "serve_forever"]


def __dir__() -> list[str]:
    """List what tab completion offers."""
    return __all__
