"""Who is in which group: reads and checks the arguments ``cohorts`` and ``by`` that all rates share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw
import polars as pl

from bookings_analytics.errors import CohortError
from bookings_analytics.metrics.engines import kept, lazy, rows_of, settled
from bookings_analytics.metrics.groups import MEMBERS, NOT_READ, Groups
from bookings_analytics.schema import CLASS_KEY, CUSTOMER_KEY, OUTCOME, PERIOD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from narwhals.typing import IntoFrame

_UNREAD = ("booking_id", "participant_status", "last_changed_at")  # no rate is made of these
_COUNTS = frozenset(f"n_{kind}" for kind in OUTCOME.categories)


def read_groups(
    outcomes: IntoFrame,
    cohorts: IntoFrame | None,
    by: str | Sequence[str] | None,
    *,
    result: Iterable[str],
    counting: nw.Expr | None = None,
) -> tuple[nw.LazyFrame[Any], Groups]:
    """Check the arguments that all rates share.

    Args:
        outcomes: The outcomes.
        cohorts: The cohorts, with or without ``fetch_outcome``; None: all customers of the outcomes.
        by: The columns to group by.
        result: The columns of the result, which no group column may be called.
        counting: Which rows the result is made of, to find its first and last day; None: all.

    Returns:
        The outcomes as a lazy frame, and the groups.

    Raises:
        CohortError: The cohorts frame does not fit the outcomes.
        TypeError: The two frames are on different engines.
        ValueError: ``by`` names a column that is not there, is in both frames, or is one of the result's.
    """
    bookings = lazy(outcomes)
    columns = (by,) if isinstance(by, str) else tuple(dict.fromkeys(by or ()))
    there = bookings.collect_schema()
    bookings = kept(bookings.drop(*(name for name in _UNREAD if name not in columns), strict=False))
    if cohorts is None:
        _check_by(columns, there, {}, result)
        return bookings, _labeled(bookings, Groups(columns, columns, None, {}), counting)
    listed = lazy(cohorts)
    if listed.implementation is not bookings.implementation:
        raise TypeError(
            f"the outcomes are on {bookings.implementation.value} and the cohorts on {listed.implementation.value}; "
            "pass both on the same engine."
        )
    listed = _with_studio(listed, bookings)
    theirs = listed.collect_schema()
    _check_by(columns, there, theirs, result)
    if "fetch_outcome" not in theirs:
        listed = listed.with_columns(fetch_outcome=nw.lit("ok"))
    named = [name for name in columns if name in theirs]
    read = nw.when(nw.col("fetch_outcome") == "ok").then(1).otherwise(0).max()
    members = (
        listed.group_by(*dict.fromkeys((*CUSTOMER_KEY, *named)))
        .agg(read.alias(MEMBERS))
        .with_columns((1 - nw.col(MEMBERS)).alias(NOT_READ))
    )
    own = tuple(name for name in columns if name not in theirs)
    groups = Groups(columns, own, kept(members), _places(listed) if "cohort" in named else {})
    return bookings, _labeled(bookings, groups, counting)


def _labeled(bookings: nw.LazyFrame[Any], groups: Groups, counting: nw.Expr | None) -> Groups:
    return _dated(bookings, replace(groups, titles=_titles(bookings, groups)), counting)


def _titles(bookings: nw.LazyFrame[Any], groups: Groups) -> nw.LazyFrame[Any] | None:
    """List what the outcomes call each class: none where they call it differently."""
    names = bookings.collect_schema().names()
    if "class_id" not in groups.own or "class_title" not in names or "class_title" in groups.by:
        return None
    title = nw.col("class_title")
    key = [name for name in CLASS_KEY if name in groups.by]
    found = bookings.group_by(*key).agg(_first=title.min(), _last=title.max())
    one = nw.when(nw.col("_first") == nw.col("_last")).then(nw.col("_first"))
    return settled(found.with_columns(class_title=one).select(*key, "class_title"), in_polars=False)


def _dated(bookings: nw.LazyFrame[Any], groups: Groups, counting: nw.Expr | None) -> Groups:
    """Find the days that the rows of each group cover and, where ``week`` names it, whether that week is complete."""
    names = bookings.collect_schema().names()
    if "class_day" not in names:
        return groups
    chosen = nw.lit(1) if counting is None else nw.when(counting).then(1).otherwise(0)
    rows = groups.attach(bookings).with_columns(_chosen=chosen)
    days = {"first_day": nw.col("_day").min(), "last_day": nw.col("_day").max()}
    if "week" in groups.own and "week_complete" in names and "week_complete" not in groups.by:
        rows = rows.with_columns(
            _incomplete=nw.when(~nw.col("week_complete")).then(1).otherwise(0),
            _dated=nw.when(~nw.col("week_complete").is_null()).then(1).otherwise(0),
        )
        days |= {"_incomplete": nw.col("_incomplete").max(), "_dated": nw.col("_dated").max()}
    rows = rows.with_columns(_day=nw.when(nw.col("_chosen") == 1).then(nw.col("class_day")))
    period = rows.group_by(*groups.by).agg(**days) if groups.by else rows.select(**days)
    if "_dated" in days:
        complete = nw.when(nw.col("_dated") == 1).then(nw.col("_incomplete") == 0)
        period = period.with_columns(week_complete=complete).drop("_incomplete", "_dated")
    return replace(groups, period=settled(period, in_polars=False))


def _places(cohorts: nw.LazyFrame[Any]) -> dict[str, nw.LazyFrame[Any]]:
    """Find the place of each cohort in the list; an Enum has an order already, and only polars keeps that of rows."""
    if not cohorts.implementation.is_polars() or cohorts.collect_schema()["cohort"] == nw.Enum:
        return {}
    numbered = cast("pl.LazyFrame", cohorts.select("cohort").to_native()).with_row_index("_place")
    return {"cohort": nw.from_native(numbered.group_by("cohort").agg(pl.min("_place")))}


def fill_only_studio(cohorts: nw.LazyFrame[Any], studios: Collection[str]) -> nw.LazyFrame[Any]:
    """Fill in the studio where a list names none and only one can be meant."""
    only = next(iter(studios), None) if len(studios) == 1 else None
    return cohorts if only is None else cohorts.with_columns(nw.col("studio").fill_null(only))


def _with_studio(cohorts: nw.LazyFrame[Any], outcomes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Fill in the studio where the cohorts name none and only one is possible."""
    columns = cohorts.collect_schema().names()
    if "customer_id" not in columns:
        raise CohortError(f"the cohorts have no column customer_id, only {', '.join(columns)}; see read_cohorts.")
    if "studio" not in columns:
        cohorts = cohorts.with_columns(studio=nw.lit(None, nw.String))
    if (None,) not in rows_of(cohorts.select("studio").unique()):
        return cohorts
    studios = sorted(studio for (studio,) in rows_of(outcomes.select("studio").unique()))
    if len(studios) > 1:
        raise CohortError(
            f"some cohort rows name no studio, and the outcomes come from {len(studios)} ({', '.join(studios)}): a "
            "customer number alone does not say whose customer it is. Fill in the cohorts' column studio."
        )
    return fill_only_studio(cohorts, studios)


def _check_by(
    by: Sequence[str],
    outcomes: Mapping[str, nw.dtypes.DType],
    cohorts: Mapping[str, nw.dtypes.DType],
    result: Iterable[str],
) -> None:
    for name in by:
        if name not in outcomes and name not in cohorts:
            known = ", ".join(sorted({*outcomes, *cohorts}))
            missing = "" if cohorts else "; for a column of the cohorts, pass cohorts="
            raise ValueError(f"by names {name!r}, which is not a column. To choose from: {known}{missing}.")
        if name in outcomes and name in cohorts and name not in CUSTOMER_KEY:
            raise ValueError(f"by names {name!r}, a column of both the outcomes and the cohorts; rename one of them.")
        if name in {*result, *_COUNTS, *PERIOD} - {"week_complete"} or name.startswith("_"):
            raise ValueError(f"by names {name!r}, a name that the rates need for themselves; rename that column.")
        dtype = cohorts[name] if name in cohorts else outcomes[name]
        if dtype.is_nested():
            raise ValueError(
                f"by names {name!r}, a column of type {dtype}: a group needs one value per row. Turn it into text, or "
                "into one row per value, first."
            )
