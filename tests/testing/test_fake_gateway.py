"""FakeGateway with both clients and the official one."""

from __future__ import annotations

import hashlib
import pydoc
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from segmind import InferenceFailed, SegmindClient

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.testing import (
    MP4,
    PNG,
    EventRecorder,
    FakeGateway,
    GatewayAnswer,
    GatewayRequest,
    SimulatedClock,
)

DIGEST = hashlib.sha256(MP4).hexdigest()
KINDS = ["Submitted", "StateChanged", "StateChanged", "Completed", "Stored"]


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


def client(gateway: FakeGateway, **options: Any) -> Kling:
    return Kling(
        base_url=gateway.base_url, **{"api_key": gateway.api_key, "clock": SimulatedClock(), **options}
    )


def test_blocking_client_runs_a_job(gateway: FakeGateway, tmp_path: Path) -> None:
    recorder = EventRecorder()
    with client(gateway, plugins=[recorder]) as kling:
        result = kling.run("kling-2", prompt="x", save_to=tmp_path)
        assert kling.credits().credits == 100
    assert [file.sha256 for file in result.saved] == [DIGEST]
    assert [type(event).__name__ for event in recorder.events] == KINDS
    job = f"/v2/requests/{result.request_id}"
    assert gateway.requests == [
        GatewayRequest("POST", "/v2/kling-2", 0, {"prompt": "x"}),
        *[GatewayRequest("GET", f"{job}/status", 0)] * 3,
        GatewayRequest("GET", job, 0),
        GatewayRequest("GET", f"/files/{result.request_id}.mp4", None),
        GatewayRequest("GET", "/v1/get-user-credits", 0),
    ]
    assert gateway.api_key not in repr(gateway.requests)


def test_async_client_runs_a_job(gateway: FakeGateway, tmp_path: Path) -> None:
    recorder = EventRecorder()

    async def main() -> ka.AsyncResult:
        clock = SimulatedClock()
        options: Any = {"base_url": gateway.base_url, "api_key": gateway.api_key}
        async with AsyncKling(**options, plugins=[recorder], clock=clock) as kling:
            return await kling.run("kling-2", prompt="x", save_to=tmp_path)

    assert [file.sha256 for file in anyio.run(main).saved] == [DIGEST]
    assert [type(event).__name__ for event in recorder.events] == KINDS


@pytest.mark.parametrize("fails", [None, "blocked"])
def test_official_client_runs_a_job(fails: str | None) -> None:
    with FakeGateway(fails=fails) as gateway:
        official = SegmindClient(api_key=gateway.api_key, base_url=f"{gateway.base_url}/v1")
        job = official.submit_async("kling-2", prompt="x")
        if fails:
            with pytest.raises(InferenceFailed) as caught:
                job.wait(interval=0.001)
            assert caught.value.detail == fails
        else:
            assert httpx.get(job.wait(interval=0.001)["output"]).content == MP4
        official._client.close()


