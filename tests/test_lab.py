"""`bookings-analytics lab`: what it starts, what it copies, and what an installed wheel brings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli
from bookings_analytics.cli import lab

CLONE = Path(__file__).parent.parent
FIRST = "00_start_here.ipynb"


class Started:
    """What would have taken over the process."""

    command: list[str]
    environment: dict[str, str]

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.execve", self._take)

    def _take(self, _: str, command: list[str], environment: dict[str, str]) -> None:
        self.command, self.environment = command, environment


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(monkeypatch)


def run(*arguments: str) -> str:
    return CliRunner().invoke(cli.app, ["lab", *arguments], catch_exceptions=False).output


def files(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }


@pytest.mark.parametrize("user", [0, 1000])
def test_in_a_clone_it_opens_the_clones_first_notebook_and_passes_options_on(
    started: Started, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    run("--port", "9999", "--no-browser")

    assert started.command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={CLONE}" in started.command
    assert f"--LabApp.default_url=/lab/tree/notebooks/{FIRST}" in started.command
    assert started.command[-3:] == ["--port", "9999", "--no-browser"]
    assert ("--allow-root" in started.command) == (user == 0)


def test_with_a_folder_it_opens_a_copy_there(started: Started, tmp_path: Path) -> None:
    told = run(str(tmp_path / "mine"), "--port", "9999")

    assert f"--ServerApp.root_dir={tmp_path / 'mine'}" in started.command
    assert started.command[-2:] == ["--port", "9999"]
    assert told == f"The notebooks and the demo data are in {tmp_path / 'mine'}\n"
    for part in ("notebooks", "data"):
        assert files(tmp_path / "mine" / part) == files(CLONE / part)


def test_folders_that_the_user_names_come_after_ours(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"):
        monkeypatch.setenv(name, "/of/the/user")
    run()
    config, users = started.environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert users == "/of/the/user"
    assert json.loads(Path(config, "labconfig/page_config.json").read_text("utf-8"))["disabledExtensions"]
    data, users = started.environment["JUPYTER_PATH"].split(os.pathsep)
    assert users == "/of/the/user"
    assert Path(data, "kernels/python3/kernel.json").is_relative_to(sys.prefix)


@pytest.mark.usefixtures("started")
def test_a_changed_file_is_kept_and_named_a_deleted_one_comes_back(tmp_path: Path) -> None:
    run(str(tmp_path))
    changed, deleted = tmp_path / "notebooks" / FIRST, tmp_path / "data/cohorts.csv"
    changed.write_text("mine", "utf-8")
    deleted.unlink()
    told = run(str(tmp_path))

    assert changed.read_text("utf-8") == "mine"
    assert deleted.read_bytes() == (CLONE / "data/cohorts.csv").read_bytes()
    assert f"left as they are: {changed}. Delete" in told


@pytest.mark.usefixtures("started")
def test_an_archive_that_was_added_to_is_not_mixed_with_the_bundled_one(tmp_path: Path) -> None:
    run(str(tmp_path))
    archive = tmp_path / "data/archive"
    lost = next(archive.rglob("*.json"))
    lost.unlink()
    (archive / "added.parquet").touch()
    assert f"left as they are: {archive}. Delete" in run(str(tmp_path))
    assert not lost.exists()


@pytest.mark.usefixtures("started")
def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ba.ConfigurationError, match=r"can't be copied to .*taken.*Name another folder"):
        run(str(tmp_path / "taken"))


def test_a_folder_without_notebooks_is_told(tmp_path: Path) -> None:
    with pytest.raises(ba.ConfigurationError, match="has no notebooks"):
        lab.start(tmp_path)


@pytest.fixture(scope="module")
def uv() -> str:
    found = os.environ.get("UV") or shutil.which("uv")  # `uv run` names itself
    assert found, "uv is not there: run the tests as the README says."
    return found


@pytest.fixture(scope="module")
def installed(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment into which the wheel was installed.

    What it depends on comes from uv's cache, which has what this environment's lock file names and no more.
    """
    at = tmp_path_factory.mktemp("installed")
    programs = at / "env" / ("Scripts" if os.name == "nt" else "bin")
    offline, own = ("--offline", "--quiet"), os.environ | {"UV_PROJECT_ENVIRONMENT": str(at / "env")}
    dependencies = ("--frozen", "--no-default-groups", "--no-install-project", "--python", sys.executable)
    subprocess.run([uv, "sync", *offline, *dependencies, "--project", CLONE], env=own, check=True)
    subprocess.run([uv, "build", *offline, "--wheel", "--out-dir", at / "dist", CLONE], check=True)
    (wheel,) = (at / "dist").glob("*.whl")
    subprocess.run([uv, "pip", "install", *offline, "--no-deps", "--python", programs / "python", wheel], check=True)
    return programs


def test_an_installed_wheel_copies_its_notebooks_and_runs_the_first_with_a_chart(
    installed: Path, tmp_path: Path
) -> None:
    def call(program: str, *arguments: str | Path) -> str:
        ours = ("JUPYTER", "IPYTHON", "PYTHON", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment |= {"HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [installed / program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    folder = tmp_path / "bookings-notebooks"
    told = call("bookings-analytics", "lab", "--version")  # JupyterLab tells its version and ends
    assert re.fullmatch(rf"The notebooks and the demo data are in {folder}\n4\.[\d.]+\n", told)

    notebook = folder / "notebooks/01_fetch_a_cohort.ipynb"
    stored = charts(notebook)
    assert stored
    notebook.write_text(json.dumps(without_outputs(notebook)), "utf-8")
    call("jupyter", "execute", "--inplace", notebook)
    assert charts(notebook) == stored
    assert call("python", "-c", "import bookings_analytics as ba; print(ba.__file__)").startswith(str(installed.parent))


def without_outputs(notebook: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads(notebook.read_text("utf-8"))
    for cell in read["cells"]:  # type: ignore[attr-defined] # a notebook's cells are a list
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return read


def charts(notebook: Path) -> list[object]:
    return [
        output["data"]["application/vnd.vegalite.v5+json"]
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]
        for output in cell.get("outputs", ())
        if "application/vnd.vegalite.v5+json" in output.get("data", {})
    ]
