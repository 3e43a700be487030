"""What a report says in sentences: three findings, and what its data should be read with caution for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.rates import no_shows
from bookings_analytics.metrics.waitlist import seats_lost_while_waiting, waitlist_conversion
from bookings_analytics.report.looks import looked_at
from bookings_analytics.schema import FEW_CUSTOMERS, RATES, WAIT_OUTCOME, WELL_RECORDED
from bookings_analytics.wording import (
    SPELLED_OUT,
    bounds,
    counted,
    days,
    in_markdown,
    interval,
    label,
    noun,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bookings_analytics.report.material import Material
    from bookings_analytics.report.number import Number

_FAILED: Final = 0.5  # of the customers due: a night that read fewer failed
_LOOKS: Final = 2  # a day: from there on the hour of the look hardly moves the conversion


def findings(m: Material, numbers: Sequence[Number]) -> list[str]:
    """Write the three sentences of the first page, as Markdown.

    Args:
        m: What the report is made of.
        numbers: The six numbers.
    """
    return [_of_changes(m, numbers), _of_groups(m), _of_waits(m)]


def _of_changes(m: Material, numbers: Sequence[Number]) -> str:
    """Name what changed by more than chance."""
    tested = [number for number in numbers if number.change is not None and number.key != "coverage"]
    if not tested:
        rows = m.rates(no_shows).rows(named=True)
        if not rows or rows[0]["no_show_rate"] is None:
            return "Of no seat is it known whether somebody came."
        seats = rows[0]["n_attended"] + rows[0]["n_no_show"]
        return (
            f"**{interval(rows[0], 'no_show_rate')}** of {counted(seats, 'seat')} with recorded attendance "
            f"{'was a no-show' if seats == 1 else 'were no-shows'}."
        )
    before = counted(m.period.weeks, "week")
    moved = [
        f"{number.name.lower()} {number.value}, {number.change.text}"
        for number in tested
        if number.change is not None and number.change.direction != "none" and number.key != "attendance_rate"
    ]
    if not moved:
        return f"**Nothing changed by more than chance** against the {before} before."
    return f"Changed by more than chance against the {before} before: **{'; '.join(moved)}**."


def _of_groups(m: Material) -> str:
    """Name the groups, or the classes, whose no-show rate stands out."""
    if m.by:
        rates = {row[m.by[0]]: row for row in m.rates(no_shows, *m.by).rows(named=True)}
        found = compare(m.outcomes, "no_show_rate", cohorts=m.listed, by=m.by, simultaneous=True)
        rows = m.shown(found, m.by).rows(named=True)
        apart = [
            row for row in rows if row["difference"] is not None and not _holds_zero(row) and row[m.by[0]] in rates
        ]
        groups = noun(m.by[0], 2)
        if rows and all(row["difference"] is None for row in rows):
            return f"Too few {groups} have a no-show rate to compare them."
        if rows and not apart:
            return f"**The no-show rates of the {groups} differ by no more than chance.**"
        if apart:
            baseline = in_markdown(label(rows[0]["baseline"]))
            each = ", ".join(
                f"*{in_markdown(label(row[m.by[0]]))}* {percent(row['value'])}" for row in apart[:SPELLED_OUT]
            )
            more = f" and {len(apart) - SPELLED_OUT} more" if len(apart) > SPELLED_OUT else ""
            theirs = f"{percent(rows[0]['baseline_value'])} no-shows of *{baseline}*"
            return f"Against the {theirs}, these {groups} differ by more than chance: **{each}{more}**."
    funnel = m.rates(no_show_funnel, "class_id")
    outside = funnel.filter(~pl.col("position").is_in(["within"]))
    if outside.is_empty():
        return "**No class stands out** from the others in no-shows by more than chance."
    each = ", ".join(
        f"*{in_markdown(m.titles.get(row['class_id']) or label(row['class_id']))}* {percent(row['no_show_rate'])}"
        for row in outside.head(SPELLED_OUT).rows(named=True)
    )
    return f"Classes whose no-show rate stands out by more than chance: **{each}**."


def _holds_zero(row: Mapping[str, Any]) -> bool:
    return bool(row["difference_ci_low"] <= 0 <= row["difference_ci_high"])


def _of_waits(m: Material) -> str:
    """Write how many seats stayed empty while somebody waited."""
    rows = m.rates(seats_lost_while_waiting).rows(named=True)
    waits = m.rates(waitlist_conversion).rows(named=True)
    waited = any(waits[0][f"n_{kind}"] for kind in WAIT_OUTCOME.categories) if waits else False
    ended = any(waits[0][f"n_{kind}"] for kind in ("converted", "lapsed", "withdrawn")) if waits else False
    if not rows or not rows[0]["n_slots"]:
        return "No class of the period is over yet."
    seats = rows[0]["n_seats"]
    if not waited and not seats:
        return "Nobody on the list was seen waiting for a place in a class of the period."
    if not ended and not seats:
        return "No class that somebody on the list waited for is over yet."
    if not seats:
        return "**No seat stayed empty** while somebody on the list waited for it to the end."
    stayed = "seat stayed" if seats == 1 else "seats stayed"
    return f"**{seats:,} {stayed} empty while somebody on the list waited** for one to the end."


def cautions(m: Material) -> list[str]:
    """Write what the data should be read with caution for, as sentences of plain text.

    Args:
        m: What the report is made of.
    """
    return [*_of_failed_nights(m), *_of_attendance(m), *_of_marks(m), *_of_looks(m), *_of_few(m), *_of_small(m)]


def _of_failed_nights(m: Material) -> Iterator[str]:
    if m.days is None:
        return
    first, last = m.period.first or m.looks[0], m.period.last or m.looks[1]
    due = looked_at(m).filter(pl.col("day").is_between(first, min(last, m.looks[1])), pl.col("due") > 0)
    failed = due.filter(pl.col("n") < _FAILED * pl.col("due"))["day"].to_list()
    if failed:
        yield (
            f"On {counted(len(failed), 'day')} fewer than half of the customers could be fetched: {_runs(failed)}. "
            "What was booked and canceled again in between was not seen."
        )


def _runs(found: Sequence[date]) -> str:
    """Write days, those that follow each other as one stretch; of many, the first ones."""
    stretches: list[list[date]] = []
    for day in found:
        if stretches and day - stretches[-1][1] == timedelta(days=1):
            stretches[-1][1] = day
        else:
            stretches.append([day, day])
    named = ", ".join(days(first, last) for first, last in stretches[:SPELLED_OUT])
    return named + (f" and {len(stretches) - SPELLED_OUT} more times" if len(stretches) > SPELLED_OUT else "")


def _of_attendance(m: Material) -> Iterator[str]:
    rows = m.rates(no_shows).rows(named=True)
    if rows and rows[0]["recorded_share"] is not None and rows[0]["recorded_share"] < WELL_RECORDED:
        row = rows[0]
        yield (
            f"Attendance was recorded for only {percent(row['recorded_share'])} of the seats. With the others, the "
            f"no-show rate may lie anywhere {bounds(row, 'no_show_rate')}."
        )


def _of_marks(m: Material) -> Iterator[str]:
    if m.days is None:
        return
    late = m.days.filter(pl.col("punctual").eq(other=False))["studio"].unique().sort().to_list()
    if late:
        named = f" ({', '.join(late[:SPELLED_OUT])})" if m.days["studio"].n_unique() > 1 else ""
        yield (
            f"The studio marks some classes as completed only days later{named}. Weeks therefore count as complete 15 "
            "days after they end."
        )
    undated = m.days.filter(pl.col("class_day").is_null(), pl.col("left_window"))
    share = undated.height / max(1, m.days.filter("left_window").height)
    if share > 1 - WELL_RECORDED:
        yield f"Of {percent(share)} of the classes that are over the day is not known; they are in no period."


def _of_looks(m: Material) -> Iterator[str]:
    if m.days is None:
        yield "One look shows no conversions, days or weeks: an archive of nightly looks does."
        return
    rows = m.rates(waitlist_conversion).rows(named=True)
    if rows and rows[0]["conversion_rate"] is not None and (rows[0]["looks_per_day"] or 0) < _LOOKS:
        at = f", at {rows[0]['fetch_hours']} o'clock" if rows[0]["fetch_hours"] else ""
        yield (
            f"Customers were looked at less than twice a day{at}. The share of waits that got a seat belongs to that "
            "hour and can't be compared with another studio's."
        )


def _of_few(m: Material) -> Iterator[str]:
    rows = no_shows(m.outcomes, m.listed).rows(named=True)
    if rows and rows[0]["n_customers"] and (rows[0]["n_effective_customers"] or 0) < FEW_CUSTOMERS:
        yield (
            f"The {RATES['no_show_rate'].label} rests on {counted(rows[0]['n_customers'], 'customer')} alone, and one "
            "of them can move it far."
        )


def _of_small(m: Material) -> Iterator[str]:
    if m.fewer_than is not None:
        yield (
            f"Groups of fewer than {m.fewer_than} customers are left out, and those by which they could be computed."
        )
