"""Where the bundled notebooks and demo data are: in the installed package, or in the clone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bookings_analytics.errors import ConfigurationError

_PACKAGE: Final = Path(__file__).parent.parent
IN_WHEEL: Final = _PACKAGE / "_bundled"  # where pyproject.toml puts them


def bundled() -> Path:
    """Find the folder that holds `notebooks` and `data`: in the installed package, or the clone.

    Example:
        >>> sorted(part.name for part in bundled().iterdir() if part.name in ("notebooks", "data"))
        ['data', 'notebooks']
    """
    return IN_WHEEL if IN_WHEEL.is_dir() else _PACKAGE.parent


def notebooks(folder: Path) -> list[Path]:
    """List the notebooks in a folder that holds `notebooks`, in the order in which they are to be read.

    Raises:
        ConfigurationError: There is none.

    Example:
        >>> notebooks(bundled())[-1].suffix
        '.ipynb'
    """
    found = sorted((folder / "notebooks").glob("*.ipynb"))
    if not found:
        raise ConfigurationError(f"{folder / 'notebooks'} has no notebooks. Reinstall bookings_analytics.")
    return found
