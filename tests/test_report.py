"""`bookings-analytics report`: what it runs and writes, what it refuses, and that the key stays out of it."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

import papermill  # type: ignore[import-untyped]  # it ships no types
import pytest
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli
from bookings_analytics.notebook import bundled as bundle

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("base_url", "studio_name", "cohort_file", "class_file", "archive_path", "since", "by")
PARAMETERS = "\n".join(f"{name} = None" for name in NAMES)
SHOW = f"print([{', '.join(NAMES)}])"
CHART = """import bookings_analytics as ba, polars as pl
ba.notebook.setup()
ba.charts.seats_lost_while_waiting(pl.DataFrame({"class_id": [7], "n_seats": [12], "n_slots": [40]}))"""
KEY = secrets.token_urlsafe(24)


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
    assert "<details><summary>Code</summary>" in words
    assert "<pre>&lt;b&gt;bold&lt;/b&gt;\n</pre>" in words
    assert 'href="01_seats.html"' in index
    assert 'href="02_words.html"' in index
    assert "demo data" in index
    own_words = re.sub(r"<script>.*?</script>", "", seats, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:|index\.html|#)', own_words)


@pytest.fixture
def members(tmp_path: Path) -> str:
    path = tmp_path / "members.csv"
    path.write_text("customer_id\n1\n", "utf-8")
    return str(path)


@pytest.fixture
def _address_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKINGS_BASE_URL", "https://acme.example")
    monkeypatch.setenv("BOOKINGS_API_KEY", KEY)


@pytest.mark.usefixtures("members", "_address_and_key")
def test_every_option_reaches_the_notebooks_and_the_key_stays_in_the_environment(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes.csv").write_text("class_id,title\n", "utf-8")
    write(bundled, "01", PARAMETERS, SHOW, "import os; print(len(os.environ['BOOKINGS_API_KEY']))")
    options = ["--cohorts", "members.csv", "--archive", "kept", "--studio", "mitte", "--since", "2026-05-01"]
    run(tmp_path / "out", *options, "--by", "contract", "--classes", "classes.csv")

    page = (tmp_path / "out/01.html").read_text("utf-8")
    files = [str(tmp_path / name) for name in ("members.csv", "classes.csv", "kept")]
    values = ["https://acme.example", "mitte", *files, "2026-05-01", "contract"]
    assert str(values).replace("'", "&#x27;") in page
    assert "<pre>32\n</pre>" in page
    assert not any(KEY.encode() in path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert "demo" not in (tmp_path / "out/index.html").read_text("utf-8")


def test_an_archive_of_an_object_store_is_left_as_it_is_and_the_demos_titles_are_not_taken_for_ones_own(
    bundled: Path, tmp_path: Path, members: str
) -> None:
    write(bundled, "01", PARAMETERS.replace("class_file = None", "class_file = 'demo.csv'"), SHOW)
    run(tmp_path / "out", "--cohorts", members, "--archive", "s3://bucket/kept")
    assert "None, &#x27;s3://bucket/kept&#x27;, None" in (tmp_path / "out/01.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("where", "pages", "told"),
    [
        (["--archive", "kept"], ["02", "03"], {"00": "it is about the demo's customers", "01": "it needs --studio"}),
        (
            ["--studio", "mitte"],
            ["01", "02"],
            {"00": "it is about the demo's customers", "03": "it needs --archive"},
        ),
    ],
)
@pytest.mark.usefixtures("_address_and_key")
def test_of_ones_own_customers_it_has_what_can_be_read(
    bundled: Path, members: str, where: list[str], pages: list[str], told: dict[str, str]
) -> None:
    out = bundled.parent / "out"
    for name, parameters in {
        "00": "demo_list = 'of the demo'",
        "01": "cohort_file = None\nbase_url = None",
        "02": "cohort_file = None\nbase_url = None\narchive_path = None",
        "03": "cohort_file = None\narchive_path = None",
    }.items():
        write(bundled, name, parameters, "print(1)")
    output = run(out, "--cohorts", members, *where)
    assert sorted(path.stem for path in out.glob("0*.html")) == pages
    for name, why in told.items():
        assert f"{name} was left out: {why}." in output
    assert "index.html: 2 pages" in output


@pytest.mark.usefixtures("_address_and_key")
def test_the_api_is_asked_by_one_notebook_only_and_the_others_read_what_it_kept(bundled: Path, members: str) -> None:
    out = bundled.parent / "out"
    write(bundled, "01", "cohort_file = None\nbase_url = None\nkeep_in = None", "print(keep_in)")
    write(bundled, "02", "cohort_file = None\nbase_url = None\narchive_path = None", "print(archive_path)")
    run(out, "--cohorts", members, "--studio", "mitte")
    first, second = (
        re.findall(r"<pre>(.*)\n</pre>", (out / f"{name}.html").read_text("utf-8")) for name in ("01", "02")
    )
    assert first == second
    assert first != ["None"]
    run(out, "--cohorts", members, "--studio", "mitte", "--archive", "s3://bucket/kept")
    assert "<pre>None\n" in (out / "01.html").read_text("utf-8"), "an archive of one's own is read only"
    assert "<pre>s3://bucket/kept\n" in (out / "02.html").read_text("utf-8")


@pytest.mark.parametrize("option", ["--archive", "--studio", "--classes"])
def test_where_to_read_without_whom_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(
        ba.ConfigurationError, match=f"{option} is about customers of your own. Name them with --cohorts"
    ):
        run(tmp_path / "out", option, "anything")
    assert not (tmp_path / "out").exists()


def test_whom_without_where_to_read_is_refused(tmp_path: Path, members: str) -> None:
    with pytest.raises(ba.ConfigurationError, match="Say where: --archive or --studio"):
        run(tmp_path / "out", "--cohorts", members)


@pytest.mark.usefixtures("_address_and_key")
def test_a_first_day_without_an_archive_is_refused(tmp_path: Path, members: str) -> None:
    with pytest.raises(ba.ConfigurationError, match="--since looks at a part of an archive"):
        run(tmp_path / "out", "--cohorts", members, "--studio", "mitte", "--since", "2026-05-01")


def test_the_bundled_notebooks_take_every_option() -> None:
    taken = [set(papermill.inspect_notebook(path)) for path in bundle.notebooks(bundle.bundled())]
    own = [names for names in taken if "cohort_file" in names]
    assert len(own) == len(taken) - 1, "all but 00"
    assert all("by" in names and names & {"base_url", "archive_path"} for names in own)
    options = {"base_url", "studio_name", "cohort_file", "class_file", "archive_path", "since", "by"}
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
