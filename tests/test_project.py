"""What holds for the project as a whole: the direction of imports, the public names, the notebooks, the README."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import re
import subprocess
import sys
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli, errors, schema
from bookings_analytics.cli.endings import Exit
from bookings_analytics.metrics.measured import MEASURING

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bookings_analytics"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text("utf-8")

# Each floor may import those before it, for types included: the way the data flows.
FLOORS = [
    {"schema", "wording"},
    {"results"},
    {"errors"},
    {"charts"},
    {"cohorts", "studios", "metrics"},
    {"fetch", "archive", "demo"},
    {"notebook"},
    {"report"},
    {"cli", "__init__", "__main__"},
]
APART = {"fetch", "archive", "demo"}  # on one floor, and none of them knows the others
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(source: str) -> set[str]:
    """List the package's rooms that a file imports, when it runs or for types."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bookings_analytics"):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if alias.name.startswith("bookings_analytics")]
        else:
            continue
        rooms = {module.partition(".")[2].partition(".")[0] for module in modules}
        found |= {room if room in FLOOR else "__init__" for room in rooms}  # a public name comes from the package
    return found


def wrong_imports(room: str, source: str) -> set[str]:
    others = imports(source) - {room}
    return {other for other in others if FLOOR[other] > FLOOR[room] or {room, other} <= APART}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert not wrong_imports(room, path.read_text("utf-8"))


def test_an_arrow_turned_round_is_found() -> None:
    for_types = "if TYPE_CHECKING:\n    from bookings_analytics.archive import Archive"
    assert wrong_imports("metrics", for_types) == {"archive"}
    assert wrong_imports("fetch", for_types) == {"archive"}
    assert wrong_imports("cli", for_types) == set()
    assert wrong_imports("report", "import bookings_analytics as ba") == {"__init__"}
    assert wrong_imports("metrics", "from bookings_analytics import Archive, schema") == {"__init__"}
    assert wrong_imports("cli", "from bookings_analytics import Archive, schema") == set()


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """On one floor, too: whoever reads a room need not know one that knows it."""
    knows: dict[str, set[str]] = {room: set() for room in FLOOR}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in FLOOR:
            knows[room] |= imports(path.read_text("utf-8")) - {room}
    assert tuple(TopologicalSorter(knows).static_order())  # raises CycleError, which names the rooms


