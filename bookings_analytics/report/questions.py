"""The questions of a report: each with an answer in words, its charts and its tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics import charts
from bookings_analytics.metrics.before_after import before_after
from bookings_analytics.metrics.cancellations import cancellation_notice, cancellations
from bookings_analytics.metrics.chances import waitlist_chances
from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.customers import customers
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.rates import booking_vs_participation, no_shows, outcome_counts
from bookings_analytics.metrics.trend import trend
from bookings_analytics.metrics.visits import visits
from bookings_analytics.metrics.waitlist import seats_lost_while_waiting, waitlist_conversion
from bookings_analytics.notebook.findings import findings
from bookings_analytics.notebook.tables import table
from bookings_analytics.report.parts import Figure, Question, Sheet, Words
from bookings_analytics.schema import FEW, FEW_CUSTOMERS
from bookings_analytics.wording import days, noun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bookings_analytics.report.material import Material
    from bookings_analytics.report.parts import Part

_TREND: Final = timedelta(weeks=26)
_LONG: Final = 8  # weeks: in more, nearly every customer has booked and come at least once


def questions(m: Material) -> Iterator[Question]:
    """Answer each question that the data can answer.

    Args:
        m: What the report is made of.
    """
    for key, title, answer in (
        ("booking", "How many book, and how many take part?", _booking),
        ("no-shows", "Who does not turn up?", _no_shows),
        ("late-cancels", "How late are seats canceled?", _late),
        ("waiting-list", "Does the waiting list get people in?", _waits),
        ("weekdays", "Does the weekday matter?", _weekdays),
        ("trend", "Is it getting better?", _trend),
        ("data", "What does the data cover?", _data),
    ):
        parts = list(answer(m))
        if any(not isinstance(part, Words) for part in parts):
            yield Question(key, title, parts)


def _compared(m: Material, rate: str) -> Iterator[Part]:
    """Draw which groups differ by more than chance, where there are several."""
    if not m.by:
        return
    found = m.shown(compare(m.outcomes, rate, cohorts=m.listed, by=m.by, simultaneous=True), m.by)
    if found.height:
        yield Figure(charts.compare(found))
        yield Words(
            "A filled dot is away from zero by more than chance. An open dot does not say that the two are alike, only "
            "that these customers do not show otherwise."
        )


def _booking(m: Material) -> Iterator[Part]:
    groups = m.shown(booking_vs_participation(m.outcomes, m.listed, by=m.by), m.by)
    overall = m.shown(booking_vs_participation(m.outcomes, m.listed))
    if overall.is_empty() or not overall["n_customers"].sum():
        return
    if m.period.weeks <= _LONG:
        yield Words(findings(*([overall, groups] if m.by and groups.height else [overall])).text)
    if groups.height:
        yield Figure(charts.booking_vs_participation(groups))
    if m.days is not None and m.weeks.n:
        often = m.shown(visits(m.outcomes, m.listed, by=m.by, fetches=m.fetches), m.by)
        if often["booked_per_week"].drop_nulls().len():
            yield Figure(charts.visits(often))
    yield from _compared(m, "participation_rate")
    own = [name for name in _own_columns(m) if name not in m.by]
    for name in own[:2]:
        split = m.shown(booking_vs_participation(m.outcomes, m.listed, by=name), [name])
        if split.height > 1:
            yield Figure(charts.booking_vs_participation(split))
    if groups.height:
        columns = [
            "n_customers",
            "n_booked",
            "^booking_rate(|_ci.*)$",
            "n_participated",
            "^participation_rate(|_ci.*)$",
        ]
        yield _sheet(m, groups, "Customers who booked, and who took part", columns)
        asked = ["n_requests", "n_waiting", "^seat_rate(|_ci.*)$", "^cancellation_rate(|_ci.*)$"]
        yield _sheet(m, groups, "What was asked for, and what was canceled", asked)


def _no_shows(m: Material) -> Iterator[Part]:
    overall = m.shown(no_shows(m.outcomes, m.listed))
    if overall.is_empty() or overall["no_show_rate"][0] is None:
        return
    groups = m.shown(no_shows(m.outcomes, m.listed, by=m.by), m.by)
    classes = m.shown(no_shows(m.outcomes, m.listed, by="class_id"), ["class_id"])
    funnel = m.shown(no_show_funnel(m.outcomes, m.listed, by="class_id"), ["class_id"])
    several = [groups] if m.by and groups.height else []
    seats = funnel["n_recorded"].sum() if funnel.height else 0
    yield Words(findings(overall, *several, *([funnel] if seats >= FEW else []), names=m.titles).text)
    if groups.height:
        yield Figure(charts.no_shows(groups))
    yield from _compared(m, "no_show_rate")
    if seats >= FEW and 0 < overall["no_show_rate"][0] < 1:
        yield Figure(charts.no_show_funnel(funnel, names=m.titles))
        yield Words(
            "Among a dozen classes that are all alike, one is still the worst. Only a class outside the limits stands "
            "out by more than chance; the order of the others would be another one next month."
        )
    counts = m.shown(outcome_counts(m.outcomes, m.listed, by=m.by), m.by)
    if counts.height:
        yield Figure(charts.outcome_counts(counts))
    columns = ["n_attended", "n_no_show", "n_unrecorded", "^no_show_rate(|_ci.*)$"]
    if classes.height:
        yield _sheet(m, classes, "No-shows", columns)
    if m.fewer_than is None and overall["n_no_show"][0]:  # the curve's first points are single customers
        yield Figure(charts.customers(customers(m.outcomes, m.listed)))
    if m.with_customers:
        yield _customers(m)


def _customers(m: Material) -> Sheet:
    """List the customers who did not turn up, by their ids, with a rate that brands nobody by one miss."""
    missed = customers(m.outcomes, m.listed).filter(pl.col("n_no_show") > 0)
    columns = ["n_no_show", "n_attended", "n_unrecorded", "^no_show_estimate(|_ci.*)$"]
    return _sheet(m, missed, "No-shows", columns)


def _late(m: Material) -> Iterator[Part]:
    if m.days is None:
        return
    rates = m.shown(cancellations(m.outcomes, m.listed, by=m.by), m.by)
    if rates["late_cancel_rate"].drop_nulls().is_empty():
        return
    yield Words("A seat canceled on the class day is hardly ever taken by somebody else.")
    yield Figure(charts.cancellations(rates))
    notice = m.shown(cancellation_notice(m.outcomes, m.listed))
    if notice.drop_nulls("days_before")["n"].sum() > notice["n"].sum() / 2:
        yield Figure(charts.cancellation_notice(notice))
    columns = ["n_canceled", "n_late", "^late_cancel_rate(|_ci.*)$", "^unused_rate(|_ci.*)$"]
    yield _sheet(m, rates, "Seats canceled on the class day, and seats unused", columns)


def _waits(m: Material) -> Iterator[Part]:
    def conversion(*by: str) -> pl.DataFrame:
        found = waitlist_conversion(m.outcomes, m.listed, by=by, fetches=m.fetches, timezone=m.timezone)
        return m.shown(found, by)

    together, groups = conversion(), conversion(*m.by)
    if together.is_empty() or together["conversion_rate"][0] is None:
        return
    lost = m.shown(seats_lost_while_waiting(m.outcomes, m.listed))
    several = [groups] if m.by and groups.height else []
    yield Words(findings(together, *([lost] if lost.height else []), *several).text)
    if groups.height:
        yield Figure(charts.waitlist_conversion(groups))
        yield Figure(charts.waitlist_outcomes(groups))
    if m.archive is not None and m.days is not None:
        history = m.archive.history().collect()
        days_ = m.period.rows(m.days)
        chances = m.shown(waitlist_chances(history, days_, fetches=m.fetches, cohorts=m.listed))
        if chances.height:
            yield Figure(charts.waitlist_chances(chances))
    by_class = m.shown(seats_lost_while_waiting(m.outcomes, m.listed, by="class_id"), ["class_id"])
    if by_class.height and by_class["n_seats"].sum():
        yield Figure(charts.seats_lost_while_waiting(by_class, names=m.titles))
    classes = conversion("class_id").filter(pl.col("n_converted") + pl.col("n_lapsed") + pl.col("n_withdrawn") > 0)
    if classes.height:
        columns = ["n_converted", "n_lapsed", "n_withdrawn", "^conversion_rate(|_ci.*)$", "^clear_rate$"]
        yield _sheet(m, classes, "Waits that got a seat", columns)


def _weekdays(m: Material) -> Iterator[Part]:
    if m.days is None or not m.outcomes["weekday"].drop_nulls().len():
        return
    rates = m.shown(no_shows(m.outcomes, m.listed, by="weekday"), ["weekday"]).drop_nulls("weekday")
    sure = rates.filter(pl.col("n_effective_customers") >= FEW_CUSTOMERS)
    if sure.is_empty():
        return
    if text := findings(sure).text:
        yield Words(text)
    yield Figure(charts.by_weekday(rates, "no_show_rate"))
    columns = ["n_attended", "n_no_show", "n_unrecorded", "^no_show_rate(|_ci.*)$"]
    yield _sheet(m, rates, "No-shows", columns)


def _trend(m: Material) -> Iterator[Part]:
    if m.days is None or not m.weeks.n:
        return
    yield from _weekly(m)
    if m.period.no_change or m.period.first is None:
        return
    found = before_after(
        m.everything, "no_show_rate", m.listed, change=m.period.first, weeks=m.period.weeks, by=m.by, simultaneous=True
    )
    rows = m.shown(found, m.by, of=m.everything)
    if rows["difference"].drop_nulls().len():
        first, last = m.period.before
        yield Figure(charts.before_after(rows))
        yield Words(f"Before: {days(first, last)}. After: {m.period.text}.")
        columns = ["baseline_n", "baseline_value", "n", "value", "^difference.*$"]
        called = {
            "baseline n": "seats before",
            "baseline value": "no-show rate before",
            "n": "seats after",
            "value": "no-show rate after",
            "difference": "change",
            "difference, interval": "change, interval",
            "difference, interval from": "change, interval from",
            "difference, interval to": "change, interval to",
        }
        when = f"{days(first, last)}, and {m.period.text}"
        yield _sheet(m, rows, "No-show rate before and after", columns, called=called, when=when)


def _weekly(m: Material) -> Iterator[Part]:
    """Draw the rates week after week, half a year of them: in more, those who come and go look like signals."""
    last = m.weeks.last if m.period.last is None else m.period.last
    if last is None:
        return
    half_a_year = pl.col("week").is_between(last - _TREND, last)
    for rate in ("no_show_rate", "late_cancel_rate"):
        weeks = m.shown(trend(m.everything.filter(half_a_year), rate, m.listed), ["week"], of=m.everything)
        if weeks["value"].drop_nulls().len() > 1:
            yield Figure(charts.trend(weeks))
    yield Words(
        "A week outside the limits, or nine in a row on one side of the line in the middle, is more than chance. A "
        "single week within them says nothing, however it differs from the one before."
    )


def _data(m: Material) -> Iterator[Part]:
    if m.archive is None or m.days is None or m.hours is None or m.hours.timezone is None:
        return
    days_ = m.days.filter(pl.col("class_day").is_not_null())
    yield Words(
        f"**{days_.height:,} of {m.days.height:,} classes have a known day.** The others were in the last two weeks, "
        "or were seen too seldom to tell one day from the next. Without a day, a class is in no period."
    )
    zones: dict[str, Any] = {"timezone": m.hours.timezone, "opens": m.hours.opens, "closes": m.hours.closes}
    daily = m.shown(m.archive.coverage(m.listed, by=[*m.by, "day"], **zones), [*m.by, "day"])
    if daily.height:
        yield Figure(charts.coverage(daily, sort=_order(m)))
    gaps = m.shown(m.archive.coverage(m.listed, by=m.by or None, **zones), m.by)
    if gaps.height:
        columns = ["n_customers", "n_read", "n_fetches", "median_gap_h", "longest_gap_h"]
        yield _sheet(m, gaps, "Looks at customers, and the time between two of them", columns, when=days(*m.looks))


def _order(m: Material) -> list[Any]:
    """List the cohorts in the order of the list, which the archive's coverage does not keep."""
    return m.listed["cohort"].unique(maintain_order=True).to_list() if m.by == ["cohort"] else []


