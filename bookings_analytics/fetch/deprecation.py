"""What an answer says of the endpoint's end: the headers Deprecation (RFC 9745) and Sunset (RFC 8594), and 410."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

GONE: Final = "it is gone (410)"
_STATUS_GONE: Final = 410


def announcement(status: int, headers: Mapping[str, str]) -> str | None:
    """Return what an answer announces of the endpoint's end, as a clause with its dates; None if it announces nothing.

    Args:
        status: The answer's HTTP status.
        headers: The answer's headers; names in any case.

    Examples:
        >>> announcement(200, {"sunset": "Wed, 30 Sep 2026 23:59:59 GMT"})
        'it will be switched off on 30 September 2026'
        >>> announcement(200, {"deprecation": "@1782864000"})
        'it is deprecated as of 1 July 2026'
    """
    said = []
    if status == _STATUS_GONE:
        said.append(GONE)
    if (deprecation := headers.get("deprecation")) is not None and deprecation.strip() != "false":
        said.append(f"it is deprecated{_date(deprecation, 'as of')}")
    if (sunset := headers.get("sunset")) is not None:
        said.append(f"it will be switched off{_date(sunset, 'on')}")
    return " and ".join(said) or None


def _date(header: str, word: str) -> str:
    """Read the date of a header, a number of seconds behind an ``@`` or an HTTP date; empty if there is none."""
    with suppress(ValueError, OverflowError, OSError):
        text = header.strip()
        date = datetime.fromtimestamp(int(text[1:]), UTC) if text.startswith("@") else parsedate_to_datetime(text)
        return f" {word} {date.day} {date:%B %Y}"
    return ""
