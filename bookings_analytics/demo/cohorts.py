"""Prints the demo studio's cohort list: ``python -m bookings_analytics.demo.cohorts > data/cohorts.csv``."""

from __future__ import annotations

import sys

from bookings_analytics.demo.world import make_world

if __name__ == "__main__":
    sys.stdout.write(make_world().cohorts.write_csv())
