"""How often intervals, comparisons and funnels are right, as Markdown tables; `.github/INTERVALS.md` is short of them.

    uv run python tests/bench/coverage.py [COHORTS [CSV]]

With a name of a csv, the table of waits is written there as well: `data/watched_studios.csv` is, for notebook 4.

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

from simulation import CELLS, Cell, covered, simulate
from trend import trends
from unkind import unkind
from waits import print_waits as by_hour
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


def alike(studios: int) -> None:
    print(
        "\n### Groups that are all alike, simultaneous 95 % intervals: the share of studios in which one stands out\n"
    )
    print("| true rate | correlation in a customer | customers a group | groups | this library |")
    print("|---:|---:|---:|---:|---:|")
    for cell, groups in product((Cell(0.2, 0.0, 100), Cell(0.2, 0.3, 30), Cell(0.05, 0.3, 50)), (3, 11, 25)):
        found = 0
        for studio in range(studios):
            outcomes, listed = simulate([cell], groups, SEED + studio)
            rows = ba.compare(outcomes, "no_show_rate", baseline=0, cohorts=listed, by="cohort", simultaneous=True)
            found += rows.select(((pl.col("difference_ci_low") > 0) | (pl.col("difference_ci_high") < 0)).any()).item()
        print(f"| {cell.rate} | {cell.correlation} | {cell.customers} | {groups} | {found / studios:.1%} |", flush=True)


def waits(studios: int) -> pl.DataFrame:
    """Give the figures of `data/watched_studios.csv`; its README says what they are."""
    truth = {
        "waits_seen": pl.sum("n") / pl.sum("n_all"),
        "seat_seen": pl.sum("n_seat") / pl.sum("n"),
        "seat_in_the_end": pl.sum("n_kept") / pl.sum("n"),
        "seat_at_all": pl.sum("n_got") / pl.sum("n"),
        "seat_at_all_of_all_waits": pl.sum("n_all_got") / pl.sum("n_all"),
    }
    found = {
        "conversion_rate": pl.mean("conversion_rate"),
        "holds_seat_seen": covered("conversion_rate", "seat_seen"),
        "holds_seat_at_all": covered("conversion_rate", "seat_at_all"),
    }
    worlds = (World(SEED + studio, bookkeeping="tidy") for studio in range(studios))
    watched = pl.DataFrame(
        [
            {"fetched": fetched, **row}
            for world in worlds
            for fetched, every in (("daily", DAY), ("weekly", WEEK))
            for row in watch(world, every)
        ]
    ).with_columns(expr.over("fetched").alias(name) for name, expr in truth.items())
    ours, naive = (
        watched.filter(rate=rate).group_by("fetched", *truth).agg(**found) for rate in ("conversion_rate", "naive")
    )
    naively = naive.select("fetched", naive_rate="conversion_rate", naive_holds_seat_seen="holds_seat_seen")
    shares = pl.selectors.float().round(3)
    return ours.join(naively, on="fetched").sort("fetched").with_columns(shares)


def print_waits(table: pl.DataFrame, studios: int) -> None:
    print(f"\n### Conversion from the waiting list: {studios} demo studios, watched for eight weeks\n")
    print("|", " | ".join(name.replace("_", " ") for name in table.columns), "|")
    print("|---|", "---:|" * (table.width - 1), sep="")
    for fetched, *shares in table.iter_rows():
        print(f"| {fetched} |", " | ".join(f"{share:.1%}" for share in shares), "|")


if __name__ == "__main__":
    number = int(sys.argv[1]) if sys.argv[1:] else 1000
    intervals(number)
    unkind(number // 5)
    alike(number // 5)
    trends(number // 5)
    conversion = waits(number // 10)
    print_waits(conversion, number // 10)
    by_hour(max(1, number // 50))
    if sys.argv[2:]:
        conversion.write_csv(sys.argv[2])
