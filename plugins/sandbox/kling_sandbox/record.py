"""Received requests, for tests to inspect."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Scope

from kling_sandbox import bodies
from kling_sandbox.accounts import fingerprint
from kling_sandbox.bounded import BoundedStore

_CAPACITY: Final = 256 * 1024**2
_OVERHEAD: Final = 2048
_JSON_FACTOR: Final = 24
"""The largest memory that a byte of JSON needs after parsing: an empty list and its place in another list."""
_SECRET_HEADERS: Final = frozenset({"x-api-key", "authorization", "proxy-authorization", "cookie"})


@dataclass
class ReceivedRequest:
    """A received request, with fingerprints instead of keys. Later attributes are set while it is handled.

    Attributes:
        method: The method.
        path: The path, without the query.
        headers: The headers, by lower-case name.
        secrets: The fingerprints of all values that may contain a key: of headers and of the query.
        json: The body, if it was JSON of at most 4 MiB; otherwise None.
        fault: The kind of the fault that affected the request; empty without a fault.
        request_id: The job that the request started, even if the response did not arrive; None without a job.
        status: The status of the response; None if no byte of a response was sent.
        is_complete: Whether the complete response was written to an open connection.

    """

    method: str
    path: str
    headers: Mapping[str, str]
    secrets: frozenset[str]
    json: Any = None
    fault: str = ""
    request_id: str | None = None
    status: int | None = None
    is_complete: bool = False

    @classmethod
    def from_scope(cls, scope: Scope) -> "ReceivedRequest":
        """Return the entry for a request of an ASGI server.

        Args:
            scope: The scope of the request.

        Returns:
            The entry.

        """
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        values = [value for name, value in headers.items() if name in _SECRET_HEADERS]
        values += [value.split(" ", 1)[1] for value in values if " " in value]
        values += [value for _, value in parse_qsl(scope["query_string"].decode("latin-1"))]
        masked = {
            name: fingerprint(value) if name in _SECRET_HEADERS else value for name, value in headers.items()
        }
        return cls(scope["method"], scope["path"], masked, frozenset(map(fingerprint, values)))


class Record:
    """The received requests, about 80,000 of them; the oldest are dropped."""

    def __init__(self) -> None:
        self._entries = BoundedStore[int, ReceivedRequest](_CAPACITY)
        self._numbers = itertools.count()

    @property
    def entries(self) -> tuple[ReceivedRequest, ...]:
        """All entries, in order of arrival."""
        return self._entries.values()

    def add(self, scope: Scope) -> tuple[int, ReceivedRequest]:
        """Add a request, and return its number and its entry."""
        number, entry = next(self._numbers), ReceivedRequest.from_scope(scope)
        texts = len(scope["raw_path"]) + len(scope["query_string"])
        texts += sum(len(name) + len(value) for name, value in scope["headers"])
        self._entries.add(number, entry, _OVERHEAD + 2 * texts)
        return number, entry

    def add_body(self, number: int, entry: ReceivedRequest, body: bytes) -> None:
        """Add the body to an entry if it is JSON and not a large upload."""
        if len(body) > bodies.MAX_PARAMS:
            return
        try:
            entry.json = bodies.parse_json(body)
        except ValueError:
            return
        self._entries.grow(number, _JSON_FACTOR * len(body))

    def has_key(self, key: str, path: str) -> bool:
        """Return whether a request to a path that matches the shell pattern contained the key."""
        digest = fingerprint(key)
        return any(digest in entry.secrets and fnmatchcase(entry.path, path) for entry in self.entries)
