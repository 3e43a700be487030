"""What the demo studio's API says when it does not answer with bookings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(NamedTuple):
    """An error of the API, in the words of its ``ErrorResponse``."""

    status: int
    error_code: str
    message: str

    @property
    def trace_id(self) -> str:
        """What a caller quotes to the API's support."""
        return f"demo-{self.status}"


_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("validation.failed", "Validation of the request failed."),
    401: ("authentication.failed", "Authentication failed. No api-key, wrong api-key or wrong header name."),
    403: ("scope.missing", "Authorization failed. The api-key does not have the scope CLASSES_READ."),
    404: ("not.found", "Entity does not exist."),
    405: ("method.not.allowed", "This method is not supported."),
    409: ("concurrent.modification", "Concurrent modification detected. The entity was modified by another request."),
    429: ("rate.limit.exceeded", "Access denied - rate limit is exceeded."),
    500: ("unexpected.error", "Unexpected system error."),
    503: ("service.unavailable", "The service is overloaded. Try again later."),
}
OPTED_OUT: Final = Refusal(403, "openapi.customer.access.disabled", "The customer disabled access by third parties.")


def refusal(status: int) -> Refusal:
    """Return what the API says with a status.

    Args:
        status: The HTTP status.
    """
    return Refusal(status, *_REFUSALS.get(status, (f"status.{status}", f"Status {status}.")))