def _sheet(
    m: Material,
    rates: pl.DataFrame,
    title: str,
    columns: list[str],
    *,
    called: Mapping[str, str] | None = None,
    when: str | None = None,
) -> Sheet:
    """Make a table of some columns, with the groups before them, the days on top, and headings of its own."""
    by = [name for name in rates.columns if name in {*m.by, "class_id", "weekday", "customer_id"}]
    period = [name for name in ("first_day", "last_day") if name in rates.columns]
    per = f", by {' and '.join(noun(name, 1) for name in by)}" if by else ""
    chosen = rates.select(*by, *columns, *period)
    made = table(chosen, names=m.titles, title=title + per, sort=_order(m) if by and by == m.by else None)
    of_all = table(rates, names=m.titles).sheet.lines[-1:]
    base = made.sheet.lines[-1:] if len(made.sheet.lines) > bool(period) else of_all
    own = made.sheet.lines[:1] if period else [f"{m.period.text}."] if m.period.text else []
    lines = [*([f"{when}."] if when else own), *base]
    new = called or {}
    columns_ = [replace(column, heading=new.get(column.heading, column.heading)) for column in made.sheet.columns]
    return Sheet(
        title + per,
        replace(
            made,
            texts=made.texts.rename(new, strict=False),
            numbers=tuple(new.get(name, name) for name in made.numbers),
            sheet=replace(made.sheet, lines=lines, columns=columns_),
        ),
    )


def _own_columns(m: Material) -> list[str]:
    """List the list's own columns that make two to twelve groups."""
    known = {"customer_id", "cohort", "studio", "fetch_outcome"}
    return [name for name in m.listed.columns if name not in known and 2 <= m.listed[name].n_unique() <= 12]  # noqa: PLR2004 - groups that a chart is still read of
