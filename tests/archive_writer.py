"""What writers do in processes of their own, for tests that kill one or start two.

They are forked from a process that has imported the archive and done nothing else, so that one starts in no time.
"""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import polars as pl
from snapshots import Bookings, at, result

from bookings_analytics.archive import Archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from bookings_analytics.results import FetchResult

CUSTOMERS = range(1, 41)
SHARED = 7  # a customer whom both of two writers fetch
COMMITS = 100  # of each of two writers


def bookings_at(customer_id: int, hour: int) -> Bookings:
    """Some bookings of a customer at a time: they come, change and go, differently for each customer."""
    first = (hour + customer_id) // 3
    statuses = ("WAITING_LIST", "BOOKED", "CANCELED")
    return {customer_id * 10_000 + each: statuses[(hour + each) // 4 % 3] for each in range(first, first + 3)}


def snapshot(hour: int, customers: range = CUSTOMERS) -> FetchResult:
    return result(at(hour / 24), {customer_id: bookings_at(customer_id, hour) for customer_id in customers})


def next_hour(archive: Archive) -> int:
    last = archive.fetches().select(pl.col("fetched_at").max()).collect().item()
    return 0 if last is None else round((last - at(0)) / timedelta(hours=1)) + 1


def own(writer: int) -> int:
    """The customer whom only this one of two writers fetches."""
    return 100 + writer


def add_on(place: Path) -> None:
    """Add hour after hour, from where the archive stops, until killed."""
    archive = Archive(place)
    for hour in count(next_hour(archive)):
        archive.add(snapshot(hour))


def add_beside_another(place: Path, writer: int) -> None:
    """Add the even or the odd hours."""
    archive = Archive(place)
    for hour in range(writer, 2 * COMMITS, 2):
        archive.add(result(at(hour / 24), {each: bookings_at(each, hour) for each in (SHARED, own(writer))}))


def start(work: Callable[..., None], *arguments: object) -> BaseProcess:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["bookings_analytics.archive.archive"])
    writer = forks.Process(target=work, args=arguments)
    writer.start()
    return writer
