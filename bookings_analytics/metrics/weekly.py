"""A rate's hits and trials per customer and week, and which weeks were completely fetched: what trends are made of.

Sums are made on the engine of the outcomes; from there on everything is small, and in polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import narwhals as nw
import polars as pl

from bookings_analytics.metrics.calendar import COMPLETE, WEEK, calendar, complete_weeks, with_week_numbers
from bookings_analytics.metrics.counts import CANCELED, NO_SHOW, SEATS, counts_of
from bookings_analytics.metrics.engines import in_polars
from bookings_analytics.metrics.measured import ATTENDED, RECORDED, base_of, need_members
from bookings_analytics.metrics.seats_given_up import AT_MOST_UNKNOWN, LATE, check_days, counts_of_seats
from bookings_analytics.metrics.weeks import customer_weeks, in_base
from bookings_analytics.schema import CUSTOMER_KEY

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from bookings_analytics.metrics.groups import Groups

_OF_SEATS: Final = {
    "no_show_rate": NO_SHOW,
    "attendance_rate": ATTENDED,
    "recorded_share": RECORDED,
    "seat_rate": SEATS,
    "cancellation_rate": CANCELED,
    "late_cancel_rate": LATE,
}
OF_CUSTOMERS: Final = {"booking_rate": "_held", "participation_rate": "n_attended"}  # by which seats they count
HIT, TRIALS, PERHAPS, UNKNOWN = "_y", "_n", "_perhaps", "_unknown"


class Weekly(NamedTuple):
    """A rate by group and week.

    Attributes:
        named: One row per group, in the order of the result: its columns and its place ``_group``.
        cells: One row per group, customer and week: ``_group``, `CUSTOMER_KEY`, ``week``, hits ``_y``, trials ``_n``.
        calendar: One row per group and week, also without trials: ``_group``, ``week``, ``week_complete``, ``_y``,
            ``_n``, ``_known`` (whether the value is), ``_counts`` (whether the week is complete, with a value) and
            ``n_undated``.
    """

    named: pl.DataFrame
    cells: pl.DataFrame
    calendar: pl.DataFrame


def weekly(rows: nw.LazyFrame[Any], groups: Groups, rate: str, fetches: IntoFrame | None) -> Weekly:
    """Count a rate's hits and trials per customer and week.

    Args:
        rows: The outcomes.
        groups: The groups.
        rate: One of `schema.TRENDS`.
        fetches: Every fetch, which limits the weeks of each customer in rates of customers; None: no limits.

    Raises:
        CohortError: A rate of customers has no cohorts.
        ValueError: No class is dated.
    """
    complete, weeks = _calendar(rows)
    if rate in OF_CUSTOMERS:
        counted, named = _counts_of_customers(rows, groups, OF_CUSTOMERS[rate], weeks, fetches)
    else:
        counted, named = _counts_of_seats(rows, groups, rate)
    cells = placed(counted, named, groups)
    undated = cells.filter(pl.col("week").is_null()).group_by("_group").agg(n_undated=pl.sum(TRIALS))
    sums = cells.group_by("_group", "week").agg(pl.sum(HIT, TRIALS, PERHAPS, UNKNOWN))
    by_week = (
        _weeks_of_groups(cells, named, complete, weeks)
        .join(sums, on=["_group", "week"], how="left")
        .join(undated, on="_group", how="left")
        .with_columns(pl.col(HIT, TRIALS, PERHAPS, UNKNOWN, "n_undated").fill_null(0))
        .filter((pl.col(TRIALS) > 0) | pl.col("week_complete"))
        .with_columns(_known=_is_known(rate))
        .with_columns(_counts=pl.col("week_complete") & pl.col("_known"))
        .sort("_group", "week")
    )
    return Weekly(named, cells.drop_nulls("week"), by_week)


def _calendar(rows: nw.LazyFrame[Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """List each studio's first and last complete week, and every week there is, by the calendar of `weeks`."""
    missing = [name for name in ("week", "week_complete") if name not in rows.collect_schema().names()]
    if not missing:
        numbered = with_week_numbers(rows)
        complete = complete_weeks(numbered)
        weeks = in_polars(calendar(numbered, complete)).with_columns(pl.col("week").cast(pl.Date))  # pandas has none
        if not weeks.is_empty() or not in_polars(rows.select(nw.len().alias("n"))).item():
            return in_polars(complete), weeks.sort("week")
    lacking = f"have no column {', '.join(missing)}" if missing else "carry no class day"
    raise ValueError(
        f"the outcomes {lacking}: a trend goes by the weeks of the classes. Pass class_days to classify, or to "
        "archive.outcomes."
    )


