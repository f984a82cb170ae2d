"""A gateway on a local port, which runs jobs and does not validate parameters."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from kling_adapters.media.types import sniff
from kling_adapters.models._gateway import KEY_HEADER, UPLOAD_URL
from kling_adapters.testing.server import GatewayAnswer, GatewayServer

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
"""Bytes with the start of an MP4 file. All their parts differ, so a misplaced byte changes the digest."""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
"""Bytes with the start of a PNG file."""


@dataclass(frozen=True)
class GatewayRequest:
    """A received request.

    Attributes:
        method: The HTTP method.
        path: The path of the URL.
        key: The position of its API key among the keys of the gateway, from 0; None for another key.
        params: The JSON body of a submit.

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
    """A gateway for tests, which runs in a `with` block.

    with FakeGateway() as gateway:
        options = {"base_url": gateway.base_url, "api_key": gateway.api_key, "clock": SimulatedClock()}
        with Kling(**options, journal=None) as kling:
            kling.run("kling-2", prompt="x", save_to=folder)

    The first status of a job is QUEUED, the second PROCESSING, then it ends. Uploads are accepted and
    discarded.

    Args:
        output: The file of every job; None for MP4. PNG is the file of an image model.
        fails: The reason of the failure of every job; None lets all jobs complete.
        keys: The valid API keys. Each has its own jobs; the answer to another key is 401.

    Attributes:
        requests: The received requests, in order, also those that a subclass answers itself.

    """

    def __init__(
        self,
        *,
        output: bytes | None = None,
        fails: str | None = None,
        keys: Sequence[str] = ("SG_0123456789abcdef",),
    ) -> None:
        self.requests: list[GatewayRequest] = []
        self._output = MP4 if output is None else output
        self._fails = fails
        self._keys = tuple(keys)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._server = GatewayServer(self._receive)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        """The address, for `Kling(base_url=...)`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def api_key(self) -> str:
        """The first valid key."""
        return self._keys[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        """Record a request, then answer it."""
        with self._lock:
            self.requests.append(GatewayRequest(method, path, self._find_key(headers), _parse_json(body)))
        return self.answer(method, path, headers, body)

    def _find_key(self, headers: Mapping[str, str]) -> int | None:
        secret = headers.get(KEY_HEADER, "")
        return self._keys.index(secret) if secret in self._keys else None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        """Answer a request, which is in `requests` already. A subclass may replace some answers.

        Args:
            method: The HTTP method.
            path: The path of the URL.
            headers: The headers by lower-case name.
            body: The body.

        Returns:
            The answer.

        """
        key = self._find_key(headers)
        params = _parse_json(body)
        with self._lock:
            if method == "GET" and path.startswith("/files/"):
                return self._answer_file(headers.get("range", ""))
            if key is None:
                return GatewayAnswer.of(401, {"error": "invalid API key"})
            if method == "POST" and path == urlsplit(UPLOAD_URL).path:
                return GatewayAnswer.of(200, {"file_urls": [f"{self.base_url}/files/{uuid.uuid4()}"]})
            if method == "POST" and (match := re.fullmatch("/v2/([^/]+)", path)):
                return self._answer_submit(key, match[1], params)
            if method == "GET" and path == "/v1/get-user-credits":
                return GatewayAnswer.of(200, {"credits": 100.0, "free-credits": 0.0})
            return self._answer_query(key, path if method == "GET" else "")

    def _answer_submit(self, key: int, model: str, params: Any) -> GatewayAnswer:
        if not isinstance(params, dict):
            return GatewayAnswer.of(400, {"error": "the body is not a JSON object"})
        request_id = str(uuid.uuid4())
        self._jobs[request_id] = _Job(key, model)
        return GatewayAnswer.of(200, {"status": "QUEUED", **self._job_urls(request_id)})

    def _answer_query(self, key: int, path: str) -> GatewayAnswer:
        match = re.fullmatch("/v2/requests/([^/]+)(/status)?", path)
        job = self._jobs.get(match[1]) if match else None
        if match is None or job is None or job.key != key:
            return GatewayAnswer.of(404, {"error": "not found"})
        return self._answer_job(match[1], job, is_result=match[2] is None)

    def _job_urls(self, request_id: str) -> dict[str, str]:
        url = f"{self.base_url}/v2/requests/{request_id}"
        return {"request_id": request_id, "status_url": f"{url}/status", "response_url": url}

    def _answer_job(self, request_id: str, job: _Job, *, is_result: bool) -> GatewayAnswer:
        job.polls += not is_result
        if job.polls < 3:
            state = "PROCESSING" if job.polls == 2 else "QUEUED"
            return GatewayAnswer.of(200, {"status": state, **self._job_urls(request_id), "metrics": {}})
        metrics = {"inference_time": 1.0}
        if self._fails is not None:
            return GatewayAnswer.of(422, {"status": "FAILED", "error": self._fails, "metrics": metrics})
        completed = {"status": "COMPLETED", "request_id": request_id, "metrics": {**metrics, "cost": 1.0}}
        return GatewayAnswer.of(
            200, completed | self._describe_output(request_id) if is_result else completed
        )

    def _describe_output(self, request_id: str) -> dict[str, Any]:
        content_type = sniff(self._output)
        kind, _, extension = content_type.partition("/")
        name = f"{request_id}.{extension or 'bin'}"
        url = f"{self.base_url}/files/{name}"
        file = {"url": url, "content_type": content_type, "file_name": name, "file_size": len(self._output)}
        by_kind: dict[str, Any] = {
            "image": {"images": [file]},
            "video": {"video": file},
            "audio": {"audio": file},
        }
        return {"output": url, **by_kind.get(kind, {})}

    def _answer_file(self, requested_range: str) -> GatewayAnswer:
        size = len(self._output)
        headers = {
            "content-type": sniff(self._output) or "application/octet-stream",
            "accept-ranges": "bytes",
        }
        match = re.fullmatch("bytes=([0-9]{1,15})-([0-9]{0,15})", requested_range)
        if match is None:
            return GatewayAnswer(200, headers, self._output)
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if first > last:
            return GatewayAnswer(416, {"content-range": f"bytes */{size}"})
        headers["content-range"] = f"bytes {first}-{last}/{size}"
        return GatewayAnswer(206, headers, self._output[first : last + 1])


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
