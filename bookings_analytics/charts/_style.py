"""How every chart looks: its texts, its title, its axis of shares.

Nothing here uses Vega-Lite's ``config``: charts with one can't be put beside each other.
"""

from __future__ import annotations

import textwrap
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import altair as alt

from bookings_analytics.charts._beside import Drawn
from bookings_analytics.charts._palette import GRID, INK, QUIET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH: Final = 588  # of a whole chart, about, in pixels: what JupyterLab leaves of a window 1100 wide
SMALL: Final[dict[str, Any]] = {"color": QUIET, "fontSize": 12}
BAND: Final = " Pale band: 95% range, whatever happened in unrecorded seats."
ACROSS: Final = "item.mark.group.width"  # of the plot, in expressions: beside another chart, `width` is not it
_TOPS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8)  # round ends for an axis of shares


def top(shares: Iterable[float | None]) -> float:
    """Round up to where an axis of these shares ends."""
    largest = max((share for share in shares if share is not None), default=1.0)
    return next((end for end in _TOPS if largest <= end), 1.0)


def whole_ticks(most: int) -> list[int]:
    """Choose at most six whole numbers for an axis that ends at ``most``."""
    step = next(size * 10**power for power in range(19) for size in (1, 2, 5) if size * 10**power * 5 >= most)
    return list(range(0, most + 1, step))


def title(text: str, *subtitle: str) -> alt.TitleParams:
    """Set the title and the lines under it, flush left."""
    lines = [line for part in subtitle if part for line in textwrap.wrap(part, 102)]
    return alt.TitleParams(
        textwrap.wrap(text, 78), subtitle=lines, anchor="start", frame="bounds", offset=12,
        color=INK, fontSize=15, fontWeight="bold", subtitleColor=QUIET, subtitleFontSize=12, subtitlePadding=6,
        subtitleLineHeight=16,
    )  # fmt: skip


def axis(**options: Any) -> alt.Axis:  # noqa: ANN401 - whatever alt.Axis takes
    """Draw an axis as quiet as it can be: a light grid with small labels, and no line."""
    quiet = {
        "domain": False,
        "ticks": False,
        "gridColor": GRID,
        "title": None,
        "labelColor": QUIET,
        "labelPadding": 6,
    } | {"aria": False}
    n_ticks = len(options.get("values", range(5)))  # of more values than this, Vega leaves out every other one
    return alt.Axis(**{"tickCount": n_ticks, "labelFontSize": 11, **quiet, **options})


def share_axis(field: str, end: float, **options: Any) -> alt.X:  # noqa: ANN401 - whatever alt.Axis takes
    """Show shares from 0 to ``end``, in percent."""
    scale = alt.Scale(domain=[0, end], nice=False)
    return alt.X(f"{field}:Q", scale=scale, axis=axis(format=".0%", **options))


def day_labels(first: date, values: Sequence[int]) -> str:
    """Write the labels of an axis that counts days from ``first``: the day, and under it the year where that is new.

    Days are numbers there, since Vega would take a time for one of the reader's own time zone.
    """
    years = [(first + timedelta(days=value)).year for value in values]
    new = [value for i, value in enumerate(values) if i == 0 or years[i] != years[i - 1]]
    at = f"86400000 * ({(first - date(1970, 1, 1)).days} + datum.value)"
    return f"[utcFormat({at}, '%-d %b'), indexof({new}, datum.value) < 0 ? '' : utcFormat({at}, '%Y')]"


def x_pixel(x: float) -> alt.XValue:
    """Stand at a pixel from the left; unlike alt.value, without 20 ms of looking for the channel's class."""
    return alt.XValue(x)  # type: ignore[no-untyped-call] # Altair leaves it so


def right_edge() -> alt.XValue:
    """Stand at the right edge of the plot, however wide it is made; a mark's dx goes on from there."""
    return alt.XValue("width")  # type: ignore[no-untyped-call] # Altair leaves it so


def y_pixel(y: float) -> alt.YValue:
    """Stand at a pixel from the top."""
    return alt.YValue(y)  # type: ignore[no-untyped-call] # Altair leaves it so


def nothing(heading: str, why: str = "the frame has no group") -> alt.LayerChart:
    """Draw the sentence that there is nothing to show, instead of an empty plot."""
    says = f"Nothing to show: {why}."
    text = alt.Chart(alt.InlineData([{"says": says}])).mark_text(align="left", **SMALL)
    return finish(
        [text.encode(text=alt.Text("says:N"), x=x_pixel(0), y=y_pixel(8))],
        title=title(heading), description=f"{heading}. {says}", width=WIDTH, height=20,
    )  # fmt: skip


def finish(layers: Iterable[alt.Chart], **properties: Any) -> alt.LayerChart:  # noqa: ANN401 - title, width and so on
    """Layer the marks over each other, without a frame.

    Marks say nothing to a screen reader by themselves, which would read out the field and nine decimals of each: the
    chart's description says what they show.
    """
    drawn = list(layers)
    for layer in drawn:
        layer.mark.aria = False
    return Drawn(layer=drawn, view=alt.ViewBackground(stroke=None), **properties)
