"""The questions of a report: each with an answer in words, its charts and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics import charts
from bookings_analytics.metrics.cancellations import cancellation_notice, cancellations
from bookings_analytics.metrics.chances import waitlist_chances
from bookings_analytics.metrics.comparisons import compare
from bookings_analytics.metrics.customers import customers
from bookings_analytics.metrics.funnel import no_show_funnel
from bookings_analytics.metrics.rates import booking_vs_participation, no_shows, outcome_counts
from bookings_analytics.metrics.visits import visits
from bookings_analytics.metrics.waitlist import seats_lost_while_waiting, waitlist_conversion
from bookings_analytics.notebook.findings import findings
from bookings_analytics.report.fullness import fullness
from bookings_analytics.report.over_time import changes, data
from bookings_analytics.report.parts import Figure, Question, Words
from bookings_analytics.report.sheets import largest, sheet
from bookings_analytics.schema import FEW, FEW_CUSTOMERS
from bookings_analytics.wording import SPELLED_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bookings_analytics.report.material import Material
    from bookings_analytics.report.parts import Part, Sheet

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
        ("fill", "How full are the classes?", fullness),
        ("weekdays", "Does the weekday matter?", _weekdays),
        ("trend", "Is it getting better?", changes),
        ("data", "What does the data cover?", data),
    ):
        parts = list(answer(m))
        if any(not isinstance(part, Words) for part in parts):
            yield Question(key, title, parts)


def _compared(m: Material, rate: str) -> Iterator[Part]:
    """Draw which groups differ by more than chance, where there are several."""
    if not m.by:
        return
    found = m.shown(compare(m.outcomes, rate, cohorts=m.listed, by=m.by, simultaneous=True), m.by)
    if found["difference"].is_not_null().any():
        yield Figure(charts.compare(found))
        yield Words(
            "A filled dot is away from zero by more than chance. An open dot does not say that the two are alike, only "
            "that these customers do not show otherwise."
        )


def _booking(m: Material) -> Iterator[Part]:
    groups = m.rates(booking_vs_participation, *m.by)
    overall = m.rates(booking_vs_participation)
    if overall.is_empty() or not overall["n_customers"].sum():
        return
    if m.period.weeks <= _LONG:
        yield Words(findings(*([overall, groups] if m.by and groups.height else [overall])).text)
    if groups.height:
        yield Figure(charts.booking_vs_participation(groups))
    if m.days is not None and m.weeks.n:
        often = m.rates(visits, *m.by)
        if often["booked_per_week"].drop_nulls().len():
            yield Figure(charts.visits(often))
    yield from _compared(m, "participation_rate")
    own = [name for name in _own_columns(m) if name not in m.by]
    for name in own[:2]:
        split = m.rates(booking_vs_participation, name)
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
        yield sheet(m, groups, "Customers who booked, and who took part", columns)
        asked = ["n_requests", "n_waiting", "^seat_rate(|_ci.*)$", "^cancellation_rate(|_ci.*)$"]
        yield sheet(m, groups, "What was asked for, and what was canceled", asked)


def _no_shows(m: Material) -> Iterator[Part]:
    overall = m.rates(no_shows)
    if overall.is_empty() or overall["no_show_rate"][0] is None:
        return
    groups = m.rates(no_shows, *m.by)
    classes = m.rates(no_shows, "class_id")
    funnel = m.rates(no_show_funnel, "class_id")
    several = [groups] if m.by and groups.height else []
    seats = funnel["n_recorded"].sum() if funnel.height else 0
    of_groups = m.rates(no_show_funnel, *m.by) if groups.height > SPELLED_OUT else groups.clear()
    apart = [each for each in (of_groups, funnel) if each.height and seats >= FEW]
    yield Words(findings(overall, *several, *apart, names=m.titles).text)
    if groups.height:
        yield Figure(charts.no_shows(groups))
    yield from _compared(m, "no_show_rate")
    if of_groups.height and seats >= FEW and 0 < overall["no_show_rate"][0] < 1:
        yield Figure(charts.no_show_funnel(of_groups))
    if seats >= FEW and 0 < overall["no_show_rate"][0] < 1:
        yield Figure(charts.no_show_funnel(funnel, names=m.titles))
        yield Words(
            "Among a dozen classes that are all alike, one is still the worst. Only a class outside the limits stands "
            "out by more than chance; the order of the others would be another one next month."
        )
    counts = m.rates(outcome_counts, *m.by)
    if counts.height:
        yield Figure(charts.outcome_counts(counts))
    columns = ["n_attended", "n_no_show", "n_unrecorded", "^no_show_rate(|_ci.*)$"]
    if classes.height:
        shown, said = largest(classes, pl.sum_horizontal("n_attended", "n_no_show", "n_unrecorded"), "seats")
        yield sheet(m, shown, "No-shows", columns, said=said)
    if m.fewer_than is None and overall["n_no_show"][0]:  # the curve's first points are single customers
        yield Figure(charts.customers(customers(m.outcomes, m.listed)))
    if m.with_customers:
        yield _customers(m)


def _customers(m: Material) -> Sheet:
    """List the customers who did not turn up, by their ids, with a rate that brands nobody by one miss."""
    missed = customers(m.outcomes, m.listed).filter(pl.col("n_no_show") > 0)
    if missed["studio"].n_unique() == 1:
        missed = missed.drop("studio")
    columns = ["n_no_show", "n_attended", "n_unrecorded", "^no_show_estimate(|_ci.*)$"]
    return sheet(m, missed, "No-shows", columns)


def _late(m: Material) -> Iterator[Part]:
    if m.days is None:
        return
    rates = m.rates(cancellations, *m.by)
    if rates["late_cancel_rate"].drop_nulls().is_empty():
        return
    yield Words("A seat canceled on the class day is hardly ever taken by somebody else.")
    yield Figure(charts.cancellations(rates))
    notice = m.rates(cancellation_notice)
    if notice.drop_nulls("days_before")["n"].sum() > notice["n"].sum() / 2:
        yield Figure(charts.cancellation_notice(notice))
    columns = ["n_canceled", "n_late", "^late_cancel_rate(|_ci.*)$", "^unused_rate(|_ci.*)$"]
    yield sheet(m, rates, "Seats canceled on the class day, and seats unused", columns)


def _waits(m: Material) -> Iterator[Part]:
    together, groups = m.rates(waitlist_conversion), m.rates(waitlist_conversion, *m.by)
    if together.is_empty() or together["conversion_rate"][0] is None:
        return
    lost = m.rates(seats_lost_while_waiting)
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
    by_class = m.rates(seats_lost_while_waiting, "class_id")
    if by_class.height and by_class["n_seats"].sum():
        yield Figure(charts.seats_lost_while_waiting(by_class, names=m.titles))
    classes = m.rates(waitlist_conversion, "class_id").filter(
        pl.col("n_converted") + pl.col("n_lapsed") + pl.col("n_withdrawn") > 0
    )
    if classes.height:
        columns = ["n_converted", "n_lapsed", "n_withdrawn", "^conversion_rate(|_ci.*)$", "^clear_rate$"]
        yield sheet(m, classes, "Waits that got a seat", columns)


def _weekdays(m: Material) -> Iterator[Part]:
    if m.days is None or not m.outcomes["weekday"].drop_nulls().len():
        return
    rates = m.rates(no_shows, "weekday").drop_nulls("weekday")
    sure = rates.filter(pl.col("n_effective_customers") >= FEW_CUSTOMERS)
    if sure.is_empty():
        return
    if text := findings(sure).text:
        yield Words(text)
    yield Figure(charts.by_weekday(rates, "no_show_rate"))
    columns = ["n_attended", "n_no_show", "n_unrecorded", "^no_show_rate(|_ci.*)$"]
    yield sheet(m, rates, "No-shows", columns)


def _own_columns(m: Material) -> list[str]:
    """List the list's own columns that make two to twelve groups."""
    known = {"customer_id", "cohort", "studio", "fetch_outcome"}
    return [name for name in m.listed.columns if name not in known and 2 <= m.listed[name].n_unique() <= 12]  # noqa: PLR2004 - groups that a chart is still read of
