"""Made-up cohorts whose true rates are known, to see how often an interval holds the truth. Everything takes a seed."""

from __future__ import annotations

from datetime import date, timedelta
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
    """Compute the share of rows whose interval of that rate holds the truth."""
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


class Mood(NamedTuple):
    """What the studios of one simulation have in common: customers, class slots and days with moods of their own.

    The correlations are those between two seats of one customer, one slot and one day, before rates are kept within
    0 and 1. ``customers`` is the number in each cohort; each has eight seats on average, in slots drawn at random
    from 28 days. ``sizes``: ``geometric``; ``tails``, where one in twenty has sixty seats; ``informative``,
    where those who miss less than most book twice as much as the others.
    """

    rate: float
    customer: float
    slot: float
    day: float
    customers: int
    slots: int = 80
    classes: int = 4
    cohorts: int = 1
    sizes: str = "geometric"

    def _around(self, correlation: float, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        """Draw by how much rates differ from the mean: beta distributed."""
        if correlation == 0:
            return np.zeros(shape)
        strength = 1 / correlation - 1
        drawn: np.ndarray = random.beta(self.rate * strength, (1 - self.rate) * strength, shape) - self.rate
        return drawn

    def _seats(self, own: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draw how many seats each customer has, whose own rate differs by so much from the mean."""
        if self.sizes == "tails":
            seats = random.geometric(1 / BOOKINGS_PER_CUSTOMER, own.shape)
            return np.where(random.random(own.shape) < 0.05, 60, seats)
        often = 1.5 if self.sizes == "informative" else 1.0
        mean = np.where(own <= 0, often, often / 2 if often > 1 else 1.0) * BOOKINGS_PER_CUSTOMER
        return random.geometric(1 / mean)

    def truth(self, seed: int) -> float:
        """Compute the rate of all seats that there could be, by drawing many."""
        random = np.random.default_rng(seed)
        own = self._around(self.customer, (1_000_000,), random)
        seats = self._seats(own, random)
        p = self.rate + own + self._around(self.slot, own.shape, random) + self._around(self.day, own.shape, random)
        return float((seats * np.clip(p, 0, 1)).sum() / seats.sum())

    def draw(self, studios: int, seed: int) -> pl.DataFrame:
        """Make the outcomes of so many studios, with class days and the customers' cohorts."""
        random = np.random.default_rng(seed)
        days, people = 28, self.customers * self.cohorts
        customer = self._around(self.customer, (studios, people), random)
        slot = self._around(self.slot, (studios, self.slots), random)
        day = self._around(self.day, (studios, days), random)
        day_of = np.arange(self.slots) * days // self.slots
        seats = self._seats(customer, random)
        studio = np.repeat(np.arange(studios), seats.sum(axis=1))
        who = np.repeat(np.tile(np.arange(people), studios), seats.ravel())
        which = random.integers(0, self.slots, who.size)
        p = self.rate + customer[studio, who] + slot[studio, which] + day[studio, day_of[which]]
        dates = pl.Series([date(2025, 3, 3) + timedelta(int(number)) for number in range(days)])
        return pl.DataFrame(
            {
                "studio": pl.Series(studio).cast(pl.String).str.zfill(5),
                "customer_id": who,
                "cohort": who // self.customers,
                "class_slot_id": which,
                "class_id": which % self.classes,
                "outcome": np.where(random.random(who.size) < p, "no_show", "attended"),
                "class_day": dates[day_of[which]],
            }
        ).with_columns(weekday=pl.col("class_day").dt.to_string("%a"))


def noted(outcomes: pl.DataFrame, recorded: float, seed: int, *, hidden: str = "no_show") -> pl.DataFrame:
    """Forget what became of some seats, so that about this share stays recorded.

    A ``hidden`` outcome is forgotten twice as often as the average seat, the others as seldom as that leaves.
    """
    is_hidden = outcomes["outcome"].to_numpy() == hidden
    share = float(is_hidden.mean())
    lost = min(1.0, 2 * (1 - recorded), (1 - recorded) / share)
    others = (1 - recorded - lost * share) / (1 - share)
    chance = np.where(is_hidden, lost, others)
    forgotten = pl.lit(np.random.default_rng(seed).random(outcomes.height) < chance)
    return outcomes.with_columns(outcome=pl.when(forgotten).then(pl.lit("unrecorded")).otherwise("outcome"))
