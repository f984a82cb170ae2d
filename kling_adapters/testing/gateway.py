"""A gateway on a loopback port, of the standard library alone: the protocol of a job, and no judgement of its parameters."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import urlsplit

from kling_adapters.media.types import sniff
from kling_adapters.models._gateway import KEY_HEADER, UPLOAD_URL

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
"""Begins as an mp4 does; no two of its beginnings are equal, so a byte out of place changes the digest."""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
"""Begins as a png does."""
_LARGEST_BODY = 512 * 1024**2


@dataclass(frozen=True)
class GatewayRequest:
    """A request as it came. `key`: which of the gateway's keys it carried, by its place; None for none of them.

    `params`: the body of a submit, as JSON.
    """

    method: str
    path: str
    key: int | None
    params: Any = None


@dataclass
class _Job:
    key: int
    model: str
    polls: int = 0


class FakeGateway:
    """Speaks the gateway's protocol to any client; use it in a `with` block.

    with FakeGateway() as gateway, Kling(base_url=gateway.base_url, api_key=gateway.api_key, clock=SimulatedClock()) as kling:
        kling.run("kling-2", prompt="x", save_to=folder)

    `output`: the one file of every job; by default a few bytes that pass for a video, PNG passes for an image.
    `fails`: the reason for which every job ends FAILED. `keys`: the keys that are valid, all with jobs of their own; any
    other is answered 401. A job is QUEUED when its status is first asked, then PROCESSING, then it has ended. An upload
    is given a URL, which is never fetched. `requests` lists what came, in order.
    """

    def __init__(
        self,
        *,
        output: bytes = MP4,
        fails: str | None = None,
        keys: Sequence[str] = ("SG_0123456789abcdef",),
    ) -> None:
        self.requests: list[GatewayRequest] = []
        self._output = output
        self._fails = fails
        self._keys = tuple(keys)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        """Its address, as `Kling(base_url=...)` takes it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def api_key(self) -> str:
        """The first of its keys."""
        return self._keys[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        """Return what is answered to a request; for the server alone."""
        given = headers.get(KEY_HEADER, "")
        key = self._keys.index(given) if given in self._keys else None
        params = _json(body)
        with self._lock:
            self.requests.append(GatewayRequest(method, path, key, params))
            if method == "GET" and path.startswith("/files/"):
                return self._file(headers.get("range", ""))
            if key is None:
                return GatewayAnswer.of(401, {"error": "invalid API key"})
            if method == "POST" and path == urlsplit(UPLOAD_URL).path:
                return GatewayAnswer.of(200, {"file_urls": [f"{self.base_url}/files/{uuid.uuid4()}"]})
            if method == "POST" and (found := re.fullmatch("/v2/([^/]+)", path)):
                return self._submit(key, found[1], params)
            if method == "GET" and path == "/v1/get-user-credits":
                return GatewayAnswer.of(200, {"credits": 100.0, "free-credits": 0.0})
            return self._asked(key, path if method == "GET" else "")

    def _submit(self, key: int, model: str, params: Any) -> GatewayAnswer:
        if not isinstance(params, dict):
            return GatewayAnswer.of(400, {"error": "the body is no JSON object"})
        request_id = str(uuid.uuid4())
        self._jobs[request_id] = _Job(key, model)
        return GatewayAnswer.of(200, {"status": "QUEUED", **self._names(request_id)})

    def _asked(self, key: int, path: str) -> GatewayAnswer:
        found = re.fullmatch("/v2/requests/([^/]+)(/status)?", path)
        job = self._jobs.get(found[1]) if found else None
        if found is None or job is None or job.key != key:
            return GatewayAnswer.of(404, {"error": "there is nothing of that name"})
        return self._about(found[1], job, result=found[2] is None)

    def _names(self, request_id: str) -> dict[str, str]:
        url = f"{self.base_url}/v2/requests/{request_id}"
        return {"request_id": request_id, "status_url": f"{url}/status", "response_url": url}

    def _about(self, request_id: str, job: _Job, *, result: bool) -> GatewayAnswer:
        job.polls += not result
        if job.polls < 3:
            state = "PROCESSING" if job.polls == 2 else "QUEUED"
            return GatewayAnswer.of(200, {"status": state, **self._names(request_id), "metrics": {}})
        metrics = {"inference_time": 1.0}
        if self._fails is not None:
            return GatewayAnswer.of(422, {"status": "FAILED", "error": self._fails, "metrics": metrics})
        ended = {"status": "COMPLETED", "request_id": request_id, "metrics": {**metrics, "cost": 1.0}}
        return GatewayAnswer.of(200, ended | self._described(request_id) if result else ended)

    def _described(self, request_id: str) -> dict[str, Any]:
        content_type = sniff(self._output)
        kind, _, extension = content_type.partition("/")
        name = f"{request_id}.{extension or 'bin'}"
        url = f"{self.base_url}/files/{name}"
        file = {"url": url, "content_type": content_type, "file_name": name, "file_size": len(self._output)}
        described = (
            {"images": [file]} if kind == "image" else {kind: file} if kind in ("video", "audio") else {}
        )
        return {"output": url, **described}

    def _file(self, wanted: str) -> GatewayAnswer:
        size = len(self._output)
        headers = {
            "content-type": sniff(self._output) or "application/octet-stream",
            "accept-ranges": "bytes",
        }
        found = re.fullmatch("bytes=([0-9]{1,15})-([0-9]{0,15})", wanted)
        if found is None:
            return GatewayAnswer(200, headers, self._output)
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
        if first > last:
            return GatewayAnswer(416, {"content-range": f"bytes */{size}"})
        headers["content-range"] = f"bytes {first}-{last}/{size}"
        return GatewayAnswer(206, headers, self._output[first : last + 1])


@dataclass(frozen=True)
class GatewayAnswer:
    """What goes back."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    @classmethod
    def of(cls, status: int, value: Mapping[str, Any]) -> Self:
        """An answer in JSON."""
        return cls(status, {"content-type": "application/json"}, json.dumps(value).encode())


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection a request, so that none is left open when the gateway closes."""

    def do_GET(self) -> None:
        length = self.headers.get("content-length", "0")
        headers = {name.lower(): value for name, value in self.headers.items()}
        gateway = cast("_Server", self.server).gateway
        if not re.fullmatch("[0-9]{1,12}", length, re.ASCII):
            answer = GatewayAnswer.of(400, {"error": "Content-Length is not a number of bytes"})
        elif int(length) > _LARGEST_BODY:
            answer = GatewayAnswer.of(413, {"error": f"The body is larger than {_LARGEST_BODY} bytes"})
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                # The client died while it sent the body: servers do not act on half a request.
                self.close_connection = True
                return
            answer = gateway.answer(self.command, self.path, headers, body)
        with suppress(ConnectionError):  # the client has gone, as clients do
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name that http.server gives
        """Say nothing: `requests` tells."""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
