"""A browser that reaches this machine alone, for tests of what people see."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

CLONE: Final = Path(__file__).parent.parent
SCREENSHOTS: Final = CLONE / ".screenshots"  # to be looked at; git ignores them
PROGRAM: Final = Path(sys.executable).parent / "bookings-analytics"
LOOPBACK: Final = "127.0.0.1"
SMALLER_SIDE: Final = "each => Math.min(...Object.values(each.getBoundingClientRect().toJSON()).slice(2, 4))"
WAIT: Final = 60_000  # milliseconds, at most: a machine may be busy


@dataclass
class Tab:
    """A page of the browser that reaches loopback only, with all that it complained about."""

    page: Page
    context: BrowserContext
    blocked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, **options: Any) -> Tab:
        context = browser.new_context(**options)
        tab = cls(context.new_page(), context)
        context.route("**/*", tab._let_through)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.page.on("console", lambda said: tab.errors.append(said.text) if said.type in ("error", "warning") else None)
        tab.page.set_default_timeout(WAIT)
        return tab

    def _let_through(self, route: Route) -> None:
        asked = urlsplit(route.request.url)
        if asked.hostname == LOOPBACK or asked.scheme in ("file", "data"):
            route.continue_()
        else:
            self.blocked.append(route.request.url)
            route.abort()

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def tooltips(self) -> list[str]:
        """Point at a mark of every chart, and read what it tells; scrolling in between hides the one before."""
        told = []
        for chart in self.page.locator(".vega-embed svg.marks").all():
            marks = chart.locator(".role-mark:is(.mark-symbol, .mark-rect) path:not([d=''])").all()
            mark = max(marks, key=lambda each: each.evaluate(SMALLER_SIDE))
            mark.hover(force=True)
            tip = self.page.locator("#vg-tooltip-element.visible")
            tip.wait_for()
            told.append(tip.inner_text())
            self.page.mouse.move(1, 1)
            tip.wait_for(state="hidden")
        return told

    def picked(self) -> list[tuple[int, int]]:
        """Click at the first entry of every legend, and count the faint marks of its chart before and after."""
        counts = []
        for chart in self.page.locator(".vega-embed svg.marks:has(.role-legend)").all():
            faint = chart.locator(".role-mark path[opacity='0.15']")
            before = faint.count()
            chart.locator(".role-legend-symbol path").first.click(force=True)
            faint.first.wait_for(state="attached")
            counts.append((before, faint.count()))
            chart.dblclick(position={"x": 2, "y": 2}, force=True)  # takes it back
            faint.first.wait_for(state="detached")
        return counts


def closed_off(home: Path) -> dict[str, str]:
    """Give an environment without the user's own settings, in which only loopback can be reached."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "BOOKINGS"))}
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), f"http://{LOOPBACK}:9")
    return own | nowhere | {"NO_PROXY": LOOPBACK, "HOME": str(home)}
