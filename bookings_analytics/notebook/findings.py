"""The answer in words: what frames of rates say, as Markdown, from nothing but the frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from bookings_analytics import schema
from bookings_analytics.charts._table import titles_in
from bookings_analytics.charts._trend_findings import finding, together
from bookings_analytics.metrics.engines import lazy
from bookings_analytics.wording import SPELLED_OUT, bounds, counted, in_markdown, interval, label, noun, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from narwhals.typing import IntoFrame

_GROUPED_BY: Final = frozenset({"studio", "class_id", "class_slot_id", "class_day"})  # by which rates may be grouped
_ONE_FETCH: Final = timedelta(hours=12)  # customers are fetched minutes apart
_BRACKETS: Final = "In brackets: how far chance alone could move the number (95% interval)."
_Row = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Findings:
    """Sentences that a notebook shows as Markdown.

    Attributes:
        text: The sentences.
    """

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def findings(*results: IntoFrame, names: Mapping[Any, str] | None = None) -> Findings:
    """Write what frames of rates say in words.

    A frame of one row without groups makes a paragraph, one with groups makes points of a list: which groups have the
    highest and the lowest rate, where the gap is widest, what stands out.

    Args:
        results: Frames of `booking_vs_participation`, `no_shows`, `no_show_funnel`, `waitlist_conversion`,
            `seats_lost_while_waiting`, `trend` or `class_days`, in the order of the sentences.
        names: Titles for values of the group columns, as in ``{4711: "Yoga"}``.

    Raises:
        ValueError: A frame is none of these, or holds the trends of several rates.

    Example:
        >>> import bookings_analytics as ba
        >>> import polars as pl
        >>> outcomes = pl.DataFrame({"studio": "mitte", "customer_id": [1, 2], "outcome": ["attended", "no_show"]})
        >>> ba.notebook.findings(ba.no_shows(outcomes)).text
        '**50% (...) of the seats were no-shows**: 1, against 1 that were used. In brackets: ...'
    """
    paragraphs: list[str] = []
    points: list[str] = []
    for result in results:
        rows = lazy(result).collect("polars").to_native()
        write = next((write for column, write in _WRITERS.items() if column in rows.columns), None)
        if write is None:
            raise ValueError(
                f"a frame with the columns {', '.join(rows.columns)} has no finding. Pass frames of rates, such as "
                "those of no_shows."
            )
        frames = (schema.TREND,) if write is _trend else (*schema.RESULTS, schema.CLASS_DAYS, schema.PERIOD)
        known = {name for frame in frames for name in frame} - _GROUPED_BY
        by = [name for name in rows.columns if name not in known | titles_in(rows.columns)]
        titled = [
            row | {"group": " / ".join(_title(name, row, names or {}) for name in by)}
            for row in rows.iter_rows(named=True)
        ]
        by = [] if write is _class_days else by
        (points if by else paragraphs).extend(filter(None, write(by, titled)))
    if any(row.startswith("**Nothing") for row in paragraphs):
        points = []
    return Findings("\n\n".join([*paragraphs, "\n".join(f"- {point}" for point in points)]).strip())


def _title(by: str, row: _Row, names: Mapping[Any, str]) -> str:
    of_class = row.get("class_title") if by == "class_id" else None
    return f"*{in_markdown(names.get(row[by]) or of_class or label(row[by]))}*"


def _extremes(rows: Sequence[_Row], rate: str, what: str) -> Iterator[str]:
    """Name the groups of the highest and the lowest rate, of all groups where they are few."""
    known = sorted((row for row in rows if row[rate] is not None), key=lambda row: row[rate])
    if known and percent(known[-1][rate]) != percent(known[0][rate]):
        high, low = known[-1], known[0]
        yield (
            f"{what} is highest in {high['group']}, {interval(high, rate)}, and lowest in {low['group']}, "
            f"{interval(low, rate)}."
        )


def _participation(by: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    if not by:
        (all_,) = rows
        unread = f" {all_['n_not_read']:,} more could not be read." if all_["n_not_read"] else ""
        if not all_["n_customers"]:
            yield f"**Nothing can be said yet**: no customer of the list could be read.{unread}"
            return
        yield (
            f"Of {counted(all_['n_customers'], 'customer')}, **{interval(all_, 'booking_rate')} booked** a class that "
            f"took place and **{interval(all_, 'participation_rate')} took part** in one. {_BRACKETS}{unread}"
        )
        return
    yield from _extremes(rows, "participation_rate", "The share who took part")
    known = [row for row in rows if row["participation_rate"] is not None]
    widest = max(known, key=lambda row: row["booking_rate"] - row["participation_rate"], default=None)
    if widest and round(100 * (widest["booking_rate"] - widest["participation_rate"])):
        yield (
            f"The gap is widest in {widest['group']}: {percent(widest['booking_rate'])} booked, "
            f"{percent(widest['participation_rate'])} took part."
        )


def _no_shows(by: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    if by:
        yield from _extremes(rows, "no_show_rate", "The no-show rate")
        return
    (all_,) = rows
    if all_["no_show_rate"] is None:
        yield "**Nothing can be said yet**: nobody recorded who came to a class."
        return
    yield (
        f"**{interval(all_, 'no_show_rate')} of the seats were no-shows**: {all_['n_no_show']:,}, against "
        f"{all_['n_attended']:,} that were used. {_BRACKETS}"
    )
    if all_["n_unrecorded"]:
        yield (
            f"Nobody recorded the attendance of {counted(all_['n_unrecorded'], 'more seat')}. Had all been used, the "
            f"rate would be {percent(all_['no_show_rate_min'])}; had none been used, "
            f"{percent(all_['no_show_rate_max'])}."
        )
    if all_["recorded_share"] < schema.WELL_RECORDED:
        yield f"Chance included, the rate of all seats may lie anywhere {bounds(all_, 'no_show_rate')}."


def _funnel(by: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    outside = [row for row in rows if row["position"] not in {"within", None}]
    named = ", ".join(f"{row['group']} ({percent(row['no_show_rate'])})" for row in outside)
    several = noun(by[0], 2) if len(by) == 1 else "groups"
    yield f"{several.capitalize()} that stand out from the others by more than chance: {named or 'none'}."


def _conversion(by: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    if by:
        known = [row for row in rows if row["conversion_rate"] is not None]
        if len(known) > SPELLED_OUT:
            yield from _extremes(known, "conversion_rate", "The share that got in")
        elif known:
            each = "; ".join(f"{row['group']} {interval(row, 'conversion_rate')}" for row in known)
            yield f"By {' and '.join(noun(name, 1) for name in by)}: {each}."
        return
    (all_,) = rows
    if all_["conversion_rate"] is None:
        yield f"**Nothing can be said yet**: {all_['reason']}."
        return
    ended = all_["n_converted"] + all_["n_lapsed"] + all_["n_withdrawn"]
    yield (
        f"**{interval(all_, 'conversion_rate')} of the waits ended with a seat**: {all_['n_converted']:,} of "
        f"{ended:,}; {all_['n_lapsed']:,} lasted to the end in vain, {all_['n_withdrawn']:,} ended before that. "
        f"{_BRACKETS}"
    )
    at_most = (all_["n_converted"] + all_["n_withdrawn"]) / ended
    yield (
        "Somebody who got a seat and gave it up before the next fetch looks like somebody who left the list. So the "
        f"share who got a seat, however short, is at least {percent(all_['conversion_rate'])} and at most "
        f"{percent(at_most)}."
    )


def _seats_lost(by: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    for row in rows:
        where = f"In {row['group']}, " if by else ""
        yield (
            f"{where}**{counted(row['n_seats'], 'seat')} stayed empty while somebody waited** for one to the end, in "
            f"{row['n_slots']:,} classes that took place."
        )


def _class_days(_: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    dated = [row for row in rows if row["class_day"] is not None]
    if not dated:
        yield "**Nothing can be said yet**: no class has a day. A class shows its day two weeks after it took place."
        return
    rest = [row for row in rows if row["class_day"] is None]
    newest = max(row["starts_after"] for row in rows if row["starts_after"] is not None)
    shown = sum(row["starts_after"] is not None and row["starts_after"] > newest - _ONE_FETCH for row in rest)
    others = (
        f" Of the other {len(rest):,}, {shown:,} are still shown by the API and get their day when it drops them; of "
        f"{len(rest) - shown:,} the fetches leave more than one day possible."
    )
    share = percent(len(dated) / len(rows))
    yield f"**{len(dated):,} of {len(rows):,} classes have a day** ({share}).{others if rest else ''}"
    late = [row for row in dated if row["closed_after_h"] is not None]
    if late and not all(row["punctual"] for row in late):
        yield (
            "The studio marks some classes as completed only days later, so its marks are not taken for the day: what "
            "counts is when a class left the API's window of 14 days."
        )


def _trend(by: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    """Write below a trend what its chart writes, and of several groups each: of many, those with a signal."""
    rates = sorted({row["rate"] for row in rows})
    if not rates:
        yield "**Nothing can be said yet**: there is no week."
        return
    if len(rates) > 1:
        raise ValueError(f"the frame holds several rates, {', '.join(rates)}. Pass one frame for each of them.")
    facts = schema.TRENDS[rates[0]]
    heading = f"**{facts.label[0].upper()}{facts.label[1:]} by week**"
    if not by:
        yield f"{heading}: {finding(rows, facts)}"
        return
    groups = [[*weeks] for _, weeks in groupby(rows, itemgetter("group"))]
    yield f"{heading}: {together(groups, noun(by[0], 2) if len(by) == 1 else 'groups')}"
    for weeks in groups:
        if len(groups) <= SPELLED_OUT or any(row["signal"] not in {"within", None} for row in weeks):
            yield f"{weeks[0]['group']}: {finding(weeks, facts)}"


_WRITERS: Final[dict[str, Callable[[Sequence[str], Sequence[_Row]], Iterator[str]]]] = {  # by a column of each frame
    "participation_rate": _participation,
    "position": _funnel,
    "no_show_rate": _no_shows,
    "conversion_rate": _conversion,
    "n_seats": _seats_lost,
    "starts_before": _class_days,
    "signal": _trend,
}
