"""What the sandbox was sent and what became of it, for tests to look at."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_sandbox import bodies
from kling_sandbox.accounts import fingerprint
from kling_sandbox.faults import Faults
from kling_sandbox.fetch import USER_AGENT
from kling_sandbox.wire import cut, misbehave, transport

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
    """The body if it was JSON, else None."""
    fault: str = ""
    """The kind of the fault that struck it, or nothing."""
    request_id: str | None = None
    """The job that it started, whether its sender was told so or not."""
    status: int | None = None
    """The status of the answer; None if nothing of an answer was sent."""
    whole: bool = False
    """Whether all of an answer was handed to a connection that was still there."""


class Record:
    """Every request that arrived at an application, and the faults that strike there."""

    def __init__(self, faults: Faults) -> None:
        """Begin with nothing."""
        self.faults = faults
        self._received: list[Received] = []
        self._lock = threading.Lock()

    @property
    def received(self) -> tuple[Received, ...]:
        """Everything so far, in order of arrival."""
        with self._lock:
            return tuple(self._received)

    def has_key(self, key: str, path: str) -> bool:
        """Tell whether `key` ever came in a request to a path that matches the shell pattern `path`."""
        wanted = fingerprint(key)
        return any(wanted in entry.secrets and fnmatchcase(entry.path, path) for entry in self.received)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with every request noted before it is handled; the body is read here, and replayed.

        `app` finds the entry of a request as `scope["received"]`, and the fault that struck it as `scope["fault"]`.
        """

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            entry = _arrived(scope)
            if entry.headers.get("user-agent") == USER_AGENT:
                await app(scope, receive, send)
                return
            fault = self.faults.strike(entry.method, entry.path)
            entry.fault = fault.kind if fault else ""
            with self._lock:
                self._received.append(entry)
            if fault and fault.kind == "reset-early":
                await cut(scope, receive, reset=True)
                return
            messages = await _read(receive)
            if messages[-1]["type"] == "http.disconnect":
                return
            entry.json = _document(b"".join(message.get("body", b"") for message in messages))

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
                await app(known, replay, watched)
            else:
                await misbehave(fault, app, known, replay, watched)

        return noted


async def _read(receive: Receive) -> list[Message]:
    """Return the messages of a body; the last one is http.disconnect if the client went away before its end."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


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
