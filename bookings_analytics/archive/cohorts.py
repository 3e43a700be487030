"""Who counts as read in an archive, and which studio a list means."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.engines import lazy, like
from bookings_analytics.metrics.grouping import fill_only_studio
from bookings_analytics.schema import API_WINDOW, CUSTOMER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WEIGHT: Final[Mapping[str, int]] = {"ok": 2, "access_disabled": 2, "not_found": 1}  # of an outcome; of others 0


def fetch_outcomes(fetches: pl.DataFrame, since: date | None, until: date | None) -> pl.DataFrame:
    """Compute each customer's ``fetch_outcome``, as `Archive.cohorts` defines it.

    Args:
        fetches: `schema.FETCHES`.
        since: The first day (UTC) of the period; None: no limit.
        until: The last day (UTC) of the period; None: no limit.

    Raises:
        ValueError: The period ends before it begins, or a limit is not a date.
    """
    check_period(since, until)
    day = pl.col("fetched_at").dt.date()
    counts = pl.lit(value=True)
    if since:
        counts &= day >= since
    if until:
        counts &= day <= until + API_WINDOW
    weight = pl.col("outcome").cast(pl.String).replace_strict(_WEIGHT, default=0)
    of_two_at_once = pl.col("outcome") == "ok"
    ranked = fetches.filter(counts | (pl.col("outcome") == "access_disabled")).sort(
        weight, "fetched_at", of_two_at_once
    )
    return ranked.group_by(CUSTOMER_KEY).agg(fetch_outcome=pl.col("outcome").last())


def check_period(since: date | None, until: date | None) -> None:
    """Check the limits of a period.

    Raises:
        ValueError: It ends before it begins, or a limit is not a date.
    """
    for name, limit in (("since", since), ("until", until)):
        if limit is not None and (not isinstance(limit, date) or isinstance(limit, datetime)):
            raise ValueError(f"{name} is {limit!r}. Pass a datetime.date, such as date(2026, 5, 1).")
    if since and until and since > until:
        raise ValueError(f"since is {since} and until is {until}, so the period ends before it begins. Swap them.")


def with_studio(cohorts: pl.DataFrame, studios: Sequence[str]) -> pl.DataFrame:
    """Fill in the archive's only studio where the cohorts name none.

    Raises:
        CohortError: The archive has several.
    """
    nameless = cohorts["studio"].is_null()
    if len(studios) > 1 and nameless.any():
        raise CohortError(
            f"row {nameless.arg_true()[0] + 1} of the cohorts names no studio, and the archive has {len(studios)}: "
            f"{', '.join(studios)}. Name one of them in the column studio."
        )
    return like(cohorts, fill_only_studio(lazy(cohorts), studios))
