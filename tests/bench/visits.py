"""How often the intervals of visits a week and of their differences hold the truth, as Markdown tables.

The worst cells stand last. ``uv run python tests/bench/visits.py [COHORTS]``; comparisons of two lists, each a call of
its own, are a tenth as many.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from visiting import HABITS, Visiting, holds_zero

import bookings_analytics as ba

SEED = 20260302


def main(cohorts: int) -> None:
    """Print every table of this file."""
    print("| customers' own visits | customers | weeks | holds the truth |")
    print("|---|---:|---:|---:|")
    for number, cell in enumerate(product(HABITS, (30, 100, 300), (1, 8))):
        visiting = Visiting(*cell)
        rates = ba.visits(*visiting.draw(cohorts, SEED + number), by="cohort")
        held = pl.lit(visiting.a_week).is_between("booked_per_week_ci_low", "booked_per_week_ci_high").mean()
        print("|", " | ".join(map(str, cell)), f"| {rates.select(held).item():.1%} |", flush=True)
    differences(cohorts)


def differences(cohorts: int) -> None:
    """Print how often the interval of a difference holds the truth, which is 0."""
    print("\n| customers' own visits | customers | two periods of the same | lists, none shared | half | nine tenths |")
    print("|---|---:|---:|---:|---:|---:|")
    for number, (habit, customers) in enumerate(product(HABITS, (30, 100, 300))):
        visiting = Visiting(habit, customers, 8)
        seed = SEED + 1000 * (number + 1)
        outcomes, listed = visiting.draw(cohorts, seed)
        change = visiting.change()
        periods = ba.before_after(outcomes, "booked_per_week", listed, change=change, weeks=4, by="cohort")
        held = [holds_zero(periods)]
        for shared in (0.0, 0.5, 0.9):
            pairs = (visiting.two_lists(shared, seed + pair) for pair in range(max(1, cohorts // 10)))
            compared = pl.concat(
                ba.compare(rows, "booked_per_week", baseline="first", cohorts=lists, by="cohort")
                for rows, lists in pairs
            )
            held.append(holds_zero(compared))
        print(f"| {habit} | {customers} |", " | ".join(f"{share:.1%}" for share in held), "|", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)
