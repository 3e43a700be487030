"""The studios of a chain, read from a file: where each is, and where its key is, never the key."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.metrics.hours import CLOSES, OPENS
from bookings_analytics.studios.settings import (
    HOURS,
    check_order,
    checked_base_url,
    checked_name,
)
from bookings_analytics.studios.studio import ApiKey, Studio, studio_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Final = ("name", "base_url", "api_key_env", "keyring", "timezone", "opens", "closes")
_CAPITALS: Final = re.compile("[A-Z_][A-Z0-9_]*")  # as variables are called; others are taken if they are set
_EXAMPLE: Final = 'as in name = "mitte"'


def read_studios(path: str | Path) -> list[Studio]:
    """Read the studios of a chain from a TOML file.

    One ``[[studio]]`` table for each, with ``name`` and ``base_url``; either ``api_key_env``, the environment variable
    that holds its key, or ``keyring``, the service under which the system's keyring has it for the studio's name (this
    needs ``bookings-analytics[keyring]``); and, if known, ``timezone``, ``opens`` and ``closes``. A key in the file
    itself is refused.

    Args:
        path: The file, in UTF-8.

    Returns:
        The studios, in the order of the file.

    Raises:
        ConfigurationError: The file can't be read, holds something else, or a key is not where it says. No message
            shows what may be a key.

    Examples:
        >>> import os
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> import bookings_analytics as ba
        >>> file = Path(mkdtemp(), "studios.toml")
        >>> _ = file.write_text('''
        ... [[studio]]
        ... name = "mitte"
        ... base_url = "https://acme.open-api.magicline.com"
        ... api_key_env = "KEY_MITTE"
        ... timezone = "Europe/Berlin"
        ... ''', "utf-8")
        >>> os.environ["KEY_MITTE"] = "not-a-real-key"
        >>> ba.read_studios(file)
        [Studio('mitte', base_url='https://acme.open-api.magicline.com', api_key='***')]
    """
    tables = tables_of(Path(path))
    missing = [
        f"{variable} (studio {name!r})"
        for name, table in tables.items()
        if (variable := table.get("api_key_env")) and not os.environ.get(variable, "").strip()
    ]
    if missing:
        raise ConfigurationError(
            f"{path} names variables that are not set or empty: {', '.join(missing)}. Set each to its studio's key."
        )
    return [_studio(Path(path), name, table) for name, table in tables.items()]


def tables_of(path: Path) -> dict[str, dict[str, str]]:
    """Read the settings of each studio, checked as far as that goes without a key.

    Args:
        path: The file.

    Returns:
        A studio's name → its settings, as the file has them.

    Raises:
        ConfigurationError: The file can't be read, or holds something else.
    """
    content = _content(path)
    if unknown := [name for name in content if name != "studio"]:
        raise ConfigurationError(f"{path} holds {_field(unknown[0])}: it may hold only [[studio]] tables. Remove it.")
    listed = content.get("studio")
    if not isinstance(listed, list) or not listed or not all(isinstance(table, dict) for table in listed):
        raise ConfigurationError(f"{path} names no studio: write a table that begins with [[studio]] for each.")
    tables: dict[str, dict[str, str]] = {}
    for number, table in enumerate(listed, 1):
        name = checked_name(table.get("name"), f"name in [[studio]] number {number} of {path}")
        where = f"{path}, studio {name!r}"
        if name in tables:
            raise ConfigurationError(f"{where}: two studios have this name. Give each its own name.")
        tables[name] = _checked(table, where) | {"name": name}
    return tables


def _content(path: Path) -> dict[str, Any]:
    try:
        text = path.expanduser().read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}. Name the file of studios.") from error
    except UnicodeDecodeError:
        problem = "is not in UTF-8: save it as UTF-8"
    else:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"\(at [^)]*\)$", str(error))  # no more of it, and not as its cause: it may quote a key
            problem = f"is not TOML {place[0] if place else ''}: put texts in quotation marks, {_EXAMPLE}"
    raise ConfigurationError(f"{path} {problem}.")


def _checked(table: Mapping[str, Any], where: str) -> dict[str, str]:
    """Check one studio's settings; no message shows a value that may be a key."""
    if "api_key" in table:
        raise ConfigurationError(
            f"{where}: api_key is not for this file, which others may read. Put the key into an environment variable "
            "and name that with api_key_env, or into the system's keyring and name its service with keyring. If the "
            "file was shared, ask the vendor for a new key."
        )
    if unknown := [name for name in table if name not in _FIELDS]:
        raise ConfigurationError(
            f"{where}: {_field(unknown[0])} is not a setting. A studio may have {', '.join(_FIELDS)}."
        )
    for setting, value in table.items():
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(f"{where}: {setting} needs a text in quotation marks, or no line at all.")
    trimmed = {setting: value.strip() for setting, value in table.items()}
    if ("api_key_env" in table) == ("keyring" in table):
        problem = "both api_key_env and keyring" if "keyring" in table else "neither api_key_env nor keyring"
        raise ConfigurationError(f"{where} has {problem}: name the one place where its key is.")
    variable = trimmed.get("api_key_env")
    if variable is not None and not (_CAPITALS.fullmatch(variable) or os.environ.get(variable)):
        raise ConfigurationError(
            f"{where}: api_key_env is not the name of an environment variable, such as KEY_MITTE. If it is the key "
            "itself, put that into a variable, and the variable's name here."
        )

    def called(setting: str) -> str:
        return f"{where}: {setting}"

    checked_base_url(trimmed.get("base_url"), called)
    for setting, check in HOURS.items():
        check(trimmed.get(setting), called(setting))
    check_order(trimmed.get("opens", OPENS), trimmed.get("closes", CLOSES), called)
    return trimmed


def _studio(path: Path, name: str, table: Mapping[str, str]) -> Studio:
    """Make a studio with its key from where the file says it is."""
    place = f"{path}, studio {name!r}: "
    if variable := table.get("api_key_env"):
        key, origin = ApiKey(os.environ[variable]), f"the variable {variable}"
    else:
        key, origin = _from_keyring(table["keyring"], name, place), f"the keyring's service {table['keyring']!r}"
    return studio_of(table, key, lambda setting: place + (origin if setting == "api_key" else setting))


def _from_keyring(service: str, name: str, place: str) -> ApiKey:
    try:
        import keyring  # noqa: PLC0415 - an optional extra
        from keyring.errors import KeyringError  # noqa: PLC0415 - as above
    except ImportError:
        raise ConfigurationError(
            f"{place}keyring needs a package that is not installed. Install bookings-analytics[keyring], or name a "
            "variable with api_key_env."
        ) from None
    try:
        key = ApiKey(keyring.get_password(service, name) or "")
    except KeyringError as error:
        raise ConfigurationError(
            f"{place}the system's keyring can't be read ({type(error).__name__}). Unlock it, or name a variable with "
            "api_key_env."
        ) from None
    if not key.reveal():
        raise ConfigurationError(
            f"{place}the keyring has no key for the service {service!r} and the user {name!r}. Add it: "
            f"keyring set {service!r} {name!r}"
        )
    return key


def _field(name: str) -> str:
    """Write the name of a field that nobody knows, as far as it can be one."""
    return repr(name) if re.fullmatch(r"[\w-]{1,30}", name) else "a field of another name"
