"""What is asked again, how often, and after how long."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

import stamina

from bookings_analytics.errors import ConflictError, ConnectionFailedError, RateLimitError, ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_ATTEMPTS: Final = 6  # requests for one customer, the first included
FIRST_WAIT: Final = 0.5  # seconds before the second attempt; doubles with each, with up to a second of jitter
LONGEST_WAIT: Final = 30.0
RETRIED: Final = (ConflictError, ConnectionFailedError, RateLimitError, ServerError)  # asking again can help

_T = TypeVar("_T")

# stamina logs each retry as a warning, which Python prints where nothing is set up: a notebook would show it.
logging.getLogger("stamina").addHandler(logging.NullHandler())


async def retried(ask: Callable[[int], Awaitable[_T]], max_attempts: int) -> _T:
    """Ask until there is an answer, or an error that asking again can't help.

    Args:
        ask: Sends one request; it takes the attempt's number, from 1.
        max_attempts: How many requests to send at most.

    Raises:
        Exception: What `ask` raised, the last time if asking again could have helped.
    """
    try:
        return await ask(1)
    except RETRIED as error:
        failed = error
    # Only now: stamina's bookkeeping, made for every customer, would be a third of the CPU time of a fetch.
    async for attempt in stamina.retry_context(
        on=RETRIED, attempts=max_attempts, timeout=None, wait_initial=FIRST_WAIT, wait_max=LONGEST_WAIT
    ):
        with attempt:
            if attempt.num == 1:
                raise failed
            return await ask(attempt.num)
    raise AssertionError("stamina ends with an answer or an error")


def retry_after(header: str | None) -> float | None:
    """Read a Retry-After of seconds or of a date as seconds from now.

    Args:
        header: The header; None if there is none.

    Returns:
        The seconds; None if there are none that can be read.

    Example:
        >>> retry_after("90"), retry_after("soon")
        (90.0, None)
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):  # a year or a zone that no calendar has
        return None
