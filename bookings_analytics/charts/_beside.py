"""Charts put beside each other: their plots are on one line, and so are their titles.

Vega-Lite aligns the plots alone. A title stands on whatever is above its plot, so that one more line of subtitle, the
headings of columns, or an axis on top would lift one title over the other. And it would draw one legend for all, with
one chart's colors for the outcomes of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import vl_convert

from bookings_analytics.wording import drawable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMPILER: Final = "5.8"  # of the Vega-Lites that vl-convert has, the nearest to JupyterLab's 5.6
_OFFSET: Final = 4  # pixels between a title and what it stands on, where it sets none
_OF_EACH: Final = alt.Resolve(
    scale=alt.ScaleResolveMap(
        color="independent", fill="independent", stroke="independent", shape="independent", size="independent"
    )
)


class Drawn(alt.LayerChart):
    """A chart of this package: layers over each other, whose title keeps to the line of those beside it."""

    def __or__(self, other: Any) -> alt.HConcatChart:  # noqa: ANN401 - any chart of Altair
        """Place a chart to the right of this one."""
        return _Beside(hconcat=[self, other], resolve=_OF_EACH).level()


class _Beside(alt.HConcatChart):
    """Charts beside each other."""

    def __ior__(self, other: Any) -> _Beside:  # type: ignore[misc] # noqa: ANN401, PYI034 - as Altair has it
        """Append one more chart to the right: ``|`` does so in a copy."""
        super().__ior__(other)
        return self.level()

    def level(self) -> _Beside:
        """Lift every title as far above its plot as the highest, if all the charts are this package's."""
        ours = [chart for chart in self.hconcat if isinstance(chart, Drawn)]
        if len(ours) == len(self.hconcat):
            spec = drawable(self.to_dict(validate=False))
            drawn: dict[str, Any] = vl_convert.vegalite_to_scenegraph(spec, vl_version=COMPILER)
            tops = dict(_tops(drawn["scenegraph"]))
            self.hconcat = [
                _lifted(chart, tops[i] - min(tops.values())) if i in tops else chart for i, chart in enumerate(ours)
            ]
        return self


def _tops(scene: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
    """Find the charts in a row: the place of each that has a title, and where its title begins."""
    charts = [mark for mark in scene["items"][0]["items"] if mark["role"] == "scope"]
    for place, chart in enumerate(charts):
        for title in (mark for mark in chart["items"][0]["items"] if mark["role"] == "title"):
            yield place, title["items"][0]["y"]


def _lifted(chart: Drawn, pixels: float) -> Drawn:
    title = chart.title if isinstance(chart.title, alt.TitleParams) else alt.TitleParams(chart.title)
    offset = _OFFSET if title.offset is alt.Undefined else title.offset
    title = title.copy(deep=False)
    title.offset = offset + pixels
    return chart.properties(title=title)
