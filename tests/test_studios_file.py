"""studios.toml: what it may hold, every refusal with its reason, and no key in any of them."""

from __future__ import annotations

import os
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keyring
import keyring.errors
import pytest
from keyring.backend import KeyringBackend

import bookings_analytics as ba
from bookings_analytics.studios import ClassHours, find_hours

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "made-up-key-0815"
MITTE = """[[studio]]
name = "mitte"
base_url = "https://acme.open-api.magicline.com"
api_key_env = "KEY_MITTE"
"""
NORD = MITTE.replace("mitte", "nord").replace("MITTE", "NORD")
HOURS = 'timezone = "Europe/Berlin"\nopens = "06:00"\ncloses = "23:00"\n'


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY_MITTE", "KEY_NORD"):
        monkeypatch.setenv(name, f"{KEY}-{name}")
    for name in ("TIMEZONE", "OPENS", "CLOSES", "STUDIO", "BASE_URL", "API_KEY"):
        monkeypatch.delenv(f"BOOKINGS_{name}", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studios.toml"


class InMemory(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # it has no types there
        self.keys: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise keyring.errors.KeyringLocked(KEY)
        return self.keys.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.keys[service, username] = password


@pytest.fixture
def ring() -> Iterator[InMemory]:
    before = keyring.get_keyring()
    ring = InMemory()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def refusal(path: Path, content: str | bytes) -> str:
    """Return what reading it is refused with, after looking for the key in all that a traceback could show."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ba.ConfigurationError) as raised:
        ba.read_studios(path)
    error: BaseException | None = raised.value
    while error is not None:
        assert KEY not in str(error)
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        assert error is raised.value or KEY not in str(vars(error)), frames
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert str(path) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("before", ["", "\ufeff", "# our studios\n"])
def test_studios_come_in_the_order_of_the_file_with_their_keys(path: Path, before: str) -> None:
    path.write_text(before + NORD + HOURS + MITTE, "utf-8")
    nord, mitte = ba.read_studios(str(path))
    assert (nord.name, nord.base_url) == ("nord", "https://acme.open-api.magicline.com")
    assert (nord.timezone, nord.opens, nord.closes) == ("Europe/Berlin", "06:00", "23:00")
    assert nord.api_key.reveal() == f"{KEY}-KEY_NORD"
    assert (mitte.name, mitte.timezone, mitte.opens, mitte.closes) == ("mitte", None, "05:00", "24:00")
    assert mitte.api_key.reveal() == f"{KEY}-KEY_MITTE"


@pytest.mark.usefixtures("ring")
def test_the_example_of_the_documentation_can_be_read(path: Path) -> None:
    page = Path(__file__).parent.parent / ".github" / "SCHEDULES.md"
    (example,) = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    keyring.set_password("magicline", "nord", KEY)
    path.write_text(example.replace("<tenant>", "acme"), "utf-8")
    mitte, nord = ba.read_studios(path)
    assert (mitte.name, mitte.opens, nord.name, nord.api_key.reveal()) == ("mitte", "06:00", "nord", KEY)


def test_texts_are_trimmed(path: Path) -> None:
    path.write_text(MITTE.replace('"mitte"', '" mitte\\t"').replace('"KEY_MITTE"', '" KEY_MITTE "'), "utf-8")
    (mitte,) = ba.read_studios(path)
    assert mitte.name == "mitte"


# Name: (the file, what the refusal says).
REFUSED: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["names no studio", "[[studio]]"]),
    "no TOML": ("[[studio]\n", ["is not TOML (at line 1"]),
    "a key without quotation marks": (MITTE + f"api_key = {KEY}", ["is not TOML (at line 5"]),
    "a setting twice": (MITTE + f'name = "{KEY}"', ["is not TOML"]),
    "UTF-16": (MITTE.encode("utf-16"), ["is not in UTF-8"]),
    "cp1252": (MITTE.replace("mitte", "mü").encode("cp1252"), ["is not in UTF-8"]),
    "one table": (MITTE.replace("[[studio]]", "[studio]"), ["names no studio"]),
    "a list of texts": ('studio = ["mitte"]', ["names no studio"]),
    "an empty list": ("studio = []", ["names no studio"]),
    "a setting outside": (f'api_key = "{KEY}"\n' + MITTE, ["holds 'api_key'"]),
    "another table": (MITTE + "[studios]", ["holds 'studios'"]),
    "a key in the file": (MITTE + f'api_key = "{KEY}"', ["'mitte'", "api_key is not for this file", "api_key_env"]),
    "a setting nobody knows": (MITTE + f'colour = "{KEY}"', ["'mitte'", "'colour' is not a setting", "timezone"]),
    "the key as a setting": (MITTE + f'"{KEY} {KEY}" = "x"', ["'mitte'", "a field of another name"]),
    "a variable that is a key": (MITTE.replace("KEY_MITTE", KEY), ["'mitte'", "not the name of an environment"]),
    "a variable that may be one": (
        MITTE.replace("KEY_MITTE", KEY.replace("-", "")),
        ["'mitte'", "not the name of an environment"],
    ),
    "no name": (MITTE.replace('name = "mitte"', ""), ["number 1", "needs a name"]),
    "an empty name": (MITTE + NORD.replace('"nord"', '" "'), ["number 2", "needs a name"]),
    "a number as name": (MITTE.replace('"mitte"', "3"), ["number 1", "not a int"]),
    "a name twice": (MITTE + NORD.replace('"nord"', '" mitte "'), ["'mitte'", "two studios"]),
    "no address": (MITTE.replace("base_url", "# base_url"), ["'mitte'", "The base URL is missing"]),
    "plain http": (MITTE.replace("https", "http"), ["'mitte'", "plain http"]),
    "an address with the key": (MITTE.replace("com", f"com?key={KEY}"), ["'mitte'", "a query"]),
    "no key": (MITTE.replace("api_key_env", "# api_key_env"), ["'mitte'", "neither api_key_env nor keyring"]),
    "two keys": (MITTE + 'keyring = "magicline"', ["'mitte'", "both api_key_env and keyring"]),
    "a number as variable": (MITTE.replace('"KEY_MITTE"', "4711"), ["'mitte'", "api_key_env needs a text"]),
    "an empty variable": (MITTE.replace('"KEY_MITTE"', '""'), ["'mitte'", "api_key_env needs a text"]),
    "no such zone": (MITTE + 'timezone = "Berlin"', ["'mitte': timezone", "'Berlin' is not a time zone"]),
    "a folder of zones": (MITTE + 'timezone = "Europe"', ["'mitte': timezone", "is not a time zone"]),
    "the key as zone": (MITTE + f'timezone = "{KEY * 3}"', ["'mitte': timezone", "a text of 48 characters"]),
    "an hour nobody writes": (MITTE + 'opens = "6 am"', ["'mitte': opens", "is not a time of day"]),
    "a TOML time": (MITTE + "closes = 23:00:00", ["'mitte'", "closes needs a text in quotation marks"]),
    "closed before open": (MITTE + 'opens = "22:00"\ncloses = "06:00"', ["'mitte': opens is 22:00", "Swap"]),
    "never open": (MITTE + 'opens = "24:00"', ["'mitte': opens is 24:00"]),
    "a variable that is not set": (MITTE.replace("KEY_MITTE", "KEY_WEST"), ["KEY_WEST (studio 'mitte')"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_used_is_refused_and_shows_no_key(path: Path, name: str) -> None:
    content, says = REFUSED[name]
    said = refusal(path, content)
    for part in says:
        assert part in said


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(ba.ConfigurationError, match=r"studios\.toml can't be read: No such file"):
        ba.read_studios(path)
    path.mkdir()
    with pytest.raises(ba.ConfigurationError, match="Is a directory"):
        ba.read_studios(path)


def test_all_variables_without_a_key_are_named_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_MITTE", " ")
    monkeypatch.delenv("KEY_NORD")
    assert "KEY_MITTE (studio 'mitte'), KEY_NORD (studio 'nord')" in refusal(path, MITTE + NORD)


def test_a_key_that_no_header_carries_is_refused_by_its_variable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_MITTE", f"{KEY}\n")
    assert "'mitte': the variable KEY_MITTE" in refusal(path, MITTE)


class TestKeyring:
    FILE = MITTE.replace('api_key_env = "KEY_MITTE"', 'keyring = "magicline"')

    @pytest.mark.usefixtures("ring")
    def test_it_is_asked_for_the_studios_name(self, path: Path) -> None:
        keyring.set_password("magicline", "mitte", KEY)
        path.write_text(self.FILE, "utf-8")
        (mitte,) = ba.read_studios(path)
        assert mitte.api_key.reveal() == KEY
        assert KEY not in f"{mitte!r}"

    @pytest.mark.usefixtures("ring")
    def test_a_key_that_is_not_there_and_a_locked_keyring_are_told(self, path: Path) -> None:
        said = refusal(path, self.FILE)
        assert "no key for the service 'magicline' and the user 'mitte'" in said
        assert "KeyringLocked" in refusal(path, self.FILE.replace('magicline"\n', 'locked"\n'))

    def test_without_the_package_it_says_what_to_install(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)
        assert "bookings-analytics[keyring]" in refusal(path, self.FILE)


class TestHours:
    """An option, else the file, else the environment, else the defaults."""

    def test_nothing_is_known_without_any(self) -> None:
        assert find_hours() == ClassHours(None, "05:00", "24:00")

    def test_the_environment_says_what_no_option_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BOOKINGS_TIMEZONE", "Europe/Lisbon")
        monkeypatch.setenv("BOOKINGS_OPENS", "07:00")
        assert find_hours() == ClassHours("Europe/Lisbon", "07:00", "24:00")
        found = find_hours(timezone="Europe/Berlin", closes="22:00")
        assert found == ClassHours("Europe/Berlin", "07:00", "22:00")

    def test_the_file_says_it_for_each_studio_and_needs_no_key(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("KEY_MITTE")
        monkeypatch.setenv("BOOKINGS_TIMEZONE", "Europe/Lisbon")
        path.write_text(NORD + HOURS + MITTE, "utf-8")
        found = find_hours(studios=path)
        zones = {"nord": "Europe/Berlin", "mitte": "Europe/Lisbon"}
        assert found == ClassHours(zones, {"nord": "06:00", "mitte": "05:00"}, {"nord": "23:00", "mitte": "24:00"})
        assert found.of("nord") == ("Europe/Berlin", "06:00", "23:00")
        assert find_hours(studios=path, timezone="Europe/Athens").timezone == "Europe/Athens"
        assert find_hours(studios=path, opens="08:00").of("nord") == ("Europe/Berlin", "08:00", "23:00")

    def test_for_a_report_the_environment_comes_before_the_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path.write_text(NORD + HOURS + MITTE, "utf-8")
        monkeypatch.setenv("BOOKINGS_TIMEZONE", "Europe/Lisbon")
        found = find_hours(studios=path, variables_first=True)
        assert found.timezone == "Europe/Lisbon"
        assert found.of("nord") == ("Europe/Lisbon", "06:00", "23:00")

    def test_a_zone_that_only_one_studio_has_is_nobody_elses(self, path: Path) -> None:
        path.write_text(NORD + HOURS + MITTE, "utf-8")
        found = find_hours(studios=path)
        assert found.timezone == {"nord": "Europe/Berlin"}
        assert found.of("mitte") == (None, "05:00", "24:00")

    @pytest.mark.parametrize(
        ("options", "environment", "says"),
        [
            ({"timezone": "Berlin"}, {}, "--timezone: 'Berlin' is not a time zone"),
            ({"timezone": "Berlin", "options": ""}, {}, "^timezone: 'Berlin' is not a time zone"),
            ({}, {"TIMEZONE": "Berlin"}, "BOOKINGS_TIMEZONE: 'Berlin' is not a time zone"),
            ({}, {"OPENS": "late"}, "BOOKINGS_OPENS: 'late' is not a time of day"),
            ({"closes": "25:00"}, {}, "--closes: '25:00' is not a time of day"),
            ({"closes": "06:00"}, {"OPENS": "07:00"}, "BOOKINGS_OPENS is 07:00 and --closes is 06:00"),
        ],
    )
    def test_an_error_names_where_the_value_came_from(
        self, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], environment: dict[str, str], says: str
    ) -> None:
        for name, value in environment.items():
            monkeypatch.setitem(os.environ, f"BOOKINGS_{name}", value)
        with pytest.raises(ba.ConfigurationError, match=says):
            find_hours(**options)

    def test_hours_of_file_and_option_that_exclude_each_other_are_refused(self, path: Path) -> None:
        path.write_text(NORD + HOURS, "utf-8")
        with pytest.raises(ba.ConfigurationError, match=r"--opens is 23:30 and .*studios\.toml: closes is 23:00"):
            find_hours(studios=path, opens="23:30")
