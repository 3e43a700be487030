"""How often the intervals of visits a week hold the truth, as a Markdown table; the worst cells stand last.

uv run python tests/bench/visits.py [COHORTS]
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from visiting import HABITS, Visiting

import bookings_analytics as ba

SEED = 20260302


def main(cohorts: int) -> None:
    print("| customers' own visits | customers | weeks | holds the truth |")
    print("|---|---:|---:|---:|")
    for number, cell in enumerate(product(HABITS, (30, 100, 300), (1, 8))):
        visiting = Visiting(*cell)
        rates = ba.visits(*visiting.draw(cohorts, SEED + number), by="cohort")
        held = pl.lit(visiting.a_week).is_between("booked_per_week_ci_low", "booked_per_week_ci_high").mean()
        print("|", " | ".join(map(str, cell)), f"| {rates.select(held).item():.1%} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)
