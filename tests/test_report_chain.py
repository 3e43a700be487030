"""Charts of thirty studios in a report: names whole, no letters over others, numbers beside their rows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pytest
from browsing import Tab
from test_report_browser import DESK, LETTERS, PHONE, SCROLLS, WIDER, show

import bookings_analytics as ba
from bookings_analytics import charts, schema
from bookings_analytics.report.material import Material
from bookings_analytics.report.page import document, section
from bookings_analytics.report.parts import Figure, Question, Words
from bookings_analytics.report.period import Period, Weeks
from bookings_analytics.report.questions import questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ViewportSize

CITIES: Final = (
    "Aachen, Augsburg Innenstadt, Berlin Mitte, Berlin Prenzlauer Berg, Berlin Tempelhof-Schöneberg, Bielefeld, "
    "Bochum, Bonn Bad Godesberg, Bremen Überseestadt, Dortmund, Dresden Neustadt, Duisburg, Düsseldorf Oberkassel, "
    "Frankfurt am Main Hauptwache, Frankfurt Westend, Freiburg im Breisgau, Halle (Saale), Hamburg Altona, Hamburg "
    "Eimsbüttel, Hannover, Karlsruhe, Köln Ehrenfeld, Leipzig Plagwitz, Ludwigshafen am Rhein, Mannheim Quadrate, "
    "München Schwabing, Nürnberg, Essen, Stuttgart, Wuppertal Elberfeld"
)
STUDIOS: Final = CITIES.split(", ")
OVER_EACH_OTHER: Final = """() => [...document.querySelectorAll(".drawn svg")].flatMap(svg => {
    const texts = [...svg.querySelectorAll("text")].filter(each => each.textContent.trim()
        && getComputedStyle(each).opacity > 0 && getComputedStyle(each).fill !== "none").map(each =>
        [each.textContent, each.getBoundingClientRect()]);
    return texts.flatMap(([one, a], i) => texts.slice(i + 1).filter(([other, b]) => one !== other
        && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => `${one} | ${other}`));
})"""
PAPER: ViewportSize = {"width": 680, "height": 1017}  # pixels between the margins of an A4 page
PRINTED: Final = """() => [...document.querySelectorAll("figure img")].map(each => {
    const sizes = [...atob(each.src.split(",")[1]).matchAll(/font-size="([0-9.]+)px"/g)].map(found => +found[1]);
    return 0.75 * Math.min(...sizes) * each.getBoundingClientRect().height / each.naturalHeight;
})"""
READ: Final = """() => [...document.querySelectorAll("figure")].map(each => each.innerText + " "
    + [...each.querySelectorAll(".drawn svg text")].map(text => text.textContent).join(" "))"""


def outcomes() -> pl.DataFrame:
    """Draw what became of 15 places of each of 40 customers of 30 studios."""
    random = np.random.default_rng(30)
    n = len(STUDIOS) * 40 * 15
    studio, customer = np.divmod(np.arange(n) // 15, 40)
    odds = np.exp(random.normal(0, 0.5, len(STUDIOS)))[studio]
    missed = random.random(n) < 0.1 * odds
    held = np.where(missed, "no_show", np.where(random.random(n) < 0.8, "attended", "unrecorded"))
    first = date(2026, 5, 4)
    day = [first + timedelta(days=int(each)) for each in random.integers(0, 28, n)]
    return pl.DataFrame(
        {
            "studio": np.array(STUDIOS)[studio],
            "customer_id": customer + 1,
            "class_slot_id": np.arange(n),
            "class_id": random.integers(1, 9, n),
            "outcome": np.where(random.random(n) < 0.25, "canceled", held),
            "class_day": day,
        }
    )


def figures() -> Iterator[Figure]:
    rows = outcomes()
    listed = rows.select("studio", "customer_id").unique().with_columns(fetch_outcome=pl.lit("ok"))
    yield Figure(charts.booking_vs_participation(ba.booking_vs_participation(rows, listed, by="studio")))
    yield Figure(charts.no_shows(ba.no_shows(rows, by="studio")))
    yield Figure(charts.compare(ba.compare(rows, "no_show_rate", by="studio", simultaneous=True)))
    yield Figure(charts.no_show_funnel(ba.no_show_funnel(rows, by="studio")))
    yield Figure(charts.outcome_counts(ba.outcome_counts(rows, by="studio")))
    began = pl.col("class_day").cast(pl.Datetime("us", "UTC")).dt.offset_by("16h")
    slots = rows.select("studio", "class_id", "class_slot_id", starts_at=began).with_columns(
        observed_at=pl.col("starts_at").dt.offset_by("9h"),
        max_participants=20,
        booked_participants=pl.col("class_slot_id") % 20,
        additional_participants=0,
    )
    yield Figure(charts.class_fill(ba.class_fill(slots, rows, by="studio", timezone="Europe/Berlin")))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    question = Question("chain", "How do thirty studios compare?", [*figures()])
    path = tmp_path_factory.mktemp("chain") / "chain.html"
    path.write_text(document(question.title, section(question), [question]), "utf-8")
    return path


@pytest.fixture
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Tab]:
    tab = Tab.open(browser, viewport=getattr(request, "param", DESK))
    yield tab
    tab.context.close()


@pytest.mark.parametrize("tab", [DESK, PHONE], indirect=True, ids=["desk", "phone"])
def test_no_letters_are_over_others_and_nothing_is_wider_than_the_screen(tab: Tab, chain: Path) -> None:
    page = show(tab, chain)
    assert page.evaluate(OVER_EACH_OTHER) == []
    assert page.evaluate(WIDER) == []
    assert page.evaluate(SCROLLS) == 0
    assert page.evaluate(LETTERS) >= 8
    assert tab.errors == []


@pytest.mark.parametrize("tab", [DESK, PHONE], indirect=True, ids=["desk", "phone"])
def test_every_name_is_whole(tab: Tab, chain: Path) -> None:
    for each in show(tab, chain).evaluate(READ):
        assert "…" not in each
        if "against chance" not in each:  # which names only what stands out
            assert not [name for name in STUDIOS if name not in each]


def test_on_a_desk_numbers_stand_beside_their_rows(tab: Tab, chain: Path) -> None:
    page = show(tab, chain)
    assert page.locator("figure .beside").count() > 3
    assert not [each for each in page.locator("figure .beside").all() if each.is_visible()]


@pytest.mark.parametrize("tab", [PAPER], indirect=True)
def test_on_paper_letters_can_be_read(tab: Tab, chain: Path) -> None:
    page = show(tab, chain)
    page.emulate_media(media="print")
    assert min(page.evaluate(PRINTED)) >= 6  # points


@pytest.mark.parametrize("n", [3, 30])
def test_many_studios_are_a_funnel_and_few_are_not(n: int) -> None:
    rows = outcomes().filter(pl.col("studio").is_in(STUDIOS[:n]))
    listed = rows.select("studio", "customer_id").unique().with_columns(fetch_outcome=pl.lit("ok"))
    material = Material(
        listed, rows, rows, schema.FETCHES.to_frame(), {}, ["studio"], Period(), Weeks(None, None)
    )  # fmt: skip
    found = next(question for question in questions(material) if question.key == "no-shows")
    titles = [" ".join(part.spec["title"]["text"]) for part in found.parts if isinstance(part, Figure)]
    assert ("No-show rate against chance, by studio" in titles) == (n > 6)
    said = " ".join(part.markdown for part in found.parts if isinstance(part, Words))
    assert ("Studios that stand out from the others by more than chance: " in said) == (n > 6)
