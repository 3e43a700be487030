"""Where the bookings of a studio are, and with which key they are read. The key is never shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from weakref import WeakSet

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.metrics.hours import CLOSES, OPENS
from bookings_analytics.studios.settings import (
    API_KEY_VARIABLE,
    VARIABLES,
    check_order,
    checked_base_url,
    checked_name,
    checked_time,
    checked_zone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ApiKey:
    """A key that shows itself only when asked to, so that no repr, log or traceback holds it."""

    __slots__ = ("__weakref__", "_reveal")

    _of_this_process: ClassVar[WeakSet[ApiKey]] = WeakSet()

    def __init__(self, value: str) -> None:
        # A closure has no attribute that a traceback, a debugger or `vars()` would print.
        self._reveal: Callable[[], str] = lambda: value
        ApiKey._of_this_process.add(self)

    def __repr__(self) -> str:
        return "ApiKey('***')"

    def reveal(self) -> str:
        """Return the key itself, for the one header that carries it."""
        return self._reveal()

    @classmethod
    def hide(cls, text: str) -> str:
        """Replace every key of this process in a text.

        Args:
            text: The text.

        Example:
            >>> key = ApiKey("not-a-real-key")
            >>> ApiKey.hide("not-a-real-key was refused")
            '*** was refused'
        """
        for value in sorted((key.reveal() for key in cls._of_this_process), key=len, reverse=True):
            text = text.replace(value, "***") if value else text
        return text

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "An API key is never pickled: the file would hold it. "
            "Make the Studio where it is used, with Studio.from_env()."
        )


class Studio:
    """One studio of the API: its name, where it is, the key to read it, and when it has classes.

    Args:
        name: What the studio is called in the `studio` column of every frame.
        base_url: ``https://<tenant>.open-api.magicline.com``, with or without ``/v1`` or the endpoint's path behind
            it. Plain http is taken for addresses of this machine only, because the key would travel unencrypted.
        api_key: The studio's own key. It shows in no repr, log, error or pickle.
        timezone: Its time zone, such as "Europe/Berlin"; None: not known.
        opens: Local time before which no class begins.
        closes: Local time after which no class ends.

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
    api_key: ApiKey
    timezone: str | None = None
    opens: str = OPENS
    closes: str = CLOSES

    def __init__(
        self,
        name: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timezone: str | None = None,
        opens: str = OPENS,
        closes: str = CLOSES,
    ) -> None:
        # The key leaves this frame's variables first: a traceback with locals must not show it.
        key = None if api_key is None else ApiKey(api_key)
        del api_key
        settings = {"name": name, "base_url": base_url, "timezone": timezone, "opens": opens, "closes": closes}
        self._set(settings, key, lambda setting: f"{setting}= (or {VARIABLES[setting]} with Studio.from_env())")

    @classmethod
    def from_env(cls) -> Studio:
        """Make a studio from BOOKINGS_STUDIO, BOOKINGS_BASE_URL and BOOKINGS_API_KEY.

        BOOKINGS_TIMEZONE, BOOKINGS_OPENS and BOOKINGS_CLOSES say when it has classes, if they are set.

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
        settings = {name: os.environ.get(variable) for name, variable in VARIABLES.items() if name != "api_key"}
        return studio_of(settings, ApiKey(os.environ.get(API_KEY_VARIABLE, "")), VARIABLES.__getitem__)

    def _set(self, settings: Mapping[str, Any], key: ApiKey | None, called: Callable[[str], str]) -> None:
        """Check the settings and take them; `called` writes a setting as whoever set it knows it."""
        self.name = checked_name(settings.get("name"), called("name"))
        self.base_url = checked_base_url(settings.get("base_url"), called)
        self.api_key = _checked_key(key, called("api_key"))
        self.timezone = checked_zone(settings.get("timezone"), called("timezone"))
        self.opens = checked_time(settings.get("opens"), called("opens")) or OPENS
        self.closes = checked_time(settings.get("closes"), called("closes")) or CLOSES
        check_order(self.opens, self.closes, called)

    def __repr__(self) -> str:
        return f"Studio({self.name!r}, base_url={self.base_url!r}, api_key='***')"


def studio_of(settings: Mapping[str, Any], key: ApiKey | None, called: Callable[[str], str]) -> Studio:
    """Make a studio of settings that come from elsewhere than a call.

    Args:
        settings: ``name``, ``base_url``, ``timezone``, ``opens``, ``closes``; what is missing or None is not set.
        key: The studio's key; None if there is none.
        called: Writes a setting's name as whoever set it knows it, for errors.

    Raises:
        ConfigurationError: A setting is missing or can't be used.
    """
    studio = Studio.__new__(Studio)
    studio._set(settings, key, called)  # noqa: SLF001 - what its __init__ does, with other names in its errors
    return studio


def _checked_key(key: ApiKey | None, called: str) -> ApiKey:
    if key is None or not isinstance(key.reveal(), str) or not key.reveal().strip():
        raise ConfigurationError(f"A studio needs its key: set {called}.")
    if not re.fullmatch(r"[\x21-\x7e]+", key.reveal()):
        raise ConfigurationError(
            "The key holds a space, a line break or a character that no HTTP header can carry: copy it again, whole, "
            f"into {called}."
        )
    return key
