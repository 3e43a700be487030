"""How every chart looks as drawn: what carries meaning stands out, columns stay in place at every width."""

from __future__ import annotations

import functools
import re
from datetime import date, timedelta
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

import altair as alt
import polars as pl
import pytest
import vl_convert
from test_charts import FRAMES, chart, data_of
from test_charts import SCHEMA as VEGA_LITE_5
from test_charts_dated import DRAWN as DATED

from bookings_analytics.charts import coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = (300, 588, 900)
NAMES = sorted([*FRAMES, *DATED])


@functools.cache
def drawn(name: str) -> alt.LayerChart:
    return DATED[name]() if name in DATED else chart(name, FRAMES[name])


@functools.cache
def picture(name: str, width: int | None = None) -> ET.Element:
    spec = drawn(name).to_dict(validate=False) | ({"width": width} if width else {})
    return svg_of(spec)


def svg_of(spec: dict[str, Any]) -> ET.Element:
    return ET.fromstring(vl_convert.vegalite_to_svg(spec | {"$schema": VEGA_LITE_5}, vl_version="5.8"))


class Place(NamedTuple):
    """Where something is in a picture, and the classes of what it is in."""

    x: float
    y: float
    inside: tuple[str, ...]


def groups(element: ET.Element, *inside: str) -> Iterator[tuple[ET.Element, tuple[str, ...]]]:
    """Walk through an svg: each element with the classes of what it is in."""
    for child in element:
        yield child, inside
        yield from groups(child, *inside, child.get("class", ""))


def luminance(color: str, opacity: float) -> float:
    """WCAG's relative luminance of a color on white."""
    if color.startswith("rgb"):
        channels = [float(each) / 255 for each in re.findall(r"[\d.]+", color)[:3]]
    else:
        full = color if len(color) == 7 else "#" + "".join(2 * each for each in color[1:])
        channels = [int(full[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    mixed = [1 - opacity * (1 - each) for each in channels]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in mixed]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(element: ET.Element) -> float:
    """The better of fill and stroke against white, each mixed with its opacity."""
    best = 1.0
    for kind in ("fill", "stroke"):
        color = {"white": "#FFFFFF", "black": "#000000"}.get(element.get(kind, ""), element.get(kind, ""))
        if color.startswith(("#", "rgb")):
            opacity = float(element.get(f"{kind}-opacity", 1)) * float(element.get("opacity", 1))
            best = max(best, 1.05 / (luminance(color, opacity) + 0.05))
    return best


def visible(element: ET.Element) -> bool:
    return element.tag == f"{SVG}text" or bool(element.get("d") or element.get("x2"))


@pytest.mark.parametrize("name", NAMES)
def test_everything_drawn_stands_out_from_white_by_3_to_1_and_a_pale_band_has_such_an_edge(name: str) -> None:
    marks: dict[str, list[float]] = {}
    for element, inside in groups(picture(name)):
        role = next((each for each in reversed(inside) if "role-mark" in each), "")
        if role and "role-axis" not in " ".join(inside) and visible(element) and element.tag != f"{SVG}text":
            marks.setdefault(role.partition("mark-")[2].split()[0], []).append(contrast(element))
    assert marks
    bands = marks.pop("area", [])
    lines = [each for kind in ("line", "rule") for each in marks.get(kind, [])]
    assert all(each >= 3 for each in bands) or any(each >= 3 for each in lines)
    for kind, found in marks.items():
        assert all(each >= 3 for each in found), (kind, min(found))


@pytest.mark.parametrize("name", NAMES)
def test_letters_stand_out_by_4_5_to_1_from_what_they_stand_on(name: str) -> None:
    for element, inside in groups(picture(name)):
        if element.tag == f"{SVG}text" and (element.text or list(element)) and element.get("stroke") != "white":
            on_a_mark = element.get("fill") in {"#FFFFFF", "#000000", "white"} and any("mark-text" in c for c in inside)
            assert on_a_mark or contrast(element) >= 4.5, (ET.tostring(element), inside)


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_numbers_stand_as_near_to_the_plot_at_every_width(name: str) -> None:
    places = {width: sorted(places_right_of(picture(name, width), width)) for width in WIDTHS}
    first = places[WIDTHS[0]]
    for width in WIDTHS:
        assert places[width] == pytest.approx(first, abs=0.6)
        assert all(place > 0 for place in places[width])


def places_right_of(element: ET.Element, width: float, x: float = 0.0) -> Iterator[float]:
    """How far from the plot's right edge texts stand that end right of it: within the plot's own group."""
    for child in element:
        moved = re.match(r"translate\(([-\d.]+),", child.get("transform", ""))
        inside = x + (float(moved[1]) if moved and "role-mark" in element.get("class", "") else 0.0)
        if child.tag == f"{SVG}text" and child.get("text-anchor") == "end" and inside > width:
            yield inside - width
        yield from places_right_of(child, width, inside)


@pytest.mark.parametrize("name", NAMES)
def test_marks_are_silent_to_a_screen_reader_which_has_the_description(name: str) -> None:
    said = [
        label
        for element, inside in groups(picture(name))
        if (label := element.get("aria-label"))
        and inside
        and "role-legend" not in " ".join((*inside, element.get("class", "")))
    ]
    assert not [label for label in said if re.search(r"\w_\w|\d\.\d{3}", label)]
    assert drawn(name).to_dict(validate=False)["description"].count(" ") > 4


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "trends"])  # whose axis has each group's shares
def test_axes_name_no_tick_twice(name: str, width: int) -> None:
    for element, _ in groups(picture(name, width)):
        if element.get("class", "").startswith("mark-text role-axis-label"):
            shown = [each for each in element.iter(f"{SVG}text") if each.get("opacity") != "0"]
            labels = ["".join(each.itertext()) for each in shown]
            assert len(labels) == len(set(labels)), labels


