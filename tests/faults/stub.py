"""A scripted TCP server: each request takes the next item of a script, down to how its connection dies.

Plain sockets, because what is tested is what happens when HTTP is not spoken well. Nothing here sleeps.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any, Self, TypeAlias
from urllib.parse import unquote

VIDEO = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
"""Begins as an mp4 does; no two of its prefixes are equal, so a byte out of place changes the digest."""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
KEY = "SG_0123456789abcdef"
JOB = "5f0c3c4e-8c1a-4a53-9f3b-3f1f6a6f2f11"


@dataclass(frozen=True)
class Seen:
    """One request as it came; header names in small letters. `connection` counts connections from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True)
class Reply:
    """An answer. Only `sent` bytes of the body are sent, then the connection ends: in order, or with `reset`.

    `announce`: Content-Length instead of the true one; None leaves it out, and the body ends with the connection.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str | bytes] = field(default_factory=dict[str, "str | bytes"])
    announce: int | None = -1
    sent: int | None = None
    reset: bool = False
    chunked: bool = False


@dataclass(frozen=True)
class Raw:
    """These bytes instead of HTTP, then the end of the connection."""

    data: bytes


@dataclass(frozen=True)
class Hangup:
    """No answer. `read`: whether the request is read first; `reset`: with a RST instead of a FIN."""

    read: bool = True
    reset: bool = False


@dataclass(frozen=True)
class Silence:
    """The request is read and never answered."""


@dataclass(frozen=True)
class Endless:
    """A body that seems to have no end: `block` 400 times, lest a client that takes it all fill the disk."""

    block: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Action: TypeAlias = Reply | Raw | Hangup | Silence | Endless
Script: TypeAlias = Iterable[Action] | Callable[[Seen], Action]


def reply(status: int = 200, value: Any = None, headers: Mapping[str, str | bytes] | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(value).encode(), {"content-type": "application/json", **(headers or {})})


def accepted(request_id: Any = JOB) -> Reply:
    """The answer to a submit that was accepted."""
    return reply(200, {"request_id": request_id, "status": "QUEUED"})


def state(name: Any) -> Reply:
    """The answer to a status request."""
    return reply(200, {"status": name, "request_id": JOB, "metrics": {}})


def finished(output: Any = None, **more: Any) -> Reply:
    """The answer to a result request."""
    return reply(200, {"status": "COMPLETED", "request_id": JOB, "output": output, "metrics": {}, **more})


def failed(reason: str = "blocked") -> Reply:
    """How both GETs tell of a job that FAILED."""
    return reply(422, {"status": "FAILED", "error": reason, "metrics": {}})


def last_for_ever(script: Iterable[Action]) -> Iterator[Action]:
    """The items of a script, the last of them for ever."""
    items = list(script)
    return chain(items, repeat(items[-1]))


def gateway(
    *,
    submit: Iterable[Action] = (accepted(),),
    status: Iterable[Action] = (state("COMPLETED"),),
    result: Iterable[Action] = (finished(),),
    files: Iterable[Action] | Callable[[Seen], Action] = (Reply(200, VIDEO),),
) -> Callable[[Seen], Action]:
    """A script by kind of request; the last item of each kind is repeated. Files are whatever is under /files/."""
    posts, states, results = last_for_ever(submit), last_for_ever(status), last_for_ever(result)
    kept = files if callable(files) else last_for_ever(files)

    def act(seen: Seen) -> Action:
        if seen.method == "POST":
            return next(posts)
        if seen.path.startswith("/files/"):
            return kept(seen) if callable(kept) else next(kept)
        return _about(seen, next(states if seen.path.endswith("/status") else results))

    return act


def _about(seen: Seen, action: Action) -> Action:
    """An answer about JOB becomes one about the job that was asked about."""
    asked = re.match("/v2/requests/([^/?]+)", seen.path)
    if asked is None or not isinstance(action, Reply) or action.announce != -1 or action.sent is not None:
        return action
    if "content-encoding" in action.headers:
        return action
    name = json.dumps(unquote(asked[1])).encode()
    return replace(action, body=action.body.replace(json.dumps(JOB).encode(), name))


class Stub:
    """The server; use it in a `with` block. `requests` are those that were read, `url` is its address."""

    def __init__(self, script: Script = (), port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.play(script)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def play(self, script: Script) -> None:
        """Replace the script. When it is at its end, requests are read and hung up on."""
        if callable(script):
            self._next: Callable[[Seen | None], Action] = lambda seen: script(seen) if seen else Hangup()
            self._ordered = False
        else:
            items = iter(script)
            self._next = lambda _: next(items, Hangup())
            self._ordered = True

    @property
    def posts(self) -> list[Seen]:
        """The submits."""
        return [seen for seen in self.requests if seen.method == "POST"]

    @property
    def gets(self) -> list[Seen]:
        """Everything else."""
        return [seen for seen in self.requests if seen.method != "POST"]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                _end(connection)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
                self.connections += 1
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            while self._one(connection, number):
                pass
        except OSError:
            pass  # the client has gone, as clients do
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _one(self, connection: socket.socket, number: int) -> bool:
        """Serve one request; whether the connection can take another."""
        if not connection.recv(1, socket.MSG_PEEK):
            return False
        action: Action | None = None
        if self._ordered:
            with self._lock:
                action = self._next(None)
            if isinstance(action, Hangup) and not action.read:
                return self._act(connection, action)
        seen = _read(connection, number)
        if seen is None:
            return False
        with self._lock:
            self.requests.append(seen)
            action = action or self._next(seen)
        return self._act(connection, action)

    def _act(self, connection: socket.socket, action: Action) -> bool:
        match action:
            case Hangup():
                if action.reset:
                    _reset(connection)
                return False
            case Silence():
                connection.recv(1)  # until the client gives up
                return False
            case Raw():
                connection.sendall(action.data)
                return False
            case Endless():
                connection.sendall(_head(200, {**action.headers, "transfer-encoding": "chunked"}))
                for _ in range(400):
                    connection.sendall(b"%x\r\n%b\r\n" % (len(action.block), action.block))
                connection.sendall(b"0\r\n\r\n")
                return False
            case Reply():
                return self._reply(connection, action)

    def _reply(self, connection: socket.socket, action: Reply) -> bool:
        headers: dict[str, str | bytes] = dict(action.headers)
        if action.chunked:
            headers["transfer-encoding"] = "chunked"
        elif action.announce is not None:
            headers["content-length"] = str(len(action.body) if action.announce < 0 else action.announce)
        whole = action.sent is None
        body = action.body if whole else action.body[: action.sent]
        if action.chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = chunk + (b"0\r\n\r\n" if whole else b"")
        connection.sendall(_head(action.status, headers) + body)
        if action.reset:
            _reset(connection)
        return whole and not action.reset and (action.chunked or action.announce == -1)


def _head(status: int, headers: Mapping[str, str | bytes]) -> bytes:
    lines = [b"HTTP/1.1 %d Said" % status]
    for name, value in headers.items():
        lines.append(name.encode() + b": " + (value.encode() if isinstance(value, str) else value))
    return b"\r\n".join([*lines, b"", b""])


def _read(connection: socket.socket, number: int) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        more = connection.recv(65536)
        if not more:
            return None
        body += more
    method, path, _ = first.split(" ")
    return Seen(method, path, headers, body, number)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
