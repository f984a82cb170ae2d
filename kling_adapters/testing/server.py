"""HTTP server of the fake gateway, of the standard library."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias, cast

_MAX_BODY_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class GatewayAnswer:
    """An HTTP response.

    Attributes:
        status: The status code.
        headers: The headers by name; the length is added.
        body: The body.

    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    @classmethod
    def of(cls, status: int, value: Mapping[str, Any]) -> Self:
        """Make an answer with a JSON body.

        Args:
            status: The status code.
            value: The JSON object.

        Returns:
            The answer.

        """
        return cls(status, {"content-type": "application/json"}, json.dumps(value).encode())


Answer: TypeAlias = Callable[[str, str, Mapping[str, str], bytes], GatewayAnswer]
"""Takes the method, path, headers by lower-case name, and body of a request."""


class GatewayServer(ThreadingHTTPServer):
    """HTTP server on a free port of this machine."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """Handles one request per connection, so that no connection is open when the gateway closes."""

    def do_GET(self) -> None:
        length = self.headers.get("content-length", "0")
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not re.fullmatch("[0-9]{1,12}", length, re.ASCII):
            answer = GatewayAnswer.of(400, {"error": "Content-Length is not a number of bytes"})
        elif int(length) > _MAX_BODY_BYTES:
            answer = GatewayAnswer.of(413, {"error": f"The body is larger than {_MAX_BODY_BYTES} bytes"})
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                # The connection broke within the body; servers do not act on an incomplete request.
                self.close_connection = True
                return
            answer = cast("GatewayServer", self.server).answer(self.command, self.path, headers, body)
        with suppress(ConnectionError):  # the client has closed the connection
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  defined by http.server
        """Log nothing; `requests` lists the requests."""
