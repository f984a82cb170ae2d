"""What the sandbox was sent and what became of it, for tests to look at."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_sandbox import bodies, uploads
from kling_sandbox.accounts import Account, fingerprint
from kling_sandbox.bounded import BoundedStore
from kling_sandbox.faults import Faults
from kling_sandbox.wire import cut, misbehave, transport

_LARGEST_KEYLESS: Final = 64 * 1024
_CAPACITY: Final = 256 * 1024**2
_OVERHEAD: Final = 2048
_BYTES_PER_BYTE: Final = 24
"""The most memory that a byte of JSON takes once it is read: that of an empty list and its place in another."""
_SECRET_HEADERS: Final = frozenset({"x-api-key", "authorization", "proxy-authorization", "cookie"})


@dataclass
class Received:
    """One request as it arrived, keys replaced by their fingerprints, and its fate, filled in as it is handled."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    secrets: frozenset[str]
    """Fingerprints of everything that may have carried a key: headers and values of the query."""
    json: Any = None
    """The body if it was JSON and no large upload, else None."""
    fault: str = ""
    """The kind of the fault that struck it, or nothing."""
    request_id: str | None = None
    """The job that it started, whether its sender was told so or not."""
    status: int | None = None
    """The status of the answer; None if nothing of an answer was sent."""
    whole: bool = False
    """Whether all of an answer was handed to a connection that was still there."""


class Record:
    """The requests that arrived at an application, and the faults that strike there.

    It keeps about 80,000 of them; the oldest are dropped.
    """

    def __init__(self, faults: Faults, accounts: Mapping[str, Account]) -> None:
        """Begin with nothing. `accounts`, by fingerprint of the key, tells whose bodies are worth reading."""
        self.faults = faults
        self._accounts = accounts
        self._received = BoundedStore[int, Received](_CAPACITY)
        self._numbers = itertools.count()

    @property
    def received(self) -> tuple[Received, ...]:
        """Everything that is kept, in order of arrival."""
        return self._received.values()

    def has_key(self, key: str, path: str) -> bool:
        """Tell whether `key` ever came in a request to a path that matches the shell pattern `path`."""
        wanted = fingerprint(key)
        return any(wanted in entry.secrets and fnmatchcase(entry.path, path) for entry in self.received)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with every request noted before it is handled; the body is read here, and replayed.

        `app` finds the entry of a request as `scope["received"]`, and the fault that struck it as `scope["fault"]`.
        What is larger than `app` takes is answered 413; of a request without a valid key nothing large is kept, and
        `app` sees it without a body.
        """

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            entry = _arrived(scope)
            fault = self.faults.strike(entry.method, entry.path)
            entry.fault = fault.kind if fault else ""
            number = next(self._numbers)
            self._received.add(number, entry, _size(scope))
            if fault and fault.kind == "reset-early":
                await cut(scope, receive, reset=True)
                return
            try:
                body, refusal = await self._read(entry, receive)
            except bodies.ClientGone:
                return
            if len(body) <= bodies.LARGEST_PARAMS:
                entry.json = _document(body)
                self._received.grow(number, _BYTES_PER_BYTE * len(body))
            messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
            del body
            handler = refusal or app

            async def replay() -> Message:
                return messages.pop(0) if messages else await receive()

            async def watched(message: Message) -> None:
                # Before it is sent: whoever has an answer finds it told here.
                if message["type"] == "http.response.start":
                    entry.status = message["status"]
                elif not message.get("more_body", False):
                    entry.whole = not transport(scope).is_closing()
                await send(message)

            known = {**scope, "received": entry, "fault": fault}
            if fault is None:
                await handler(known, replay, watched)
            else:
                await misbehave(fault, handler, known, replay, watched)

        return noted

    async def _read(self, entry: Received, receive: Receive) -> tuple[bytes, Response | None]:
        """Return the body as `app` is to see it, and the answer if it is larger than `app` takes."""
        account = self._accounts.get(entry.headers.get("x-api-key", ""))
        has_key = account is not None and account.permitted
        largest = _largest_body(entry) if has_key else _LARGEST_KEYLESS
        try:
            return await bodies.receive_body(receive, largest), None
        except bodies.BodyTooLarge:
            # In every other case `app` has an answer that does not depend on the body.
            is_about_body = has_key and entry.method == "POST"
            return b"", JSONResponse(bodies.too_large(largest), 413) if is_about_body else None


def _largest_body(entry: Received) -> int:
    is_upload = (entry.method, entry.path) == ("POST", "/upload-asset")
    return uploads.LARGEST_BODY if is_upload else bodies.LARGEST_PARAMS


def _size(scope: Scope) -> int:
    """Return about how many bytes of memory the entry of a request takes without its body."""
    texts = len(scope["raw_path"]) + len(scope["query_string"])
    texts += sum(len(name) + len(value) for name, value in scope["headers"])
    return _OVERHEAD + 2 * texts


def _arrived(scope: Scope) -> Received:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    values = [value for name, value in headers.items() if name in _SECRET_HEADERS]
    values += [value.split(" ", 1)[1] for value in values if " " in value]
    values += [value for _, value in parse_qsl(scope["query_string"].decode("latin-1"))]
    shown = {
        name: fingerprint(value) if name in _SECRET_HEADERS else value for name, value in headers.items()
    }
    return Received(scope["method"], scope["path"], shown, frozenset(map(fingerprint, values)))


def _document(body: bytes) -> Any:
    try:
        return bodies.read(body)
    except ValueError:
        return None