def placed(element: ET.Element, x: float = 0.0, y: float = 0.0, *inside: str) -> Iterator[tuple[ET.Element, Place]]:
    """Walk through an svg: each element with where it is in the whole picture."""
    moved = re.match(r"translate\(([-\d.e]+),([-\d.e]+)\)", element.get("transform", ""))
    if moved:
        x, y = x + float(moved[1]), y + float(moved[2])
    yield element, Place(x, y, inside)
    for child in element:
        yield from placed(child, x, y, *inside, element.get("class", ""))


def titles(row: alt.HConcatChart | alt.ConcatChart) -> list[float]:
    """How far down the titles of charts beside each other stand."""
    svg = svg_of(row.to_dict(validate=False))
    return [at.y for text, at in placed(svg) if text.tag == f"{SVG}text" and "title-text" in " ".join(at.inside)]


@pytest.mark.parametrize(("left", "right"), [*pairwise(NAMES), ("trend", "waitlist_outcomes")])
def test_titles_of_charts_side_by_side_are_on_one_line(left: str, right: str) -> None:
    """Whatever stands above the plots: more lines of subtitle, headings of columns, a legend, an axis on top."""
    first, second = titles(drawn(left) | drawn(right))
    assert first == pytest.approx(second, abs=1)


def test_three_charts_side_by_side_and_one_changed_by_hand_have_their_titles_on_one_line() -> None:
    mine = drawn("coverage").properties(title="Mine", width=200)
    row = drawn("waitlist_outcomes") | drawn("trend") | mine
    assert titles(row) == pytest.approx([titles(row)[0]] * 3, abs=2.5)  # as Vega-Lite sets a title of another size
    assert titles(row.configure_axis(labelFontSize=9)) == titles(row)
    bare = drawn("trend").copy()
    bare.title = alt.Undefined
    assert len(titles(drawn("visits") | bare)) == 1


def test_a_chart_of_the_analysts_own_can_stand_beside() -> None:
    own = alt.Chart(alt.InlineData([{"x": 1}]), title="Own").mark_point().encode(x="x:Q")
    assert len(titles(drawn("trend") | own)) == len(titles(own | drawn("trend"))) == 2
    assert len(titles(drawn("trend") | own | drawn("visits"))) == 3


def test_charts_side_by_side_look_as_each_does_alone() -> None:
    """Colors and legend of its own outcomes, and sentences as broad as its plot."""
    row = svg_of((drawn("outcome_counts") | drawn("waitlist_outcomes")).to_dict(validate=False))
    alone = [look for name in ("outcome_counts", "waitlist_outcomes") for look in looks(picture(name))]
    assert sorted(looks(row)) == sorted(alone)
    trends = svg_of((drawn("trend") | drawn("cancellation_notice")).to_dict(validate=False))
    both = [look for name in ("trend", "cancellation_notice") for look in looks(picture(name))]
    assert sorted(looks(trends)) == sorted(both)


def looks(svg: ET.Element) -> list[tuple[str, str]]:
    """What is written, and the colors of what is filled, wherever it stands."""
    texts = [("text", "".join(each.itertext())) for each in svg.iter(f"{SVG}text") if each.get("opacity") != "0"]
    return texts + [("fill", each.get("fill", "")) for each in svg.iter(f"{SVG}path") if each.get("fill")]


class Written(NamedTuple):
    """A line of text in a picture, and about what it covers."""

    says: str
    left: float
    top: float
    right: float
    bottom: float
    axis: bool

    @property
    def slack(self) -> float:
        """How far the measure of its letters may be wrong."""
        return 0.08 * (self.right - self.left)

    def covers(self, other: Written) -> bool:
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > 1 and min(self.bottom, other.bottom) - max(self.top, other.top) > 1


def lettering(svg: ET.Element) -> Iterator[Written]:
    """Measure every line of text that can be seen, with the mean widths of a plain typeface's letters."""
    for text, at in placed(svg):
        if text.tag != f"{SVG}text" or text.get("opacity") == "0":
            continue
        size = float(text.get("font-size", "11").removesuffix("px"))
        lines = list(text.iter(f"{SVG}tspan")) or [text]
        between = float(lines[-1].get("dy", size))
        for number, line in enumerate(lines):
            says = (line.text or "").strip()
            wide = size * sum(
                0.28 if c in " .,:;ilj|'1()" else 0.62 if c.isupper() or c in "%mw" else 0.52 for c in says
            )
            left = at.x - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor", "start")]
            base = at.y + between * number
            axis = "role-axis-label" in " ".join(at.inside)
            if says:
                yield Written(says, left, base - 0.72 * size, left + wide, base, axis)


