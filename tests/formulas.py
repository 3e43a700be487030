"""The formulas of the intervals, written anew in numpy from their definitions: what the library must agree with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

NODES = np.array([2, 3, 4, 6, 10, 20, 60])


def z_of(confidence: float) -> float:
    return float(stats.norm.ppf((1 + confidence) / 2))


def t_of(confidence: float, df: float) -> float:
    """The polynomial in 1/df through the exact quantiles at the nodes."""
    z = z_of(confidence)
    x = np.append(0, 1 / NODES)
    f = np.append(0, np.log(stats.t.ppf((1 + confidence) / 2, NODES) / z))
    return float(z * np.exp(np.linalg.solve(np.vander(x, increasing=True), f) @ (1 / df) ** np.arange(8)))


def summed(values: ArrayLike, *keys: ArrayLike) -> dict[tuple[object, ...], float]:
    found: dict[tuple[object, ...], float] = {}
    for value, key in zip(
        np.asarray(values, float), zip(*(np.asarray(key).tolist() for key in keys), strict=True), strict=True
    ):
        found[key] = found.get(key, 0) + float(value)
    return found


def correlation(within: ArrayLike, unit: ArrayLike, y: ArrayLike, n: ArrayLike) -> float:
    """How alike the trials of one unit are, pooled over what the units lie within; one studio."""
    hits, trials = summed(y, within, unit), summed(n, within, unit)
    above = spread = below = 0.0
    pairs = 0
    for k in {k for k, _ in trials}:
        of_class = [key for key in trials if key[0] == k and trials[key] > 0]
        if len(of_class) < 2:
            continue
        y_s, n_s = (np.array([values[key] for key in of_class]) for values in (hits, trials))
        p = y_s.sum() / n_s.sum()
        above += len(of_class) / (len(of_class) - 1) * np.sum((y_s - p * n_s) ** 2)
        spread += p * (1 - p) * np.sum(n_s**2)
        below += n_s.sum() * p * (1 - p)
        pairs += int(np.sum(n_s >= 2))
    if below == 0 or spread / below <= 1 or pairs < 10:
        return 0.0
    return float(np.clip((above / below - 1) / (spread / below - 1), 0, 1))


class Clustered(NamedTuple):
    """A rate's trials, one entry a customer: hits, trials; and what its slots or days add to the design effect."""

    y: Numbers
    n: Numbers
    term: float = 0.0

    @property
    def b(self) -> float:
        return float(self.n.sum() / self.n.size)

    @property
    def q(self) -> float:
        return float((self.y.sum() + self.b) / (self.n.sum() + 2 * self.b))

    @property
    def deff(self) -> float:
        m = self.n.size
        y, n = np.append(self.y, [self.b, 0]), np.append(self.n, [self.b, self.b])
        spread = np.sum((y - self.q * n) ** 2)
        return max(1.0, float((m + 2) / (m + 1) * spread / (n.sum() * self.q * (1 - self.q)))) + self.term

    @property
    def effective(self) -> float:
        return float(self.n.sum() ** 2 / np.sum(self.n**2))

    def interval(self, confidence: float) -> tuple[float, float]:
        t = t_of(confidence, self.effective + 1)
        return wilson(self.y.sum() / self.n.sum(), self.n.sum() / self.deff, t)

    def spread(self) -> float:
        """S, in the correlation of two rates."""
        m = self.n.size
        return float(self.deff * (m + 1) / (m + 2) * (self.n.sum() + 2 * self.b) * self.q * (1 - self.q))


def clustered(customer: ArrayLike, y: ArrayLike, n: ArrayLike, term: float = 0.0) -> Clustered:
    trials = summed(n, customer)
    of = [key for key, value in trials.items() if value > 0]
    hits = summed(y, customer)
    return Clustered(np.array([hits[key] for key in of]), np.array([trials[key] for key in of]), term)


def shared_term(rho: float, unit: ArrayLike, n: ArrayLike) -> float:
    trials = np.array(list(summed(n, unit).values()))
    return float(rho * np.sum(trials * (trials - 1)) / trials.sum())


def wilson(p: float, n: float, t: float) -> tuple[float, float]:
    """The two shares π at which (p - π)² = t² π(1 - π)/n."""
    a, b, c = 1 + t * t / n, -(2 * p + t * t / n), p * p
    root = np.sqrt(max(0.0, b * b - 4 * a * c))
    return float(np.clip((-b - root) / (2 * a), 0, p)), float(np.clip((-b + root) / (2 * a), p, 1))


def bounds(
    least: float, most: float, held: float, recorded: float, deff: float, *, t: float, confidence: float
) -> tuple[float, float]:
    """Imbens & Manski: c solved from Φ(c + u) - Φ(-c) = confidence by the closed form.

    What alike seats cost, deff - 1, was measured on the recorded ones, and grows with the seats that are held.
    """
    size = held / (1 + (deff - 1) * held / recorded)
    z, one = z_of(confidence), float(stats.norm.ppf(confidence))
    s = max(least - wilson(least, size, t)[0], wilson(most, size, t)[1] - most) / t
    u = (most - least) / s if s else np.inf
    c = one + (z - one) * np.exp(-u / (2 * (z - one)) - 0.55 * u * u)
    return wilson(least, size, c * t / z)[0], wilson(most, size, c * t / z)[1]