def _counts_of_seats(rows: nw.LazyFrame[Any], groups: Groups, rate: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    m = _OF_SEATS[rate]
    late = rate == "late_cancel_rate"
    if late:
        check_days(rows)
    counted = (counts_of_seats if late else counts_of)(rows, _key(*groups.own, "week"))
    attached = groups.attach(counted)
    totals = groups.totals(attached, {TRIALS: nw.col(m.n).sum()})
    unknown = nw.sum_horizontal("n_ambiguous", "n_undated") if late else nw.lit(0)
    columns = {HIT: nw.col(m.y), TRIALS: nw.col(m.n), PERHAPS: nw.lit(0), UNKNOWN: unknown}
    return in_polars(attached.select(*_key(*groups.by, "week"), **columns)), _places(totals, groups)


def _counts_of_customers(
    rows: nw.LazyFrame[Any], groups: Groups, seats: str, weeks: pl.DataFrame, fetches: IntoFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Count one trial for each customer of the base and week, also in weeks without a row of theirs."""
    need_members(groups)
    attached = groups.attach(counts_of(rows, _key(*groups.own, "week")))
    totals = groups.totals(attached, {TRIALS: nw.len()})
    key = _key(*groups.by, "week")
    flags = {
        HIT: nw.when(nw.col(seats) > 0).then(1).otherwise(0),
        PERHAPS: nw.when(nw.col("n_attended") + nw.col("n_unrecorded") > 0).then(1).otherwise(0),
    }
    found = in_polars(attached.select(*key, **flags)).with_columns(pl.col("week").cast(pl.Date))
    spans = in_polars(customer_weeks(with_week_numbers(rows), base_of(totals, groups), fetches))
    of_weeks = spans.join(weeks, how="cross").lazy()
    base = in_polars(nw.from_native(of_weeks).filter(in_base()))
    dated = base.select(key).join(found, on=key, how="left", nulls_equal=True)
    undated = found.filter(pl.col("week").is_null(), pl.col(HIT) > 0)
    cells = pl.concat([dated, undated.select(dated.columns)], how="vertical_relaxed")
    return cells.with_columns(pl.col(HIT, PERHAPS).fill_null(0), _n=1, _unknown=0), _places(totals, groups)


def _key(*columns: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*CUSTOMER_KEY, *columns)))


def _places(totals: nw.LazyFrame[Any], groups: Groups) -> pl.DataFrame:
    titled, names = groups.titled(totals)
    ordered = in_polars(groups.ordered(titled, [TRIALS, *names]))
    return ordered.with_row_index("_group").with_columns(pl.col("_group").cast(pl.Int64)).drop(TRIALS)


def _weeks_of_groups(
    cells: pl.DataFrame, named: pl.DataFrame, complete: pl.DataFrame, weeks: pl.DataFrame
) -> pl.DataFrame:
    """List every week of each group: complete if it is in each studio in which the group has any week."""
    studios = cells.drop_nulls("week").select("_group", "studio").unique()
    without = named.select("_group").join(studios, on="_group", how="anti").join(complete.select("studio"), how="cross")
    spans = pl.concat([studios, without]).join(complete, on="studio", how="left")
    everywhere = pl.col(COMPLETE[0]).is_not_null().all()
    of_groups = spans.group_by("_group").agg(everywhere.alias("_all"), pl.max(COMPLETE[0]), pl.min(COMPLETE[1]))
    return (
        named.select("_group")
        .join(weeks, how="cross")
        .join(of_groups.filter("_all").drop("_all"), on="_group", how="left")
        .with_columns(week_complete=pl.col(WEEK).is_between(*COMPLETE).fill_null(value=False))
        .drop(WEEK, *COMPLETE)
    )


def _is_known(rate: str) -> pl.Expr:
    """Check whether a week has a value; days of too many cancellations may be unknown, as in `where_known`."""
    there = pl.col(TRIALS) > 0
    if rate != "late_cancel_rate":
        return there
    possible = pl.col(HIT) + pl.col(UNKNOWN)
    return there & (pl.col(UNKNOWN) * AT_MOST_UNKNOWN <= possible)


def placed(frame: pl.DataFrame, named: pl.DataFrame, groups: Groups) -> pl.DataFrame:
    """Add the group's place to rows with the group columns; weeks become dates, which pandas has not."""
    frame = frame.with_columns(pl.col("^week$").cast(pl.Date))
    if not groups.by:
        return frame.with_columns(_group=pl.lit(0, pl.Int64))
    return frame.join(named.select("_group", *groups.by), on=groups.by, nulls_equal=True)
