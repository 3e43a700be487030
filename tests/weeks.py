"""Made-up studios over many weeks, in which nothing changes or something does: how often `trend` is right.

Customers return with habits and moods of their own, days have a mood too, and customers may leave and be replaced.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

FIRST = date(2025, 1, 6)
_DAYS = 7


class Weeks(NamedTuple):
    """What the studios of one simulation have in common.

    ``customer`` and ``day`` are the correlations of two seats of one customer and of one day; ``turnover`` the share of
    customers replaced from one week to the next; ``factor`` what the rate is multiplied with in the second half.
    """

    weeks: int
    customers: int = 150
    rate: float = 0.15
    customer: float = 0.1
    day: float = 0.02
    turnover: float = 0.0
    factor: float = 1.0
    visits: float = 2.0  # seats a week and customer, on average; gamma distributed

    def _around(self, correlation: float, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        if not correlation:
            return np.zeros(shape)
        strength = 1 / correlation - 1
        drawn: np.ndarray = random.beta(self.rate * strength, (1 - self.rate) * strength, shape) - self.rate
        return drawn

    def draw(self, studios: int, seed: int) -> pl.DataFrame:
        """Draw the outcomes of that many studios: one row a recorded seat."""
        return pl.concat(self._studio(seed, number) for number in range(studios))

    def cells(self, seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw one studio: whose each place is in each week (a row a place), the seats, and those not used."""
        random = np.random.default_rng([seed, number])
        places, weeks = self.customers, self.weeks
        leaves = random.random((places, weeks)) < self.turnover
        leaves[:, 0] = False
        turn = np.cumsum(leaves, axis=1, dtype=np.int64)
        people = int(turn.max()) + 1
        own = np.take_along_axis(self._around(self.customer, (places, people), random), turn, 1)
        often = np.take_along_axis(random.gamma(2, self.visits / 2, (places, people)), turn, 1)
        seats = random.poisson(often[:, :, None] / _DAYS, (places, weeks, _DAYS))
        mood = self._around(self.day, (weeks, _DAYS), random)
        change = np.where(np.arange(weeks) >= weeks // 2, self.factor, 1.0)
        chance = np.clip((self.rate + own[:, :, None] + mood) * change[:, None], 0, 1)
        missed = random.binomial(seats, chance)
        return np.arange(places)[:, None] * people + turn, seats.sum(2), missed.sum(2)

    def _studio(self, seed: int, number: int) -> pl.DataFrame:
        people, seats, missed = self.cells(seed, number)
        there = seats.nonzero()
        n, y = seats[there], missed[there]
        owner = np.repeat(np.arange(n.size), n)
        within = np.arange(owner.size) - np.repeat(np.cumsum(n) - n, n)
        return pl.DataFrame(
            {"customer_id": people[there][owner], "_week": there[1][owner], "_missed": within < y[owner]}
        ).select(
            studio=pl.lit(f"studio {number}"),
            customer_id="customer_id",
            week=pl.lit(FIRST) + pl.duration(weeks="_week"),
            week_complete=pl.lit(True),  # noqa: FBT003 - a literal
            outcome=pl.when("_missed").then(pl.lit("no_show")).otherwise(pl.lit("attended")),
        )

    def matrices(self, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the same studio as `draw` does, as missed and all seats: a row a customer, a column a week."""
        people, seats, missed = self.cells(seed, number)
        week = np.broadcast_to(np.arange(self.weeks), people.shape)
        y, n = (np.zeros((people.max() + 1, self.weeks)) for _ in range(2))
        y[people, week], n[people, week] = missed, seats
        return y, n
