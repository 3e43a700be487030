"""What a notebook stores of a chart, seen from a real kernel and from Altair's renderer."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import nbclient
import nbformat
import polars as pl
import pytest

from bookings_analytics import charts, notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

VEGA_LITE = "application/vnd.vegalite.v5+json"
CELLS = [
    "import bookings_analytics as ba\nimport polars as pl\nba.notebook.setup()",
    (
        'lost = pl.DataFrame({"class_id": [7, 8], "n_seats": [12, 0], "n_slots": [40, 22]})\n'
        "ba.charts.seats_lost_while_waiting(lost)"
    ),
    'pl.DataFrame({"rate": [0.123456]})',
]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with pl.Config(), alt.renderers.enable("default"):
        yield


def seats() -> pl.DataFrame:
    return pl.DataFrame({"class_id": [7, 8], "n_seats": [12, 0], "n_slots": [40, 22]})


def shown(chart: alt.LayerChart) -> tuple[dict[str, Any], dict[str, Any]]:
    bundle: Any = chart._repr_mimebundle_()
    data, metadata = bundle
    return data, metadata


@pytest.fixture(scope="module")
def run() -> list[Any]:
    """The outputs of the cells in a kernel of its own."""
    cell: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [cell | {"id": f"cell-{i}", "source": source} for i, source in enumerate(CELLS)]
    written = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    blank = nbformat.reads(written, as_version=4)  # type: ignore[no-untyped-call] # nbformat leaves it so
    executed = nbclient.NotebookClient(blank, kernel_name="python3", timeout=120).execute()
    nbformat.validate(executed)
    return [done["outputs"] for done in executed["cells"]]


def test_a_kernel_stores_the_chart_and_its_picture_under_the_alternative_text(run: list[Any]) -> None:
    setup, (chart,), (frame,) = run
    told = charts.seats_lost_while_waiting(seats()).to_dict()["description"]
    picture = base64.b64decode(chart["data"]["image/png"])
    width, height = struct.unpack_from(">II", picture, 16)

    assert setup == []
    assert set(chart["data"]) == {VEGA_LITE, "image/png", "text/plain"}
    assert chart["data"]["text/plain"] == chart["data"][VEGA_LITE]["description"] == told
    assert chart["metadata"]["image/png"] == {"width": width // 2, "height": height // 2, "alt": told}
    assert "0.123 " in frame["data"]["text/plain"]


def test_a_kernel_and_this_process_store_the_same(run: list[Any]) -> None:
    notebook.setup()
    data, _ = shown(charts.seats_lost_while_waiting(seats()))

    assert run[1][0]["data"][VEGA_LITE] == data[VEGA_LITE]
    assert base64.b64decode(run[1][0]["data"]["image/png"]) == data["image/png"]


def test_jupyterlab_gets_vega_lite_5_as_svg_white_in_any_theme_without_links_to_web_sites() -> None:
    notebook.setup()
    spec = shown(charts.seats_lost_while_waiting(seats()))[0][VEGA_LITE]

    assert spec["$schema"] == "https://vega.github.io/schema/vega-lite/v5.json"
    assert spec["usermeta"]["embedOptions"] == {
        "renderer": "svg",
        "theme": None,
        "actions": {"source": False, "compiled": False, "editor": False},
    }


def test_an_analyst_s_own_chart_is_shown_too_and_keeps_its_own_settings() -> None:
    notebook.setup()
    own = alt.Chart(alt.InlineData([{"a": 1}])).mark_point().encode(x="a:Q")
    changed = own.properties(usermeta={"embedOptions": {"renderer": "canvas"}, "mine": 1})

    assert shown(own)[0]["text/plain"] == "a chart without a description"
    assert shown(changed)[0][VEGA_LITE]["usermeta"] == {"embedOptions": {"renderer": "canvas"}, "mine": 1}


def test_setting_up_twice_is_setting_up_once() -> None:
    notebook.setup()
    once = shown(charts.seats_lost_while_waiting(seats()))
    notebook.setup()

    assert shown(charts.seats_lost_while_waiting(seats())) == once


def test_a_chart_is_not_changed_by_being_shown() -> None:
    notebook.setup()
    chart = charts.seats_lost_while_waiting(seats())
    before = chart.to_dict()
    shown(chart)

    assert chart.to_dict() == before


WITH_AN_ARCHIVE = {
    "02_booking_vs_participation": ("Classes a week", "Participation rate by week", "Cancellation rate by weekday"),
    "03_no_shows": ("No-show rate by week", "No-show rate by weekday and class", "Seats canceled on the class day"),
}


@pytest.mark.parametrize("name", WITH_AN_ARCHIVE)
def test_with_an_archive_a_notebook_has_weeks_and_weekdays(name: str) -> None:
    path = Path(__file__).parent.parent / "notebooks" / f"{name}.ipynb"
    read = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # nbformat leaves it so
    [parameters] = [cell for cell in read.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = parameters.source.replace("archive_path = None", 'archive_path = "../data/archive"')
    client = nbclient.NotebookClient(
        read, kernel_name="python3", timeout=120, resources={"metadata": {"path": str(path.parent)}}
    )
    shown = str([cell.get("outputs") for cell in client.execute().cells])
    for heading in WITH_AN_ARCHIVE[name]:
        assert heading in shown
