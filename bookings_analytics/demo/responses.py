"""The HTTP answers of the demo studio's API: errors, and those that a fault asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from bookings_analytics.demo.refusals import Refusal, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send

    from bookings_analytics.demo.faults import Fault

_CHUNK_BYTES: Final = 65_536


def error_response(
    what: Refusal | int,
    *,
    reference: str | None = None,
    argument: tuple[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an answer with the specification's ``ErrorResponse``.

    Args:
        what: What the API says, or a status that says it.
        reference: The parameter that is refused.
        argument: Type and value of the argument that the message is about.
        headers: Further headers.
    """
    error = what if isinstance(what, Refusal) else refusal(what)
    body: dict[str, Any] = {"errorMessage": error.message, "errorCode": error.error_code, "traceId": error.trace_id}
    if reference is not None:
        body["reference"] = reference
    if argument is not None:
        kind, value = argument
        body["args"] = [{"value": value}]
        body["typedArgs"] = [{"value": value, "type": kind}]
    return Response(msgspec.json.encode(body), error.status, headers, "application/json")


def planned_response(fault: Fault) -> Response:
    """Return the answer that a fault asks for.

    Args:
        fault: A fault that replaces the true answer.
    """
    if fault.body is None:
        return error_response(fault.status or 200, headers=fault.headers)
    headers = {"content-type": "application/json", **fault.headers}
    if fault.chunked:
        return StreamingResponse(_chunks(fault.body), fault.status or 200, headers)
    return Response(fault.body, fault.status or 200, headers)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _CHUNK_BYTES):
        yield body[start : start + _CHUNK_BYTES]


async def cut(response: Response, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection before the answer is complete.

    Args:
        response: The answer.
        fault: How much of it to send.
        scope: The request's ASGI scope.
        receive: Receives the client's end.
        send: Sends to the client.
    """
    if not fault.drop:
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": bytes(response.body)[: fault.cut_after], "more_body": True})
    scope["state"]["transport"].close()
    while (await receive())["type"] != "http.disconnect":
        pass
