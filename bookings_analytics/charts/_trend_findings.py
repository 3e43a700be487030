"""What a trend found, as sentences: each with the rate at which such a chart alarms where nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from bookings_analytics.wording import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bookings_analytics.schema import RateFacts

_Row = dict[str, Any]
_ALARMS: Final = {12: 0.03, 26: 0.08, 52: 0.23}  # weeks → the most charts that alarm although nothing changes
_SLOPES: Final = 0.07  # the most slopes that seem to rise or fall although nothing changes
_LEAST_WEEKS: Final = 12
_SHORT: Final = {
    "above": "above",
    "below": "below",
    "run_above": "in a run above",
    "run_below": "in a run below",
}
_NAMED: Final = 3  # weeks beyond the limits that are named


@dataclass(frozen=True)
class Segment:
    """The complete weeks with a value between two rebases, of one group."""

    weeks: Sequence[_Row]

    @property
    def judged(self) -> bool:
        """Whether the segment has limits."""
        return bool(self.weeks) and self.weeks[0]["limit_low"] is not None

    @property
    def since(self) -> str:
        """The day from which it lasts: ``since 2 March``."""
        return f"since {day(self.weeks[0]['week'])}"

    @property
    def alarms(self) -> str:
        """How often such a chart alarms where nothing changes; empty where that was not measured."""
        at_most = next((share for most, share in _ALARMS.items() if len(self.weeks) <= most), None)
        return "" if at_most is None else f"alarms wrongly in up to {percent(at_most)}"

    @property
    def slope(self) -> str:
        """How the rate rises or falls, where its interval leaves out zero."""
        slope, low, high = (self.weeks[0][name] for name in ("slope", "slope_ci_low", "slope_ci_high"))
        if low is None or low <= 0 <= high:
            return ""
        ends = sorted(abs(100 * end) for end in (low, high))
        return (
            f"{'rises' if slope > 0 else 'falls'} by {abs(100 * slope):.1f} points a week ({ends[0]:.1f} to "
            f"{ends[1]:.1f})"
        )

    def runs(self) -> Iterator[list[_Row]]:
        """Find the runs on one side of the center."""
        run: list[_Row] = []
        for row in self.weeks:
            if run and row["signal"].startswith("run") and row["signal"] != run[-1]["signal"]:
                yield run
                run = []
            if row["signal"].startswith("run"):
                run.append(row)
        if run:
            yield run

    def signals(self) -> Iterator[str]:
        """Name the weeks beyond the limits and the runs."""
        for side in ("above", "below"):
            beyond = [row for row in self.weeks if row["signal"] == side]
            if len(beyond) > _NAMED:
                yield f"{counted(len(beyond), 'week')} {side} the limits"
            elif beyond:
                named = " and ".join(f"{day(row['week'])} ({percent(row['value'])})" for row in beyond)
                yield f"{side} the limits in the week{'s' * (len(beyond) > 1)} of {named}"
        for run in self.runs():
            side = run[0]["signal"].removeprefix("run_")
            yield f"{counted(len(run), 'week')} {side} the center, {day(run[0]['week'])} to {day(run[-1]['week'])}"


def day(week: date | str) -> str:
    """Write a day without its year: ``2 March``."""
    monday = date.fromisoformat(week) if isinstance(week, str) else week
    return f"{monday.day} {monday:%B}"


def segments_of(weeks: Sequence[_Row]) -> list[Segment]:
    """Split the complete weeks of a group that have a value."""
    there = [row for row in weeks if row["center"] is not None and row["value"] is not None]
    numbers = dict.fromkeys(row["segment"] for row in there)
    return [Segment([row for row in there if row["segment"] == number]) for number in numbers]


def finding(weeks: Sequence[_Row], facts: RateFacts) -> str:
    """Write what the weeks of one group show.

    Args:
        weeks: Its rows.
        facts: The rate.
    """
    segments = segments_of(weeks)
    if not segments:
        return f"Nothing to judge: no complete week has {facts.unit}."
    last = segments[-1]
    told = [_of_segment(segment, last=segment is last, facts=facts) for segment in reversed(segments)]
    return " ".join([*filter(None, told), *_of_target(last)])


def in_short(weeks: Sequence[_Row]) -> str:
    """Write what the weeks of one of several groups show: ``1 week above``, ``no signal``."""
    segments = segments_of(weeks)
    if not any(segment.judged for segment in segments):
        return "too short to judge" if segments and _too_short(segments[-1]) else "too few to judge"
    marked = [row["signal"] for segment in segments if segment.judged for row in segment.weeks]
    parts = [
        f"{counted(n, 'week')} {what}"
        for side, what in (
            ("above", "above"),
            ("below", "below"),
            ("run_above", "in a run above"),
            ("run_below", "in a run below"),
        )
        if (n := marked.count(side))
    ]
    last = segments[-1]
    slope = last.slope.split(" by")[0] if last.judged else "now not judged"
    return "; ".join([*(parts or ["no signal"]), *([slope] if slope else [])])


def together(groups: Sequence[Sequence[_Row]], nouns: str) -> str:
    """Write in how many of several groups there is a signal, and in how many there would be without a change."""
    judged = [[segment for segment in segments_of(weeks) if segment.judged] for weeks in groups]
    judged = [segments for segments in judged if segments]
    if not judged:
        return f"None of {len(groups)} {nouns} can be judged: limits need 12 weeks and five of each kind a week."
    found = sum(any(list(segment.signals()) for segment in segments) for segments in judged)
    longest = max(len(segment.weeks) for segments in judged for segment in segments)
    rest = f", and {len(groups) - len(judged)} can't be judged" if len(judged) < len(groups) else ""
    alarms = next(
        (
            f" Where nothing changes, up to {percent(share)} of charts of at most {weeks} weeks alarm."
            for weeks, share in _ALARMS.items()
            if longest <= weeks
        ),
        "",
    )
    return f"Signals in {found} of {len(judged)} {nouns}{rest}.{alarms}"


def _too_short(segment: Segment) -> bool:
    return len(segment.weeks) < _LEAST_WEEKS


def _of_segment(segment: Segment, *, last: bool, facts: RateFacts) -> str:
    """Write what one segment shows; of earlier ones nothing but their signals."""
    since, n = segment.since, counted(len(segment.weeks), "week")
    if not segment.judged:
        if not last:
            return ""
        if _too_short(segment):
            return f"Too short to judge {since}: {n}, and limits need {_LEAST_WEEKS}."
        trials = sum(row["n"] for row in segment.weeks)
        hits = sum(row["value"] * row["n"] for row in segment.weeks)
        rarer = min(hits, trials - hits) / len(segment.weeks)
        return (
            f"Too few to judge {since}: limits need 5 {facts.unit} a week of each kind, and the rarer has {rarer:.1f}."
        )
    signals = list(segment.signals())
    if not last:
        return f"Before that, {' and '.join(signals)}." if signals else ""
    slope = ""
    if segment.slope:
        slope = f" It {segment.slope}; where nothing changes, up to {percent(_SLOPES)} of slopes seem to."
    if signals:
        told = " and ".join(signals)
        alarms = f" Such a chart of {n} {segment.alarms}." if segment.alarms else ""
        return f"Since {day(segment.weeks[0]['week'])}, {told}.{alarms}{slope}"
    alarms = f"; such a chart {segment.alarms}" if segment.alarms else ""
    start = "No single week or run stands out" if slope else "Nothing but chance"
    return f"{start} {since}: {n}, no signal{alarms}.{slope}"


def _of_target(last: Segment) -> Iterator[str]:
    row = last.weeks[-1]
    if row["target"] is None or row["against_target"] is None:
        return
    beside = {"open": "can't be told apart from", "below": "is below", "above": "is above"}[row["against_target"]]
    yield f"The rate {last.since}, {percent(row['center'])}, {beside} the target of {percent(row['target'])}."
