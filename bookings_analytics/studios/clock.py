"""The time that fetches are stamped with: this machine's, or that of a demo studio whose clock runs faster."""

from __future__ import annotations

import http.client
import os
from contextlib import closing
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from bookings_analytics.errors import ConfigurationError
from bookings_analytics.studios.settings import is_loopback

CLOCK_VARIABLE: Final = "BOOKINGS_CLOCK"

_TIMEOUT: Final = 5.0  # seconds
_LONGEST: Final = 64  # bytes of a time
_WHAT_TO_DO: Final = f"Set {CLOCK_VARIABLE} to the line that bookings-analytics demo-api prints, or unset it."


def current_time() -> datetime:
    """Return the time (UTC): this machine's, or that of the demo studio that ``BOOKINGS_CLOCK`` names.

    Raises:
        ConfigurationError: ``BOOKINGS_CLOCK`` names no address of this machine, or no time comes from there.

    Examples:
        >>> import os
        >>> import bookings_analytics as ba
        >>> with ba.demo.serve() as studio:
        ...     os.environ["BOOKINGS_CLOCK"] = studio.clock_url
        ...     print(current_time())
        2026-06-17 12:00:00+00:00
        >>> del os.environ["BOOKINGS_CLOCK"]
    """
    address = os.environ.get(CLOCK_VARIABLE, "").strip()
    return _time_at(address) if address else datetime.now(UTC)


def _time_at(address: str) -> datetime:
    try:
        url = urlsplit(address)
        host, port = url.hostname or "", url.port or 80
    except ValueError as error:
        raise ConfigurationError(f"{CLOCK_VARIABLE} is not a URL. {_WHAT_TO_DO}") from error
    if url.scheme != "http" or not is_loopback(host):
        raise ConfigurationError(
            f"{CLOCK_VARIABLE} names {url.scheme}://{host}, but a clock is taken from this machine only, such as "
            f"http://127.0.0.1:8765/clock. {_WHAT_TO_DO}"
        )
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=_TIMEOUT)) as connection:
            connection.request("GET", url.path or "/")
            return _time_in(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConfigurationError(
            f"No time came from the clock at http://{host}:{port}: {error}. Start demo-api again. {_WHAT_TO_DO}"
        ) from error


def _time_in(response: http.client.HTTPResponse) -> datetime:
    text = response.read(_LONGEST).decode("ascii")
    if response.status != http.HTTPStatus.OK:
        raise ValueError(f"status {response.status}")
    now = datetime.fromisoformat(text)
    if now.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return now.astimezone(UTC)
