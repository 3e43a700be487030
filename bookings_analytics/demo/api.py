"""The demo studio's API, answered from the world: bookings, classes and their slots; and the studio's time."""

from __future__ import annotations

import asyncio
import hmac
import math
import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bookings_analytics.demo.classes import ClassPages, WrongParameterError
from bookings_analytics.demo.clock import checked
from bookings_analytics.demo.faults import Endpoint, Faults
from bookings_analytics.demo.refusals import Refusal
from bookings_analytics.demo.responses import cut, error_response, planned_response
from bookings_analytics.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from bookings_analytics.demo.faults import RateLimit
    from bookings_analytics.demo.world import World
    from bookings_analytics.studios import ApiKey

CLOCK_PATH: Final = "/clock"

_ENDPOINTS: Final[Mapping[Endpoint, re.Pattern[str]]] = {
    "bookings": re.compile("/v1/classes/booking"),
    "classes": re.compile("/v1/classes"),
    "slots": re.compile("/v1/classes/([^/]+)/slots"),
}

_KEPT_REQUESTS: Final = 100_000


@dataclass(slots=True)
class LoggedRequest:
    """One request that reached the API.

    Attributes:
        arrived_at: Time of arrival, in seconds of `time.monotonic`.
        method: HTTP method.
        path: Path of the URL.
        customer_id: Customer asked for; None if the request names none.
        headers: Headers of the request except the key, names in lower case.
        status: Status of the answer; None if there is none (yet).
    """

    arrived_at: float
    method: str
    path: str
    customer_id: int | None
    headers: dict[str, str]
    status: int | None = None


class Api:
    """The API as an ASGI application.

    Args:
        world: What happens at the studio.
        key: The key that requests must carry.
        clock: Returns the time at the studio.
        rate_limit: The rate limit of each endpoint; None for no limit.
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
        self._pages = ClassPages(world)
        self._rate_limits = {name: rate_limit.unused() for name in _ENDPOINTS} if rate_limit is not None else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        if request.url.path == CLOCK_PATH:  # no part of the API: no key, no log, no limit
            await Response(self._clock().isoformat(), media_type="text/plain")(scope, receive, send)
            return
        customer_id = _customer_id(request)
        headers = {name: value for name, value in request.headers.items() if name != "x-api-key"}
        logged = LoggedRequest(time.monotonic(), request.method, request.url.path, customer_id, headers)
        self.requests.append(logged)
        endpoint, class_id = _endpoint(request.url.path)
        response = self._refusal(request, endpoint, logged.arrived_at)
        fault = None if response is not None else self.faults.take(endpoint, customer_id)
        if fault is not None and fault.answers:
            response = planned_response(fault)
        elif response is None:
            response = self._answer(request, endpoint, class_id, customer_id)
        if fault is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), fault.delay)
            if fault.drop or fault.cut_after is not None:
                await cut(response, fault, scope, receive, send)
                return
        logged.status = response.status_code
        await response(scope, receive, send)

    def _refusal(self, request: Request, endpoint: Endpoint | None, now: float) -> Response | None:
        """Answer requests that ask for nothing, or that come too often; None for the others."""
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), self._key.reveal().encode()):
            return error_response(401)
        if endpoint is None:
            return error_response(404)
        if request.method == "HEAD":
            return Response()
        if request.method != "GET":
            return error_response(405, headers={"allow": "GET, HEAD"})
        limit = self._rate_limits.get(endpoint)
        if limit is not None and (left := limit.refuse(now)):
            return error_response(429, headers={"retry-after": str(math.ceil(left))} if limit.retry_after else None)
        return None

    def _answer(self, request: Request, endpoint: Endpoint | None, class_id: str, customer_id: int | None) -> Response:
        """Answer with what the world says."""
        try:
            now = checked(self._clock(), name="clock()")
        except ConfigurationError as error:  # a clock of somebody else's: tell those who ask
            return error_response(Refusal(500, "clock", str(error)))
        if endpoint == "bookings":
            return self._bookings(request, customer_id, now)
        if self._world.is_down(now):
            return error_response(503)
        try:
            if endpoint == "classes":
                return _json(self._pages.classes(request.query_params))
            return self._slots(request, class_id, now)
        except WrongParameterError as error:
            return error_response(400, reference=str(error))

    def _slots(self, request: Request, class_id: str, now: datetime) -> Response:
        number = _whole_number(class_id)
        if number is None:
            return error_response(400, reference="classId")
        page = self._pages.slots(number, request.query_params, now)
        return error_response(404) if page is None else _json(page)

    def _bookings(self, request: Request, customer_id: int | None, now: datetime) -> Response:
        if customer_id is None:
            given = ", ".join(request.query_params.getlist("customerId"))
            return error_response(400, reference="customerId", argument=("STRING", given))
        answer = self._world.answer(customer_id, now)
        if isinstance(answer, Refusal):
            return error_response(answer, argument=("INTEGER", customer_id))
        return _json(answer)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _endpoint(path: str) -> tuple[Endpoint | None, str]:
    """Return which endpoint a path is, and the class it names; None if it is none of them."""
    for endpoint, pattern in _ENDPOINTS.items():
        if found := pattern.fullmatch(path):
            return endpoint, "".join(found.groups())
    return None, ""


def _whole_number(text: str) -> int | None:
    """Return a whole number within int64; None if the text is something else."""
    if re.fullmatch(r"-?[0-9]{1,19}", text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    return None


def _customer_id(request: Request) -> int | None:
    """Return the one customer that the query must name; None if it does not."""
    match request.query_params.getlist("customerId"):
        case [text]:
            return _whole_number(text)
    return None
