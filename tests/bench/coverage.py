"""How often intervals, comparisons and funnels are right, as Markdown tables for the README.

    uv run python tests/bench/coverage.py [COHORTS]

Every figure comes from the public functions on simulated cohorts whose true rates are known (`tests/simulation.py`) and
on demo studios that know what happened (`tests/watching.py`), all seeded; `tests/test_coverage.py` and
`tests/test_truth.py` check the same on fewer.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import polars as pl
from statsmodels.stats.proportion import proportion_confint

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation import CELLS, Cell, alike_classes, covered, simulate
from watching import DAY, WEEK, watch

import bookings_analytics as ba
from bookings_analytics.demo import World

SEED = 20250301
CELL = ["rate", "correlation", "customers"]


def intervals(cohorts: int) -> None:
    print("### Nominal 95 % intervals of the no-show rate: the share that holds the truth\n")
    print("| true rate | correlation in a customer | customers | this library | plain Wilson |")
    print("|---:|---:|---:|---:|---:|")
    for number, cell in enumerate(CELLS):
        outcomes, listed = simulate([cell], cohorts, SEED + number)
        rates = ba.no_shows(outcomes, listed, by=["rate", "cohort"])
        recorded = (rates["n_attended"] + rates["n_no_show"]).to_numpy()
        low, high = proportion_confint(rates["n_no_show"].to_numpy(), recorded, method="wilson")
        plain = rates.with_columns(no_show_rate_ci_low=low, no_show_rate_ci_high=high)
        held, plainly = (frame.select(covered("no_show_rate", "rate")).item() for frame in (rates, plain))
        print(f"| {cell.rate} | {cell.correlation} | {cell.customers} | {held:.1%} | {plainly:.1%} |", flush=True)


def by_pairs(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return frame.with_columns(pair=pl.col("cohort") // 2).partition_by("pair", maintain_order=True, include_key=False)


def comparisons(pairs: int) -> None:
    print("\n### Two cohorts that are alike: the share of comparisons whose 95 % interval leaves out 0\n")
    print("| true rate | correlation in a customer | customers each | this library |")
    print("|---:|---:|---:|---:|")
    for number, cell in enumerate(CELLS):
        outcomes, listed = simulate([cell], 2 * pairs, SEED + number)
        rates = ba.no_shows(outcomes, listed, by="cohort")
        wrong = 0
        for pair, (both, people) in enumerate(zip(by_pairs(rates), by_pairs(listed), strict=True)):
            found = ba.compare(both, "no_show_rate", baseline=2 * pair, cohorts=people, by="cohort")
            wrong += found.select((pl.col("difference_ci_low") > 0) | (pl.col("difference_ci_high") < 0)).item()
        print(f"| {cell.rate} | {cell.correlation} | {cell.customers} | {wrong / pairs:.1%} |", flush=True)


def funnels(studios: int) -> None:
    print("\n### Sixty classes that are all alike: the share outside the funnel's limits\n")
    print("| true rate | correlation in a customer | customers | outside 95 % | outside 99.8 % |")
    print("|---:|---:|---:|---:|---:|")
    for rate, correlation, customers in product((0.05, 0.1, 0.2), (0.0, 0.3), (600, 3000)):
        cell = Cell(rate, correlation, customers)
        position = pl.col("position").cast(pl.String)
        classes = (alike_classes(cell, 60, SEED + studio) for studio in range(studios))
        outside, far = (
            pl.concat(ba.no_show_funnel(outcomes, by="class_id") for outcomes in classes)
            .select((position != "within").mean(), far=position.str.ends_with("_998").mean())
            .row(0)
        )
        print(f"| {rate} | {correlation} | {customers} | {outside:.1%} | {far:.1%} |", flush=True)


def waits(studios: int) -> None:
    print(f"\n### Conversion from the waiting list: {studios} demo studios, watched for eight weeks\n")
    print("What happened to the waits in progress at a fetch, and to all; the mean rate; the intervals that hold it.\n")
    print(
        "| fetched | waits seen | seat seen at a fetch | seat in the end | seat at all | of all waits: seat at all ",
        end="",
    )
    print("| mean rate | interval holds “seen” | holds “at all” | naive rate | naive interval holds “seen” |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    truth = {
        "seen": pl.sum("n") / pl.sum("n_all"),
        "seat": pl.sum("n_seat") / pl.sum("n"),
        "end": pl.sum("n_kept") / pl.sum("n"),
        "at_all": pl.sum("n_got") / pl.sum("n"),
        "all": pl.sum("n_all_got") / pl.sum("n_all"),
    }
    found = [
        pl.mean("conversion_rate"),
        covered("conversion_rate", "seat").alias("holds_seat"),
        covered("conversion_rate", "at_all").alias("holds_at_all"),
    ]
    worlds = (World(SEED + studio) for studio in range(studios))
    daily_and_weekly = zip(*((watch(world, DAY), watch(world, WEEK)) for world in worlds), strict=True)
    for fetched, watched in zip(("daily", "weekly"), daily_and_weekly, strict=True):
        table = pl.DataFrame([row for rows in watched for row in rows]).with_columns(**truth)
        ours, naive = (table.filter(rate=rate).select(found).row(0) for rate in ("conversion_rate", "naive"))
        shares = [*table.select(*truth).row(0), *ours, *naive[:2]]
        print(f"| {fetched} |", " | ".join(f"{share:.1%}" for share in shares), "|", flush=True)


if __name__ == "__main__":
    number = int(sys.argv[1]) if sys.argv[1:] else 1000
    intervals(number)
    comparisons(number // 2)
    funnels(number // 10)
    waits(number // 10)
