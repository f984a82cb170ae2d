"""HTTP requests and responses as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from kling_adapters.media.urls import DataUrl

_UPLOAD_HEAD, _UPLOAD_TAIL = b'{"data_urls": ["', b'"]}'


class Key(str):
    """API key whose `repr` hides it, so that tracebacks with local variables and logs do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[key]"


@dataclass(frozen=True)
class UploadBody:
    """JSON body of an upload, encoded piece by piece while it is sent. Iterating may raise MediaError."""

    data_url: DataUrl

    def __len__(self) -> int:
        return self.data_url.size + len(_UPLOAD_HEAD) + len(_UPLOAD_TAIL)

    def __iter__(self) -> Iterator[bytes]:
        yield _UPLOAD_HEAD
        yield from self.data_url
        yield _UPLOAD_TAIL


@dataclass
class Queueing:
    """State of a request in the queue for a connection.

    Attributes:
        is_waiting: Whether it waits for a connection, so that nothing of it was sent.

    """

    is_waiting: bool = False


@dataclass(frozen=True)
class Request:
    """HTTP request.

    Attributes:
        method: The verb.
        url: The address.
        body: The content, or None.
        headers: The headers, except the key.
        key: The API key; None for a host that must not receive it.
        timeout: Seconds without a byte; None for the default of the transport.
        deadline: Seconds for the whole exchange, body included; None for the default of the transport.
        max_bytes: The largest accepted body in bytes; None for the default of the transport.
        queueing: Set by the transport. A request with another key has the same object.

    """

    method: str
    url: str
    body: bytes | UploadBody | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    key: Key | None = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    deadline: float | None = field(default=None, kw_only=True)
    max_bytes: int | None = field(default=None, kw_only=True)
    queueing: Queueing = field(default_factory=Queueing, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True)
class Answer:
    """HTTP response with its whole body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """True if the status is 2xx."""
        return 200 <= self.status < 300

    def json_value(self) -> Any:
        """Return the body as a JSON value; None if it is anything else."""
        try:
            # From text: from bytes, json would read other encodings too, which are not searched for the key.
            return json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None

    def json(self) -> dict[str, Any] | None:
        """Return the body as a JSON object; None if it is anything else."""
        value = self.json_value()
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None


@dataclass(frozen=True)
class Fault:
    """Exchange without a response.

    Attributes:
        reason: The failure.
        sent: Whether any of the request may have reached the server.

    """

    reason: str
    sent: bool


Outcome: TypeAlias = Answer | Fault
