"""Text that comes from outside, made fit to be shown: without the key, in whatever writing it is quoted, and clean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bookings_analytics.wording import cleaned

if TYPE_CHECKING:
    from collections.abc import Callable

    from bookings_analytics.studios import ApiKey


def masker(key: ApiKey) -> Callable[[str], str]:
    """Return a function that replaces the key in a text by ``***`` and removes control characters.

    The key is found as it is, and escaped as JSON, Python, HTML and URLs write it.

    Args:
        key: The key to hide.
    """
    # Of each character every writing; the NULs are those of UTF-16 that was read as UTF-8.
    pattern = re.compile("\x00*".join(_writings(character) for character in key.reveal()))

    def mask(text: str) -> str:
        return cleaned(pattern.sub("***", text))

    return mask


def _writings(character: str) -> str:
    code = ord(character)
    escapes = rf"\\+u00{code:02x}|\\+x{code:02x}|%{code:02x}|&#0*{code};|&#x0*{code:x};"
    named = {"&": "|&amp;", "<": "|&lt;", ">": "|&gt;", '"': "|&quot;", "'": "|&apos;"}.get(character, "")
    return rf"(?:\\*{re.escape(character)}|(?i:{escapes}){named})"
