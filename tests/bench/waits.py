"""How conversion among observed waits moves with the hour of the looks and with late marks: prints, asserts nothing.

    uv run python tests/bench/waits.py [WORLDS]

Demo studios that know what happened to every wait, watched for eight weeks by `tests/watching.py`. Beside each rate of
a row stands the share of all waits that really got a seat, seen or not.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from watching import DAY, ENDED, NIGHT, PLACE, log

import bookings_analytics as ba
from bookings_analytics.demo import World

SEED = 20260501
DAYS = 56
LATENESS = {"in time": 0, "6 h late": 6, "1 day late": 24, "3 days late": 72}
HOURS = {f"{hour:02}:15": (hour,) for hour in range(24)}
LOOKS = {"04 + 12": (4, 12), "04 + 12 + 18": (4, 12, 18)}


def conversion(world: World, hours: tuple[int, ...], late: int) -> tuple[int, int, int, int]:
    """Count waits: converted and judged by the library, and those that got a seat of all that ended."""
    midnight = NIGHT - timedelta(hours=4)
    times = [midnight - n * DAY + timedelta(hours=hour) for n in reversed(range(DAYS)) for hour in hours]
    history, fetches = log(world, times, timedelta(hours=late))
    days = ba.class_days(history, fetches, timezone="Europe/Berlin")
    outcomes = ba.classify(history, class_days=days, fetches=fetches)
    [rates] = ba.waitlist_conversion(outcomes, fetches=fetches, timezone="Europe/Berlin").to_dicts()
    ended = world.waits.filter(
        pl.col("wait_outcome").is_in(ENDED), pl.col("closed_at").is_between(times[0], times[-1])
    ).unique(PLACE)
    judged = rates["n_converted"] + rates["n_lapsed"] + rates["n_withdrawn"]
    return rates["n_converted"], judged, ended.filter(wait_outcome="converted").height, ended.height


def print_waits(worlds: int) -> None:
    """Print conversion by the looks of a day and by how late classes are marked."""
    studios = [World(SEED + number, bookkeeping="tidy") for number in range(worlds)]
    print(f"\n### Conversion among observed waits, {worlds} demo studios: by the looks of a day and late marks\n")
    print("| looks |", " | ".join(LATENESS), "| all waits |")
    print("|---|" + "---:|" * (len(LATENESS) + 1))
    for looks, hours in (HOURS | LOOKS).items():
        cells = []
        for late in LATENESS.values():
            counts = [conversion(world, hours, late) for world in studios]
            converted, judged, got, every = (sum(column) for column in zip(*counts, strict=True))
            cells.append(converted / judged if judged else float("nan"))
        print(f"| {looks} |", " | ".join(f"{rate:.3f}" for rate in [*cells, got / every]), "|", flush=True)


if __name__ == "__main__":
    print_waits(int(sys.argv[1]) if sys.argv[1:] else 20)
