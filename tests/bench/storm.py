"""What an archive survives: two writers, a reader, a compactor and a forgetter at once, and processes that are killed.

    uv run python tests/bench/storm.py [SECONDS [KILLS]]

It prints what was counted, and stops with an error if anything failed, was lost, or was left of who was forgotten.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from archive_storm import kills, storm


def main(seconds: float = 30, number: int = 40) -> None:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "storm").mkdir()
        (Path(place) / "killed").mkdir()
        counted = storm(Path(place) / "storm", seconds)
        print(f"Storm of {seconds:.0f} s: {', '.join(f'{n:,} {what}' for what, n in counted.items())}; nothing lost.")
        counted = kills(Path(place) / "killed", number)
        print(f"{number} killed: {', '.join(f'{n:,} {what}' for what, n in counted.items())}; nothing lost.")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((float, int), sys.argv[1:], strict=False)))
