"""What the sandbox was sent, for tests to look at."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_sandbox.accounts import fingerprint
from kling_sandbox.fetch import USER_AGENT

_SECRET_HEADERS: Final = frozenset({"x-api-key", "authorization", "proxy-authorization", "cookie"})


@dataclass(frozen=True)
class Received:
    """One request as it arrived; keys are replaced by their fingerprints."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    json: Any
    """The body if it was JSON, else None."""
    secrets: frozenset[str]
    """Fingerprints of everything that may have carried a key: headers and values of the query."""


class Record:
    """Every request that arrived at an application."""

    def __init__(self) -> None:
        """Begin with nothing."""
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
        """Return `app` with every request noted before it is handled; the body is read here, and replayed."""

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            messages: list[Message] = []
            if scope["type"] == "http":
                while not messages or messages[-1].get("more_body", False):
                    messages.append(await receive())
                self._note(scope, b"".join(message.get("body", b"") for message in messages))

            async def replay() -> Message:
                return messages.pop(0) if messages else await receive()

            await app(scope, replay, send)

        return noted

    def _note(self, scope: Scope, body: bytes) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        if headers.get("user-agent") == USER_AGENT:
            return
        values = [value for name, value in headers.items() if name in _SECRET_HEADERS]
        values += [value.split(" ", 1)[1] for value in values if " " in value]
        values += [value for _, value in parse_qsl(scope["query_string"].decode("latin-1"))]
        try:
            document = json.loads(body) if body else None
        except (ValueError, RecursionError):
            document = None
        shown = {
            name: fingerprint(value) if name in _SECRET_HEADERS else value for name, value in headers.items()
        }
        secrets = frozenset(map(fingerprint, values))
        with self._lock:
            self._received.append(Received(scope["method"], scope["path"], shown, document, secrets))
