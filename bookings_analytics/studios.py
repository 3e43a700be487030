"""Where the bookings of a studio are, and with which key they are read. The key is never shown."""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import httpx

from bookings_analytics.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_URL_VARIABLE: Final = "BOOKINGS_BASE_URL"
API_KEY_VARIABLE: Final = "BOOKINGS_API_KEY"
STUDIO_VARIABLE: Final = "BOOKINGS_STUDIO"


class ApiKey:
    """A key that shows itself only when asked to, so that no repr, log or traceback holds it."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # A closure has no attribute that a traceback, a debugger or `vars()` would print.
        self._reveal: Callable[[], str] = lambda: value

    def __repr__(self) -> str:
        return "ApiKey('***')"

    def reveal(self) -> str:
        """Return the key itself, for the one header that carries it."""
        return self._reveal()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "An API key is never pickled: the file would hold it. "
            "Make the Studio where it is used, with Studio.from_env()."
        )


class Studio:
    """One studio of the API: its name, where it is, and the key to read it.

    Args:
        name: What the studio is called in the `studio` column of every frame.
        base_url: ``https://<tenant>.open-api.magicline.com``, with or without ``/v1``. Plain http is taken for
            addresses of this machine only, because the key would travel unencrypted.
        api_key: The studio's own key. It shows in no repr, log, error or pickle.

    Raises:
        ConfigurationError: An argument is missing or can't be used.

    Examples:
        >>> import bookings_analytics as ba
        >>> ba.Studio("mitte", base_url="https://acme.open-api.magicline.com/v1/", api_key="not-a-real-key")
        Studio('mitte', base_url='https://acme.open-api.magicline.com', api_key='***')
    """

    # Known before __init__ has checked them: a traceback shows a studio that is only half made as well.
    name: str = ""
    base_url: str = ""

    def __init__(self, name: str | None = None, *, base_url: str | None = None, api_key: str | None = None) -> None:
        # The key leaves this frame's variables first: a traceback with locals must not show it.
        key = None if api_key is None else ApiKey(api_key)
        del api_key
        self.name = _required(name, "name", STUDIO_VARIABLE)
        self.base_url = _checked_base_url(_required(base_url, "base_url", BASE_URL_VARIABLE))
        self.api_key: Final = _checked_key(key)

    @classmethod
    def from_env(cls) -> Studio:
        """Make a studio from BOOKINGS_STUDIO, BOOKINGS_BASE_URL and BOOKINGS_API_KEY.

        Raises:
            ConfigurationError: A variable is not set, or its value can't be used.

        Examples:
            >>> import os
            >>> import bookings_analytics as ba
            >>> os.environ["BOOKINGS_STUDIO"] = "mitte"
            >>> os.environ["BOOKINGS_BASE_URL"] = "https://acme.open-api.magicline.com"
            >>> os.environ["BOOKINGS_API_KEY"] = "not-a-real-key"
            >>> ba.Studio.from_env().name
            'mitte'
        """
        return cls(
            os.environ.get(STUDIO_VARIABLE),
            base_url=os.environ.get(BASE_URL_VARIABLE),
            api_key=os.environ.get(API_KEY_VARIABLE),
        )

    def __repr__(self) -> str:
        return f"Studio({self.name!r}, base_url={self.base_url!r}, api_key='***')"


def _required(value: Any, argument: str, variable: str) -> str:  # noqa: ANN401 - anything an analyst may pass
    if not isinstance(value, str) or not value.strip():
        shown = "" if value is None else f", not {value!r}"
        raise ConfigurationError(
            f"A studio needs a text as {argument}{shown}: pass {argument}=, "
            f"or set {variable} and use Studio.from_env()."
        )
    return value.strip()


def _checked_key(key: ApiKey | None) -> ApiKey:
    if key is None or not isinstance(key.reveal(), str) or not key.reveal().strip():
        raise ConfigurationError(
            f"A studio needs its key: pass api_key=, or set {API_KEY_VARIABLE} and use Studio.from_env()."
        )
    if not re.fullmatch(r"[\x21-\x7e]+", key.reveal()):
        raise ConfigurationError(
            "api_key holds a space, a line break or a character that no HTTP header can carry: copy it again, "
            f"whole, into api_key= or {API_KEY_VARIABLE}."
        )
    return key


def _checked_base_url(text: str) -> str:
    def refuse(problem: str) -> NoReturn:
        # A key pasted into the URL must not come back in the message, so only the argument is named.
        raise ConfigurationError(
            f"base_url {problem}. Set base_url= (or {BASE_URL_VARIABLE}) to https://<tenant>.open-api.magicline.com"
        )

    url = None
    with suppress(httpx.InvalidURL):
        url = httpx.URL(text)
    if url is None:
        refuse("is not a URL")
    if url.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", url.host):
        refuse("has to start with https:// and name a host")
    if url.port is not None and not 0 < url.port <= 65_535:  # noqa: PLR2004 - the largest port there is
        refuse(f"names port {url.port}, which does not exist")
    if url.userinfo or url.query or url.fragment:
        refuse("holds a user, a query or a fragment; the key goes into api_key=")
    if url.scheme == "http" and not is_loopback(url.host):
        refuse(f"is plain http to {url.host}: the key would travel unencrypted, so http is for this machine only")
    return str(url.copy_with(path=re.sub(r"(/v1)?/*$", "", url.path) or "/")).rstrip("/")


def is_loopback(host: str) -> bool:
    """Check if a host is this machine.

    Args:
        host: An IP address, or a name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
