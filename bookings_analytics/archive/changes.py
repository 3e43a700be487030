"""How a new fetch differs from what an archive knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import schema
from bookings_analytics.schema import BOOKING_KEY, CUSTOMER_KEY
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from datetime import datetime

_STATE: Final = tuple(name for name in schema.BOOKINGS if name not in (*BOOKING_KEY, "observed_at", "visible"))


@dataclass(frozen=True)
class Added:
    """The counts of what one `Archive.add` wrote.

    Attributes:
        new: Bookings that the customer's previous successful fetch did not show.
        changed: Bookings that it showed otherwise.
        gone: Bookings that it showed and this one does not.
        unchanged: Bookings that it showed the same: nothing was written for them.
        fetches: Fetches kept, failed ones included.
        skipped: Fetches left out because they were not newer than the kept one of that customer.
        ahead: Customers of this fetch with a fetch, kept or now added, more than 5 minutes ahead of the clock.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    unchanged: int = 0
    fetches: int = 0
    skipped: int = 0
    ahead: int = 0

    def __repr__(self) -> str:
        """Return all counts in one line."""
        skipped = f"{self.skipped:,} skipped" + (" (not newer than the kept fetch)" if self.skipped else "")
        ahead = f"; {counted(self.ahead, 'customer')} ahead of the clock, see check()" if self.ahead else ""
        return (
            f"<Added: {self.new:,} new, {self.changed:,} changed, {self.gone:,} gone, {self.unchanged:,} unchanged; "
            f"{self.fetches:,} fetches kept, {skipped}{ahead}>"
        )


def newer(fetches: pl.DataFrame, latest: pl.LazyFrame, until: datetime) -> tuple[pl.DataFrame, int]:
    """Select the fetches that are newer than the customer's last one: a successful one than the last successful one.

    Args:
        fetches: The fetches of a result.
        latest: The kept fetches, at least the latest of each customer.
        until: Kept fetches stamped later are ahead of the clock, and are not compared with.

    Returns:
        The fetches to keep, and how many of their customers have a fetch, kept or new, that is ahead of the clock.
    """
    of_these = latest.join(fetches.lazy(), on=CUSTOMER_KEY, how="semi")  # of a large archive only a few
    ahead = pl.col("fetched_at") > until
    last = of_these.group_by(CUSTOMER_KEY).agg(
        last=pl.col("fetched_at").filter(~ahead).max(),
        last_ok=pl.col("fetched_at").filter(~ahead, pl.col("outcome") == "ok").max(),
        ahead_at=pl.col("fetched_at").filter(ahead),
    )
    compared = fetches.lazy().join(last, on=CUSTOMER_KEY, how="left", maintain_order="left").collect()
    before = pl.when(pl.col("outcome") == "ok").then("last_ok").otherwise("last")
    is_newer = before.is_null() | (pl.col("fetched_at") > before)
    is_kept = pl.col("fetched_at").is_in(pl.col("ahead_at")).fill_null(value=False)  # the same result, added again
    has_ahead = ahead | (pl.col("ahead_at").list.len() > 0)
    return compared.filter(is_newer & ~is_kept).select(fetches.columns), compared.filter(has_ahead).height


def changes(known: pl.DataFrame, seen: pl.DataFrame, fetches: pl.DataFrame) -> pl.DataFrame:
    """Compare what was known of some customers with what their new fetches show: BOOKINGS and ``change``."""
    both = seen.select(*BOOKING_KEY, *_STATE, now=True).join(
        known.select(*BOOKING_KEY, *_STATE, before=True), on=BOOKING_KEY, how="full", coalesce=True, suffix="_before"
    )
    differs = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_before") for name in _STATE)
    change = (
        pl.when(pl.col("now").is_null())
        .then(pl.lit("gone"))
        .when(pl.col("before").is_null())
        .then(pl.lit("new"))
        .when(differs)
        .then(pl.lit("changed"))
        .otherwise(pl.lit("unchanged"))
    )
    return (
        both.with_columns(change=change)
        .with_columns(pl.coalesce(name, f"{name}_before") for name in _STATE)
        .with_columns(visible=pl.col("change") != "gone")
        .join(fetches.select(*CUSTOMER_KEY, observed_at="fetched_at"), on=CUSTOMER_KEY)
        .sort(BOOKING_KEY)
        .select(*schema.BOOKINGS, "change")
    )
