"""The demo studio's API: the endpoint of `openapi.json`, answered from the world, and the studio's time."""

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

from bookings_analytics.demo.clock import checked
from bookings_analytics.demo.faults import Faults
from bookings_analytics.demo.refusals import Refusal, refusal
from bookings_analytics.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from bookings_analytics.demo.faults import Fault, RateLimit
    from bookings_analytics.demo.world import World
    from bookings_analytics.studios import ApiKey

PATH: Final = "/v1/classes/booking"
CLOCK_PATH: Final = "/clock"

_KEPT_REQUESTS: Final = 100_000
_CHUNK_BYTES: Final = 65_536


@dataclass(slots=True)
class LoggedRequest:
    """One request that reached the API.

    Attributes:
        arrived_at: Time of arrival, in seconds of `time.monotonic`.
        method: HTTP method.
        customer_id: Customer asked for; None if the request names none.
        headers: Headers of the request except the key, names in lower case.
        status: Status of the answer; None if there is none (yet).
    """

    arrived_at: float
    method: str
    customer_id: int | None
    headers: dict[str, str]
    status: int | None = None


class Api:
    """The API as an ASGI application.

    Args:
        world: What happens at the studio.
        key: The key that requests must carry.
        clock: Returns the time at the studio.
        rate_limit: The API's rate limit; None for no limit.
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
        if request.url.path == CLOCK_PATH:  # no part of the API: no key, no log, no limit
            await Response(self._clock().isoformat(), media_type="text/plain")(scope, receive, send)
            return
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
        """Answer requests that do not ask for bookings, or that come too often; None for the others."""
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
        """Answer with what the world says."""
        if customer_id is None:
            given = ", ".join(request.query_params.getlist("customerId"))
            return _error(400, reference="customerId", argument=("STRING", given))
        try:
            now = checked(self._clock(), name="clock()")
        except ConfigurationError as error:  # a clock of somebody else's: tell those who ask
            return _error(Refusal(500, "clock", str(error)))
        answer = self._world.answer(customer_id, now)
        if isinstance(answer, Refusal):
            return _error(answer, argument=("INTEGER", customer_id))
        return Response(msgspec.json.encode(answer), media_type="application/json")


def _customer_id(request: Request) -> int | None:
    """Return the one whole number within int64 that the query must hold; None if it does not."""
    match request.query_params.getlist("customerId"):
        case [text] if re.fullmatch(r"-?[0-9]{1,19}", text) and -(2**63) <= int(text) < 2**63:
            return int(text)
    return None


def _error(
    what: Refusal | int,
    *,
    reference: str | None = None,
    argument: tuple[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with the specification's ErrorResponse."""
    error = what if isinstance(what, Refusal) else refusal(what)
    body: dict[str, Any] = {"errorMessage": error.message, "errorCode": error.error_code, "traceId": error.trace_id}
    if reference is not None:
        body["reference"] = reference
    if argument is not None:
        kind, value = argument
        body["args"] = [{"value": value}]
        body["typedArgs"] = [{"value": value, "type": kind}]
    return Response(msgspec.json.encode(body), error.status, headers, "application/json")


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
