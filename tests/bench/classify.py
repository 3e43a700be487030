"""CPU of `classify` against polars by hand, of one change log without class days, in one run.

    uv run python tests/bench/classify.py [OBSERVATIONS]  # 1,000,000

Simulated as in `memory.py`: about three observations a booking, in the order of an archive and shuffled. By hand, the
log is sorted once and compared row by row with the one before; nothing is checked. Both must give the same rows before
anything is timed. Each run is a process of its own, imports apart; medians of CPU seconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from memory import CUSTOMERS, PLACES, SEED, studio
from polars.testing import assert_frame_equal

import bookings_analytics as ba
from bookings_analytics.schema import BOOKING_KEY, BOOKINGS, DATED, OUTCOME, OUTCOMES, PLACE_KEY, WAIT_OUTCOME

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 5
STATE = ["booking_status", "class_slot_status", "participant_status", "visible"]


def make(directory: Path, observations: int) -> None:
    studios = max(1, round(observations / (CUSTOMERS * PLACES * 2.3)))
    rows = pl.concat(studio(number)[0] for number in range(studios)).cast(BOOKINGS)
    rows.sort(*BOOKING_KEY, "observed_at").write_parquet(directory / "sorted.parquet")
    rows.sample(fraction=1, shuffle=True, seed=SEED).write_parquet(directory / "shuffled.parquet")


def by_hand(rows: pl.DataFrame) -> pl.DataFrame:
    c = pl.col
    seat, waiting = (
        c("booking_status").is_in(["BOOKED", "BOOKED_WITH_CONFIRMATION_REQUIRED"]),
        (c("booking_status") == "WAITING_LIST"),
    )
    canceled, completed = c("booking_status") == "CANCELED", c("class_slot_status") == "COMPLETED"
    shown = c("visible") & waiting
    first = pl.any_horizontal(c(name) != c(name).shift() for name in BOOKING_KEY).fill_null(value=True)
    changed = first | pl.any_horizontal(c(name) != c(name).shift() for name in STATE).fill_null(value=True)
    lazy = rows.lazy()
    courses = lazy.group_by(PLACE_KEY).agg(
        first_seen_at=c("observed_at").min(),
        waited=(shown & (c("class_slot_status") == "PLANNED")).any(),
        waiting_at=c("observed_at").filter(shown).min(),
        seat_at=c("observed_at").filter(c("visible") & seat).max(),
    )
    outcome = (
        pl.when(c("class_slot_status") == "CANCELED").then(pl.lit("slot_canceled", OUTCOME))
        .when(completed & (c("participant_status") == "PARTICIPATING") & ~canceled).then(pl.lit("attended", OUTCOME))
        .when(canceled).then(pl.lit("canceled", OUTCOME))
        .when((c("class_slot_status") == "PLANNED") & ~c("visible")).then(pl.lit("lost", OUTCOME))
        .when(waiting).then(pl.lit("waiting", OUTCOME))
        .when(c("class_slot_status") == "PLANNED").then(pl.lit("upcoming", OUTCOME))
        .when(c("participant_status") == "NOT_PARTICIPATING").then(pl.lit("no_show", OUTCOME))
        .otherwise(pl.lit("unrecorded", OUTCOME))
    )  # fmt: skip
    converted = completed & ((c("seat_at") > c("waiting_at")) | (c("outcome") == "attended") | seat)
    wait = (
        pl.when(~c("waited")).then(None)
        .when(converted).then(pl.lit("converted", WAIT_OUTCOME))
        .when(c("class_slot_status") == "CANCELED").then(pl.lit("slot_canceled", WAIT_OUTCOME))
        .when(completed & canceled).then(pl.lit("withdrawn", WAIT_OUTCOME))
        .when(completed & waiting).then(pl.lit("lapsed", WAIT_OUTCOME))
        .when(c("visible")).then(pl.lit("pending", WAIT_OUTCOME))
        .otherwise(pl.lit("lost", WAIT_OUTCOME))
    )  # fmt: skip
    latest = (
        lazy.sort(*BOOKING_KEY, "observed_at")
        .with_columns(last_changed_at=pl.when(changed).then("observed_at").forward_fill())
        .filter(first.shift(-1, fill_value=True))
        .with_columns(gone=pl.when(~c("visible")).then("observed_at"), holds=pl.when(seat).then(2).otherwise(waiting))
        .sort(*PLACE_KEY, "visible", "gone", "holds", "booking_id")
    )
    last = pl.any_horizontal(c(name) != c(name).shift(-1) for name in PLACE_KEY).fill_null(value=True)
    return (
        latest.filter(last)
        .join(courses, on=PLACE_KEY, maintain_order="left")
        .with_columns(outcome=outcome)
        .with_columns(wait_outcome=wait)
        .collect()
    )


WAYS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {"this library": ba.classify, "polars by hand": by_hand}


def measure(way: str, path: str) -> None:
    rows = pl.read_parquet(path)
    begun = time.process_time()
    WAYS[way](rows)
    print(time.process_time() - begun)


def main(observations: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), observations)
        for path in sorted(Path(place).iterdir()):
            rows = pl.read_parquet(path)
            columns = [name for name in OUTCOMES if name not in DATED]
            assert_frame_equal(*(way(rows).select(columns) for way in WAYS.values()))
            cpu = {
                way: statistics.median(
                    float(subprocess.check_output([sys.executable, __file__, "--measure", way, str(path)]))
                    for _ in range(REPEATS)
                )
                for way in WAYS
            }
            ours, theirs = cpu.values()
            print(f"{rows.height:,} rows, {path.stem}: {ours:.2f} CPU-s, by hand {theirs:.2f}: {ours / theirs:.2f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--measure", way, path]:
            measure(way, path)
        case sizes:
            main(*(map(int, sizes or ["1000000"])))
