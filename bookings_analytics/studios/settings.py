"""The settings of a studio: what each variable is called, and what a name, an address, a zone or a time may be."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

import httpx

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.metrics.hours import clock_time, is_zone
from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_URL_VARIABLE: Final = "BOOKINGS_BASE_URL"
API_KEY_VARIABLE: Final = "BOOKINGS_API_KEY"
VARIABLES: Final = {
    "name": "BOOKINGS_STUDIO",
    "base_url": BASE_URL_VARIABLE,
    "api_key": API_KEY_VARIABLE,
    "timezone": "BOOKINGS_TIMEZONE",
    "opens": "BOOKINGS_OPENS",
    "closes": "BOOKINGS_CLOSES",
}

_ENDPOINT: Final = re.compile(r"(/v1(/classes(/booking|/\d+/slots)?)?)?/*$")
_LONGEST_SHOWN: Final = 40  # characters of a wrong setting


def checked_name(value: object, called: str) -> str:
    """Return a studio's name, trimmed and without what no terminal shows.

    Args:
        value: What was set.
        called: What whoever set it calls the setting.

    Raises:
        ConfigurationError: There is none.
    """
    if not isinstance(value, str) or not cleaned(value):
        raise ConfigurationError(f"A studio needs a name, a text: set {called}{_instead(value)}.")
    return cleaned(value)


def checked_zone(value: object, called: str) -> str | None:
    """Return the time zone that a setting names; None if it is not set or empty.

    Args:
        value: What was set.
        called: What whoever set it calls the setting.

    Raises:
        ConfigurationError: There is no such time zone.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str) or not is_zone(value.strip()):
        raise ConfigurationError(
            f"{called}: {_shown(value)} is not a time zone. Name one such as Europe/Berlin, in this spelling."
        )
    return value.strip()


def checked_time(value: object, called: str) -> str | None:
    """Return the time of day that a setting names, ``05:00`` to ``24:00``; None if it is not set or empty.

    Args:
        value: What was set.
        called: What whoever set it calls the setting.

    Raises:
        ConfigurationError: It is not a time of day.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        clock_time(value.strip() if isinstance(value, str) else "")
    except ValueError:
        raise ConfigurationError(
            f"{called}: {_shown(value)} is not a time of day. Write it as 06:30, in quotation marks where others are."
        ) from None
    return str(value).strip()


def check_order(opens: str, closes: str, called: Callable[[str], str]) -> None:
    """Check that a studio opens before it closes.

    Args:
        opens: When it opens.
        closes: When it closes.
        called: Writes a setting's name as whoever set it knows it.

    Raises:
        ConfigurationError: It does not.
    """
    if clock_time(opens) >= clock_time(closes):
        raise ConfigurationError(
            f"{called('opens')} is {opens} and {called('closes')} is {closes}: a studio opens before it closes. "
            "Swap them, or write 24:00 for midnight."
        )


def _instead(value: object) -> str:
    return "" if value is None or (isinstance(value, str) and not value.strip()) else f", not {_shown(value)}"


def _shown(value: object) -> str:
    """Write a value for an error: what is long or no text may be something pasted by mistake, such as a key."""
    if isinstance(value, str) and len(value) <= _LONGEST_SHOWN:
        return repr(cleaned(value))
    return f"a {type(value).__name__}" if not isinstance(value, str) else f"a text of {len(value)} characters"


def checked_base_url(value: object, called: Callable[[str], str]) -> str:
    """Return the address of a studio's API without the endpoint's path.

    Args:
        value: What was set.
        called: Writes a setting's name as whoever set it knows it.

    Raises:
        ConfigurationError: It is not such an address.
    """
    label = called("base_url")

    def refuse(problem: str) -> NoReturn:
        # A key pasted into the URL must not come back in the message, so only the setting is named.
        raise ConfigurationError(f"The base URL {problem}. Set {label} to https://<tenant>.open-api.magicline.com")

    if not isinstance(value, str) or not value.strip():
        refuse("is missing")
    url = None
    with suppress(httpx.InvalidURL):
        url = httpx.URL(value.strip())
    if url is None:
        refuse("is not a URL")
    if url.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", url.host):
        refuse("has to start with https:// and name a host")
    if url.port is not None and not 0 < url.port <= 65_535:  # noqa: PLR2004 - the largest port there is
        refuse(f"names port {url.port}, which does not exist")
    # The endpoint's whole address, pasted from the documentation or a browser, says where the API is as well.
    path = _ENDPOINT.sub("", url.path)
    if url.query and path != url.path.rstrip("/") and re.fullmatch(rb"customerId=\d*", url.query):
        url = url.copy_with(query=None)
    if url.userinfo or url.query or url.fragment:
        refuse(f"holds a user, a query or a fragment; the key goes into {called('api_key')}")
    if url.scheme == "http" and not is_loopback(url.host):
        refuse(f"is plain http to {url.host}: the key would travel unencrypted, so http is for this machine only")
    return str(url.copy_with(path=path or "/")).rstrip("/")


def is_loopback(host: str) -> bool:
    """Check if a host is this machine.

    Args:
        host: An IP address, or a name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


HOURS: Final = {"timezone": checked_zone, "opens": checked_time, "closes": checked_time}  # of classes
