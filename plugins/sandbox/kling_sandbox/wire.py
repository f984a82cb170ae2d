"""Answers that go wrong on the way: what HTTP servers are built not to do is done on the connection itself."""

import asyncio
import socket
import struct
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from kling_sandbox.faults import Fault

_GARBAGE = b'{"request_id": "\xff\x00'
_WORDS = {
    406: "Insufficient credits",
    410: "This model has been retired",
    429: "Rate limit exceeded",
}


class Protocol(H11Protocol):
    """HTTP as uvicorn speaks it, whose requests know their connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the connection where `transport` finds it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def transport(scope: Scope) -> asyncio.Transport:
    """Return the connection that a request came by."""
    found: asyncio.Transport = scope["state"]["transport"]
    return found


async def cut(scope: Scope, receive: Receive, data: bytes = b"", *, reset: bool) -> None:
    """Send these bytes as they are and end the connection, with a RST or in order."""
    connection = transport(scope)
    connection.write(data)
    if reset:
        # What waits here would be dropped; what the other side has got it can still read.
        while connection.get_write_buffer_size() and not connection.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if not connection.is_closing():
            linger = struct.pack("ii", 1, 0)
            connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.abort()
    else:
        connection.close()
    # Until the server has noticed: else it would answer in our stead.
    while (await receive())["type"] != "http.disconnect":
        pass


async def misbehave(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Handle a request as `fault` has it, all kinds but reset-early."""
    await asyncio.sleep(fault.seconds)
    match fault.kind:
        case "latency" | "failed" | "restart" | "flap":
            await app(scope, receive, send)
        case "html":
            await _page(502)(scope, receive, send)
        case "504" | "garbage":
            await _handled(app, scope, receive)
            garbage = Response(_GARBAGE, media_type="application/json")
            await (_error(504) if fault.kind == "504" else garbage)(scope, receive, send)
        case "reset-late":
            await _handled(app, scope, receive)
            await cut(scope, receive, reset=True)
        case "reset" | "truncate" | "length" | "type":
            await _spoilt(fault, await _handled(app, scope, receive), scope, receive, send)
        case status:
            await (_page(405) if status == "405" else _error(int(status)))(scope, receive, send)


async def _handled(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Let `app` handle the request, and return the head and body of its answer, which nobody has got yet."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _spoilt(
    fault: Fault, answer: tuple[Message, bytes], scope: Scope, receive: Receive, send: Send
) -> None:
    start, body = answer
    headers: dict[bytes, bytes] = dict(start["headers"])
    at = len(body) // 2 if fault.at is None else fault.at
    if fault.kind == "type":
        headers[b"content-type"] = b"text/html; charset=utf-8"
        await send({**start, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": body})
        return
    if fault.kind == "length":
        headers[b"content-length"] = str(at).encode()
    lines = [f"HTTP/1.1 {start['status']} {HTTPStatus(start['status']).phrase}".encode()]
    head = b"\r\n".join([*lines, *(b"%b: %b" % header for header in headers.items()), b"", b""])
    sent = {"reset": (head + body)[: fault.at if fault.at is not None else len(head) + at],
            "truncate": head + body[:at],
            "length": head + body}[fault.kind]  # fmt: skip
    scope["received"].status = start["status"] if sent else None
    await cut(scope, receive, sent, reset=fault.kind == "reset")


def _error(status: int) -> Response:
    headers = {}
    if status == 429:
        reset = datetime.now(UTC) + timedelta(seconds=1)
        headers["x-rate-limit-reset-at-utc"] = reset.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return JSONResponse({"error": _WORDS.get(status, _phrase(status))}, status, headers=headers)


def _page(status: int) -> Response:
    words = f"{status} {_phrase(status)}"
    return HTMLResponse(f"<!doctype html>\n<title>{words}</title>\n<h1>{words}</h1>\n", status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
