"""Where everything stands in the chart of a trend: one plot for each group, below each other on the same axes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._style import axis, day_labels, top
from bookings_analytics.wording import days

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]
WEEK: Final = 7
EDGE: Final = 3.5  # days from a week's mark to its edge
HALF: Final = 0.5
DECIMALS: Final = 6
_LABELS: Final = 7  # weeks with a label, about
_ALONE: Final = 260  # pixels of a group that has the chart for itself
_STEPS: Final = {4: 132, 12: 100}  # groups → pixels of each
_LOW_STEP: Final = 72
_HEAD, _FOOT, _MARGIN = 24, 10, 6  # pixels above and below a group's plot; of a group alone
_TICKS: Final = 5
_BOUNDS: Final = ("value_bounds_low", "value_bounds_high")
_PLACED: Final = ("value", "limit_low", "limit_high", "center", *_BOUNDS)
_ROOM: Final = 1.5  # a band may make the axis of a group alone this many times longer; what lies beyond is cut


class Axes:
    """The geometry of such a chart.

    Attributes:
        groups: The rows of each group, by week, each with its place: ``at``, days from the first week; ``floor``, the
            number of its plot from below; ``y_value`` and others, where each share stands.
        alone: Whether one group has the chart for itself.
        first: The first week's Monday.
        n_weeks: From the first to the last.
        period: From the first day to the last, in words.
        step: Pixels of each group.
        height: Pixels of all.
    """

    def __init__(self, groups: Sequence[Sequence[Row]]) -> None:
        """Choose the axes, and place every row on them.

        Args:
            groups: The rows of each group, by week; ``week`` is a date.
        """
        rows = [row for weeks in groups for row in weeks]
        self.groups = groups
        self.alone = len(groups) == 1
        self.first, last = (choose(row["week"] for row in rows) for choose in (min, max))
        self.n_weeks = (last - self.first).days // WEEK + 1
        self.period = days(self.first, last + timedelta(days=WEEK - 1))
        step = next((pixels for most, pixels in _STEPS.items() if len(groups) <= most), _LOW_STEP)
        self.step = _ALONE if self.alone else step
        self.height = self.step * len(groups)
        head, self._foot = (_MARGIN, _MARGIN) if self.alone else (_HEAD, _FOOT)
        self._used = 1 - (head + self._foot) / self.step
        drawn = [row[name] for row in rows for name in ("value", "limit_low", "limit_high", "center", "target")]
        shares = [share for share in drawn if share is not None]
        band = [row[name] for row in rows for name in _BOUNDS if self.alone and row[name] is not None]
        self._bottom, self._top = _ends(shares, band)
        for place, weeks in enumerate(groups):
            for row in weeks:
                row["at"] = (row["week"] - self.first).days
                row["floor"] = len(groups) - 1 - place
                for name in _PLACED:
                    row[f"y_{name}"] = self.y(row["floor"], row[name])

    def y(self, floor: int, share: float | None) -> float | None:
        """Compute where a share stands: the number of its plot from below, and the height within it from 0 to 1."""
        if share is None:
            return None
        if not self.alone:  # there, what goes on beyond a group's plot would run into its neighbor's
            share = min(max(share, self._bottom), self._top)
        up = self._foot / self.step + self._used * (share - self._bottom) / (self._top - self._bottom)
        return round(floor + up, DECIMALS)

    def x(self, field: str = "at") -> alt.X:
        """Build the axis of weeks: a label every few weeks, the year where it is new."""
        every = WEEK * max(1, -(-self.n_weeks // _LABELS))
        values = list(range(0, self.n_weeks * WEEK, every))
        scale = alt.Scale(domain=[-EDGE, (self.n_weeks - 1) * WEEK + EDGE], nice=False)
        return alt.X(f"{field}:Q", scale=scale, axis=self._axis(values, day_labels(self.first, values), grid=False))

    def share(self, field: str) -> alt.Y:
        """Build the axis of shares, which every group's plot has again."""
        parts = _TICKS if self.alone else 1
        shares = [self._bottom + (self._top - self._bottom) * part / parts for part in range(parts + 1)]
        values = [self.y(floor, share) for floor in range(len(self.groups)) for share in shares]
        within = f"((datum.value - floor(datum.value)) - {self._foot / self.step}) / {self._used}"
        label = f"format({self._bottom} + {self._top - self._bottom} * {within}, '.0%')"
        scale = alt.Scale(domain=[0, len(self.groups)], nice=False)
        return alt.Y(f"{field}:Q", scale=scale, axis=self._axis(values, label))

    @staticmethod
    def _axis(values: Sequence[float | None], label: str, **options: Any) -> alt.Axis:  # noqa: ANN401 - as alt.Axis has it
        """Show every one of these values: with a smaller number of ticks, Vega would leave some out."""
        return axis(values=[*values], labelExpr=label, labelOverlap=False, **options)


def _ends(shares: Sequence[float], band: Sequence[float]) -> tuple[float, float]:
    """Choose where an axis begins and ends: at 0, or at 1 where all shares lie near it."""
    if min(shares) > HALF:
        low, high = _ends([1 - share for share in shares], [1 - share for share in band])
        return 1 - high, 1 - low
    needed = top(shares)
    return 0.0, min(top([*shares, *band]), top([_ROOM * needed]))
