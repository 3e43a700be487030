"""A report as people see it: on a screen, on a phone, on paper, in a mail; opened from disk with the network closed."""

from __future__ import annotations

import importlib.resources
import io
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pypdfium2
import pytest
from browsing import PROGRAM, SCREENSHOTS, Tab, closed_off

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, ViewportSize

PAGES: Final = ["index", "booking", "no-shows", "late-cancels", "waiting-list", "weekdays", "trend", "data"]
DESK: ViewportSize = {"width": 1100, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
TOP, HEIGHT = 14 / 297, 1 - 28 / 297  # of an A4 page: its upper margin, and what is between both

WIDER: Final = """() => [document.documentElement.scrollWidth > innerWidth ? "the page" : "", ...[
    ...document.querySelectorAll("body *")].filter(each => each.getBoundingClientRect().width
    && !each.closest("thead") && each.getBoundingClientRect().right > innerWidth + 0.5)
    .map(each => each.outerHTML.slice(0, 80))].filter(each => each)"""
SCROLLS: Final = """() => [...document.querySelectorAll("body, body *")].filter(each =>
    ["auto", "scroll"].includes(getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth).length"""
LETTERS: Final = """() => Math.min(...[...document.querySelectorAll(".drawn svg text")]
    .filter(each => each.textContent.trim()).map(each =>
    parseFloat(getComputedStyle(each).fontSize) * Math.hypot(each.getScreenCTM().a, each.getScreenCTM().b)))"""
BESIDE_EACH_OTHER: Final = """() => [...document.querySelectorAll("figure")].map(each => [each.querySelector("img"),
    each.querySelector(".drawn")].filter(part => part?.checkVisibility()).length)"""
MARKS_SAY: Final = """() => [...document.querySelectorAll(".drawn svg [aria-label]")]
    .map(each => each.getAttribute("aria-label"))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's report."""
    at = tmp_path_factory.mktemp("report")
    subprocess.run([PROGRAM, "report", at / "pages"], env=closed_off(at), check=True, capture_output=True)
    return at / "pages"


@pytest.fixture
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Tab]:
    tab = Tab.open(browser, viewport=getattr(request, "param", DESK))
    yield tab
    tab.context.close()


def show(tab: Tab, path: Path) -> Page:
    """Open a page and wait until each chart is drawn."""
    tab.page.goto(path.as_uri())
    n = tab.page.locator("figure").count()
    tab.page.wait_for_function("n => document.querySelectorAll('figure.live').length === n", arg=n)
    return tab.page


def serious_violations(page: Page) -> list[str]:
    axe = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    page.evaluate(axe)
    found = page.evaluate("() => axe.run()")
    assert found["passes"]
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:300]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_its_charts_is_open_to_everyone_and_asks_nobody(tab: Tab, report: Path, name: str) -> None:
    page = show(tab, report / f"{name}.html")
    pictures = [each.get_attribute("alt") for each in page.locator("figure img").all()]
    drawn = [each.get_attribute("aria-label") for each in page.locator("figure [role=graphics-document]").all()]
    assert drawn == pictures
    assert serious_violations(page) == []
    assert page.evaluate(WIDER) == []
    if name != "index":  # whose charts are those of the other pages
        assert len(tab.tooltips()) == len(drawn)
        assert all(before == 0 < after for before, after in tab.picked())
    assert (tab.errors, tab.blocked) == ([], [])
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-{name}.png", full_page=True)


@pytest.mark.parametrize("tab", [PHONE], indirect=True)
@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_nothing_is_wider_than_it_and_letters_stay_readable(tab: Tab, report: Path, name: str) -> None:
    page = show(tab, report / f"{name}.html")
    assert page.evaluate(WIDER) == []
    assert page.evaluate(SCROLLS) == 0
    if page.locator("figure").count():
        assert page.evaluate(LETTERS) >= 8
    assert serious_violations(page) == []
    assert tab.errors == []
    page.screenshot(path=SCREENSHOTS / f"report-{name}-phone.png", full_page=True)


