"""Every error of settings, lists, requests and archives; each message ends with what to do.

    BookingsError
    ├── ConfigurationError        a wrong or missing setting: base URL, key, studio
    ├── CohortError               a cohort list that can't be read as it stands
    ├── ArchiveError              an archive that can't be read or written as it stands
    ├── ReportError               a report would show the key
    ├── FetchInterrupted          the analyst stopped a fetch (also a KeyboardInterrupt)
    ├── InvalidResponseError      the API answered, but not with what its specification says
    ├── ConnectionFailedError     no complete answer: no connection, time-out, body cut short
    └── ApiError                  the API answered with an error status
        ├── ValidationFailedError 400
        ├── AuthenticationError   401
        ├── PermissionDeniedError 403
        ├── NotFoundError         404
        ├── ConflictError         409
        ├── RateLimitError        429
        └── ServerError           5xx

An error that stops a fetch carries everything read until then in ``.result``. A wrong argument of a rate or a chart is
a ValueError or a TypeError, as polars would say it.
"""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bookings_analytics.results import FetchResult


class BookingsError(Exception):
    """Base of every error of this package.

    Attributes:
        result: What had been fetched when this error stopped a fetch; None if it did not stop one.
        attempts: How many requests were sent for the answer that failed; 0 if none was.
    """

    result: FetchResult | None = None
    attempts: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class ConfigurationError(BookingsError):
    """A missing or wrong setting: base URL, key or studio."""


class CohortError(BookingsError):
    """A cohort list that can't be read as it stands."""


class ArchiveError(BookingsError):
    """An archive that can't be read or written as it stands."""


class ReportError(BookingsError):
    """A report that would show the API key; nothing of it was written."""


class FetchInterrupted(BookingsError, KeyboardInterrupt):  # noqa: N818 - named like the KeyboardInterrupt it also is
    """A fetch that the analyst stopped; ``.result`` holds every customer fetched until then."""


class InvalidResponseError(BookingsError):
    """An answer that does not follow the API's specification.

    Attributes:
        customer_id: The customer asked for; None if the request was for none.
        path: Where in the body, as in ``$[0].bookingStatus``; ``$`` is the whole body.
        value: What stands there, as text; None where nothing does.
    """

    def __init__(
        self,
        problem: str,
        *,
        customer_id: int | None,
        path: str = "$",
        value: str | None = None,
        asked: str | None = None,
    ) -> None:
        self.customer_id = customer_id
        self.path = path
        self.value = value
        found = "" if value is None else f", found {value}"
        super().__init__(
            f"{asked or f'customer {customer_id}'}: the answer does not follow the API's specification: {problem}, "
            f"at {path}{found}. Nothing of this answer was used. Update bookings_analytics; if the newest version says "
            "the same, report this message to its developers."
        )


class ConnectionFailedError(BookingsError):
    """A request without a complete answer: no connection, a time-out, or a body cut short."""


class TypedArg(NamedTuple):
    """One argument of the API's error message, with the type that the API gives it."""

    type: str | None
    value: Any


class ApiError(BookingsError):
    """An answer of the API with an error status.

    Attributes:
        customer_id: The customer asked for; None if the request was for none.
        asked: What was asked for, in words.
        http_status: The HTTP status.
        message: The API's ``errorMessage``, or the start of the body if it is not what the specification says.
        error_code: The API's ``errorCode``; None if it gave none.
        trace_id: The API's ``traceId``, to quote to its support; None if it gave none.
        reference: The API's ``reference`` to the value it refused; None if it gave none.
        args: The API's ``args``: the arguments of its message.
        typed_args: The API's ``typedArgs``: the same, each with its type.
    """

    hint: ClassVar[str] = "Ask the API's support what this answer means."

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        customer_id: int | None = None,
        asked: str | None = None,
        error_code: str | None = None,
        trace_id: str | None = None,
        reference: str | None = None,
        args: Iterable[Mapping[str, Any]] = (),
        typed_args: Iterable[TypedArg] = (),
    ) -> None:
        super().__init__(*args)
        self.message = message
        self.http_status = http_status
        self.customer_id = customer_id
        self.asked = asked or ("the key check" if customer_id is None else f"customer {customer_id}")
        self.error_code = error_code
        self.trace_id = trace_id
        self.reference = reference
        self.typed_args = tuple(typed_args)

    def __str__(self) -> str:
        """Name what was asked for, what the API said in its own words, and what to do."""
        details = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("errorCode", self.error_code),
                ("traceId", self.trace_id),
                ("reference", self.reference),
                ("args", list(self.args) or None),
                ("typedArgs", [f"{arg.type} {arg.value!r}" for arg in self.typed_args] or None),
            )
            if value is not None
        )
        answer = f"{self.http_status} {responses.get(self.http_status, '')}".rstrip()
        said = self.message or "(no message)"
        return f"{self.asked}: {answer}: {said}{f' ({details})' if details else ''}. {self.hint}"


class ValidationFailedError(ApiError):
    """400: the API refused the request's values."""

    hint = "Check this customer's id in the cohort list."


class AuthenticationError(ApiError):
    """401: no key, or a wrong one."""

    hint = "Check api_key (or BOOKINGS_API_KEY): it must be this studio's own key."


class PermissionDeniedError(ApiError):
    """403: the key may not read this."""

    hint = "Ask the studio to give this key the scope CLASSES_READ."


class NotFoundError(ApiError):
    """404: the API does not know this customer."""

    hint = "Check that the id is a customer id of this studio."


class ConflictError(ApiError):
    """409: somebody changed the same data at that moment."""

    hint = "Fetch again with resume=."


class RateLimitError(ApiError):
    """429: more requests than the API allows in a minute."""

    hint = "Something else uses this key: fetch later with resume=, or lower requests_per_minute."


class ServerError(ApiError):
    """5xx: the API itself failed or is overloaded."""

    hint = "Fetch again later with resume=."


def _restore(cls: type[BookingsError], args: tuple[Any, ...], state: dict[str, Any]) -> BookingsError:
    """Unpickle an error whose ``__init__`` takes more than its ``args``."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error