def unreadable(svg: ET.Element) -> list[str]:
    """List the texts that run into another, or out of the picture."""
    texts = [*lettering(svg)]
    wide, tall = float(svg.get("width", 0)), float(svg.get("height", 0))
    cut = [text.says for text in texts if not -text.slack < text.left <= text.right < wide + text.slack]
    cut += [text.says for text in texts if not 0 < text.top < text.bottom < tall]
    return cut + [f"{one.says} / {other.says}" for one, other in combinations(texts, 2) if one.covers(other)]


@pytest.mark.parametrize("width", [300, 600, 900])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_runs_into_another_or_out_of_the_picture(name: str, width: int) -> None:
    assert unreadable(picture(name, width)) == []


def watched(n_days: int, n_groups: int) -> pl.DataFrame:
    """A coverage with a gap of 20 days after a third of its days."""
    gap = n_days // 3
    days = [day for day in range(n_days) if n_days <= 30 or not gap <= day < gap + 20]
    return pl.DataFrame(
        {
            "cohort": f"cohort {group + 1}", "day": date(2024, 11, 3) + timedelta(days=day), "n_customers": 120,
            "n_read": 120 - day % 7, "n_fetches": 120, "median_gap_h": 24.0,
            "longest_gap_h": 504.0 if day == gap + 20 else 24.0,
            "n_customers_gap_over_14_days": 100 if day == gap + 20 else 0,
        }
        for group in range(n_groups)
        for day in days
    )  # fmt: skip


@pytest.mark.parametrize("n_groups", [1, 20])
@pytest.mark.parametrize("n_days", [1, 3, 8, 14, 15, 43, 60, 139, 141, 400, 1500])
def test_coverage_names_its_days_and_years_at_every_width_without_a_label_left_out(n_days: int, n_groups: int) -> None:
    drawn = coverage(watched(n_days, n_groups)).to_dict(validate=False)
    asked = drawn["layer"][1 if n_days > 30 else 0]["encoding"]["x"]["axis"]["values"]
    for width in (300, 450, 600, 900):
        svg = svg_of(drawn | {"width": width})
        assert unreadable(svg) == []
        labels = [text.says for text in lettering(svg) if text.axis and not text.says.startswith("cohort")]
        dated = [f"{day.day} {day:%b}" for day in (date(2024, 11, 3) + timedelta(days=value) for value in asked)]
        years = sorted({(date(2024, 11, 3) + timedelta(days=value)).year for value in asked})
        assert sorted(labels) == sorted([*dated, *map(str, years)])
        assert len(dated) >= min(n_days, 3)


@pytest.mark.parametrize("n_groups", [1, 20])
def test_the_cross_of_a_day_in_vain_stands_above_the_bar_of_its_week(n_groups: int) -> None:
    vain = pl.when(pl.col("day") == date(2024, 12, 10)).then(0).otherwise("n_read")
    drawn = coverage(watched(200, n_groups).with_columns(n_read=vain)).to_dict(validate=False)
    svg = svg_of(drawn)
    assert unreadable(svg) == []
    crosses = [text for text in lettering(svg) if text.says == "\N{MULTIPLICATION SIGN}"]
    names = {text.says: text for text in lettering(svg) if text.says.startswith("cohort ")}
    assert len(crosses) == n_groups == len(names)
    step = drawn["height"] / n_groups
    for cross, name in zip(
        sorted(crosses, key=lambda text: text.top), sorted(names.values(), key=lambda text: text.top), strict=True
    ):
        middle = (name.top + name.bottom) / 2
        assert middle - 0.75 * step < (cross.top + cross.bottom) / 2 < cross.bottom - 2 < middle - step / 4


@pytest.mark.parametrize("n_days", [60, 139, 200, 800])
def test_the_number_of_a_gap_stands_within_its_gap_or_not_at_all(n_days: int) -> None:
    drawn = coverage(watched(n_days, 1)).to_dict(validate=False)
    shown = 0
    for width in (300, 450, 600, 900):
        for text in lettering(svg_of(drawn | {"width": width})):
            if text.says == "21 days" and text.left < width:
                shown += 1
                assert text.right - text.left < width * 21 / n_days
    assert shown == {60: 4, 139: 4, 200: 3, 800: 0}[n_days]


@pytest.mark.parametrize("n_days", [139, 800])
def test_bars_too_narrow_for_a_gap_join_so_that_their_edges_make_no_pattern(n_days: int) -> None:
    drawn = coverage(watched(n_days, 1)).to_dict(validate=False)
    bars = sorted((bar["start"], bar["end"]) for bar in data_of(drawn) if "on" in bar)
    apart = [after[0] - bar[1] for bar, after in pairwise(bars)]
    assert [gap > 0 for gap in apart].count(True) == 1, "the days that nobody was read"
    assert bars[-1][1] <= n_days
