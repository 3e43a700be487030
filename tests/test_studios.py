from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from bookings_analytics import ConfigurationError, Studio

KEY = "made-up-key"


def studio(**changes: Any) -> Studio:
    return Studio(**{"name": "mitte", "base_url": "https://acme.example", "api_key": KEY, **changes})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://acme.open-api.magicline.com", "https://acme.open-api.magicline.com"),
        ("https://acme.open-api.magicline.com/", "https://acme.open-api.magicline.com"),
        ("https://acme.open-api.magicline.com/v1", "https://acme.open-api.magicline.com"),
        (" https://acme.open-api.magicline.com/v1/ ", "https://acme.open-api.magicline.com"),
        ("https://gateway.example/magicline/v1", "https://gateway.example/magicline"),
        ("https://acme.example/v1/classes", "https://acme.example"),
        ("https://acme.example/v1/classes/booking/", "https://acme.example"),
        ("https://acme.example/v1/classes/booking?customerId=17", "https://acme.example"),
        ("https://acme.example/v1/classes/booking?customerId=", "https://acme.example"),
        ("https://acme.example/v1/classes/12/slots", "https://acme.example"),
        ("http://127.0.0.1:8765/v1", "http://127.0.0.1:8765"),
        ("http://localhost:8765", "http://localhost:8765"),
        ("http://[::1]:8765", "http://[::1]:8765"),
    ],
)
def test_the_base_url_is_taken_with_and_without_v1(given: str, used: str) -> None:
    assert studio(base_url=given).base_url == used


@pytest.mark.parametrize(
    ("base_url", "problem"),
    [
        ("http://acme.open-api.magicline.com", "plain http to acme.open-api.magicline.com"),
        ("http://127.0.0.1.evil.example", "plain http"),
        ("http://192.168.0.5", "plain http"),
        ("acme.open-api.magicline.com", "has to start with https://"),
        ("ftp://acme.example", "has to start with https://"),
        ("https://", "has to start with https://"),
        ("https://a b", "has to start with https://"),
        ("https://acme.example:99999", "port 99999"),
        ("https://me:secret@acme.example", "holds a user"),
        ("https://acme.example?key=1", "holds a user, a query"),
        ("https://acme.example?customerId=17", "holds a user, a query"),
        ("https://acme.example/v1/classes/booking?customerId=17&key=secret", "holds a user, a query"),
        ("https://[::1", "is not a URL"),
    ],
)
def test_a_base_url_that_would_not_work_or_show_the_key_is_refused(base_url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as error:
        studio(base_url=base_url)
    assert "BOOKINGS_BASE_URL" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("argument", "variable"),
    [("name", "BOOKINGS_STUDIO"), ("base_url", "BOOKINGS_BASE_URL"), ("api_key", "BOOKINGS_API_KEY")],
)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_value_names_the_argument_and_the_variable(argument: str, variable: str, value: str | None) -> None:
    with pytest.raises(ConfigurationError) as error:
        studio(**{argument: value})
    assert f"{argument}=" in str(error.value)
    assert variable in str(error.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", 17])
def test_a_key_that_no_header_carries_is_refused_without_being_shown(key: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        studio(api_key=key)
    assert str(key) not in str(error.value)


def test_the_environment_makes_a_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKINGS_STUDIO", "mitte")
    monkeypatch.setenv("BOOKINGS_BASE_URL", "https://acme.example/v1")
    monkeypatch.setenv("BOOKINGS_API_KEY", KEY)
    made = Studio.from_env()
    assert (made.name, made.base_url, made.api_key.reveal()) == ("mitte", "https://acme.example", KEY)


@pytest.mark.parametrize("variable", ["BOOKINGS_STUDIO", "BOOKINGS_BASE_URL", "BOOKINGS_API_KEY"])
def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name, value in [("STUDIO", "mitte"), ("BASE_URL", "https://acme.example"), ("API_KEY", KEY)]:
        monkeypatch.setenv(f"BOOKINGS_{name}", value)
    monkeypatch.delenv(variable)
    with pytest.raises(ConfigurationError, match=variable):
        Studio.from_env()


def test_a_studio_has_a_time_zone_and_hours() -> None:
    usual, own = studio(), studio(timezone=" Europe/Berlin ", opens="06:30", closes="22:00")
    assert (usual.timezone, usual.opens, usual.closes) == (None, "05:00", "24:00")
    assert (own.timezone, own.opens, own.closes) == ("Europe/Berlin", "06:30", "22:00")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *[("timezone", value) for value in ("Berlin", "Europe", "../etc/passwd", "europe/berlin", 1)],
        *[(hour, value) for hour in ("opens", "closes") for value in ("6:30", "24:01", "late", "06:30:00", 6)],
    ],
)
def test_a_zone_or_an_hour_that_does_not_exist_is_refused_where_it_was_set(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: Any
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{setting}= \(or BOOKINGS_{setting.upper()} .*is not a time"):
        studio(**{setting: value})
    for name, text in [("STUDIO", "mitte"), ("BASE_URL", "https://acme.example"), ("API_KEY", KEY)]:
        monkeypatch.setenv(f"BOOKINGS_{name}", text)
    monkeypatch.setenv(f"BOOKINGS_{setting.upper()}", str(value))
    with pytest.raises(ConfigurationError, match=rf"^BOOKINGS_{setting.upper()}: .*is not a time"):
        Studio.from_env()


def test_a_studio_opens_before_it_closes() -> None:
    with pytest.raises(ConfigurationError, match=r"opens= .* is 22:00 and closes= .* is 06:00: .*Swap"):
        studio(opens="22:00", closes="06:00")


def test_the_environment_says_when_it_has_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"STUDIO": "mitte", "BASE_URL": "https://acme.example", "API_KEY": KEY}
    for name, text in (values | {"TIMEZONE": "Europe/Berlin", "OPENS": "07:00", "CLOSES": ""}).items():
        monkeypatch.setenv(f"BOOKINGS_{name}", text)
    made = Studio.from_env()
    assert (made.timezone, made.opens, made.closes) == ("Europe/Berlin", "07:00", "24:00")


@pytest.mark.parametrize(("given", "used"), [(" mit\x1b[31mte\n", "mit[31mte"), ("mitte\nnord", "mitte nord")])
def test_a_name_is_cleaned(given: str, used: str) -> None:
    assert studio(name=given).name == used


@pytest.mark.parametrize("use", [pickle.dumps, copy.deepcopy])
def test_a_studio_is_never_pickled(use: Any) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        use(studio())
