from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
import stamina
from hypothesis import HealthCheck, settings

from bookings_analytics import demo
from bookings_analytics.fetch.retry import MAX_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# Where the environment forbids it, each of a hundred processes would compile all libraries anew.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False

# The same examples in every run, on however busy a machine.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


# Left out of the fast loop, `pytest -m "not slow"`, beside what hypothesis tries and what DuckDB computes again.
SLOW = (
    "notebooks/",
    "tests/faults/",
    *(
        f"tests/test_{name}"
        for name in (
            *("browser", "chain", "lab.py", "notebook.py", "report", "scheduled_fetch", "spark"),  # other processes
            *("archive", "class_tables", "erasure", "export", "nights"),  # files, and what is written into them
            *("client", "demo_", "fetch", "lanes", "rate_limit", "secrecy", "with_classes"),  # servers and connections
            *("charts", "every_rate", "titles"),  # every chart or rate, in every way
            *("comparisons", "coverage", "dated", "fill", "intervals", "trend", "truth"),  # simulations
        )
    ),
    "tests/test_cancellations.py::test_the_",
    "tests/test_cancellations.py::test_groups_are_compared",
    "tests/test_chances.py::test_the_chance_is_the_truth",
    "tests/test_class_days.py::test_no_day_is_wrong",
    "tests/test_findings.py::TestLoad",
    "tests/test_outcomes.py::test_the_oracle",
    "tests/test_outcomes.py::test_whole_snapshots",
    "tests/test_rates.py::test_every_",
    "tests/test_waitlist.py::test_the_oracle",
)


class FramesAsBefore:
    """Undoes after every test, the package's examples included, how a notebook wants frames shown."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        with pl.Config():
            return (yield)


def pytest_xdist_auto_num_workers() -> int:
    """One more worker than processors: tests of browsers, kernels and other processes wait a third of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FramesAsBefore())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tried = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if tried or item.nodeid.startswith(SLOW) or "DuckDB" in item.nodeid:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _no_waits_between_attempts() -> Iterator[None]:
    with stamina.set_testing(True, attempts=MAX_ATTEMPTS, cap=True):
        yield


@pytest.fixture
def studio() -> Iterator[demo.DemoStudio]:
    with demo.serve(limit=None) as studio:
        yield studio


@pytest.fixture(scope="module")
def members() -> pl.DataFrame:
    """List nine customers of the demo studio whose bookings can be read."""
    with demo.serve(limit=None) as studio:
        people = studio.world.people
        return studio.cohorts.filter(
            pl.col("customer_id").is_in([c for c in people if people[c].access == "open"])
        ).head(9)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - few tests need it

    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "Chromium is not there to look at the notebooks with: on Debian, apt-get install chromium gets it."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    options = [
        *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()
