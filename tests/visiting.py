"""Made-up customers who come week after week, whose true visits a week are known. Everything takes a seed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

    Habit = Callable[[np.random.Generator, int], np.ndarray]

HABITS: dict[str, Habit] = {  # how a customer's own visits a week are distributed, with mean 1
    "all alike": lambda _, size: np.ones(size),
    "geometric": lambda random, size: random.exponential(size=size),
    "half never come": lambda random, size: 2.0 * (random.random(size) < 1 / 2),
    "four fifths never come": lambda random, size: 5.0 * (random.random(size) < 1 / 5),
    "long tail": lambda random, size: random.lognormal(-0.5, 1.0, size),
    "5% come 12 times as often": lambda random, size: np.where(random.random(size) < 1 / 20, 12.0, 1.0) / 1.55,
}


class Visiting(NamedTuple):
    """What the cohorts of one simulation have in common."""

    habit: str
    customers: int
    weeks: int
    a_week: float = 0.8  # seats of a customer and week, in the mean

    def draw(self, cohorts: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Make dated outcomes, and the list of that many cohorts, each with customers of its own."""
        random = np.random.default_rng(seed)
        own = self.a_week * HABITS[self.habit](random, cohorts * self.customers)
        seats = random.poisson(own[:, None], (own.size, self.weeks))
        customer, week = (np.repeat(each, seats.ravel()) for each in np.indices(seats.shape).reshape(2, -1))
        mondays = np.datetime64("2026-03-02") + 7 * week
        ends = [date(2026, 3, 2), date(2026, 3, 2) + timedelta(weeks=self.weeks - 1)]
        outcomes = pl.DataFrame({"customer_id": customer, "week": mondays, "outcome": "attended"})
        first_and_last = pl.DataFrame({"customer_id": -1, "week": ends, "outcome": "canceled"})
        outcomes = pl.concat([outcomes.cast(first_and_last.schema), first_and_last])
        outcomes = outcomes.with_columns(class_day="week", class_slot_id=pl.int_range(pl.len()), class_id=1)
        listed = pl.DataFrame({"customer_id": np.arange(own.size), "cohort": np.arange(own.size) // self.customers})
        studio = pl.lit("mitte").alias("studio")
        return outcomes.with_columns(studio, week_complete=True), listed.with_columns(studio)

    def two_lists(self, shared: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Make dated outcomes, and two lists of customers that have this share of them in common."""
        shift = round(self.customers * (1 - shared))
        outcomes, _ = self._replace(customers=self.customers + shift).draw(1, seed)
        listed = pl.concat(
            pl.DataFrame({"customer_id": range(start, start + self.customers), "cohort": cohort})
            for start, cohort in ((0, "first"), (shift, "second"))
        )
        return outcomes, listed

    def change(self) -> date:
        """Return the Monday in the middle of the weeks."""
        return date(2026, 3, 2) + timedelta(weeks=self.weeks // 2)


def holds_zero(differences: pl.DataFrame) -> float:
    """Compute the share of intervals of a difference that hold 0."""
    return float(differences.select(pl.lit(0).is_between("difference_ci_low", "difference_ci_high").mean()).item())
