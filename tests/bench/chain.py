"""A chain of thirty demo studios over HTTP on this machine: thirty keys, a limit each, one key wrong, one studio down.

    uv run python tests/bench/chain.py [CUSTOMERS OF EACH [SECONDS OF A MINUTE]]

It prints what share of its limit each studio that answers was asked at, counted where requests arrive, and how many of
these were refused. A minute of the limit is shortened, so that a fetch of minutes takes seconds.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import polars as pl

import bookings_analytics as ba
from bookings_analytics import demo
from bookings_analytics.fetch import rate_limit

STUDIOS = 30
LIMIT = 60  # requests in a minute
REFUSED, DOWN = "studio 07", "studio 11"


def main(customers: int = 200, minute: float = 12.0) -> None:
    warnings.simplefilter("ignore", UserWarning)  # all are one made-up studio, as the archive notices
    with tempfile.TemporaryDirectory() as place, ExitStack() as served:
        studios = [
            served.enter_context(demo.serve(name=f"studio {i:02}", limit=LIMIT, period=minute, lockout=minute))
            for i in range(STUDIOS)
        ]
        asked: list[ba.Studio] = []
        for studio in studios:
            if studio.name == DOWN:
                studio.close()
            wrong = ba.Studio(studio.name, base_url=studio.base_url, api_key="wrong")
            asked.append(wrong if studio.name == REFUSED else studio)
            key = hashlib.sha256(studio.api_key.reveal().encode()).digest()
            short = rate_limit.RateLimit(LIMIT, period=minute * rate_limit.PERIOD / 60, lock_out=minute)
            rate_limit._of_this_process[studio.base_url, key, "bookings"] = short
        ids = studios[0].cohorts["customer_id"].head(customers)
        listed = pl.concat([pl.DataFrame({"customer_id": ids, "studio": studio.name}) for studio in studios])
        archive = ba.Archive(Path(place) / "archive")
        began, cpu = time.perf_counter(), time.process_time()
        result = ba.fetch_bookings(listed, studios=asked, archive=archive, requests_per_minute=LIMIT)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(
            f"\n{listed.height:,} customers in {took:.0f} s, {cpu:.0f} CPU-s with the studios' own; minute: {minute} s"
        )
        print(result.fetches.group_by("outcome", "http_status").len().sort("len", descending=True))
        shares, refused = [], 0
        for studio in studios:
            arrived = sorted(sent.arrived_at for sent in studio.requests if sent.method == "GET")
            refused += sum(sent.status == 429 for sent in studio.requests)
            gaps = [later - earlier for earlier, later in zip(arrived, arrived[LIMIT:], strict=False)]
            if gaps:
                shares.append(minute / (sum(gaps) / len(gaps)))
        low, high = min(shares), max(shares)
        print(f"{len(shares)} studios at {low:.1%} to {high:.1%} of their limit; refused (429): {refused}")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
