"""How often a trend is right: prints Markdown tables, asserts nothing.

    uv run python tests/bench/trend.py [STUDIOS]

False alarms where nothing changes, with customers who return and days with moods of their own, and where customers come
and go; a rise by half; the fee of the demo studio, and a day on which nothing changed. `coverage.py` prints these with
the others. A range in brackets is two standard errors of the simulation. The demo
studio's days have a correlation of about 0.015; with 0.05 weeks are skewed, and alarm more often than `trend` states.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from fee import search
from weeks import Weeks

import bookings_analytics as ba
from bookings_analytics.demo import World

SEED = 20260309
WORLDS = 20
AT_ONCE = 50  # studios of one call, which are in memory together


def trends(studios: int) -> None:
    """Print every table of this file."""
    false_alarms(studios)
    rises(studios)
    fee()


def judged(world: Weeks, studios: int, seed: int) -> pl.DataFrame:
    """Judge that many studios: whether each has a signal, and whether its slope leaves out zero."""
    rows = []
    for start in range(0, studios, AT_ONCE):
        outcomes = world.draw(min(AT_ONCE, studios - start), seed + start)
        low, high = pl.first("slope_ci_low"), pl.first("slope_ci_high")
        of_studio = ba.trend(outcomes, "no_show_rate", by="studio").group_by("studio")
        rows.append(of_studio.agg(signal=(pl.col("signal") != "within").any(), slope=(low > 0) | (high < 0)))
    return pl.concat(rows).with_columns(either=pl.col("signal") | pl.col("slope"))


def share(found: pl.Series) -> str:
    """Write a share with two standard errors."""
    p = float(found.sum()) / len(found)
    return f"{p:.1%} (±{2 * (p * (1 - p) / len(found)) ** 0.5:.1%})"


def false_alarms(studios: int) -> None:
    """Print how often a chart alarms in which nothing changes."""
    print(f"\n### Trends in which nothing changes, {studios} studios a row: alarms\n")
    print("| weeks | rate | correlation: customer | day | turnover a week | a signal | a slope |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    grid = [(*cell, 0.0) for cell in product((12, 26, 52), (0.1, 0.2), (0.0, 0.1), (0.0, 0.02))]
    grid += [(weeks, rate, 0.1, 0.05, 0.0) for weeks, rate in product((12, 26, 52), (0.1, 0.2))]  # moody days
    grid += [(weeks, 0.15, customer, 0.02, 0.05) for weeks, customer in product((26, 52), (0.1, 0.3))]
    for number, (weeks, rate, customer, day, turnover) in enumerate(grid):
        world = Weeks(weeks, customers=60, rate=rate, customer=customer, day=day, turnover=turnover)
        found = judged(world, studios, SEED + 1000 * number)
        cells = [f"{weeks}", f"{rate}", f"{customer}", f"{day}", f"{turnover:.0%}"]
        print("|", " | ".join([*cells, share(found["signal"]), share(found["slope"])]), "|", flush=True)


def rises(studios: int) -> None:
    """Print how often a rise by half in the middle of 26 weeks is found."""
    print(f"\n### A rise by half after 13 of 26 weeks, {studios} studios a row: found\n")
    print("| rate before | customers | correlation of days | by a signal | by the slope | by either |")
    print("|---:|---:|---:|---:|---:|---:|")
    for number, (rate, customers, day) in enumerate(product((0.1, 0.2), (150, 300), (0.0, 0.01, 0.02, 0.05))):
        world = Weeks(26, customers=customers, rate=rate, day=day, factor=1.5)
        found = judged(world, studios, SEED + 500_000 + 1000 * number)
        shares = [share(found[by]) for by in ("signal", "slope", "either")]
        print("|", " | ".join([f"{rate}", f"{customers}", f"{day}", *shares]), "|", flush=True)


def fee() -> None:
    """Print in how many demo worlds the fee is found, and a change where there is none."""
    found = [search(World(SEED + number)) for number in range(WORLDS)]
    print(f"\n### The fee of {WORLDS} demo studios, in the week it began\n")
    print("| day | by the interval of before and after | by a signal from then on | by either |")
    print("|---|---:|---:|---:|")
    for place, day in enumerate(("the fee", "a day without a change")):
        of_day = [pair[place] for pair in found]
        counts = (sum(each.interval for each in of_day), sum(each.signal for each in of_day), sum(map(any, of_day)))
        print("|", " | ".join([day, *map(str, counts)]), "|", flush=True)


if __name__ == "__main__":
    trends(int(sys.argv[1]) if sys.argv[1:] else 200)
