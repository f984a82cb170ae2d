"""Performance of faults: wrong, damaged and missing responses."""

import asyncio
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_sandbox.faults import Fault
from kling_sandbox.wire import end_connection

_GARBAGE: Final = b'{"request_id": "\xff\x00'
_PHRASES: Final = {
    406: "Insufficient credits",
    410: "This model has been retired",
    429: "Rate limit exceeded",
}


async def perform_fault(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Handle a request with any fault but reset-early."""
    await asyncio.sleep(fault.seconds)
    match fault.kind:
        case "latency" | "failed" | "restart" | "flap" | "missing" | "twins" | "foreign" | "misreport":
            await app(scope, receive, send)
        case "html":
            await _html_page(502)(scope, receive, send)
        case "504" | "garbage":
            await _handle(app, scope, receive)
            garbage = Response(_GARBAGE, media_type="application/json")
            await (_error(504) if fault.kind == "504" else garbage)(scope, receive, send)
        case "reset-late":
            await _handle(app, scope, receive)
            await end_connection(scope, receive, reset=True)
        case "type":
            start, body = await _handle(app, scope, receive)
            headers = dict(start["headers"]) | {b"content-type": b"text/html; charset=utf-8"}
            await send({**start, "headers": list(headers.items())})
            await send({"type": "http.response.body", "body": body})
        case "reset" | "truncate" | "length":
            await _damage(fault, await _handle(app, scope, receive), scope, receive)
        case status:
            await (_html_page(405) if status == "405" else _error(int(status)))(scope, receive, send)


async def _handle(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Let `app` handle the request, and return the head and the body of its unsent response."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, collect)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _damage(fault: Fault, response: tuple[Message, bytes], scope: Scope, receive: Receive) -> None:
    """Send a part of a response, or with a wrong length, which an HTTP server cannot do."""
    start, body = response
    headers: dict[bytes, bytes] = dict(start["headers"])
    at = len(body) // 2 if fault.at is None else fault.at
    if fault.kind == "length":
        headers[b"content-length"] = str(at).encode()
    lines = [f"HTTP/1.1 {start['status']} {HTTPStatus(start['status']).phrase}".encode()]
    head = b"\r\n".join([*lines, *(b"%b: %b" % header for header in headers.items()), b"", b""])
    data = {
        "reset": (head + body)[: fault.at if fault.at is not None else len(head) + at],
        "truncate": head + body[:at],
        "length": head + body,
    }[fault.kind]
    scope["received"].status = start["status"] if data else None
    await end_connection(scope, receive, data, reset=fault.kind == "reset")


def _error(status: int) -> Response:
    headers: dict[str, str] = {}
    if status == 429:
        reset = datetime.now(UTC) + timedelta(seconds=1)
        headers["x-rate-limit-reset-at-utc"] = reset.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return JSONResponse({"error": _PHRASES.get(status, _phrase(status))}, status, headers=headers)


def _html_page(status: int) -> Response:
    title = f"{status} {_phrase(status)}"
    return HTMLResponse(f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n", status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
