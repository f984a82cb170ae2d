"""A scripted server: each request takes the next action of a script, down to how its connection ends.

It uses plain sockets, because tests need responses that no HTTP library sends.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any, Self, TypeAlias
from urllib.parse import unquote

from kling_adapters.testing import MP4

KEY = "SG_0123456789abcdef"
JOB = "5f0c3c4e-8c1a-4a53-9f3b-3f1f6a6f2f11"


@dataclass(frozen=True)
class Request:
    """A received request; header names are in lower case. `connection` counts connections from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    size: int
    """The bytes of the body, also of one that was discarded."""


@dataclass(frozen=True)
class Reply:
    """A response. After `sent` bytes of the body the connection ends: in order, or with `reset`.

    `announce`: another Content-Length than the true one; None omits it, and the connection ends the body.
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
class Drip:
    """`start` at once, then `piece` every 20 ms: each arrives within the read timeout of a client."""

    start: bytes
    piece: bytes
    count: int = 1000


@dataclass(frozen=True)
class Hangup:
    """No response. `read`: the request is read first; `reset`: with a RST instead of a FIN."""

    read: bool = True
    reset: bool = False


@dataclass(frozen=True)
class Silence:
    """The request is read and never answered."""


@dataclass(frozen=True)
class Endless:
    """A body without a visible end: `block` 400 times, so that a client that reads all of it cannot fill the disk."""

    block: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Discard:
    """`reply`, after the body of the request was read and not kept. In a list of actions only."""

    reply: Reply


AnswerAction: TypeAlias = Reply | Raw | Drip | Hangup | Silence | Endless
Action: TypeAlias = AnswerAction | Discard
Script: TypeAlias = Iterable[Action] | Callable[[Request], Action]


def json_reply(
    status: int = 200, value: Any = None, headers: Mapping[str, str | bytes] | None = None
) -> Reply:
    """Return a JSON response."""
    return Reply(status, json.dumps(value).encode(), {"content-type": "application/json", **(headers or {})})


def submit_reply(request_id: Any = JOB) -> Reply:
    """Return the response to an accepted submit."""
    return json_reply(200, {"request_id": request_id, "status": "QUEUED"})


def status_reply(name: Any) -> Reply:
    """Return the response to a status request."""
    return json_reply(200, {"status": name, "request_id": JOB, "metrics": {}})


def result_reply(output: Any = None, **more: Any) -> Reply:
    """Return the response to a result request."""
    return json_reply(
        200, {"status": "COMPLETED", "request_id": JOB, "output": output, "metrics": {}, **more}
    )


def failure_reply(reason: str = "blocked") -> Reply:
    """Return the response to both GET requests about a job that FAILED."""
    return json_reply(422, {"status": "FAILED", "error": reason, "metrics": {}})


def repeat_last(script: Iterable[Action]) -> Iterator[Action]:
    """Return the actions of a script, and repeat the last one for ever."""
    actions = list(script)
    return chain(actions, repeat(actions[-1]))


def gateway_script(
    *,
    submit: Iterable[Action] = (submit_reply(),),
    status: Iterable[Action] = (status_reply("COMPLETED"),),
    result: Iterable[Action] = (result_reply(),),
    files: Iterable[Action] | Callable[[Request], Action] = (Reply(200, MP4),),
) -> Callable[[Request], Action]:
    """Return a script by kind of request, each with its last action repeated. Files have paths below /files/."""
    posts, states, results = repeat_last(submit), repeat_last(status), repeat_last(result)
    file_script = files if callable(files) else repeat_last(files)

    def act(request: Request) -> Action:
        if request.method == "POST":
            return next(posts)
        if request.path.startswith("/files/"):
            return file_script(request) if callable(file_script) else next(file_script)
        return _set_request_id(request, next(states if request.path.endswith("/status") else results))

    return act


def _set_request_id(request: Request, action: Action) -> Action:
    """Replace JOB in a response by the job of the request."""
    match = re.match("/v2/requests/(?!status$)([^/?]+)", request.path)
    if not isinstance(action, Reply) or action.announce != -1 or action.sent is not None:
        return action
    if "content-encoding" in action.headers:
        return action
    # httpx removes an id of dots from the path.
    request_id = json.dumps(unquote(match[1]) if match else None).encode()
    return replace(action, body=action.body.replace(json.dumps(JOB).encode(), request_id))


class ScriptedServer:
    """The server, for a `with` block.

    Args:
        script: The actions in order, or a function that returns the action for a request.
        port: The port; 0 for a free one.
        host: The address to listen at.
        tls: The TLS context; None for http.

    Attributes:
        requests: The requests that were read.
        connections: The number of connections.
        addresses: The address of this machine that each connection was made to.
        url: The base URL.

    """

    def __init__(
        self,
        script: Script = (),
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.addresses: list[str] = []
        self.play(script)
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def play(self, script: Script) -> None:
        """Replace the script. After its end, requests are read and the connection is closed."""
        if callable(script):
            self._next: Callable[[Request | None], Action] = lambda request: (
                script(request) if request else Hangup()
            )
            self._ordered = False
        else:
            actions = iter(script)
            self._next = lambda _: next(actions, Hangup())
            self._ordered = True

    @property
    def posts(self) -> list[Request]:
        """The submits."""
        return [request for request in self.requests if request.method == "POST"]

    @property
    def gets(self) -> list[Request]:
        """All other requests."""
        return [request for request in self.requests if request.method != "POST"]

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
            if self._tls:
                connection = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            with self._lock:
                self._open.add(connection)
                self.connections += 1
                self.addresses.append(connection.getsockname()[0])
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            while self._serve_request(connection, number):
                pass
        except OSError:
            pass  # the client has closed the connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _serve_request(self, connection: socket.socket, number: int) -> bool:
        """Serve a request; return False if the connection cannot take another."""
        if not self._tls and not connection.recv(1, socket.MSG_PEEK):
            return False
        action: Action | None = None
        if self._ordered:
            with self._lock:
                action = self._next(None)
            if isinstance(action, Hangup) and not action.read:
                return self._act(connection, action)
        request = _read(connection, number, keeps_body=not isinstance(action, Discard))
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            action = action or self._next(request)
        return self._act(connection, action.reply if isinstance(action, Discard) else action)

    def _act(self, connection: socket.socket, action: AnswerAction) -> bool:
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
            case Drip():
                connection.sendall(action.start)
                for _ in range(action.count):
                    connection.sendall(action.piece)
                    time.sleep(0.02)
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
    lines = [b"HTTP/1.1 %d Scripted" % status]
    for name, value in headers.items():
        lines.append(name.encode() + b": " + (value.encode() if isinstance(value, str) else value))
    return b"\r\n".join([*lines, b"", b""])


def _read(connection: socket.socket, number: int, *, keeps_body: bool = True) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = len(body)
    while size < int(headers.get("content-length", 0)):
        more = connection.recv(65536)
        if not more:
            return None
        size += len(more)
        if keeps_body:
            body += more
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body, number, size)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
