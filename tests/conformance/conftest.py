"""A sandbox, official clients, and a clock that advances both when a client sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from kling_sandbox import Fault, Faults, Sandbox
from segmind import SegmindClient

from kling_adapters import load_catalog

SCHEMAS = {slug: entry.json_schema() for slug, entry in load_catalog().items()}
LONG: dict[str, Any] = {
    "title": "Long",
    "type": "object",
    "properties": {"prompt": {"type": "string"}},
    "x-kling": {"slug": "long", "returns": "video", "latency_seconds": 780},
}

Connect = Callable[..., SegmindClient]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for all tests of a module. Its jobs end immediately, so clients do not sleep."""
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def connect() -> Iterator[Connect]:
    """Return the official client for a sandbox, a key and a timeout. Creation is slow, so tests share clients."""
    clients: dict[tuple[Any, ...], SegmindClient] = {}

    def call(sandbox: Sandbox, key: str | None = None, **more: Any) -> SegmindClient:
        arguments = (sandbox.base_url, key, *more.items())
        if arguments not in clients:
            clients[arguments] = SegmindClient(key or sandbox.api_key, f"{sandbox.base_url}/v1", **more)
        return clients[arguments]

    yield call
    for client in clients.values():
        client._client.close()


@pytest.fixture(scope="module")
def _slow() -> Iterator[Sandbox]:
    with Sandbox(timing="latency:1", schemas={**SCHEMAS, "long": LONG}) as running:
        yield running


@pytest.fixture
def slow(_slow: Sandbox, monkeypatch: pytest.MonkeyPatch) -> tuple[Sandbox, SandboxTime]:
    """A sandbox with the documented latencies, on a clock that advances when the client sleeps."""
    return _slow, SandboxTime(_slow, monkeypatch)


@pytest.fixture
def bad_day(sandbox: Sandbox) -> Iterator[Callable[..., Since]]:
    """Set faults until the end of the test."""

    def call(*faults: Fault) -> Since:
        sandbox.faults = Faults(faults)
        return Since(sandbox)

    yield call
    sandbox.faults = Faults()


@pytest.fixture(scope="module")
def open_timed() -> Iterator[Callable[[str], Sandbox]]:
    """Return a function that returns the sandbox of a timing, which all programs of a module share."""
    from tests.conformance.both_clients import open_sandbox  # it imports this module

    with ExitStack() as stack:
        yield cache(lambda timing: stack.enter_context(open_sandbox(timing)))


@pytest.fixture
def picture(sandbox: Sandbox, tmp_path: Path) -> Path:
    """A file to upload."""
    path = tmp_path / "a.png"
    path.write_bytes(httpx.get(f"{sandbox.base_url}/samples/a.png?size=64x64").content)
    return path


class Since:
    """The requests and bills of a sandbox since a moment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._requests, self._billed = len(sandbox.requests), set(sandbox.billed)

    @property
    def requests(self) -> int:
        return len(self._sandbox.requests) - self._requests

    @property
    def billed(self) -> set[str]:
        return set(self._sandbox.billed) - self._billed


class SandboxTime:
    """The `time` module of the client: `sleep` advances the clocks of client and sandbox."""

    def __init__(self, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
        self._sandbox = sandbox
        self.now = 0.0
        self.slept: list[float] = []
        patch.setattr("segmind.v2.time", self)
        # Nor does any pass in the sandbox on its own, however slow this machine is.
        now = time.monotonic()
        patch.setattr("kling_sandbox.clock.time", SimpleNamespace(monotonic=lambda: now))

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self._sandbox.advance(seconds)


def check(result: dict[str, Any]) -> None:
    """Check that a result is complete, and that its file matches."""
    assert result["status"] == "COMPLETED"
    assert result["metrics"]["inference_time"] >= 0
    file = result["video"] if "video" in result else result["images"][0]
    assert result["output"] == file["url"]
    media = httpx.get(result["output"])
    assert media.headers["content-type"] == file["content_type"]
    assert len(media.content) == file["file_size"]
