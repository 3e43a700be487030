"""The nights of an archive: which one was the last complete, and until when the next fetch loses nothing."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from bookings_analytics.metrics.hours import clock_time
from bookings_analytics.schema import API_WINDOW, CUSTOMER_KEY, SETTLED
from bookings_analytics.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bookings_analytics import Archive
    from bookings_analytics.studios import ClassHours

_NAMED: Final = 3  # studios a line names


class _Studio(NamedTuple):
    name: str
    night: date | None  # the last complete one of the last two weeks
    n_missing: int  # customers who had no answer in the night after it
    until: datetime | None


def night_lines(archive: Archive, hours: ClassHours, expected: pl.DataFrame | None = None) -> Iterator[str]:
    """Write which night was the last in which everybody was fetched, and until when the next fetch loses nothing.

    Args:
        archive: The archive.
        hours: When the studios have classes, in this machine's time where the zone is not known: a night lasts until
            the studio opens.
        expected: Who was to be fetched, ``studio`` and ``customer_id``; None: whoever was asked in the week before
            their studio's last fetch.
    """
    times = archive.fetches().select(*CUSTOMER_KEY, "fetched_at", "outcome")
    if expected is not None:
        times = times.join(expected.lazy().select(CUSTOMER_KEY).unique(), on=CUSTOMER_KEY, how="semi")
    recent = times.filter(pl.col("fetched_at") > pl.col("fetched_at").max().over("studio") - API_WINDOW).collect()
    if expected is None:
        last = pl.col("fetched_at").max().over("studio") - API_WINDOW / 2
        expected = recent.filter(pl.col("fetched_at") > last)
    expected = expected.select(CUSTOMER_KEY).unique()
    studios = [
        _nights(str(name), recent.filter(studio=name), listed, hours)
        for (name,), listed in expected.sort("studio").group_by("studio", maintain_order=True)
    ]
    yield from _complete(studios)
    known = [studio for studio in studios if studio.until]
    if known:
        first = min(known, key=lambda studio: studio.until or datetime.max.replace(tzinfo=UTC))
        name = f" ({first.name})" if len(studios) > 1 else ""
        yield f"Fetch again before {first.until:%Y-%m-%d %H:%M} UTC{name}: later, bookings go by unseen."


def _nights(name: str, fetches: pl.DataFrame, listed: pl.DataFrame, hours: ClassHours) -> _Studio:
    zone, opens, _ = hours.of(name)
    fetches = fetches.join(listed, on=CUSTOMER_KEY, how="semi")
    if fetches.is_empty():
        return _Studio(name, None, 0, None)
    time = pl.col("fetched_at")
    offset = datetime.now(UTC).astimezone().utcoffset()  # of this machine, where the studio's zone is not known
    local = (time.dt.convert_time_zone(zone) if zone else time + offset).dt.replace_time_zone(None)
    dated = fetches.select("customer_id", "outcome", time, local=local, night=(local - clock_time(opens)).dt.date())
    settled = dated.filter(pl.col("outcome").is_in(SETTLED))
    nights = dated.group_by("night").agg(date=pl.max("local").dt.date()).sort("night")
    read = settled.group_by("night").agg(n_read=pl.n_unique("customer_id"))
    # Whoever joined the list later was not missing before.
    joined = dated.group_by("customer_id").agg(night=pl.min("night")).group_by("night").agg(n_new=pl.len())
    never = listed.height - dated["customer_id"].n_unique()
    nights = (
        nights.join(read, on="night", how="left", maintain_order="left")
        .join(joined, on="night", how="left", maintain_order="left")
        .with_columns(pl.col("n_read", "n_new").fill_null(0))
        .with_columns(n_listed=pl.col("n_new").cum_sum())
        .with_columns(n_listed=pl.col("n_listed") + never * (pl.col("night") == pl.max("night")))
    )
    complete = nights.filter(pl.col("n_read") == pl.col("n_listed"))["date"]
    ok = settled.sort("fetched_at").group_by("customer_id").last().filter(outcome="ok")["fetched_at"].min()
    return _Studio(
        name,
        complete[-1] if len(complete) else None,
        nights["n_listed"][-1] - nights["n_read"][-1],
        ok + API_WINDOW if isinstance(ok, datetime) else None,
    )


def _complete(studios: Iterable[_Studio]) -> Iterator[str]:
    """Write the last complete night of all studios, those of the same night in one line."""
    by_night: defaultdict[date | None, list[_Studio]] = defaultdict(list)
    for studio in studios:
        by_night[studio.night].append(studio)
    for night in sorted(by_night, key=lambda night: night or date.min, reverse=True):
        group = by_night[night]
        names = ", ".join(studio.name for studio in group[:_NAMED]) + (", …" if len(group) > _NAMED else "")
        several = f" of {counted(len(group), 'studio')} ({names})" if len(by_night) > 1 or len(group) > 1 else ""
        missing = sum(studio.n_missing for studio in group)
        since = f"; in the latest one {counted(missing, 'customer')} had no answer" if missing else ""
        shown = "none in the last two weeks" if night is None else f"{night}"
        yield f"Last complete night{several}: {shown}{since}."
