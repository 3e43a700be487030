"""What a fetch keeps in memory as the cohort grows: into an archive, and into a frame.

    uv run python tests/bench/fetch_memory.py

The server is that of `fetch.py`: eight bookings a customer. Each run is a process of its own, which fetches a few
customers first; what is printed is by how much its peak memory then grows.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = Path(__file__)
WARM_UP = 600
COHORTS = (3_000, 10_000, 30_000, 100_000)
WAYS = {"a new archive": 1, "an archive that has them": 2, "a frame": 1}  # the last of so many runs counts
MIB = 1024  # KiB


def main() -> None:
    server = subprocess.Popen(
        [sys.executable, SCRIPT.with_name("fetch.py"), "--serve"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    base_url = server.stdout.readline().strip()
    try:
        print("| fetched into |", " | ".join(f"{n:,} customers" for n in COHORTS), "|")
        print("|---|", "---:|" * len(COHORTS), sep="")
        for way in WAYS:
            grown = [measured(base_url, way, n) for n in COHORTS]
            print(f"| {way} |", " | ".join(f"{each:.0f} MiB" for each in grown), "|", flush=True)
    finally:
        server.terminate()


def measured(base_url: str, way: str, customers: int) -> float:
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, str(SCRIPT), base_url, way, str(customers), place]
        return [float(subprocess.check_output(command)) for _ in range(WAYS[way])][-1]


def run(base_url: str, way: str, customers: int, place: str) -> None:
    import bookings_analytics as ba  # noqa: PLC0415 - only the process that needs it pays for it

    studio = ba.Studio("bench", base_url=base_url, api_key="made-up")

    def fetch(ids: range, archive: ba.Archive | None) -> None:
        ba.fetch_bookings(ids, studios=studio, archive=archive, progress=False, requests_per_minute=10**9)

    kept = None if way == "a frame" else ba.Archive(f"{place}/archive")
    fetch(range(1, WARM_UP + 1), None if kept is None else ba.Archive(f"{place}/warm"))
    before = peak()
    fetch(range(1, customers + 1), kept)
    print((peak() - before) / MIB)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    if sys.argv[1:]:
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
