"""Middleware in front of the gateway: it records each request, limits its body, and performs faults."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_sandbox import bodies, uploads
from kling_sandbox.accounts import Account
from kling_sandbox.faults import Faults
from kling_sandbox.misbehaviour import perform_fault
from kling_sandbox.record import ReceivedRequest, Record
from kling_sandbox.wire import end_connection, get_transport

_MAX_WITHOUT_KEY: Final = 64 * 1024


class Intake:
    """Records requests and calls an application for them.

    The application finds the entry of the request as `scope["received"]`, and its fault as `scope["fault"]`. The
    response to a body over its limit is 413. Without a valid key, a large body is dropped.
    """

    def __init__(self, record: Record, faults: Faults, accounts: Mapping[str, Account]) -> None:
        """`accounts` is by fingerprint of the key."""
        self._record = record
        self._accounts = accounts
        self.faults = faults

    def protect(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind the intake."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            await self._handle(app, scope, receive, send)

        return handle

    async def _handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        number, entry = self._record.add(scope)
        fault = self.faults.strike(entry.method, entry.path)
        entry.fault = fault.kind if fault else ""
        if fault and fault.kind == "reset-early":
            await end_connection(scope, receive, reset=True)
            return
        try:
            body, refusal = await self._read_body(entry, receive)
        except bodies.ClientDisconnected:
            return
        self._record.add_body(number, entry, body)
        replay, watch = _replay(body, receive), _watch(entry, scope, send)
        del body  # an upload is large, and `replay` releases it
        handler = refusal or app
        scope = {**scope, "received": entry, "fault": fault}
        if fault is None:
            await handler(scope, replay, watch)
        else:
            await perform_fault(fault, handler, scope, replay, watch)

    async def _read_body(self, entry: ReceivedRequest, receive: Receive) -> tuple[bytes, Response | None]:
        """Return the body for the application, and the response if the body exceeds its limit."""
        account = self._accounts.get(entry.headers.get("x-api-key", ""))
        has_key = account is not None and account.permitted
        limit = _body_limit(entry) if has_key else _MAX_WITHOUT_KEY
        try:
            return await bodies.receive_body(receive, limit), None
        except bodies.BodyTooLarge:
            # Other responses of the application do not depend on the body.
            depends_on_body = has_key and entry.method == "POST"
            return b"", JSONResponse(bodies.make_too_large_body(limit), 413) if depends_on_body else None


def _body_limit(entry: ReceivedRequest) -> int:
    is_upload = (entry.method, entry.path) == ("POST", "/upload-asset")
    return uploads.MAX_BODY if is_upload else bodies.MAX_PARAMS


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body once, then the messages of the connection."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop(0) if messages else await receive()

    return replay


def _watch(entry: ReceivedRequest, scope: Scope, send: Send) -> Send:
    """Return a `send` that records the response before it is sent, so that a client can read it in the record."""

    async def watch(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry.status = message["status"]
        elif not message.get("more_body", False):
            entry.is_complete = not get_transport(scope).is_closing()
        await send(message)

    return watch
