"""A chain of thirty studios with a key each, fetched by the command: one key is wrong, one studio is down."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pytest
from typer.testing import CliRunner

import bookings_analytics as ba
from bookings_analytics import cli, demo
from bookings_analytics.cli.endings import Exit, exit_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# All are the same made-up studio, which an archive takes for one under many names, and rightly says so.
pytestmark = pytest.mark.filterwarnings("ignore:The studios .* share:UserWarning")

CUSTOMERS = 30  # of each studio
REFUSED, DOWN = "studio 01", "studio 02"


class Chain(NamedTuple):
    studios: dict[str, demo.DemoStudio]
    place: Path

    @property
    def keys(self) -> list[str]:
        return [studio.api_key.reveal() for studio in self.studios.values()]

    def fetch(self, *options: str) -> tuple[int, str]:
        for studio in self.studios.values():
            studio.requests.clear()
        arguments = ["--cohorts", str(self.place / "members.csv"), "--archive", str(self.place / "archive")]
        arguments += ["--studios", str(self.place / "studios.toml"), *options]
        done = CliRunner().invoke(cli.app, ["fetch", *arguments], catch_exceptions=False)
        return done.exit_code, done.output

    def asked(self) -> dict[str, int]:
        """Count the customers that each studio was asked for."""
        counts = {
            name: len({sent.customer_id for sent in studio.requests if sent.method == "GET"})
            for name, studio in self.studios.items()
        }
        return {name: n for name, n in counts.items() if n}


@pytest.fixture
def chain(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    n_studios: int = getattr(request, "param", 5)
    with ExitStack() as served:
        studios = {
            name: served.enter_context(demo.serve(name=name, limit=60))
            for name in (f"studio {number:02}" for number in range(n_studios))
        }
        lines = []
        for name, studio in studios.items():
            variable = name.upper().replace(" ", "_")
            monkeypatch.setenv(variable, "wrong-key" if name == REFUSED else studio.api_key.reveal())
            lines.append(f'[[studio]]\nname = "{name}"\nbase_url = "{studio.base_url}"\napi_key_env = "{variable}"\n')
        (tmp_path / "studios.toml").write_text("".join(lines), "utf-8")
        world = next(iter(studios.values())).world
        known = [each for each, person in world.people.items() if person.access == "open"][:CUSTOMERS]
        pl.DataFrame({"customer_id": known * n_studios, "studio": [name for name in studios for _ in known]}).write_csv(
            tmp_path / "members.csv"
        )
        studios[DOWN].close()
        yield Chain(studios, tmp_path)


@pytest.mark.parametrize("chain", [30], indirect=True)
def test_the_others_are_fetched_each_is_named_and_no_key_is_shown(chain: Chain) -> None:
    code, said = chain.fetch("--failures", str(chain.place / "failures.csv"))
    assert code == Exit.SOME_NOT_FETCHED
    others = [name for name in chain.studios if name not in (REFUSED, DOWN)]
    assert chain.asked() == dict.fromkeys(others, CUSTOMERS), "a refused key is not sent again for each customer"
    assert not [sent for studio in chain.studios.values() for sent in studio.requests if sent.status == 429]
    assert f"{REFUSED}: nobody read (401)" in said
    assert f"{DOWN}: nobody read (no answer)" in said
    for name in others:
        assert f"{name}: {CUSTOMERS} of {CUSTOMERS}" in said
    failures = pl.read_csv(chain.place / "failures.csv")
    assert failures.select("studio", "outcome", "http_status").unique().sort("studio").rows() == [
        (REFUSED, "failed", 401),
        (DOWN, "failed", None),
    ]
    written = b"".join(path.read_bytes() for path in chain.place.rglob("*") if path.is_file())
    for key in [*chain.keys, "wrong-key"]:
        assert key not in said
        assert key.encode() not in written

    studio = chain.studios[REFUSED]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(REFUSED.upper().replace(" ", "_"), studio.api_key.reveal())
        code, said = chain.fetch()
    assert chain.asked() == {REFUSED: CUSTOMERS}, "a second run asks only who is missing"
    assert code == Exit.SOME_NOT_FETCHED
    assert f"{REFUSED}: {CUSTOMERS} of {CUSTOMERS}" in said
    assert f"Last complete night of 1 studio ({DOWN}): none in the last two weeks" in said
    archive = ba.Archive(chain.place / "archive")
    assert archive.latest_fetches().filter(outcome="ok").collect().height == 29 * CUSTOMERS


def test_an_address_that_knows_nobody_is_named_and_is_exit_code_3(chain: Chain) -> None:
    listed = pl.read_csv(chain.place / "members.csv").filter(pl.col("studio").is_in(["studio 03", "studio 04"]))
    listed.write_csv(chain.place / "members.csv")
    chain.studios["studio 04"].faults.add(status=404, times=None)
    code, said = chain.fetch()
    assert code == Exit.SOME_NOT_FETCHED
    assert "studio 04: nobody read (404)" in said
    fetches = ba.Archive(chain.place / "archive").latest_fetches().collect()
    assert fetches.group_by("studio", "outcome", "http_status").len().sort("studio").rows() == [
        ("studio 03", "ok", 200, CUSTOMERS),
        ("studio 04", "not_found", 404, CUSTOMERS),
    ]
    assert chain.fetch()[0] == Exit.SOME_NOT_FETCHED, "also when nobody is asked again"


def test_all_refused_is_exit_code_3_and_all_down_is_4(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = pl.read_csv(chain.place / "members.csv")
    listed.filter(pl.col("studio").is_in([REFUSED, "studio 03"])).write_csv(chain.place / "members.csv")
    monkeypatch.setenv("STUDIO_03", "wrong-key-as-well")
    assert chain.fetch()[0] == Exit.SOME_NOT_FETCHED
    listed.filter(pl.col("studio").is_in([DOWN, "studio 03"])).write_csv(chain.place / "members.csv")
    chain.studios["studio 03"].close()
    assert chain.fetch("--max-age", "0")[0] == Exit.UNREACHABLE


def test_the_file_wins_over_the_variables_of_one_studio(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKINGS_STUDIO", "elsewhere")
    monkeypatch.setenv("BOOKINGS_BASE_URL", "https://elsewhere.example")
    listed = pl.read_csv(chain.place / "members.csv").filter(studio="studio 03")
    listed.write_csv(chain.place / "members.csv")
    code, said = chain.fetch()
    assert code == Exit.DONE
    assert f"The list has no customer of studio 00, {REFUSED}, {DOWN}, studio 04." in said


def test_a_file_that_names_no_key_is_exit_code_2_before_anything_is_asked(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDIO_03")
    with pytest.raises(ba.ConfigurationError, match=r"STUDIO_03 \(studio 'studio 03'\)") as raised:
        chain.fetch()
    assert exit_code(raised.value) == Exit.WRONG_SETTING
    assert not any(studio.requests for studio in chain.studios.values())


def test_two_keys_at_one_address_have_a_limit_each() -> None:
    with demo.serve(limit=30) as studio:
        ids = studio.cohorts["customer_id"].head(25).to_list()
        made = [ba.Studio("mitte", base_url=studio.base_url, api_key=studio.api_key.reveal())]
        made.append(ba.Studio("nord", base_url=studio.base_url, api_key="another-key"))
        listed = pl.DataFrame({"customer_id": ids * 2, "studio": ["mitte"] * 25 + ["nord"] * 25})
        result = ba.fetch_bookings(listed, studios=made, progress=False, requests_per_minute=30)
    assert result.fetches.filter(studio="mitte")["http_status"].is_in([200, 403, 404]).all()
    assert set(result.fetches.filter(studio="nord")["http_status"]) == {401}
