"""How often a trend is right: prints Markdown tables, asserts nothing.

    uv run python tests/bench/trend.py [STUDIOS]

False alarms where nothing changes, with customers who return and days with moods of their own, and where customers come
and go; a rise by half; the fee of the demo studio, and a day on which nothing changed. `coverage.py` prints these with
the others. In brackets: two standard errors of the simulation.

Studios are judged by the oracle in numpy, which tests hold equal to `trend` and which takes thousands of studios; the
first of each row by `trend` as well, and the last column counts those it judges otherwise.

A change counts as found by a signal or by a slope whose interval leaves out zero: the sentence under a chart names
both, and either alone would send its reader to look. By signals alone stands beside it.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from fee import search
from oracle_trend import numpy_trend
from weeks import Weeks

import bookings_analytics as ba
from bookings_analytics.demo import World

SEED = 20260309
WORLDS = 20
BESIDE = 10  # studios a row that `trend` judges as well
AT_MOST = {12: 0.03, 26: 0.08, 52: 0.23}  # weeks → share of charts that may alarm where nobody comes and goes
SLOPES = 0.07


def trends(studios: int) -> None:
    """Print every table of this file."""
    false_alarms(studios)
    rises(studios)
    fee()


def judged(world: Weeks, studios: int, seed: int) -> pl.DataFrame:
    """Judge that many studios: whether each has a signal, by which rule, and whether its slope leaves out zero."""
    rows = []
    for number in range(studios):
        found = numpy_trend(*world.matrices(seed, number))
        signals = set(found.get("signal", ()))
        slope = "slope" in found and (found["slope_ci_low"] > 0 or found["slope_ci_high"] < 0)
        beyond, run = bool(signals & {"above", "below"}), bool(signals & {"run_above", "run_below"})
        rows.append((f"studio {number}", beyond or run, beyond, run, bool(slope)))
    frame = pl.DataFrame(rows, schema=["studio", "signal", "beyond", "run", "slope"], orient="row")
    return frame.with_columns(either=pl.col("signal") | pl.col("slope"))


def otherwise(found: pl.DataFrame, world: Weeks, seed: int) -> int:
    """Count the studios among the first that `trend` judges otherwise."""
    low, high = pl.first("slope_ci_low"), pl.first("slope_ci_high")
    of_studio = ba.trend(world.draw(BESIDE, seed), "no_show_rate", by="studio").group_by("studio")
    ours = of_studio.agg(
        ours=(pl.col("signal") != "within").any(), its_slope=((low > 0) | (high < 0)).fill_null(value=False)
    )
    both = found.join(ours, on="studio", how="inner")
    return both.filter((pl.col("signal") != pl.col("ours")) | (pl.col("slope") != pl.col("its_slope"))).height


def share(found: pl.Series, at_most: float | None = None) -> str:
    """Write a share with two standard errors, and whether it lies above what is allowed by more than those."""
    p = float(found.sum()) / len(found)
    error = 2 * (p * (1 - p) / len(found)) ** 0.5
    over = at_most is not None and p - error > at_most
    return f"{p:.1%} (±{error:.1%}){' **above**' if over else ''}"


def false_alarms(studios: int) -> None:
    """Print how often a chart alarms in which nothing changes."""
    allowed = ", ".join(f"{most:.0%} of {weeks}" for weeks, most in AT_MOST.items())
    print(f"\n### Trends in which nothing changes, {studios} studios a row: alarms\n")
    print(f"At most, where nobody comes and goes: {allowed} weeks; slopes {SLOPES:.0%}.\n")
    print(
        "| weeks | customers | rate | correlation: customer | day | turnover a week "
        "| a signal | beyond the limits | a run | a slope | `trend` differs |"
    )
    print("|---:" * 11 + "|")
    grid = [(*cell, 0.0, 60) for cell in product((12, 26, 52), (0.1, 0.2), (0.0, 0.1), (0.0, 0.02))]
    grid += [(*cell, 0.1, 0.05, 0.0, 60) for cell in product((12, 26, 52), (0.1, 0.2))]  # moody days
    grid += [(weeks, 0.1, 0.1, 0.02, 0.0, 30) for weeks in (12, 26, 52)]  # six no-shows a week: near the least
    grid += [(weeks, 0.15, customer, 0.02, 0.05, 60) for weeks, customer in product((26, 52), (0.1, 0.3))]
    for number, (weeks, rate, customer, day, turnover, customers) in enumerate(grid):
        world = Weeks(weeks, customers=customers, rate=rate, customer=customer, day=day, turnover=turnover)
        seed = SEED + 1000 * number
        found = judged(world, studios, seed)
        signal = share(found["signal"], None if turnover else AT_MOST[weeks])
        shares = [signal, share(found["beyond"]), share(found["run"]), share(found["slope"], SLOPES)]
        cells = [f"{weeks}", f"{customers}", f"{rate}", f"{customer}", f"{day}", f"{turnover:.0%}", *shares]
        print("|", " | ".join([*cells, f"{otherwise(found, world, seed)} of {BESIDE}"]), "|", flush=True)


def rises(studios: int) -> None:
    """Print how often a rise by half in the middle of 26 weeks is found."""
    print(f"\n### A rise by half after 13 of 26 weeks, {studios} studios a row: found\n")
    print(
        "| rate before | customers | correlation of days | **by a signal or the slope** | by signals alone "
        "| by the slope alone | `trend` differs |"
    )
    print("|---:" * 7 + "|")
    for number, (rate, customers, day) in enumerate(product((0.1, 0.2), (150, 300), (0.0, 0.01, 0.02, 0.05))):
        world = Weeks(26, customers=customers, rate=rate, day=day, factor=1.5)
        seed = SEED + 500_000 + 1000 * number
        found = judged(world, studios, seed)
        shares = [share(found[by]) for by in ("either", "signal", "slope")]
        cells = [f"{rate}", f"{customers}", f"{day}", *shares, f"{otherwise(found, world, seed)} of {BESIDE}"]
        print("|", " | ".join(cells), "|", flush=True)


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
    trends(int(sys.argv[1]) if sys.argv[1:] else 1000)
