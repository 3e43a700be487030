"""`bookings-analytics report`: what it runs and writes, what it refuses, and that the key stays out of it."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import papermill  # type: ignore[import-untyped]  # it ships no types
import polars as pl
import pytest
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli, schema
from bookings_analytics.notebook import bundled as bundle
from bookings_analytics.results import FetchResult

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "base_url",
    "studio_name",
    "cohort_file",
    "class_file",
    "archive_path",
    "timezone",
    "opens",
    "since",
    "until",
    "by",
)
PARAMETERS = "\n".join(f"{name} = None" for name in NAMES)
SHOW = f"print([{', '.join(NAMES)}])"
CHART = """import bookings_analytics as ba, polars as pl
ba.notebook.setup()
ba.charts.seats_lost_while_waiting(pl.DataFrame({"class_id": [7], "n_seats": [12], "n_slots": [40]}))"""
KEY = secrets.token_urlsafe(24)
BERLIN = ["--timezone", "Europe/Berlin"]


def write(folder: Path, name: str, *code: str) -> None:
    cells = [{"cell_type": "markdown", "metadata": {}, "id": "head", "source": f"# About {name} </title>"}]
    for i, source in enumerate(code):
        made: dict[str, Any] = {"execution_count": None, "outputs": [], "metadata": {}, "id": f"cell-{i}"}
        cells.append({"cell_type": "code", "source": source, **made})
    cells[1]["metadata"] = {"tags": ["parameters"]}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook), "utf-8")


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the folder that the notebooks come from."""
    folder = tmp_path / "bundled"
    (folder / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(bundle, "bundled", lambda: folder)
    return folder


def run(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(cli.app, ["report", str(folder), *options], catch_exceptions=False)
    return done.output


def test_each_notebook_becomes_a_page_with_folded_code_and_pictures_and_an_index_lists_them(
    bundled: Path, tmp_path: Path
) -> None:
    write(bundled, "01_seats", PARAMETERS, CHART)
    write(bundled, "02_words", PARAMETERS, "print('<b>bold</b>')")
    told = run(tmp_path / "out")

    seats, words, index = [(tmp_path / "out" / name).read_text("utf-8") for name in
                           ("01_seats.html", "02_words.html", "index.html")]  # fmt: skip
    assert re.search(r"01_seats\.html\n.*02_words\.html\n.*index\.html: 2 pages\n", told, re.DOTALL)
    assert "<title>About 01_seats &lt;/title&gt;</title>" in seats
    assert re.search(r'<img src="data:image/png;base64,[\w+/=\n]+" alt="Seats that stayed empty[^"]* 12 in 40', seats)
    picture = (tmp_path / "out/01_seats-1.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert re.search(rb"Description\0{5}Seats that stayed empty[^\0]* 12 in 40", picture)
    assert "<details><summary>Code of this page</summary>" in words
    assert "<pre>&lt;b&gt;bold&lt;/b&gt;\n</pre>" in words
    assert 'href="01_seats.html"' in index
    assert 'href="02_words.html"' in index
    assert "demo data" in index
    own_words = re.sub(r"<script>.*?</script>", "", seats, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:|index\.html|#)', own_words)


@pytest.fixture
def members(tmp_path: Path) -> str:
    path = tmp_path / "members.csv"
    path.write_text("customer_id,contract\n1,plus\n", "utf-8")
    return str(path)


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """An archive of one fetch, of customer 1 on 20 May 2026, who has a booking of class 7."""
    ids = {"studio": "mitte", "customer_id": 1}
    booking = ids | {"class_slot_id": 70, "class_id": 7, "booking_id": 700, "booking_status": "BOOKED"}
    slot = {"class_slot_status": "COMPLETED", "participant_status": "PARTICIPATING", "visible": True}
    fetch = {"outcome": "ok", "n_bookings": 1, "http_status": 200, "attempts": 1}
    empty = {"error_code": None, "message": None, "trace_id": None}
    when = datetime(2026, 5, 20, 2, tzinfo=UTC)
    bookings = pl.DataFrame([booking | slot | {"observed_at": when}], schema=schema.BOOKINGS)
    fetches = pl.DataFrame([ids | fetch | empty | {"fetched_at": when}], schema=schema.FETCHES)
    archive = tmp_path / "kept"
    ba.Archive(archive).add(FetchResult(bookings, fetches, pl.DataFrame(schema=schema.RESULT_COHORTS)))
    return str(archive)


@pytest.fixture
def _address_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKINGS_BASE_URL", "https://acme.example")
    monkeypatch.setenv("BOOKINGS_API_KEY", KEY)


@pytest.mark.usefixtures("members", "kept", "_address_and_key")
def test_every_option_reaches_the_notebooks_and_the_key_stays_in_the_environment(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes.csv").write_text("class_id,title\n7,Yoga\n", "utf-8")
    write(bundled, "01", PARAMETERS, SHOW, "import os; print(len(os.environ['BOOKINGS_API_KEY']))")
    options = ["--cohorts", "members.csv", "--archive", "kept", "--studio", "mitte", "--since", "2026-05-01"]
    options += ["--until", "2026-05-31", "--opens", "06:30", "--timezone", "Europe/Berlin"]
    run(tmp_path / "out", *options, "--by", "contract", "--classes", "classes.csv")

    page = (tmp_path / "out/01.html").read_text("utf-8")
    files = [str(tmp_path / name) for name in ("members.csv", "classes.csv", "kept")]
    values = ["https://acme.example", "mitte", *files, "Europe/Berlin", "06:30", "2026-05-01", "2026-05-31", "contract"]
    assert str(values).replace("'", "&#x27;") in page
    assert "<pre>32\n</pre>" in page
    assert not any(KEY.encode() in path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert "demo" not in (tmp_path / "out/index.html").read_text("utf-8")


def test_an_archive_of_an_object_store_is_left_as_it_is_and_the_demos_titles_are_not_taken_for_ones_own(
    bundled: Path, tmp_path: Path, members: str, kept: str
) -> None:
    write(bundled, "01", PARAMETERS.replace("class_file = None", "class_file = 'demo.csv'"), SHOW)
    run(tmp_path / "out", "--cohorts", members, "--archive", f"file://{kept}", *BERLIN)
    assert f"None, &#x27;file://{kept}&#x27;, &#x27;Europe/Berlin&#x27;" in (tmp_path / "out/01.html").read_text(
        "utf-8"
    )


@pytest.mark.parametrize(
    ("where", "pages", "told"),
    [
        (
            ["--archive", "kept", *BERLIN],
            ["02", "03"],
            {"00": "it is about the demo's customers", "01": "it needs --studio"},
        ),
        (
            ["--studio", "mitte"],
            ["01", "02"],
            {"00": "it is about the demo's customers", "03": "it needs --archive"},
        ),
    ],
)
@pytest.mark.usefixtures("_address_and_key", "members", "kept")
def test_of_ones_own_customers_it_has_what_can_be_read(
    bundled: Path, monkeypatch: pytest.MonkeyPatch, where: list[str], pages: list[str], told: dict[str, str]
) -> None:
    monkeypatch.chdir(bundled.parent)
    out = bundled.parent / "out"
    for name, parameters in {
        "00": "demo_list = 'of the demo'",
        "01": "cohort_file = None\nbase_url = None",
        "02": "cohort_file = None\nbase_url = None\narchive_path = None",
        "03": "cohort_file = None\narchive_path = None",
    }.items():
        write(bundled, name, parameters, "print(1)")
    output = run(out, "--cohorts", "members.csv", *where)
    assert sorted(path.stem for path in out.glob("0*.html")) == pages
    for name, why in told.items():
        assert f"{name} was left out: {why}." in output
    assert "index.html: 2 pages" in output


@pytest.mark.usefixtures("_address_and_key")
def test_the_api_is_asked_by_one_notebook_only_and_the_others_read_what_it_kept(
    bundled: Path, members: str, kept: str
) -> None:
    out = bundled.parent / "out"
    write(bundled, "01", "cohort_file = None\nbase_url = None\nkeep_in = None", "print(keep_in)")
    write(bundled, "02", "cohort_file = None\nbase_url = None\narchive_path = None", "print(archive_path)")
    run(out, "--cohorts", members, "--studio", "mitte")
    first, second = (
        re.findall(r"<pre>(.*)\n</pre>", (out / f"{name}.html").read_text("utf-8")) for name in ("01", "02")
    )
    assert first == second
    assert first != ["None"]
    run(out, "--cohorts", members, "--studio", "mitte", "--archive", kept, *BERLIN)
    assert "<pre>None\n" in (out / "01.html").read_text("utf-8"), "an archive of one's own is read only"
    assert f"<pre>{kept}\n" in (out / "02.html").read_text("utf-8")


@pytest.mark.parametrize("option", ["--archive", "--studio", "--classes", "--since", "--until"])
def test_where_to_read_without_whom_is_refused(tmp_path: Path, option: str) -> None:
    value = "2026-05-01" if option in {"--since", "--until"} else "anything"
    with pytest.raises(
        ba.ConfigurationError, match=f"{option} goes with a list of your own customers. Name it with --cohorts"
    ):
        run(tmp_path / "out", option, value)
    assert not (tmp_path / "out").exists()


def test_whom_without_where_to_read_is_refused(tmp_path: Path, members: str) -> None:
    with pytest.raises(ba.ConfigurationError, match="Add --archive or --studio"):
        run(tmp_path / "out", "--cohorts", members)


@pytest.mark.usefixtures("_address_and_key")
def test_a_first_day_without_an_archive_is_refused(tmp_path: Path, members: str) -> None:
    with pytest.raises(ba.ConfigurationError, match="--since limits what is read from an archive"):
        run(tmp_path / "out", "--cohorts", members, "--studio", "mitte", "--since", "2026-05-01")


def test_the_bundled_notebooks_take_every_option() -> None:
    taken = [set(papermill.inspect_notebook(path)) for path in bundle.notebooks(bundle.bundled())]
    own = [names for names in taken if "cohort_file" in names]
    assert len(own) == len(taken) - 1, "all but 00"
    assert all("by" in names and names & {"base_url", "archive_path"} for names in own)
    options = {
        "base_url",
        "studio_name",
        "cohort_file",
        "class_file",
        "archive_path",
        "timezone",
        "opens",
        "since",
        "by",
    }
    assert options <= set().union(*own)


def test_a_link_to_a_notebook_leads_to_its_page(bundled: Path, tmp_path: Path) -> None:
    write(bundled, "01", PARAMETERS, "from IPython.display import Markdown\nMarkdown('[next](02_more.ipynb)')")
    run(tmp_path / "out")
    assert '<a href="02_more.html">next</a>' in (tmp_path / "out/01.html").read_text("utf-8")


def test_a_page_that_would_show_the_key_is_not_written(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKINGS_API_KEY", KEY)
    write(bundled, "01", PARAMETERS, "import os; print(os.environ['BOOKINGS_API_KEY'])")
    with pytest.raises(ba.ReportError, match="01 shows the API key") as raised:
        run(tmp_path / "out")
    assert KEY not in str(raised.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cell_that_fails_is_named_and_the_pages_before_it_are_kept(bundled: Path, tmp_path: Path) -> None:
    write(bundled, "01_fine", PARAMETERS, "print(1)")
    write(bundled, "02_broken", PARAMETERS, "print(1)", "1 / 0")
    with pytest.raises(
        ba.ReportError, match=r"02_broken, cell \[3\], stopped with ZeroDivisionError: division by zero"
    ):
        run(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01_fine.html", "index.html"]
    assert "02_broken" not in (tmp_path / "out/index.html").read_text("utf-8")


def test_a_cohort_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ba.ConfigurationError, match=r"none\.csv is not a file"):
        run(tmp_path / "out", "--cohorts", str(tmp_path / "none.csv"))


def test_a_studio_without_address_and_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: str
) -> None:
    monkeypatch.delenv("BOOKINGS_BASE_URL", raising=False)
    monkeypatch.delenv("BOOKINGS_API_KEY", raising=False)
    with pytest.raises(ba.ConfigurationError, match="BOOKINGS_BASE_URL and BOOKINGS_API_KEY in the environment"):
        run(tmp_path / "out", "--cohorts", members, "--studio", "mitte")


class TestNothingToReportOn:
    """Refused before any notebook runs, in the terms of the command line; nothing is written."""

    @pytest.fixture(autouse=True)
    def _a_notebook(self, bundled: Path) -> None:
        write(bundled, "01", PARAMETERS, "1 / 0")

    def refused(self, folder: Path, *options: str) -> str:
        with pytest.raises(ba.ConfigurationError) as raised:
            run(folder / "out", *options, *BERLIN)
        assert not (folder / "out").exists()
        return str(raised.value)

    def test_an_archive_that_is_not_there(self, tmp_path: Path, members: str) -> None:
        message = self.refused(tmp_path, "--cohorts", members, "--archive", str(tmp_path / "typo"))
        assert "typo: there is no archive. Check the path" in message
        assert not (tmp_path / "typo").exists()

    def test_an_archive_that_everybody_was_removed_from(self, tmp_path: Path, members: str, kept: str) -> None:
        ba.Archive(kept).forget([1])
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept)
        assert "the archive is empty. Fill it first" in message

    def test_an_archive_of_other_customers(self, tmp_path: Path, kept: str) -> None:
        (tmp_path / "others.csv").write_text("customer_id\n2\n", "utf-8")
        message = self.refused(tmp_path, "--cohorts", str(tmp_path / "others.csv"), "--archive", kept)
        assert "no successful fetch of any customer on the list" in message

    def test_an_archive_that_ends_before_the_first_day(self, tmp_path: Path, members: str, kept: str) -> None:
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, "--since", "2030-01-01")
        assert message.startswith("--since 2030-01-01: the archive's last fetch is of 2026-05-20.")

    def test_an_archive_that_begins_after_the_last_day(self, tmp_path: Path, members: str, kept: str) -> None:
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, "--until", "2026-05-05")
        assert message.startswith("--until 2026-05-05: the archive's first fetch is of 2026-05-20")

    def test_a_period_that_ends_before_it_begins(self, tmp_path: Path, members: str, kept: str) -> None:
        period = ["--since", "2026-05-12", "--until", "2026-05-11"]
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, *period)
        assert message == "--until 2026-05-11 is before --since 2026-05-12. Swap them."

    def test_an_archive_without_the_studios_time_zone(self, tmp_path: Path, members: str, kept: str) -> None:
        with pytest.raises(ba.ConfigurationError, match=r"read by class days, in the studio's time\. Add --timezone"):
            run(tmp_path / "out", "--cohorts", members, "--archive", kept)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path, members: str, kept: str) -> None:
        (tmp_path / "taken").touch()
        with pytest.raises(ba.ConfigurationError, match=r"taken can't be created: File exists\. Name another folder\."):
            run(tmp_path / "taken", "--cohorts", members, "--archive", kept, "--timezone", "Europe/Berlin")

    def test_a_column_that_the_list_has_not(self, tmp_path: Path, members: str, kept: str) -> None:
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, "--by", "tariff")
        assert message == f"--by tariff: {members} has no such column. Choose one of cohort, studio, contract."

    def test_titles_of_other_classes(self, tmp_path: Path, members: str, kept: str) -> None:
        (tmp_path / "titles.csv").write_text("class_id,title\n8,Yoga\n", "utf-8")
        titles = str(tmp_path / "titles.csv")
        message = self.refused(tmp_path, "--cohorts", members, "--archive", kept, "--classes", titles)
        assert "none of its 1 class ids is in the archive, which has 7 and so on" in message


HOSTILE = "</script><img src=x onerror=alert(1)> A*B [x](javascript:alert(1)) <!--<script>"
NAMES_SHOWN = f"""import bookings_analytics as ba, polars as pl
name = {HOSTILE!r}
ba.notebook.setup()
outcomes = pl.DataFrame({{"studio": name, "customer_id": [1, 2], "class_id": 7, "outcome": ["attended", "no_show"]}})
cohorts = pl.DataFrame({{"customer_id": [1, 2], "cohort": [name, "b"]}})
rates = ba.no_shows(outcomes, cohorts, by="cohort")"""


class Elements(HTMLParser):
    """The elements of a page, with their attributes; what a script element holds is text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_name_of_a_list_is_shown_as_it_is_and_runs_as_nothing(bundled: Path, tmp_path: Path) -> None:
    shown = ["ba.notebook.findings(rates)", "ba.notebook.table(rates, names={7: name})", "cohorts", "print(name)"]
    raw = "from IPython.display import Markdown\nMarkdown(name)"  # of an analyst's own cell
    write(bundled, "01", PARAMETERS, NAMES_SHOWN, *shown, "ba.charts.no_shows(rates)", raw)
    run(tmp_path / "out")

    for file in ("01.html", "index.html"):
        page = Elements((tmp_path / "out" / file).read_text("utf-8"))
        assert not [attributes for _, attributes in page.found if any(name.startswith("on") for name in attributes)]
        assert not [a for tag, a in page.found if tag == "img" and not (a["src"] or "").startswith("data:image/png")]
        links = {attributes.get("href") for tag, attributes in page.found if tag == "a"}
        assert links <= {"index.html", "01.html", "#harmful-link"}
        assert "<img src=x onerror=alert(1)> A*B [x](javascript:alert(1))" in page.text
    page = Elements((tmp_path / "out/01.html").read_text("utf-8"))
    assert [a for tag, a in page.found if tag == "script"] == [{"type": "application/json"}, {}, {}]


def test_the_first_page_has_the_answer_of_each_page(bundled: Path, tmp_path: Path) -> None:
    answer = "from IPython.display import Markdown\nMarkdown('**9% of the seats** were no-shows.\\n\\n- More.')"
    write(bundled, "01", PARAMETERS, answer)
    run(tmp_path / "out")
    index = (tmp_path / "out/index.html").read_text("utf-8")
    assert re.search(r"<h2><a href=\"01.html\">.*</h2>\n<p><strong>9% of the seats</strong> were no-shows.</p>", index)
    assert "More" not in index
