"""How often intervals, bounds, comparisons and funnels are right where the world is unkind: prints Markdown tables.

Customers, classes and days with moods of their own, attendance that somebody forgot to note, groups that share
customers, a few customers with most of the bookings. ``uv run python tests/bench/unkind.py [STUDIOS]`` prints these
tables alone, `coverage.py` with the others. Of every grid the mean and the worst three cells are printed.
"""

from __future__ import annotations

import sys
from datetime import date
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation import Cell, Mood, alike_classes, covered, noted

import bookings_analytics as ba

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 20260301
DATES = ("class_day", "weekday")
WORST = 3


def unkind(studios: int) -> None:
    """Print every table of this file."""
    together(studios)
    by_class(studios)
    tails(studios)
    bounds(studios)
    differences(studios)
    funnels(max(10, studios // 4))


def print_grid(title: str, cells: dict[str, float]) -> None:
    """Print the mean and the worst cells of a grid."""
    worst = sorted(cells, key=cells.__getitem__)[:WORST]
    print(f"\n### {title}\n")
    print(f"{len(cells)} cells, mean {np.mean(list(cells.values())):.1%}; worst:\n")
    for cell in worst:
        print(f"- {cells[cell]:.1%}: {cell}")
    sys.stdout.flush()


def name(mood: Mood) -> str:
    """Say what a cell of a grid has that others have not."""
    moods = f"correlation of customers {mood.customer}, slots {mood.slot}, days {mood.day}"
    return f"rate {mood.rate}, {mood.customers} customers, {moods}"


def held(rates: pl.DataFrame, truth: float, rate: str = "no_show_rate") -> float:
    """Compute the share of intervals that hold the truth."""
    return float(rates.with_columns(truth=truth).select(covered(rate, "truth")).item())


def wide(rates: pl.DataFrame) -> float:
    """Compute the mean width of the intervals."""
    return float(rates.select((pl.col("no_show_rate_ci_high") - pl.col("no_show_rate_ci_low")).mean()).item())


def at_z(rates: pl.DataFrame) -> float:
    """Compute the mean width that the intervals would have at the normal z, to a percent: it goes with t."""
    t = stats.t.ppf(0.975, rates["n_effective_customers"].to_numpy() + 1)
    width = (rates["no_show_rate_ci_high"] - rates["no_show_rate_ci_low"]).to_numpy()
    return float(np.mean(width * stats.norm.ppf(0.975) / t))


def print_cost(of: str, width: dict[str, float]) -> None:
    """Print what the terms for slots and days cost where nothing is alike."""
    print(f"\nCost in width without any correlation of {of}: {min(width.values()):.1%} to {max(width.values()):.1%}")


def together(studios: int) -> None:
    """Print how often the interval holds the truth where classes and days skip together."""
    cells, width, with_t = {}, {}, {}
    grid = list(product((0.02, 0.1, 0.5), (0.0, 0.1, 0.3), (0.0, 0.05, 0.1, 0.3), (30, 100, 300)))
    for number, (rate, customer, slot, customers) in enumerate(grid):
        mood = Mood(rate, customer, slot, 0.0, customers, cohorts=2)
        outcomes = mood.draw(studios, SEED + number).drop(DATES)
        rates = ba.no_shows(outcomes, by=["studio", "cohort"])
        cells[name(mood)] = held(rates, mood.truth(SEED))
        if slot == 0:
            alone = ba.no_shows(outcomes.drop("class_slot_id"), by=["studio", "cohort"])
            width[name(mood)] = wide(rates) / wide(alone) - 1
            with_t[name(mood)] = wide(rates) / at_z(alone) - 1
    print_grid(
        "Two cohorts a studio, classes that skip together: the share of 95 % intervals that hold the truth", cells
    )
    print_cost("slots", width)
    print_cost("slots, t in place of z included", with_t)
    cells, with_t = {}, {}
    for number, (customer, customers) in enumerate(product((0.0, 0.1, 0.3), (30, 100, 300))):
        mood = Mood(0.2, customer, 0.0, 0.1, customers)
        outcomes = mood.draw(studios, SEED + 1000 + number)
        cells[name(mood)] = held(ba.no_shows(outcomes, by="studio"), mood.truth(SEED))
        alike = mood._replace(day=0.0).draw(studios, SEED + 1000 + number)
        alone = ba.no_shows(alike.drop("class_slot_id"), by="studio")
        with_t[name(mood)] = wide(ba.no_shows(alike, by="studio")) / at_z(alone) - 1
    print_grid("Days that skip together, 28 of them", cells)
    print_cost("slots and days, t in place of z included", with_t)


def by_class(studios: int) -> None:
    """Print how often the interval of one class holds the truth, by how many slots it has."""
    for slots, classes in ((4, 6), (24, 4)):
        cells = {}
        grid = product((0.02, 0.1, 0.5), (0.0, 0.3), (0.0, 0.1, 0.3), (30, 100, 300))
        for number, (rate, customer, slot, customers) in enumerate(grid):
            mood = Mood(rate, customer, slot, 0.0, customers, slots=slots * classes, classes=classes)
            outcomes = mood.draw(studios, SEED + 2000 + number).drop(DATES)
            cells[name(mood)] = held(ba.no_shows(outcomes, by=["studio", "class_id"]), mood.truth(SEED))
        print_grid(f"By class, {classes} classes of {slots} slots each", cells)


def tails(studios: int) -> None:
    """Print how often the interval holds the truth where few have most of the bookings, or good ones book more."""
    for sizes, what in (
        ("tails", "One customer in twenty has sixty bookings"),
        ("informative", "Who misses less books more"),
    ):
        cells = {}
        for number, (customer, slot, customers) in enumerate(product((0.0, 0.3), (0.0, 0.1), (30, 100, 300))):
            mood = Mood(0.2, customer, slot, 0.0, customers, sizes=sizes)
            outcomes = mood.draw(studios, SEED + 3000 + number).drop(DATES)
            cells[name(mood)] = held(ba.no_shows(outcomes, by="studio"), mood.truth(SEED))
        print_grid(what, cells)


def bounds(studios: int) -> None:
    """Print how often the bounds hold the truth where attendance is noted selectively."""
    cells, alone = {}, {}
    shares = (0.35, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    grid = product(shares, ("no_show", "attended"), (0.05, 0.2), (30, 300), (0.0, 0.1))
    for number, (recorded, hidden, rate, customers, slot) in enumerate(grid):
        mood = Mood(rate, 0.1, slot, 0.0, customers)
        outcomes = noted(mood.draw(studios, SEED + 4000 + number).drop(DATES), recorded, SEED + number, hidden=hidden)
        rates = ba.no_shows(outcomes, by="studio").with_columns(truth=mood.truth(SEED))
        cell = f"{recorded:.0%} recorded, {hidden} hidden, {name(mood)}"
        inside = pl.col("truth").is_between("no_show_rate_bounds_low", "no_show_rate_bounds_high")
        cells[cell] = rates.select(inside.fill_null(value=False).mean()).item()
        alone[cell] = held(rates, mood.truth(SEED))
    print_grid("Attendance noted selectively: the share of bounds that hold the truth", cells)
    print_grid("The intervals of the recorded seats alone, there", alone)


def two_groups(mood: Mood, shared: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make one studio and two lists of customers of which that share are on both."""
    outcomes = mood.draw(1, seed).drop("cohort")
    shift = round(mood.customers * (1 - shared))
    listed = pl.concat(
        pl.DataFrame({"customer_id": range(start, start + mood.customers), "cohort": cohort})
        for start, cohort in ((0, "first"), (shift, "second"))
    )
    return outcomes, listed


def differences(studios: int) -> None:
    """Print how often the interval of a difference holds the truth, which is 0."""
    shared_by: dict[str, float] = {}
    for number, (shared, slot, customer) in enumerate(product((0.0, 0.3, 0.6, 0.9), (0.0, 0.1, 0.3), (0.0, 0.3))):
        mood = Mood(0.2, customer, slot, 0.0, 100, cohorts=2)
        pairs = (two_groups(mood, shared, SEED + 5000 + 1000 * number + studio) for studio in range(studios))
        rows = pl.concat(
            ba.compare(outcomes.drop(DATES), "no_show_rate", baseline="first", cohorts=listed, by="cohort")
            for outcomes, listed in pairs
        )
        shared_by[f"{shared:.0%} shared, {name(mood)}"] = zero(rows)
    print_grid(
        "Two cohorts that share customers and slots: the share of intervals of the difference that hold 0", shared_by
    )
    every = {f"two cohorts, {cell}": share for cell, share in shared_by.items()}
    for title, kind in (
        ("Two classes of the same customers", "class_id"),
        ("Two periods of the same customers", "week"),
    ):
        cells = {}
        for number, (slot, day, customer) in enumerate(product((0.0, 0.1, 0.3), (0.0, 0.1, 0.3), (0.0, 0.3))):
            if kind == "class_id" and day:
                continue
            mood = Mood(0.2, customer, slot if not day else 0.0, day, 100, classes=2)
            seeds = range(SEED + 60_000 + 1000 * number, SEED + 60_000 + 1000 * number + studios)
            rows = pl.concat(compared(mood.draw(1, seed).drop("cohort"), kind) for seed in seeds)
            cells[name(mood)] = zero(rows)
        print_grid(title, cells)
        every |= {f"{title}, {cell}": share for cell, share in cells.items()}
    print_grid("All these differences together", every)


def compared(outcomes: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Compare the two classes of one studio, or its second fortnight with its first."""
    if kind == "class_id":
        return ba.compare(outcomes.drop(DATES), "no_show_rate", by="class_id")
    dated = outcomes.with_columns(week=pl.col("class_day").dt.truncate("1w"), week_complete=True)
    return ba.before_after(dated, "no_show_rate", change=date(2025, 3, 17), weeks=2)


def zero(rows: pl.DataFrame) -> float:
    """Compute the share of intervals that hold 0."""
    return float(rows.select(pl.lit(0).is_between("difference_ci_low", "difference_ci_high").mean()).item())


def funnels(studios: int) -> None:
    """Print how many of sixty alike classes lie outside a funnel's limits."""
    print("\n### Sixty classes that are all alike: the share outside the funnel's limits\n")
    print("| true rate | correlation: customer | slot | outside 95 % | outside 99.8 % |")
    print("|---:|---:|---:|---:|---:|")
    position = pl.col("position").cast(pl.String)
    for rate, correlation, slot in product((0.05, 0.1, 0.2), (0.0, 0.3), (0.0, 0.05, 0.1)):
        if slot:
            mood = Mood(rate, correlation, slot, 0.0, 1500, slots=60 * 12, classes=60)
            drawn: Sequence[pl.DataFrame] = [
                mood.draw(1, SEED + studio).drop("cohort", *DATES) for studio in range(studios)
            ]
        else:
            drawn = [alike_classes(Cell(rate, correlation, 1500), 60, SEED + studio) for studio in range(studios)]
        outside, far = (
            pl.concat(ba.no_show_funnel(outcomes, by="class_id") for outcomes in drawn)
            .select((position != "within").mean(), far=position.str.ends_with("_998").mean())
            .row(0)
        )
        print(f"| {rate} | {correlation} | {slot} | {outside:.1%} | {far:.1%} |", flush=True)


if __name__ == "__main__":
    unkind(int(sys.argv[1]) if sys.argv[1:] else 200)
