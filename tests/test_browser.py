"""What people see: the notebooks in a real JupyterLab in a real browser, with every address but loopback blocked."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from browsing import LOOPBACK, PROGRAM, SCREENSHOTS, WAIT, Tab, closed_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CLONE: Final = Path(__file__).parent.parent
NOTEBOOKS: Final = sorted(path.name for path in (CLONE / "notebooks").glob("*.ipynb"))
FAILURES: Final = ".jp-OutputArea :is([data-mime-type*=error], [data-mime-type*=stderr])"
VEGA_LITE: Final = "application/vnd.vegalite.v5+json"
WIDTH, WIDE, TALL = 1100, 1600, 9000  # pixels; JupyterLab draws only what is in view

# What runs in the page.
RAN_OR_FAILED: Final = """() => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(each => each.innerText)
        .filter(each => each);  // a cell with its code folded away has none
    const idle = document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]');
    const failed = document.querySelector('.jp-OutputArea [data-mime-type*=error]');
    return idle && (failed || prompts.every(each => /^\\[\\d+\\]:$/.test(each)));
}"""
WATCH_BARS: Final = """() => {
    window.bars = [];
    new MutationObserver(() => {
        for (const bar of document.querySelectorAll('.jp-OutputArea .jupyter-widgets')) window.bars.push(bar.innerText);
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
HEIGHTS_OF_EMPTY_OUTPUTS: Final = """() => [...document.querySelectorAll('.jp-OutputArea-child')]
    .filter(each => !each.innerText.trim() && !each.querySelector('svg, img'))
    .map(each => each.getBoundingClientRect().height)"""
HEIGHT: Final = """() => Math.max(...[...document.querySelectorAll('.jp-NotebookPanel .jp-Cell')]
    .map(each => each.getBoundingClientRect().bottom))"""


@dataclass(frozen=True)
class Lab:
    """A running `bookings-analytics lab`."""

    url: str
    token: str
    folder: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    at = tmp_path_factory.mktemp("lab")
    elsewhere = at / "user/kernels/python3"  # a kernel that must not be taken: that of another environment
    elsewhere.mkdir(parents=True)
    (elsewhere / "kernel.json").write_text(
        '{"argv": ["/nowhere/python"], "display_name": "other", "language": "python"}'
    )
    environment = closed_off(at) | {"JUPYTER_DATA_DIR": str(at / "user")}
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    options = ["--no-browser", "--port", str(port), "--ServerApp.port_retries=0", "--IdentityProvider.token=token"]
    with (
        (at / "log").open("w") as log,
        subprocess.Popen([PROGRAM, "lab", at / "mine", *options], env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            until_it_answers(port, server, at / "log")
            yield Lab(f"http://{LOOPBACK}:{port}", "token", at / "mine")
        finally:
            server.terminate()


def until_it_answers(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + WAIT / 1000
    while server.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@dataclass
class Visit:
    """What was seen of one notebook: opened as stored, all outputs cleared, all cells run, pointed at, saved."""

    stored: list[dict[str, Any]]  # the chart outputs in the file, before and after
    saved: list[dict[str, Any]]
    trusted: bool
    fetches: bool
    drawn_as_stored: int
    drawn: int
    labels: list[str | None]
    failures: list[str]
    bars: list[str]
    empty: list[float]
    tooltips: list[str]
    picked: list[tuple[int, int]]
    popups: list[str]
    tab: Tab


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda name: name.removesuffix(".ipynb"))
def visit(request: pytest.FixtureRequest, browser: Browser, lab: Lab) -> Iterator[Visit]:
    name = request.param.removesuffix(".ipynb")
    path = lab.folder / "notebooks" / request.param
    stored = charts_in(path)
    tab = Tab.open(browser, viewport={"width": WIDTH, "height": TALL})
    page = tab.page
    page.goto(f"{lab.url}/lab/tree/notebooks/{request.param}?reset&token={lab.token}")  # no tabs of an earlier visit
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    drawn = page.locator(".jp-OutputArea .vega-embed svg.marks")
    if stored:
        drawn.nth(len(stored) - 1).wait_for()
    drawn_as_stored = drawn.count()
    given = page.request.get(f"{lab.url}/api/contents/notebooks/{request.param}?token={lab.token}").json()
    tab.screenshot(f"{name}-stored")

    menu(page, "Edit", "Clear Outputs of All Cells")
    drawn.first.wait_for(state="detached")
    page.evaluate(WATCH_BARS)
    menu(page, "Run", "Run All Cells")
    page.wait_for_function(RAN_OR_FAILED)
    failures = page.locator(FAILURES).all_inner_texts()
    if stored and not failures:
        drawn.nth(len(stored) - 1).wait_for()
    seen = Visit(
        stored=stored,
        saved=[],
        trusted=any(cell["metadata"].get("trusted", False) for cell in given["content"]["cells"]),
        fetches=any(call in path.read_text("utf-8") for call in ("fetch_bookings(", "base_url=base_url")),
        drawn_as_stored=drawn_as_stored,
        drawn=drawn.count(),
        labels=[
            each.get_attribute("aria-label") for each in page.locator(".vega-embed [role=graphics-document]").all()
        ],
        failures=failures,
        bars=page.evaluate("() => window.bars"),
        empty=page.evaluate(HEIGHTS_OF_EMPTY_OUTPUTS),
        tooltips=tab.tooltips(),
        picked=tab.picked(),
        popups=page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts(),
        tab=tab,
    )
    with page.expect_response(lambda answer: answer.request.method == "PUT" and request.param in answer.url):
        menu(page, "File", "Save Notebook")
    seen.saved = charts_in(path)
    yield seen
    tab.context.close()


def menu(page: Page, name: str, *entries: str) -> None:
    page.get_by_role("menubar").get_by_text(name, exact=True).click()
    for entry in entries:
        page.get_by_role("menu").get_by_text(entry, exact=True).click()


def charts_in(path: Path) -> list[dict[str, Any]]:
    return [
        output
        for cell in json.loads(path.read_text("utf-8"))["cells"]
        for output in cell.get("outputs", ())
        if VEGA_LITE in output.get("data", {})
    ]


def test_a_notebook_that_nobody_trusts_shows_its_charts_before_anything_ran(visit: Visit) -> None:
    assert not visit.trusted
    assert visit.drawn_as_stored == len(visit.stored)


def test_nothing_asks_about_news(visit: Visit) -> None:
    assert visit.popups == []


def test_running_it_draws_every_chart_again_without_an_error(visit: Visit) -> None:
    assert visit.failures == []
    assert visit.drawn == len(visit.stored)
    assert visit.tab.errors == []


def test_nothing_but_this_machine_was_asked(visit: Visit) -> None:
    assert visit.tab.blocked == []


def test_a_chart_says_its_finding_to_a_screen_reader(visit: Visit) -> None:
    assert visit.labels == [chart["data"][VEGA_LITE]["description"] for chart in visit.stored]


def test_a_fetch_shows_its_progress_and_leaves_no_bar_and_no_gap(visit: Visit) -> None:
    assert visit.fetches == any(re.search(r"\d+/\d+", bar) for bar in visit.bars)
    assert visit.tab.page.locator(".jp-OutputArea .jupyter-widgets").count() == 0
    assert sum(visit.empty) < 10


def test_every_chart_tells_counts_under_the_pointer(visit: Visit) -> None:
    assert len(visit.tooltips) == len(visit.stored)
    assert all(re.search(r"\b\d[\d,]*( |$)", tip, re.MULTILINE) for tip in visit.tooltips), visit.tooltips


def test_a_click_on_a_legend_singles_out_its_outcome(visit: Visit) -> None:
    assert len(visit.picked) == sum('"bind": "legend"' in json.dumps(chart["data"]) for chart in visit.stored)
    assert all(before == 0 < after for before, after in visit.picked)


def test_what_is_saved_is_what_was_stored(visit: Visit) -> None:
    assert [chart["data"][VEGA_LITE] for chart in visit.saved] == [chart["data"][VEGA_LITE] for chart in visit.stored]
    assert [chart["metadata"] for chart in visit.saved] == [chart["metadata"] for chart in visit.stored]


def test_it_is_pictured_narrow_and_wide_light_and_dark(visit: Visit, request: pytest.FixtureRequest) -> None:
    tab, name = visit.tab, request.node.callspec.id
    height = tab.page.evaluate(HEIGHT)
    for theme in ("Dark", "Light"):
        menu(tab.page, "Settings", "Theme", f"JupyterLab {theme}")
        tab.page.locator(f"body[data-jp-theme-name='JupyterLab {theme}']").wait_for(state="attached")
        tab.page.locator("#jupyterlab-splash").wait_for(state="detached")  # else it veils the picture
        for width in (WIDTH, WIDE):
            tab.page.set_viewport_size({"width": width, "height": int(height) + 40})
            tab.page.wait_for_function(f"least => ({HEIGHT})() > least", arg=0.7 * height)  # laid out anew
            tab.screenshot(f"{name}-{theme.lower()}-{width}")
            assert (SCREENSHOTS / f"{name}-{theme.lower()}-{width}.png").stat().st_size > 100_000