def test_the_public_names_are_listed_sorted_and_complete() -> None:
    assert list(ba.__all__) == sorted(ba.__all__)
    assert len(set(ba.__all__)) == len(ba.__all__)
    for name in ba.__all__:
        assert getattr(ba, name) is not None
    imported = {
        alias.asname or alias.name
        for node in ast.parse((PACKAGE / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bookings_analytics")
        for alias in node.names
    }
    assert imported <= set(ba.__all__)


@pytest.mark.parametrize(
    ("use", "needed"),
    [("", set()), ("Studio", {"httpx"}), ("Archive", {"deltalake"}), ("charts", {"altair"})],
)
def test_what_is_slow_to_import_is_loaded_when_it_is_used(use: str, needed: set[str]) -> None:
    heavy = {
        *("IPython", "aiohttp", "altair", "deltalake", "great_tables", "httpx", "ipywidgets", "msgspec", "nbconvert"),
        *(
            "numpy",
            "pandas",
            "papermill",
            "pyarrow",
            "starlette",
            "tqdm",
            "typer",
            "uvicorn",
            "vl_convert",
            "xlsxwriter",
        ),
    }
    program = f"import sys, bookings_analytics as ba; {f'ba.{use}' if use else None}; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split()) & heavy
    assert needed <= loaded
    assert use or not loaded


def test_a_name_that_is_not_there_is_said_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fetch_everything'"):
        _ = ba.fetch_everything  # type: ignore[attr-defined] # which is the point


@pytest.mark.parametrize("module", [ba, ba.charts, ba.demo, ba.notebook], ids=lambda module: module.__name__)
def test_tab_completion_offers_the_public_names_and_nothing_else(module: Any) -> None:
    assert {name for name in dir(module) if name != "__version__"} == set(module.__all__)


def test_every_rate_is_registered_once_with_what_it_divides_and_where_it_is_drawn() -> None:
    frames = [value for value in vars(schema).values() if isinstance(value, pl.Schema)]
    rates = {name for frame in frames for name in frame if name.endswith("_rate")}
    assert rates == set(schema.RATES)
    assert rates <= set(MEASURING)  # each can be compared
    for name, facts in schema.RATES.items():
        holding = [frame for frame in frames if f"{name}_ci_low" in frame]
        assert holding, name
        assert all(set(facts.trials) <= set(frame) for frame in holding)
        assert all(facts.bounds == (f"{name}_bounds_low" in frame) for frame in holding)
        assert hasattr(ba.charts, facts.chart)


def public() -> dict[str, Any]:
    named = {name: getattr(ba, name) for name in ba.__all__ if inspect.isroutine(getattr(ba, name))}
    named |= {f"charts.{name}": getattr(ba.charts, name) for name in ba.charts.__all__}
    return named | {"Studio": ba.Studio, "Studio.from_env": ba.Studio.from_env, "demo.serve": ba.demo.serve}


@pytest.mark.parametrize("name", public())
def test_every_public_function_has_a_docstring_with_an_example(name: str) -> None:
    doc = inspect.getdoc(public()[name]) or ""
    assert ">>> " in doc
    assert doc.splitlines()[0].endswith(".")


ERRORS = [name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, ba.BookingsError)]


@pytest.mark.parametrize("name", ERRORS)
def test_the_error_tree_is_drawn_whole(name: str) -> None:
    assert name in (errors.__doc__ or "")
    assert name in ba.__all__


def test_the_readme_names_every_command() -> None:
    for command in cli.app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        assert f"bookings-analytics {name}" in README


def test_the_readmes_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    with pl.Config():  # which forgets afterwards how the notebooks want frames
        exec(code[1], names)
    assert names["result"].fetches.height == 600
    names["studio"].close()


def test_the_readmes_archive_gives_rates_by_week(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(archive = .*?)```", README, re.DOTALL)
    assert code
    with ba.demo.serve(limit=None) as studio:
        names: dict[str, Any] = {"ba": ba, "timedelta": timedelta, "studio": studio, "cohorts": studio.cohorts.head(40)}
        exec(code[1].rpartition("\nba.")[0] + "\nrates = ba." + code[1].rpartition("\nba.")[2], names)
    assert "week" in names["rates"].collect_schema()


def test_the_readmes_picture_is_the_notebooks_chart() -> None:
    stored = [
        output["data"]["image/png"]
        for cell in cells(ROOT / "notebooks/01_fetch_a_cohort.ipynb")
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert base64.b64decode(stored[0]) == (ROOT / "notebooks/booking_vs_participation.png").read_bytes()


PAGES = [ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_reads_as_translated(page: Path) -> None:
    assert translated(page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.split()) <= 1300
    assert all(f"(.github/{page.name})" in README for page in PAGES[1:])


def test_the_readmes_table_names_functions_that_have_charts() -> None:
    table = README[README.index("| question |") : README.index("## Your own studio")]
    named = re.findall(r"^\|.*?\| `([\w.]+)` \|", table, re.MULTILINE)
    assert len(named) > 5
    for name in named:
        attribute = name.removeprefix("archive.")
        assert hasattr(ba if attribute == name else ba.Archive, attribute), name
        assert hasattr(ba.charts, attribute), name


def test_the_page_on_schedules_names_every_exit_code_and_no_option_that_is_not_there() -> None:
    page = (ROOT / ".github/SCHEDULES.md").read_text("utf-8")
    table = page[page.index("| code |") : page.index("## systemd")]
    assert {
        int(code) for code in re.findall(r"\d+", re.sub(r"\|[^|]*\|[^|]*\|$", "", table, flags=re.MULTILINE))
    } == set(Exit)
    commands = typer.main.get_group(cli.app).commands.values()
    known = {option for command in commands for each in command.params for option in each.opts} | OF_SYSTEMCTL
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", page)) <= known


OF_SYSTEMCTL = {"--user", "--now"}


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_every_cell_was_run_in_order(self, path: Path) -> None:
        """A cell without a number is not compared by nbval."""
        counts = [cell["execution_count"] for cell in cells(path)]
        assert counts == list(range(1, len(counts) + 1))

    def test_nothing_stored_is_an_error_a_warning_or_a_stale_bar(self, path: Path) -> None:
        outputs = [output for cell in cells(path) for output in cell["outputs"]]
        assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
        assert "widget-view" not in json.dumps(outputs)

    def test_one_cell_is_for_parameters(self, path: Path) -> None:
        tagged = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", [])]
        assert len(tagged) == 1

    def test_prose_stands_between_the_code_and_says_last_what_is_not_shown(self, path: Path) -> None:
        every = json.loads(path.read_text("utf-8"))["cells"]
        assert "CCCC" not in "".join(cell["cell_type"][0].upper() for cell in every)
        assert "".join(every[0]["source"]).startswith("# ")
        assert "".join(every[-1]["source"]).startswith("## What this does not show")

    def test_what_takes_more_than_eight_lines_is_in_the_package(self, path: Path) -> None:
        for cell in cells(path):
            lines = "".join(cell["source"]).splitlines()
            assert len(lines) <= 8 or "parameters" in cell["metadata"].get("tags", []), lines[0]

    def test_a_stored_chart_shows_everywhere(self, path: Path) -> None:
        charts = [o["data"] for cell in cells(path) for o in cell["outputs"] if "image/png" in o.get("data", {})]
        assert charts
        for chart in charts:
            assert chart["application/vnd.vegalite.v5+json"]["description"]


NO_PLAIN_VERBS = {
    *("Give", "Say", "Tell", "Put", "Do", "Take", "Know"),
    *("The", "A", "An", "As", "If", "How", "What", "Where", "Who", "Whether", "Every", "This", "It", "For"),
}


def functions(source: str) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node, doc) for node in found if (doc := ast.get_docstring(node))]


def odd_words(source: str) -> list[str]:
    """List the docstrings of functions that do not begin with a plain verb, or send the reader to another function."""
    return [
        f"{node.name}: {line.strip()}"
        for node, doc in functions(source)
        for number, line in enumerate(doc.splitlines())
        if (number == 0 and not is_property(node) and not plain_verb(line))
        or re.search(r"\bAs for \W|: The same\.", line)
    ]


def plain_verb(line: str) -> bool:
    first = re.match(r"[A-Z][a-z]+\b", line)
    return first is not None and first[0] not in NO_PLAIN_VERBS and not first[0].endswith("ing")


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id in ("property", "cached_property") for each in node.decorator_list
    )


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
class TestWords:
    def test_a_functions_docstring_begins_with_a_plain_verb_and_stands_alone(self, path: Path) -> None:
        assert odd_words(path.read_text("utf-8")) == []

    def test_every_argument_is_explained_where_it_stands(self, path: Path) -> None:
        for node, doc in functions(path.read_text("utf-8")):
            taken = [each.arg for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
            own = [name for name in taken if name not in ("self", "cls")]
            if "Args:" in doc:
                assert [name for name in own if not re.search(rf"^ +\*?{name}: ", doc, re.MULTILINE)] == [], node.name

    def test_nothing_reads_as_translated(self, path: Path) -> None:
        """Such as "is no rate" for "is not a rate", or "so many weeks" for a number of weeks."""
        assert translated(path.read_text("utf-8")) == []

    def test_the_spelling_is_american(self, path: Path) -> None:
        british = r"\b(?:colour|centre|grey|cancelled\b|behaviour|labelled|neighbour|favour|analys(?:e|ing)\b)\w*"
        assert re.findall(british, path.read_text("utf-8").replace("CancelledError", ""), re.IGNORECASE) == []


def translated(text: str) -> list[str]:
    no = r"(?<!here )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|later\b|earlier\b)[\w`]+"
    so_many = r"\b[Ss]o (?:many|few|long) (?!that\b)\w+(?! that\b)\b(?! that)"
    a_thing_a_thing = (
        r"\b(?:[Aa]|[Oo]ne) \w+(?<!s) a (?:row|group|page|question|studio|call|chart|class|customer|cohort|slot|file)\b"
    )
    return re.findall(rf"{no}|{so_many}|{a_thing_a_thing}", text)


def test_what_reads_as_translated_is_found() -> None:
    odd = "It is no rate. Weeks are no days. Shown for so long before. Older than so many weeks. So few seats remain."
    assert len(translated(odd)) == 5
    assert translated("one row a group, a line a studio") == ["one row a group", "a line a studio"]
    sound = "There is no rate. It is no longer there, is no more than chance, and so few seats that it is left out."
    assert translated(sound) == []


def test_odd_words_are_found() -> None:
    odd = 'def f():\n    """Give it.\n\n    Args:\n        by: As for `g`.\n        x: The same.\n    """'
    assert len(odd_words(odd)) == 3
    assert (
        odd_words(odd.replace("Give", "Return").replace("As for `g`", "A column").replace("The same", "Another")) == []
    )


def own_lines(path: Path) -> set[str]:
    """Collect the lines of code that make a notebook what it is: all but imports, set-up and reading."""
    found = set()
    for cell in cells(path):
        if "parameters" not in cell["metadata"].get("tags", []):
            source = "".join(cell["source"])
            for node in ast.parse(source).body:
                text = ast.unparse(node)
                if not isinstance(node, (ast.Import, ast.ImportFrom)) and "ba.notebook.load(" not in text:
                    found |= {line.strip() for line in (ast.get_source_segment(source, node) or "").splitlines()}
    return found - {"ba.notebook.setup()", "data", ")", "]", "}"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_line_of_code_stands_in_two_notebooks(path: Path) -> None:
    assert not own_lines(path) & {line for other in NOTEBOOKS if other != path for line in own_lines(other)}


class TestCommandLine:
    def test_help_names_the_commands(self) -> None:
        shown = CliRunner().invoke(cli.app, ["--help"]).output
        assert "lab" in shown
        assert "demo-api" in shown
        assert CliRunner().invoke(cli.app, ["-h"]).output == shown
        assert "--max-age" in CliRunner().invoke(cli.app, ["fetch", "-h"]).output

    def test_it_tells_its_version_and_runs_as_a_module(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "bookings_analytics", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{ba.__version__}\n"

    def test_a_command_loads_nothing_that_only_others_need(self) -> None:
        """Importing Altair or what serves HTTP takes longer than most commands do."""
        loaded = "import sys, bookings_analytics.cli; print({'altair', 'uvicorn', 'jupyter_client'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"

    def test_an_error_is_told_without_a_traceback(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with ba.demo.serve() as studio:
            taken = studio.base_url.rpartition(":")[2]
            monkeypatch.setattr("sys.argv", ["bookings-analytics", "demo-api", "--port", taken])
            with pytest.raises(SystemExit) as stopped:
                cli.run()
        assert stopped.value.code == 2
        assert f"ConfigurationError: Port {taken}" in capsys.readouterr().err


def test_the_page_on_privacy_shows_commands_as_they_are() -> None:
    page = (ROOT / ".github/PRIVACY.md").read_text("utf-8")
    commands = typer.main.get_group(cli.app).commands
    shown = re.findall(r"\| `bookings-analytics ([\w-]+) (.*?)`", page)
    assert [name for name, _ in shown] == ["forget", "forget-opted-out", "retain"]
    for name, arguments in shown:
        command = commands[name]
        command.make_context(name, arguments.split())
        assert any("--dry-run" in parameter.opts for parameter in command.params)
    options = {option for command in commands.values() for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"`(--[\w-]+)", page)) <= options
