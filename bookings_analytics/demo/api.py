"""The demo studio's API: the one endpoint of `openapi.json`, answered from the made-up world."""

from __future__ import annotations

import asyncio
import hmac
import math
import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bookings_analytics.demo.faults import Faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from bookings_analytics.demo.faults import Fault, RateLimit
    from bookings_analytics.demo.world import World
    from bookings_analytics.studios import ApiKey

PATH: Final = "/v1/classes/booking"

_KEPT_REQUESTS: Final = 100_000
_CHUNK_BYTES: Final = 65_536

_ERRORS: Final = {
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
_OPTED_OUT: Final = ("openapi.customer.access.disabled", "The customer disabled access by third parties.")


@dataclass(slots=True)
class LoggedRequest:
    """One request that reached the API.

    Attributes:
        arrived_at: When, in seconds of `time.monotonic`.
        method: The HTTP method.
        customer_id: The customer asked for; None if the request names none.
        headers: The request's headers but for the key, names in lower case.
        status: The status it was answered with; None if it was not (yet).
    """

    arrived_at: float
    method: str
    customer_id: int | None
    headers: dict[str, str]
    status: int | None = None


class Api:
    """The API as an ASGI application.

    Args:
        world: What the answers are made from.
        key: The key that requests must carry.
        clock: Gives the time that answers are of.
        rate_limit: The speed limit; None for none.
    """

    def __init__(
        self, world: World, *, key: ApiKey, clock: Callable[[], datetime], rate_limit: RateLimit | None
    ) -> None:
        self.faults: Final = Faults()
        self.requests: Final[deque[LoggedRequest]] = deque(maxlen=_KEPT_REQUESTS)
        self.closing: Final = asyncio.Event()  # set: slow answers come at once
        self._world = world
        self._key = key
        self._clock = clock
        self._rate_limit = rate_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        customer_id = _customer_id(request)
        headers = {name: value for name, value in request.headers.items() if name != "x-api-key"}
        logged = LoggedRequest(time.monotonic(), request.method, customer_id, headers)
        self.requests.append(logged)
        fault = None
        response = self._refusal(request, logged.arrived_at)
        if response is None:
            fault = self.faults.take(customer_id)
            response = self._answer(request, customer_id) if fault is None or not fault.answers else _as_planned(fault)
        if fault is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), fault.delay)
            if fault.drop or fault.cut_after is not None:
                await _cut(response, fault, scope, receive, send)
                return
        logged.status = response.status_code
        await response(scope, receive, send)

    def _refusal(self, request: Request, now: float) -> Response | None:
        """Answer whatever does not ask for bookings, or too often."""
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), self._key.reveal().encode()):
            return _error(401)
        if request.url.path != PATH:
            return _error(404)
        if request.method == "HEAD":
            return Response()
        if request.method != "GET":
            return _error(405, headers={"allow": "GET, HEAD"})
        if self._rate_limit is not None and (left := self._rate_limit.refuse(now)):
            return _error(429, headers={"retry-after": str(math.ceil(left))} if self._rate_limit.retry_after else None)
        return None

    def _answer(self, request: Request, customer_id: int | None) -> Response:
        """Answer truly."""
        if customer_id is None:
            given = ", ".join(request.query_params.getlist("customerId"))
            return _error(400, reference="customerId", argument=("STRING", given))
        person = self._world.people.get(customer_id)
        if person is None or person.access == "unknown":
            return _error(404, argument=("INTEGER", customer_id))
        if person.access == "disabled":
            return _error(403, _OPTED_OUT, argument=("INTEGER", customer_id))
        bookings = self._world.bookings_of(customer_id, self._clock())
        return Response(msgspec.json.encode(bookings), media_type="application/json")


def _customer_id(request: Request) -> int | None:
    """Read the one whole number within int64 that the query must hold."""
    match request.query_params.getlist("customerId"):
        case [text] if re.fullmatch(r"-?[0-9]{1,19}", text) and -(2**63) <= int(text) < 2**63:
            return int(text)
    return None


def _error(
    status: int,
    said: tuple[str, str] | None = None,
    *,
    reference: str | None = None,
    argument: tuple[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with the specification's ErrorResponse."""
    code, message = said or _ERRORS.get(status, (f"status.{status}", f"Status {status}."))
    body: dict[str, Any] = {"errorMessage": message, "errorCode": code, "traceId": f"demo-{status}"}
    if reference is not None:
        body["reference"] = reference
    if argument is not None:
        kind, value = argument
        body["args"] = [{"value": value}]
        body["typedArgs"] = [{"value": value, "type": kind}]
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def _as_planned(fault: Fault) -> Response:
    if fault.body is None:
        return _error(fault.status or 200, headers=fault.headers)
    headers = {"content-type": "application/json", **fault.headers}
    if fault.chunked:
        return StreamingResponse(_chunks(fault.body), fault.status or 200, headers)
    return Response(fault.body, fault.status or 200, headers)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _CHUNK_BYTES):
        yield body[start : start + _CHUNK_BYTES]


async def _cut(response: Response, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection before the answer is complete."""
    if not fault.drop:
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": bytes(response.body)[: fault.cut_after], "more_body": True})
    scope["state"]["transport"].close()
    while (await receive())["type"] != "http.disconnect":
        pass
