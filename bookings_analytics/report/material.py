"""What a report is made of: the list, what became of its bookings, and the days it speaks of."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.metrics.engines import lazy
from bookings_analytics.metrics.outcomes import classify
from bookings_analytics.metrics.small_groups import suppress_small
from bookings_analytics.metrics.visits import visits
from bookings_analytics.metrics.waitlist import waitlist_conversion
from bookings_analytics.report.period import Period, Weeks, choose
from bookings_analytics.report.request import hours_of
from bookings_analytics.schema import CUSTOMER_KEY
from bookings_analytics.studios import API_KEY_VARIABLE, BASE_URL_VARIABLE, Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from narwhals.typing import IntoFrame

    from bookings_analytics.archive import Archive
    from bookings_analytics.report.request import Checked, Request
    from bookings_analytics.studios import ClassHours

_SIZE: Final = "n_customers"
_WEEK: Final = timedelta(days=7)
_MOST_WEEKS: Final = 13  # that are shown one by one: a quarter of a year
_MORE: Final[dict[Callable[..., Any], tuple[str, ...]]] = {  # what a function of rates takes besides the list
    visits: ("fetches",),
    waitlist_conversion: ("fetches", "timezone"),
}


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        listed: The list, with the ``fetch_outcome`` of every customer.
        outcomes: What became of each place asked for in the classes of the period.
        everything: The same for all classes that are known.
        fetches: When each customer was asked for.
        titles: Class id → title.
        by: The columns to group by; empty where all customers are in one group.
        period: The days that the report speaks of.
        weeks: The complete weeks.
        archive: The archive; None: the studio was asked.
        days: The days of the classes; None: the studio was asked.
        hours: When the studios have classes; None: the studio was asked.
        fewer_than: Groups of fewer customers are left out; None: none.
        with_customers: Whether customers are listed by their ids.
    """

    listed: pl.DataFrame
    outcomes: pl.DataFrame
    everything: pl.DataFrame
    fetches: pl.DataFrame
    titles: Mapping[int, str]
    by: list[str]
    period: Period
    weeks: Weeks
    archive: Archive | None = None
    days: pl.DataFrame | None = None
    hours: ClassHours | None = None
    fewer_than: int | None = None
    with_customers: bool = False
    _computed: dict[tuple[object, ...], pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def timezone(self) -> str | dict[str, str] | None:
        """The studios' time zone; None: the studio was asked."""
        return self.hours.timezone if self.hours else None

    @property
    def looks(self) -> tuple[date, date]:
        """The local days of the first and the last look."""
        seen = local_days(self.fetches, self.hours)["day"]
        return seen.min(), seen.max()  # type: ignore[return-value] # there is a fetch, or nothing would be written

    @property
    def per_group(self) -> str | None:
        """The column to group by; None where all customers are in one group."""
        return self.by[0] if self.by else None

    def rates(self, function: Callable[..., Any], *by: str, of: pl.DataFrame | None = None) -> pl.DataFrame:
        """Compute rates of the list, and return them as they may be shown; the same again are not computed again.

        Args:
            function: A function of rates.
            *by: The columns to group by.
            of: Outcomes that live as long as the material; None: those of the period.
        """
        rows = self.outcomes if of is None else of
        key = (function, by, id(rows))
        if key not in self._computed:
            more = {name: getattr(self, name) for name in _MORE.get(function, ())}
            self._computed[key] = self.shown(function(rows, self.listed, by=by, **more), by, of=rows)
        return self._computed[key]

    @cached_property
    def recent(self) -> tuple[list[date], pl.DataFrame]:
        """The Mondays of the last complete weeks up to the end of the period, and what became of their bookings."""
        if self.weeks.first is None or self.weeks.last is None:
            return [], self.everything.clear()
        end = self.weeks.last if self.period.last is None else min(self.weeks.last, self.period.last)
        n = (end - self.weeks.first) // _WEEK + 1
        mondays = [self.weeks.first + i * _WEEK for i in range(n)][-max(_MOST_WEEKS, self.period.weeks) :]
        if not mondays:
            return [], self.everything.clear()
        return mondays, self.everything.filter(pl.col("week").is_between(mondays[0], mondays[-1]))

    def shown(self, rates: IntoFrame, by: Sequence[str] = (), *, of: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return a frame of rates as it may be shown: without the groups of too few customers.

        Args:
            rates: What a function of rates returned.
            by: The columns that it is grouped by.
            of: The outcomes it was made of; None: those of the period. They count the customers of each group where
                the frame does not.
        """
        frame: pl.DataFrame = lazy(rates).collect("polars").to_native()
        if self.fewer_than is None or frame.is_empty():
            return frame
        if _SIZE in frame.columns:
            return suppress_small(frame, self.fewer_than).filter(pl.col(_SIZE).is_not_null())
        sizes = self._sizes(by, self.outcomes if of is None else of)
        if not by:
            return frame if sizes[_SIZE].item() >= self.fewer_than else frame.clear()
        groups = {name: f"group {i}" for i, name in enumerate(by)}  # names that no result has
        kept = suppress_small(sizes.rename(groups), self.fewer_than).filter(pl.col(_SIZE).is_not_null())
        own = kept.rename({new: name for name, new in groups.items()})
        return frame.join(own, on=list(by), how="semi", nulls_equal=True, maintain_order="left")

    def _sizes(self, by: Sequence[str], outcomes: pl.DataFrame) -> pl.DataFrame:
        """Count the customers of each group who have a place in the outcomes."""
        lists = [name for name in by if name in self.listed.columns and name not in outcomes.columns]
        asked = outcomes.join(self.listed.select(*CUSTOMER_KEY, *lists), on=list(CUSTOMER_KEY), how="inner")
        count = pl.struct(CUSTOMER_KEY).n_unique().cast(pl.Int64).alias(_SIZE)
        return asked.group_by(by).agg(count) if by else asked.select(count)


def read(request: Request, checked: Checked) -> Material:
    """Read everything that a report looks at, and choose its days.

    Args:
        request: What is asked for.
        checked: The same, as far as it was checked.

    Raises:
        ArchiveError: The archive can't be read.
        ConfigurationError: The time zone is not known, or the days can't be had.
        BookingsError: The studio can't be asked.
    """
    facts: dict[str, Any] = {
        "titles": checked.titles,
        "by": checked.by,
        "fewer_than": request.suppress_small,
        "with_customers": request.with_customers,
    }
    if checked.archive is None:
        from bookings_analytics.fetch import fetch_bookings  # noqa: PLC0415 - a client: slow, no archive needs it

        studio = Studio(
            request.studio, base_url=os.environ.get(BASE_URL_VARIABLE), api_key=os.environ.get(API_KEY_VARIABLE)
        )
        result = fetch_bookings(checked.listed, studios=studio, progress=sys.stderr.isatty())
        outcomes = classify(result.bookings)
        why = "No change is shown: one look at the studio shows four weeks, and nothing before them."
        return Material(
            result.cohorts, outcomes, outcomes, result.fetches, period=Period(no_change=why), weeks=Weeks(None, None),
            **facts,
        )  # fmt: skip
    hours = hours_of(request)
    archive = checked.archive
    fetches = archive.fetches().collect()
    days = archive.class_days(
        timezone=hours.timezone,  # type: ignore[arg-type] # not None, says hours_of
        opens=hours.opens,
        closes=hours.closes,
        known=archive.slots(),
    )
    everything = archive.outcomes(class_days=days).frame()
    weeks = Weeks.of(everything)
    asked = archive.cohorts(checked.listed).collect()
    own = everything.join(asked.select(CUSTOMER_KEY), on=list(CUSTOMER_KEY), how="semi")
    period = choose(
        request, weeks,
        class_days=own["class_day"].drop_nulls().unique().sort().to_list(),
        last_look=local_days(fetches, hours)["day"].max(),  # type: ignore[arg-type] # there is one, says check
    )  # fmt: skip
    listed = archive.cohorts(checked.listed, since=period.first, until=period.last).collect()
    if listed.filter(pl.col("fetch_outcome") == "ok").is_empty():
        raise ConfigurationError(
            f"no customer of the list was fetched from {period.first} to {period.last} or in the two weeks after. "
            "Choose other days."
        )
    return Material(
        listed, period.rows(everything), everything, fetches, period=period, weeks=weeks, archive=archive, days=days,
        hours=hours, **facts,
    )  # fmt: skip


def local_days(rows: pl.DataFrame, hours: ClassHours | None, time: str = "fetched_at") -> pl.DataFrame:
    """Add the local ``day`` of each row to those that have a time; in UTC where no time zone is known.

    Args:
        rows: Fetches, or anything else of studios that has a time.
        hours: When the studios have classes.
        time: The column that is it.
    """

    def local(studio: str) -> pl.Expr:
        zone = hours.of(studio)[0] if hours else None
        return pl.col(time).dt.convert_time_zone(zone) if zone else pl.col(time)

    known = rows.filter(pl.col(time).is_not_null())
    parts = [
        part.with_columns(day=local(str(studio)).dt.date())
        for (studio,), part in known.group_by("studio", maintain_order=True)
    ]
    return pl.concat(parts) if parts else known.with_columns(day=pl.col(time).dt.date())
