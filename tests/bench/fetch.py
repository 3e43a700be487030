"""The bookings of many customers over HTTP: this library, httpx, aiohttp and dlt side by side, against one server.

    uv run --with dlt tests/bench/fetch.py [CUSTOMERS]
    uv run tests/bench/fetch.py chain [STUDIOS [CUSTOMERS OF EACH]]

The second measures a chain fetched in one process against one studio: requests a second of one core, connections, and
how many requests the API's limit of 1,000 a minute and key would have refused.

The server is bare asyncio on loopback, in a process of its own; each answer holds eight bookings. Each way runs in a
process of its own, which imports and asks for a few customers first, and is then measured from customer ids to a frame
of the same bookings: the CPU time of that process, all its threads, without the server's. Median of three, taken in
turns, so that other work on the machine meets all alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict, deque
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl

CUSTOMERS = 1000
WARM_UP = 50
REPEATS = 3
WORKERS = 64
BOOKINGS = 8
PATH = "/v1/classes/booking"
KEY = "made-up"
BASELINE = "dlt, RESTClient"

LIMIT = 1000  # requests a minute and key
STUDIOS = 100

Rows = list[dict[str, Any]]


class Server(asyncio.Protocol):
    """Knows one path and needs no more of a request than its customer; counts what a limit would have refused."""

    open = most = refused = 0
    arrivals: ClassVar[defaultdict[bytes, deque[float]]] = defaultdict(deque)  # by key

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.received = b""
        Server.open += 1
        Server.most = max(Server.most, Server.open)

    def connection_lost(self, _: Exception | None) -> None:
        Server.open -= 1

    def data_received(self, data: bytes) -> None:
        *requests, self.received = (self.received + data).split(b"\r\n\r\n")
        for request in requests:
            if request.startswith(b"GET /counts"):
                body = json.dumps({"connections": Server.most, "refused": Server.refused}).encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                Server.most = Server.open
                continue
            self.count(request)
            _, _, query = request.split(b" ", 2)[1].partition(b"?customerId=")
            body = b"" if request.startswith(b"HEAD") else answer(int(query))
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)

    def count(self, request: bytes) -> None:
        """Count a request of its key's minute."""
        arrivals, now = (
            Server.arrivals[request.lower().partition(b"x-api-key: ")[2].partition(b"\r")[0]],
            time.monotonic(),
        )
        while arrivals and arrivals[0] < now - 60:
            arrivals.popleft()
        arrivals.append(now)
        Server.refused += len(arrivals) > LIMIT


