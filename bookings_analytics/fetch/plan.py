"""Who is asked where: the cohorts, the studios, and what is known already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import polars as pl

from bookings_analytics import schema
from bookings_analytics.cohorts import read_cohorts
from bookings_analytics.errors import CohortError, ConfigurationError
from bookings_analytics.metrics.engines import lazy, like
from bookings_analytics.metrics.grouping import fill_only_studio
from bookings_analytics.schema import CUSTOMER_KEY, SETTLED
from bookings_analytics.studios import Studio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from bookings_analytics.cohorts import CohortsSource
    from bookings_analytics.fetch.writer import SnapshotArchive
    from bookings_analytics.results import FetchResult


@dataclass(frozen=True)
class Plan:
    """What a fetch has to do.

    Attributes:
        members: The cohorts, with the studio of every customer.
        kept: The kept fetches that make asking again needless, `schema.FETCHES`.
        bookings: What an earlier result brought and is final, `schema.BOOKINGS`.
        fetches: The fetches of that result, `schema.FETCHES`.
        asked: The customers to ask for, by studio.
        answered_before: The studios that are known to answer.
    """

    members: pl.DataFrame
    kept: pl.DataFrame
    bookings: pl.DataFrame
    fetches: pl.DataFrame
    asked: dict[Studio, list[int]]
    answered_before: list[str]

    @classmethod
    def make(
        cls,
        cohorts: CohortsSource,
        studios: Mapping[str, Studio],
        *,
        archive: SnapshotArchive | None,
        max_age: timedelta | None,
        resume: FetchResult | None,
        now: datetime,
    ) -> Self:
        """Find out who is to be asked.

        Args:
            cohorts: What `read_cohorts` takes.
            studios: The studios by name.
            archive: Where the bookings are kept; None: nowhere.
            max_age: How old a kept fetch may be; None: none is recent enough.
            resume: An earlier result; None: there is none.
            now: The time.

        Raises:
            CohortError: The list can't be used as it stands, or names a studio that was not passed.
            ConfigurationError: The time has no zone.
        """
        if now.tzinfo is None:
            raise ConfigurationError(
                f"clock returns {now} without a time zone: let it return aware times, such as UTC."
            )
        members = _with_studio(read_cohorts(cohorts), studios)
        kept = _kept_since(archive, None if max_age is None else now - max_age, members)
        bookings, fetches = (
            resume.settled(members) if resume else (schema.BOOKINGS.to_frame(), schema.FETCHES.to_frame())
        )
        known = pl.concat([fetches, kept])
        customers = members.select(CUSTOMER_KEY).unique(maintain_order=True)
        asked = customers.join(known, on=CUSTOMER_KEY, how="anti", maintain_order="left")
        return cls(
            members,
            kept,
            bookings,
            fetches,
            asked={
                studios[str(name)]: ids["customer_id"].sort().to_list()  # neighbors share a bucket of the archive
                for (name,), ids in asked.group_by("studio", maintain_order=True)
            },
            answered_before=known.filter(outcome="ok")["studio"].unique().to_list(),
        )


def check_where_it_goes_on(
    archive: SnapshotArchive | None, max_age: timedelta | None, resume: FetchResult | None
) -> None:
    """Check that a fetch goes on after an earlier one in one way: by its result, or by an archive.

    Args:
        archive: Where the bookings are kept; None: nowhere.
        max_age: How old a kept fetch may be; None: not said.
        resume: An earlier result; None: there is none.

    Raises:
        ConfigurationError: These contradict each other.
    """
    if max_age is not None and archive is None:
        raise ConfigurationError("max_age= says how old a kept fetch may be, so it needs archive=, which keeps them.")
    if resume is not None and archive is not None:
        raise ConfigurationError(
            "resume= is for fetches without archive=: with one, max_age= goes on where they stopped."
        )
    if resume is not None and resume.bookings.height != resume.fetches["n_bookings"].sum():
        raise ConfigurationError(
            "The bookings of the result passed as resume= are not in it, so they went into an archive: "
            "pass archive= and max_age= instead, and the fetch goes on where it stopped."
        )


def named(studios: Studio | Sequence[Studio]) -> dict[str, Studio]:
    """Return studios by their names.

    Args:
        studios: One studio, or several.

    Raises:
        ConfigurationError: There is none, or two have one name.
    """
    studios = [studios] if isinstance(studios, Studio) else studios
    by_name = {studio.name: studio for studio in studios}
    if not by_name:
        raise ConfigurationError("No studio was given: pass studios=Studio(…), or a list of them.")
    if len(by_name) < len(studios):
        names = [studio.name for studio in studios]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"Two studios are called {twice!r}: give each its own name.")
    return by_name


def _kept_since(archive: SnapshotArchive | None, since: datetime | None, members: pl.DataFrame) -> pl.DataFrame:
    """Read the kept fetches of the members that make asking again needless."""
    if archive is None or since is None:
        return schema.FETCHES.to_frame()
    return (
        archive.latest_fetches()
        .filter(pl.col("fetched_at") > since, pl.col("outcome").is_in(SETTLED))
        .collect()
        .join(members, on=CUSTOMER_KEY, how="semi")
    )


def _with_studio(cohorts: pl.DataFrame, studios: Mapping[str, Studio]) -> pl.DataFrame:
    """Fill in the only studio where none is named; refuse what can't be asked anywhere."""
    cohorts = like(cohorts, fill_only_studio(lazy(cohorts), studios))
    known = ", ".join(map(repr, studios))
    for row, (customer_id, studio) in enumerate(cohorts.select("customer_id", "studio").iter_rows(), start=1):
        if studio not in studios:
            problem = "names no studio" if studio is None else f"is of studio {studio!r}, which was not given"
            raise CohortError(
                f"row {row} of the cohorts, customer {customer_id}, {problem}. "
                f"Name one of {known} in its column studio, or pass that studio in studios=."
            )
    return cohorts
