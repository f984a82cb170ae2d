"""A sandbox, and a bare HTTP client that holds its key."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from kling_sandbox import Sandbox

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox; `@pytest.mark.parametrize("sandbox", [{...}], indirect=True)` gives it other arguments."""
    with Sandbox(**getattr(request, "param", {})) as running:
        yield running


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass for sandboxes by `advance` alone, however slow this machine is."""
    now = time.monotonic()
    monkeypatch.setattr("kling_sandbox.clock.time", SimpleNamespace(monotonic=lambda: now))


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client that sends the key."""
    with httpx.Client(
        base_url=sandbox.base_url, headers={"x-api-key": sandbox.api_key}, timeout=120
    ) as client:
        yield client


@pytest.fixture
def submit(http: httpx.Client) -> Call:
    """Submit a job that must be accepted."""

    def call(slug: str, **params: Any) -> dict[str, Any]:
        response = http.post(f"/v2/{slug}", json=params)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return call


@pytest.fixture
def run(http: httpx.Client, submit: Call) -> Call:
    """Submit a job and fetch its result."""

    def call(slug: str, **params: Any) -> dict[str, Any]:
        response = http.get(submit(slug, **params)["response_url"])
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return call
