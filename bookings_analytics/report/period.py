"""The days that a report speaks of, and the equally long period before that its changes are against."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.wording import counted, days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bookings_analytics.report.request import Request

_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)
_USUAL: Final = 4  # weeks of a report that nobody chose days for
_LAST: Final = re.compile(r"([1-9][0-9]{0,3})w")


@dataclass(frozen=True)
class Weeks:
    """The complete weeks of an archive, from the first to the last.

    Attributes:
        first: The Monday of the first; None: there is none.
        last: The Monday of the last.
    """

    first: date | None
    last: date | None

    @classmethod
    def of(cls, outcomes: pl.DataFrame) -> Weeks:
        """Find the weeks that the looks cover in every studio.

        Args:
            outcomes: Dated outcomes of everything that is kept.
        """
        spans = outcomes.filter("week_complete").group_by("studio").agg(first=pl.min("week"), last=pl.max("week"))
        first, last = spans.select(pl.max("first"), pl.min("last")).row(0)
        return cls(first, last) if first is not None and first <= last else cls(None, None)

    @property
    def n(self) -> int:
        """How many there are."""
        return 0 if self.first is None or self.last is None else (self.last - self.first) // _WEEK + 1

    @property
    def end(self) -> date | None:
        """The Sunday of the last."""
        return None if self.last is None else self.last + _WEEK - _DAY

    def hold(self, first: date, last: date) -> bool:
        """Check whether all days from one to another are in complete weeks."""
        return self.first is not None and self.end is not None and self.first <= first and last <= self.end


@dataclass(frozen=True)
class Period:
    """The days that a report speaks of.

    Attributes:
        first: The first class day; None: everything that the archive shows, dated or not.
        last: The last class day, included.
        no_change: Why no change against the period before is shown, in a sentence; empty where it is.
        note: What was asked for and could not be had, in a sentence; empty without.
    """

    first: date | None = None
    last: date | None = None
    no_change: str = ""
    note: str = ""

    @property
    def weeks(self) -> int:
        """How many weeks it has, as far as they are whole."""
        return 0 if self.first is None or self.last is None else (self.last - self.first + _DAY) // _WEEK

    @property
    def text(self) -> str:
        """The days in words: ``4 May to 31 May 2026``; empty without days."""
        return "" if self.first is None or self.last is None else days(self.first, self.last)

    @property
    def before(self) -> tuple[date, date]:
        """The first and the last day of the equally long period before."""
        if self.first is None or self.last is None:
            raise ValueError("a period without days has none before it.")
        return self.first - (self.last - self.first + _DAY), self.first - _DAY

    def rows(self, outcomes: pl.DataFrame) -> pl.DataFrame:
        """Choose the outcomes of the classes of its days; all of them without days.

        Args:
            outcomes: Dated outcomes.
        """
        if self.first is None:
            return outcomes
        return outcomes.filter(pl.col("class_day").is_between(self.first, self.last))


def choose(request: Request, weeks: Weeks, *, class_days: Sequence[date], last_look: date) -> Period:
    """Choose the days that a report speaks of.

    Args:
        request: What is asked for.
        weeks: The complete weeks of the archive.
        class_days: The class days known of the customers on the list, in order.
        last_look: The day of the archive's last fetch.

    Raises:
        ConfigurationError: The options contradict each other, or there is no class in the period.
    """
    since, until, last = request.since, request.until, request.last
    if last is not None and (since or until):
        other = "--since" if since else "--until"
        raise ConfigurationError(f"--last and {other} both choose the days. Use one of them.")
    if since and until and until < since:
        raise ConfigurationError(f"--until {until} is before --since {since}. Swap them.")
    if last is not None:
        return _with_change(_last_weeks(_number(last), weeks), weeks)
    if since is None and until is None:
        if not weeks.n:
            return Period(no_change="No change is shown: there is no whole week of classes with a known day yet.")
        return _with_change(_last_weeks(min(_USUAL, weeks.n), weeks), weeks)
    return _with_change(_between(since, until, weeks, class_days, last_look), weeks)


def _number(text: str) -> int:
    read = _LAST.fullmatch(text)
    if read is None:
        raise ConfigurationError(f"--last {text}: write a whole number of weeks, at least 1, as in 4w.")
    return int(read[1])


def _last_weeks(n: int, weeks: Weeks) -> Period:
    if weeks.last is None or weeks.first is None:
        raise ConfigurationError(
            f"--last {n}w: the archive has 0 complete weeks. Drop --last to see what there is, or fetch for longer."
        )
    if n > weeks.n:
        known = days(weeks.first, weeks.last + _WEEK - _DAY)
        raise ConfigurationError(
            f"--last {n}w: the archive has {counted(weeks.n, 'complete week')}, {known}. Ask for at most {weeks.n}w."
        )
    return Period(weeks.last - (n - 1) * _WEEK, weeks.end)


def _between(
    since: date | None, until: date | None, weeks: Weeks, class_days: Sequence[date], last_look: date
) -> Period:
    """Complete and check the days that --since and --until name."""
    note = ""
    asked = " ".join(f"--{name} {day}" for name, day in (("since", since), ("until", until)) if day)
    if since and since > last_look:
        raise ConfigurationError(f"{asked}: the archive's last look is of {last_look}. Name an earlier day.")
    if until and until > last_look:
        note = f"The report ends with the archive's last look, {days(last_look, last_look)}."
        until = last_look
    if until is None:
        until = weeks.end
        if until is None or since is None or until < since:
            ends = f"the last complete week of the archive ends on {until}" if until else "no week is complete yet"
            raise ConfigurationError(f"{asked}: {ends}. Name an earlier day, or the last day as well with --until.")
    first = since or until - _USUAL * _WEEK + _DAY
    if not any(first <= day <= until for day in class_days):
        known = f"they go from {class_days[0]} to {class_days[-1]}" if class_days else "no class has a day yet"
        raise ConfigurationError(
            f"--since {first} --until {until}: no class day of these customers lies there; {known}. Choose other days."
        )
    return Period(first, until, note=note)


def _with_change(period: Period, weeks: Weeks) -> Period:
    """Add why a change can't be shown, where it can't."""
    if period.first is None or period.last is None:
        return period
    if period.first.weekday() or (period.last + _DAY).weekday():
        why = "No change is shown: that takes whole weeks, Monday to Sunday."
    elif not weeks.hold(period.first, period.last):
        why = "No change is shown: the looks do not cover all weeks of this period."
    elif not weeks.hold(*period.before):
        why = f"No change is shown: the looks do not cover all of the weeks before ({days(*period.before)})."
    else:
        return period
    return replace(period, no_change=why)