@pytest.mark.parametrize("tab", [PHONE], indirect=True)
def test_on_a_phone_every_number_that_stands_beside_a_chart_stands_under_it(tab: Tab, report: Path) -> None:
    page = show(tab, report / "no-shows.html")
    figure = page.locator("figure").first
    rows = [each.inner_text().split() for each in figure.locator(".beside tbody tr").all()]
    assert all(each.is_visible() for each in figure.locator(".beside td.number").all())
    assert {row[-3][-1] for row in rows} == {"%"}
    assert {int(row[-2].replace(",", "")) > 0 for row in rows} == {True}
    table = page.locator("table.many").first
    cells = table.locator("tbody tr").first.locator("td").all()
    boxes = [cell.bounding_box() for cell in cells]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops), "the numbers of a group stand under each other"
    assert all(cell.get_attribute("data-label") for cell in cells)
    assert page.locator("table.many thead").first.bounding_box() is not None, "a screen reader still finds the headings"


@pytest.mark.parametrize("tab", [PHONE, DESK], indirect=True, ids=["phone", "desk"])
def test_a_chart_is_drawn_anew_when_the_width_changes(tab: Tab, report: Path) -> None:
    page = show(tab, report / "booking.html")
    narrow = tab.page.viewport_size == PHONE
    width = "() => document.querySelector('.drawn svg').getBoundingClientRect().width"
    before = page.evaluate(width)
    page.set_viewport_size(DESK if narrow else PHONE)
    page.wait_for_function(f"before => Math.abs(({width})() - before) > 50", arg=before)
    assert (page.evaluate(width) > before) == narrow
    assert page.locator("figure .beside").first.is_visible() != narrow


def test_live_drawings_and_their_pictures_are_never_both_there(tab: Tab, report: Path) -> None:
    page = show(tab, report / "index.html")
    assert set(page.evaluate(BESIDE_EACH_OTHER)) == {1}
    assert not page.locator("figure img").first.is_visible()
    page.emulate_media(media="print")
    assert set(page.evaluate(BESIDE_EACH_OTHER)) == {1}
    assert page.locator("figure img").first.is_visible()


def test_marks_are_no_field_names_and_no_decimals_to_a_screen_reader(tab: Tab, report: Path) -> None:
    page = show(tab, report / "index.html")
    said: list[str] = page.evaluate(MARKS_SAY)
    assert not [text for text in said if re.search(r"\w_\w|\d\.\d{3}", text)]


@pytest.mark.parametrize("name", PAGES)
def test_on_paper_pages_are_full(tab: Tab, report: Path, name: str) -> None:
    page = show(tab, report / f"{name}.html")
    pdf = page.pdf(format="A4", prefer_css_page_size=True, print_background=True)
    (SCREENSHOTS / f"report-{name}.pdf").write_bytes(pdf)
    ends = list(ends_of_pages(pdf))
    assert all(end >= 1 / 3 for end in ends[:-1]), ends
    assert sum(end < 0.6 for end in ends[:-1]) <= len(ends) / 5, ends


def ends_of_pages(pdf: bytes) -> Iterator[float]:
    """Measure how far down each page is printed, as a share of what is between its margins."""
    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as document:
        for page in document:
            pixels: Any = page.render(scale=1, grayscale=True).to_numpy()
            printed = (pixels.reshape(pixels.shape[0], -1) < 200).any(axis=1).nonzero()[0]
            yield (printed.max() / len(pixels) - TOP) / HEIGHT


def test_on_paper_a_heading_stays_with_what_it_heads(tab: Tab, report: Path) -> None:
    page = show(tab, report / "index.html")
    headings = {each.inner_text().strip() for each in page.locator("h2, h3").all()}
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as document:
        lasts = [each.get_textpage().get_text_range().strip().splitlines()[-1].strip() for each in document]
    assert not headings & set(lasts)


def test_without_scripts_as_in_a_mail_it_shows_pictures_with_the_same_words(browser: Browser, report: Path) -> None:
    tab = Tab.open(browser, java_script_enabled=False, viewport=DESK)
    tab.page.goto((report / "index.html").as_uri())
    pictures = tab.page.locator("figure img").all()
    assert len(pictures) > 10
    assert all(each.is_visible() and (each.get_attribute("alt") or "").count(" ") > 5 for each in pictures)
    assert tab.blocked == []
    tab.context.close()
