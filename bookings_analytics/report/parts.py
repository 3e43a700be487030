"""What the pages of a report are made of: words, charts and tables, each question's in its order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import vl_convert

from bookings_analytics.wording import drawable

if TYPE_CHECKING:
    import altair as alt

    from bookings_analytics.notebook.tables import ShownTable

VEGA_LITE: Final = "6.4"  # what Altair writes for
_PADDING: Final = {"left": 24, "right": 24, "top": 5, "bottom": 5}  # letters may be wider than they were measured


@dataclass(frozen=True)
class Words:
    """A paragraph.

    Attributes:
        markdown: What it says.
    """

    markdown: str


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart.

    Attributes:
        chart: The chart.
    """

    chart: alt.TopLevelMixin

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What Vega-Lite draws of it, without characters that abort the drawing."""
        # Built of Altair's own classes, and drawn right below: to validate it again takes as long as to compute it.
        spec: dict[str, Any] = drawable(self.chart.to_dict(validate=False))
        return spec

    @cached_property
    def bare(self) -> dict[str, Any]:
        """The same without its title, which a page writes as a heading."""
        return {name: value for name, value in self.spec.items() if name != "title"}

    @cached_property
    def svg(self) -> str:
        """The picture of it without its title."""
        return str(vl_convert.vegalite_to_svg(self.bare | {"padding": _PADDING}, vl_version=VEGA_LITE))


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: What it shows.
        table: The table.
    """

    title: str
    table: ShownTable


Part = Words | Figure | Sheet


@dataclass(frozen=True)
class Question:
    """One question of a report.

    Attributes:
        key: Its name in addresses.
        title: The question.
        parts: Its answer.
    """

    key: str
    title: str
    parts: list[Part]
