"""How a command ends: its exit code for the schedule that ran it, and its errors in the command's own words."""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from bookings_analytics import ApiError, ConflictError, ConnectionFailedError, RateLimitError, ServerError
from bookings_analytics.studios import API_KEY_VARIABLE, BASE_URL_VARIABLE, ApiKey

if TYPE_CHECKING:
    from bookings_analytics import BookingsError


class Exit(IntEnum):
    """How a command ended, for the schedule that ran it."""

    DONE = 0  # whoever could not be fetched never can be: unknown, opted out, refused
    WRONG_SETTING = 2  # as the command line itself says of a wrong option
    SOME_NOT_FETCHED = 3  # somebody who could have been
    UNREACHABLE = 4  # no network or no API, and nobody was fetched
    STILL_RUNNING = 5  # another fetch into this archive
    DAMAGED = 6  # what `check` found
    UNFORESEEN = 70  # sysexits.h: an internal software error
    INTERRUPTED = 130  # as a shell says of Ctrl-C
    TERMINATED = 143  # as a shell says of SIGTERM


_NOT_THERE: Final = (ConnectionFailedError, ConflictError, RateLimitError, ServerError)  # and may be there later

# The library's messages speak of its arguments; whoever runs a command has options and variables.
_PHRASES: Final = (
    (rf"\bapi_key=? (?:\(or |or )({API_KEY_VARIABLE})\)?", r"\1 (or where the file of --studios says the key is)"),
    (rf"\bbase_url=? (?:\(or |or )({BASE_URL_VARIABLE})\)?", r"\1 (or base_url in the file of --studios)"),
    (r"(?:continue|go on|fetch again|fetch later)((?: later)?) with resume=[^.,;)]*", r"run the command again\1"),
    (r"(?:Continue|Go on|Fetch again|Fetch later)((?: later)?) with resume=[^.,;)]*", r"Run the command again\1"),
    (r", or lower requests_per_minute\b=?", ""),
    (r", or pass that studio in studios=", ""),
    (r" \(an object store with storage_options=\)", " (an object store by variables such as AWS_REGION)"),
    (r"\bpass columns=\{[^}]*\}", "name its column with --id-column"),
    (r"\bpass separator=", "pass --separator "),
    (r"\bpass sheet=", "pass --sheet "),
)


def in_command_terms(error: BookingsError) -> str:
    """Write an error's message with what the command line has: options and variables instead of Python's arguments.

    Example:
        >>> from bookings_analytics.errors import ServerError
        >>> in_command_terms(ServerError("overloaded", http_status=503, customer_id=7))
        'customer 7: 503 Service Unavailable: overloaded. Run the command again later.'
    """
    text = str(error)
    for pattern, replacement in _PHRASES:
        text = re.sub(pattern, replacement, text)
    return text


def exit_code(error: BookingsError) -> Exit:
    """Return the exit code of a command that an error ended.

    Example:
        >>> from bookings_analytics.errors import ConfigurationError
        >>> exit_code(ConfigurationError("no key")).name
        'WRONG_SETTING'
    """
    return Exit.UNREACHABLE if isinstance(error, _NOT_THERE) else Exit.WRONG_SETTING


def is_temporary(error: ApiError | ConnectionFailedError) -> bool:
    """Check if what stopped a fetch may be gone when the command runs again.

    Example:
        >>> from bookings_analytics.errors import AuthenticationError
        >>> is_temporary(AuthenticationError("wrong key", http_status=401))
        False
    """
    return isinstance(error, _NOT_THERE)


def written_down(error: Exception) -> str:
    """Write an unforeseen error's traceback into a file, without any key, and return one line that names it.

    Args:
        error: The error that no command foresees.
    """
    text = ApiKey.hide("".join(traceback.format_exception(error)))
    if key := os.environ.get(API_KEY_VARIABLE):  # which no studio may have been made of yet
        text = text.replace(key, "***")
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix="bookings-analytics-", suffix=".log", delete=False
    ) as log:
        log.write(text)
    return (
        f"This should not happen: {type(error).__name__}. What had been fetched is in the archive, if there is one. "
        f"Report the problem with the file {log.name}."
    )