def test_jobs_fail_with_the_reason(tmp_path: Path) -> None:
    blocked = pytest.raises(ka.JobFailed, match="blocked")
    with FakeGateway(fails="blocked") as gateway, client(gateway) as kling, blocked:
        kling.run("kling-2", prompt="x", save_to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_output_can_be_chosen(tmp_path: Path) -> None:
    with FakeGateway(output=PNG) as gateway, client(gateway) as kling:
        result = kling.run("kling-o1", prompt="x", image_urls=["https://example.com/a.png"], save_to=tmp_path)
    assert [image.content_type for image in result.images] == ["image/png"]
    assert result.saved[0].path.read_bytes() == PNG


def test_keys_have_separate_jobs() -> None:
    with FakeGateway(keys=("one", "two")) as gateway:
        with client(gateway, api_key="two") as kling:
            request_id = kling.submit("kling-2", prompt="x").request_id
        with client(gateway) as kling, pytest.raises(ka.ConfigError, match="another key"):
            kling.job(request_id).status()
        with client(gateway, api_key="three") as kling, pytest.raises(ka.Unauthorized):
            kling.submit("kling-2", prompt="x")
    keys = [request.key for request in gateway.requests]
    # Three polls, and a look into the request history.
    assert keys == [1, 0, 0, 0, 0, None]


RANGES = [
    ("bytes=0-9", 206, MP4[:10]),
    ("bytes=100-", 206, MP4[100:]),
    (f"bytes={len(MP4) - 1}-", 206, MP4[-1:]),
    ("bytes=5-999999", 206, MP4[5:]),
    (f"bytes={len(MP4)}-", 416, b""),
    ("lines=1-2", 200, MP4),
]


@pytest.mark.parametrize(("requested", "status", "content"), RANGES)
def test_output_supports_ranges(gateway: FakeGateway, requested: str, status: int, content: bytes) -> None:
    answer = httpx.get(f"{gateway.base_url}/files/any.mp4", headers={"range": requested})
    assert (answer.status_code, answer.content) == (status, content)
    if status == 206:
        first = int(requested[6:].partition("-")[0])
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(content) - 1}/{len(MP4)}"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v2/kling-2", b"{", 400),
        ("POST", "/v2/kling-2", b"[]", 400),
        ("GET", "/v2/requests/unknown", b"", 404),
        ("GET", "/v2/kling-2", b"", 404),
        ("POST", "/v2/requests/unknown/status", b"", 404),
    ],
)
def test_invalid_request_is_refused(
    gateway: FakeGateway, method: str, path: str, body: bytes, status: int
) -> None:
    answer = httpx.request(
        method, gateway.base_url + path, content=body, headers={"x-api-key": gateway.api_key}
    )
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("length", "status"), [("-1", 400), ("many", 400), ("9" * 5000, 400), ("99999999999", 413)]
)
def test_unusable_content_length_is_refused(gateway: FakeGateway, length: str, status: int) -> None:
    lines = ["POST /v2/kling-2 HTTP/1.1", "host: localhost", f"content-length: {length}", "", ""]
    port = int(gateway.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(1000).split()[1] == str(status).encode()
    assert not gateway.requests


def test_media_is_uploaded(gateway: FakeGateway) -> None:
    with client(gateway) as kling:
        kling.submit("kling-bloombloom", image=PNG)
    upload, submit = gateway.requests
    assert upload.params["data_urls"][0].startswith("data:image/png;base64,")
    assert submit.params["image"].startswith(f"{gateway.base_url}/files/")


def test_requests_that_a_subclass_answers_itself_are_recorded() -> None:
    class Busy(FakeGateway):
        def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
            if method == "POST" and len(self.requests) < 3:
                return GatewayAnswer.of(429, {"error": "too many requests"})
            return super().answer(method, path, headers, body)

    with Busy() as gateway, client(gateway) as kling:
        kling.submit("kling-2", prompt="x")
    assert gateway.requests == [GatewayRequest("POST", "/v2/kling-2", 0, {"prompt": "x"})] * 3


def test_jobs_run_concurrently(gateway: FakeGateway) -> None:
    async def main() -> None:
        kling = AsyncKling(base_url=gateway.base_url, api_key=gateway.api_key)
        async with kling, anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(kling.submit_raw, "any", {})

    anyio.run(main)
    assert len(gateway.requests) == 40


@pytest.mark.parametrize("sent", [b"", b'{"prompt": "a'])
def test_incomplete_request_starts_nothing(gateway: FakeGateway, sent: bytes) -> None:
    head = f"POST /v2/kling-2 HTTP/1.1\r\nx-api-key: {gateway.api_key}\r\ncontent-length: 15\r\n\r\n"
    address = "127.0.0.1", int(gateway.base_url.rpartition(":")[2])
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head.encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert gateway.requests == []


def test_help_is_readable() -> None:
    text = pydoc.plain(pydoc.render_doc(FakeGateway))
    assert len(text) < 4000
    assert "fails" in text
