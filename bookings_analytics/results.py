"""What a fetch brought: bookings, what became of every customer, and the cohorts with both joined."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from bookings_analytics import schema
from bookings_analytics.schema import CUSTOMER_KEY, SETTLED

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, repr=False)
class FetchResult:
    """The outcome of a fetch.

    Attributes:
        bookings: `schema.BOOKINGS`, sorted by studio, customer and booking; empty if they went into an archive.
        fetches: `schema.FETCHES`, one row per studio and customer, sorted by them.
        cohorts: `schema.RESULT_COHORTS`: every row of the cohort list, its studio and `fetch_outcome` filled in.
    """

    bookings: pl.DataFrame
    fetches: pl.DataFrame
    cohorts: pl.DataFrame

    @classmethod
    def assemble(
        cls,
        cohorts: pl.DataFrame,
        bookings: Sequence[pl.DataFrame],
        fetches: Sequence[pl.DataFrame],
        skipped: pl.DataFrame,
    ) -> FetchResult:
        """Assemble the parts of a run: who was neither asked nor skipped for a kept fetch is not_fetched."""
        asked = pl.concat([schema.FETCHES.to_frame(), *fetches])
        missing = cohorts.select(CUSTOMER_KEY).unique().join(pl.concat([asked, skipped]), on=CUSTOMER_KEY, how="anti")
        not_fetched = missing.with_columns(
            outcome=pl.lit("not_fetched", schema.FETCH_OUTCOME),
            message=pl.lit("Not asked: the fetch ended before."),
            attempts=pl.lit(0, pl.Int64),
        )
        every = pl.concat([asked, not_fetched], how="diagonal").sort(CUSTOMER_KEY)
        outcomes = pl.concat([every, skipped]).select(*CUSTOMER_KEY, fetch_outcome="outcome")
        return cls(
            bookings=pl.concat([schema.BOOKINGS.to_frame(), *bookings]).sort(*CUSTOMER_KEY, "booking_id"),
            fetches=every,
            cohorts=cohorts.join(outcomes, on=CUSTOMER_KEY, how="left", maintain_order="left"),
        )

    def settled(self, cohorts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Select the bookings and fetches of those customers of `cohorts` whose answer is final."""
        fetches = self.fetches.join(cohorts, on=CUSTOMER_KEY, how="semi").filter(pl.col("outcome").is_in(SETTLED))
        return self.bookings.join(fetches, on=CUSTOMER_KEY, how="semi"), fetches

    def summary(self, *, between: str = "; ", each_studio: bool = False) -> str:
        """Summarize how many were asked and read, and what could not be read and why.

        Args:
            between: What stands between two parts.
            each_studio: Whether to name each of several studios, not only those none of whose customers was read.
        """
        counts = self._counts()
        read = counts.pop("ok", 0)
        never_asked = counts.pop("not_fetched", 0)
        asked = self.fetches.height - never_asked
        parts = [f"{asked:,} customers asked, {read:,} read, {self.fetches['n_bookings'].sum():,} bookings"]
        if counts:
            parts.append("not read: " + ", ".join(f"{n:,} {outcome}" for outcome, n in counts.items()))
        if skipped := self.cohorts.select(CUSTOMER_KEY).n_unique() - self.fetches.height:
            parts.append(f"{skipped:,} not asked, their kept fetch is recent enough")
        parts += self._studios(each=each_studio)
        if never_asked:
            parts.append(f"{never_asked:,} never asked (continue with resume=)")
        return between.join(parts) + "."

    @property
    def unread_studios(self) -> list[str]:
        """Of several studios, those that know none of their customers: refused, down, or at a wrong address."""
        if self.cohorts["studio"].n_unique() < 2:  # noqa: PLR2004 - several
            return []
        known = pl.col("fetch_outcome").is_in(["ok", "access_disabled"])
        by_studio = self.cohorts.group_by("studio").agg(known.any()).filter(~pl.col("fetch_outcome"))
        return by_studio["studio"].sort().to_list()

    def _studios(self, *, each: bool) -> list[str]:
        """Write, of several studios, how many customers of each were read, or the status that refused all of them."""
        unread = self.unread_studios
        counts = (
            self.cohorts.unique(CUSTOMER_KEY)
            .group_by("studio")
            .agg(pl.len(), read=(pl.col("fetch_outcome") == "ok").sum())
            .sort("studio")
        )
        return [
            f"{studio}: nobody read ({self._status_of(studio)})" if studio in unread else f"{studio}: {read:,} of {n:,}"
            for studio, n, read in counts.iter_rows()
            if studio in unread or (each and counts.height > 1)
        ]

    def _status_of(self, studio: str) -> str:
        statuses = self.fetches.filter(studio=studio)["http_status"].drop_nulls()
        return "no answer" if statuses.is_empty() else str(statuses.mode().min())

    def _counts(self) -> dict[str, int]:
        """Count customers by outcome, in the order of the outcomes' Enum."""
        counted = self.fetches.group_by("outcome").len().sort("outcome")
        return dict(counted.iter_rows())

    def __repr__(self) -> str:
        return f"<FetchResult: {self.summary()}>"

    def _repr_html_(self) -> str:
        """Show the summary and, for each outcome but ok, how many customers and the first one's message."""
        others = (
            self.fetches.filter(pl.col("outcome") != "ok")
            .group_by("outcome")
            .agg(pl.len(), pl.first(*CUSTOMER_KEY, "message"))
            .sort("outcome")
        )
        rows = "".join(
            f"<tr><td>{outcome}</td><td>{n:,}</td><td>{escape(f'{studio} {customer}')}</td>"
            f"<td>{escape(message or '')}</td></tr>"
            for outcome, n, studio, customer, message in others.iter_rows()
        )
        table = (
            "<table><thead><tr><th>outcome</th><th>customers</th><th>for example</th><th>message</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
        return f"<p>{escape(self.summary())}</p>{table if rows else ''}"
