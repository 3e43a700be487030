"""How conversion among observed waits moves with the hour of the looks and with late marks: prints, asserts nothing.

Run it with ``PYTHONPATH=tests python tests/bench/waits.py``; it takes a minute or two.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from test_chances import seen, waits

import bookings_analytics as ba

SEEDS = range(4)
LATENESS = {"in time": 0, "6 h late": 6, "1 day late": 24, "3 days late": 72}
LOOKS = {f"{hour:02}:15": [hour + 0.25] for hour in range(0, 24, 2)} | {
    "04 + 12": [4.25, 12.25],
    "04 + 12 + 18": [4.25, 12.25, 18.25],
}


def conversion(hours: list[float], late: int) -> tuple[float, float]:
    """Pool the worlds: conversion among observed waits, and among all."""
    converted = decided = got = every = 0
    for seed in SEEDS:
        waited = waits(timedelta(hours=late), seed)
        history, fetches = seen(waited, hours)
        days = ba.class_days(history, fetches, timezone="Europe/Berlin")
        outcomes = ba.classify(history, class_days=days, fetches=fetches)
        rates = ba.waitlist_conversion(outcomes, fetches=fetches, timezone="Europe/Berlin").row(0, named=True)
        converted += rates["n_converted"]
        decided += rates["n_converted"] + rates["n_lapsed"] + rates["n_withdrawn"]
        got += waited.filter(pl.col("kind") == "BOOKED").height
        every += waited.height
    return converted / decided, got / every


if __name__ == "__main__":
    print("looks".ljust(14), *(name.rjust(12) for name in LATENESS), "all waits".rjust(12))
    for looks, hours in LOOKS.items():
        found = [conversion(hours, late) for late in LATENESS.values()]
        cells = [f"{rate:.3f}".rjust(12) for rate, _ in found]
        print(looks.ljust(14), *cells, f"{found[0][1]:.3f}".rjust(12))
