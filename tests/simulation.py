"""Made-up cohorts whose true rates are known, to see how often an interval holds the truth. Everything takes a seed."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

BOOKINGS_PER_CUSTOMER = 8  # on average; geometric: most have a few, some have dozens


class Cell(NamedTuple):
    """What the cohorts of one simulation have in common.

    `correlation` is that between two bookings of one customer: each customer's own rate is beta distributed.
    """

    rate: float
    correlation: float
    customers: int

    def draw(self, cohorts: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw each customer's recorded seats and no-shows; one row a cohort, one column a customer."""
        shape = (cohorts, self.customers)
        seats = random.geometric(1 / BOOKINGS_PER_CUSTOMER, shape)
        if self.correlation == 0:
            return seats, random.binomial(seats, self.rate)
        strength = 1 / self.correlation - 1
        own_rate = random.beta(self.rate * strength, (1 - self.rate) * strength, shape)
        return seats, random.binomial(seats, own_rate)


CELLS = [Cell(*cell) for cell in product((0.05, 0.2, 0.5), (0.0, 0.3), (10, 50, 500))]


def simulate(cells: Iterable[Cell], cohorts: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make outcomes and cohorts: for each cell that many cohorts, each with customers of its own.

    The cohorts frame has the columns of the cell; `cohort` counts through all cells.
    """
    random = np.random.default_rng(seed)
    bookings, listed = [], []
    first_customer = first_cohort = 0
    for cell in cells:
        seats, no_shows = cell.draw(cohorts, random)
        customer_id = first_customer + np.arange(seats.size)
        listed.append(
            pl.DataFrame(
                {
                    "studio": "mitte",
                    "customer_id": customer_id,
                    "cohort": first_cohort + np.arange(seats.size) // cell.customers,
                    **cell._asdict(),
                }
            )
        )
        bookings.append(outcomes_of(customer_id, seats.ravel(), no_shows.ravel()))
        first_customer, first_cohort = first_customer + seats.size, first_cohort + cohorts
    return pl.concat(bookings), pl.concat(listed)


def covered(rate: str, truth: str) -> pl.Expr:
    """Give the share of rows whose interval of that rate holds the truth."""
    return pl.col(truth).is_between(f"{rate}_ci_low", f"{rate}_ci_high").mean()


def outcomes_of(customer_id: np.ndarray, seats: np.ndarray, no_shows: np.ndarray) -> pl.DataFrame:
    """Make one outcome of each seat: first the customer's no-shows, then the attended ones."""
    owner = np.repeat(np.arange(seats.size), seats)
    place = np.arange(owner.size) - np.repeat(np.cumsum(seats) - seats, seats)
    return pl.DataFrame({"customer_id": customer_id[owner], "missed": place < no_shows[owner]}).select(
        studio=pl.lit("mitte"),
        customer_id="customer_id",
        outcome=pl.when("missed").then(pl.lit("no_show")).otherwise(pl.lit("attended")),
    )


def alike_classes(cell: Cell, classes: int, seed: int) -> pl.DataFrame:
    """Make the outcomes of a studio whose customers book two classes each, and no class differs from another."""
    random = np.random.default_rng(seed)
    seats, no_shows = cell.draw(1, random)
    outcomes = outcomes_of(np.arange(cell.customers), seats[0], no_shows[0])
    favourites = random.integers(0, classes, (cell.customers, 2))
    owner = outcomes["customer_id"].to_numpy()
    class_id = favourites[owner, random.integers(0, 2, owner.size)]
    shuffled = outcomes.with_columns(outcome=pl.col("outcome").shuffle(seed).over("customer_id"))
    return shuffled.with_columns(class_id=class_id)