def answer(customer: int) -> bytes:
    bookings = [
        {
            "bookingId": customer * BOOKINGS + n,
            "bookingStatus": ["BOOKED", "WAITING_LIST", "CANCELED"][n % 3],
            "classSlotId": n * 7919,
            "classId": n * 104_729,
            "customerId": customer,
            "classSlotStatus": "COMPLETED",
            "participantStatus": ["PARTICIPATING", "NOT_PARTICIPATING", "UNSET"][n // 3],
        }
        for n in range(BOOKINGS)
    ]
    return json.dumps(bookings, separators=(",", ":")).encode()


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def library(base_url: str, customers: list[int]) -> pl.DataFrame:
    import bookings_analytics as ba  # noqa: PLC0415 - here and below, only the process that needs it pays for it

    studio = ba.Studio("bench", base_url=base_url, api_key=KEY)
    return ba.fetch_bookings(customers, studios=studio, progress=False, requests_per_minute=10**9).bookings


def httpx_sequential(base_url: str, customers: list[int]) -> pl.DataFrame:
    import httpx  # noqa: PLC0415

    rows: Rows = []
    with httpx.Client(base_url=base_url, headers={"X-API-KEY": KEY}) as client:
        for customer in customers:
            rows += client.get(PATH, params={"customerId": customer}).raise_for_status().json()
    return frame(rows)


def httpx_async(base_url: str, customers: list[int]) -> pl.DataFrame:
    import httpx  # noqa: PLC0415

    async def read() -> Rows:
        async with httpx.AsyncClient(base_url=base_url, headers={"X-API-KEY": KEY}) as client:

            async def one(customer: int) -> Rows:
                response = await client.get(PATH, params={"customerId": customer})
                rows: Rows = response.raise_for_status().json()
                return rows

            return await with_workers(one, customers)

    return frame(asyncio.run(read()))


def aiohttp_bare(base_url: str, customers: list[int]) -> pl.DataFrame:
    import aiohttp  # noqa: PLC0415

    async def read() -> Rows:
        async with aiohttp.ClientSession(base_url, headers={"X-API-KEY": KEY}, raise_for_status=True) as session:

            async def one(customer: int) -> Rows:
                async with session.get(PATH, params={"customerId": customer}) as response:
                    rows: Rows = await response.json()
                    return rows

            return await with_workers(one, customers)

    return frame(asyncio.run(read()))


def dlt_client(base_url: str, customers: list[int]) -> pl.DataFrame:
    from dlt.sources.helpers.rest_client import RESTClient  # noqa: PLC0415
    from dlt.sources.helpers.rest_client.auth import APIKeyAuth  # noqa: PLC0415
    from dlt.sources.helpers.rest_client.paginators import SinglePagePaginator  # noqa: PLC0415

    client = RESTClient(base_url, auth=APIKeyAuth("X-API-KEY", KEY), paginator=SinglePagePaginator())
    rows: Rows = []
    for customer in customers:
        for page in client.paginate(PATH, params={"customerId": customer}):
            rows += page
    return frame(rows)


def dlt_source(base_url: str, customers: list[int]) -> pl.DataFrame:
    import dlt  # noqa: PLC0415
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415

    listed = dlt.resource([[{"id": customer} for customer in customers]], name="customers")
    source = rest_api_source(
        {
            "client": {
                "base_url": base_url,
                "auth": {"type": "api_key", "name": "X-API-KEY", "api_key": KEY, "location": "header"},
                "paginator": "single_page",
            },
            "resources": [
                listed,
                {"name": "bookings", "endpoint": {"path": PATH, "params": {"customerId": "{resources.customers.id}"}}},
            ],
        }
    )
    return frame(list(source.resources["bookings"]))


async def with_workers(one: Callable[[int], Any], customers: list[int]) -> Rows:
    waiting = iter(customers)
    rows: Rows = []

    async def work() -> None:
        for customer in waiting:
            rows.extend(await one(customer))

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return rows


def frame(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415

    return pl.DataFrame(rows).rename({"bookingId": "booking_id"})


def chain(base_url: str, studios: int, customers: int) -> None:
    """Fetch so many customers of so many studios in this process, and print what it took."""
    import polars as pl  # noqa: PLC0415

    import bookings_analytics as ba  # noqa: PLC0415

    def fetch(keys: str, n_studios: int, ids: range) -> int:
        made = [ba.Studio(f"{keys}{i}", base_url=base_url, api_key=f"{keys}{i}") for i in range(n_studios)]
        names = [studio.name for studio in made for _ in ids]
        listed = pl.DataFrame({"customer_id": [*ids] * n_studios, "studio": names})
        fetches = ba.fetch_bookings(listed, studios=made, progress=False).fetches
        if set(fetches["outcome"]) != {"ok"}:
            raise SystemExit("not everybody was read")
        return int(fetches["attempts"].sum()) + n_studios  # a check of each key besides

    fetch("warm", 2, range(1, WARM_UP + 1))
    urllib.request.urlopen(f"{base_url}/counts").read()
    wall, cpu = time.perf_counter(), time.process_time()
    requests = fetch(f"{studios} ".replace(" ", "-"), studios, range(1, customers + 1))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    counts = json.loads(urllib.request.urlopen(f"{base_url}/counts").read())
    print(json.dumps({"wall": wall, "cpu": cpu, "requests": requests, **counts}))


def chains(studios: int, customers: int) -> None:
    runs: dict[int, list[dict[str, float]]] = {1: [], studios: []}
    for each in [each for _ in range(REPEATS) for each in runs]:
        with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            try:
                base_url = server.stdout.readline().strip()
                command = [sys.executable, __file__, "--chain", base_url, str(each), str(customers)]
                runs[each].append(json.loads(subprocess.check_output(command)))
            finally:
                server.terminate()
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"{customers:,} customers of each studio, {os.cpu_count()} cores, load average {load}\n")
    print("| studios | requests | s | requests per second of one core | connections | refused |")
    print("|---:|---:|---:|---:|---:|---:|")
    for each, measured in runs.items():
        requests, wall, cpu = (median(run[name] for run in measured) for name in ("requests", "wall", "cpu"))
        most, refused = (max(run[name] for run in measured) for name in ("connections", "refused"))
        print(f"| {each} | {requests:,.0f} | {wall:.1f} | {requests / cpu:,.0f} | {most:,} | {refused:,} |")


WAYS: dict[str, Callable[[str, list[int]], pl.DataFrame]] = {
    "this library": library,
    "httpx, one after the other": httpx_sequential,
    f"httpx, async, {WORKERS} workers": httpx_async,
    BASELINE: dlt_client,
    "dlt, rest_api source": dlt_source,
    f"aiohttp, bare, {WORKERS} workers": aiohttp_bare,
}


def measure(way: str, base_url: str, customers: int) -> None:
    WAYS[way](base_url, list(range(1, WARM_UP + 1)))
    wall, cpu = time.perf_counter(), time.process_time()
    bookings = WAYS[way](base_url, list(range(1, customers + 1)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if bookings["booking_id"].sort().to_list() != list(range(BOOKINGS, (customers + 1) * BOOKINGS)):
        raise SystemExit(f"{way} lost bookings")
    print(json.dumps({"wall": wall, "cpu": cpu}))


def main(customers: int) -> None:
    if not find_spec("dlt"):
        raise SystemExit(
            f"dlt, which this compares with, is not installed: uv run --with dlt {sys.argv[0]} {customers}"
        )
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            base_url = server.stdout.readline().strip()
            for way in [way for _ in range(REPEATS) for way in WAYS]:
                command = [sys.executable, __file__, "--measure", way, base_url, str(customers)]
                runs[way].append(json.loads(subprocess.check_output(command)))
        finally:
            server.terminate()
    cpu = {way: median(run["cpu"] for run in each) / customers * 1000 for way, each in runs.items()}
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"{customers:,} customers, {os.cpu_count()} cores, load average {load}\n")
    print("| way | requests per second | CPU s per 1000 requests | of dlt's RESTClient |\n|---|---:|---:|---:|")
    for way, each in runs.items():
        rate = customers / median(run["wall"] for run in each)
        print(f"| {way} | {rate:,.0f} | {cpu[way]:.2f} | {cpu[way] / cpu[BASELINE]:.2f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve"]:
            asyncio.run(serve())
        case ["--measure", way, base_url, customers]:
            measure(way, base_url, int(customers))
        case ["--chain", base_url, studios, customers]:
            chain(base_url, int(studios), int(customers))
        case ["chain", *sizes]:
            studios, customers = [*sizes, *[str(STUDIOS), str(LIMIT - 1)][len(sizes) :]]  # each key is checked as well
            chains(int(studios), int(customers))
        case sizes:
            main(*map(int, sizes) if sizes else [CUSTOMERS])
