"""Models of a third-party package, and of a spec dropped while the application runs, are in every interface."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.life import install_state, read_example
from tests.support.serving import ALICE, make_sandbox_settings, open_http, serve_app, wait_for_end
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


async def list_tools(base_url: str) -> set[str]:
    headers = {"Authorization": f"Bearer {ALICE}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{base_url}/mcp", http_client=http)) as client,
    ):
        return {tool.name for tool in (await client.list_tools()).tools}


def test_dropped_spec_appears_while_the_application_runs(tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    spec = (ROOT / "specs" / "kling-2.yaml").read_text("utf-8").replace("slug: kling-2", "slug: kling-next")
    with serve_app(make_sandbox_settings(tmp_path, specs=specs)) as served, open_http(served) as http:
        assert http.get("/v1/models/kling-next").status_code == 404
        (specs / "kling-next.yaml").write_text(spec, "utf-8")
        wait_until(lambda: http.get("/v1/models/kling-next").status_code == 200)
        job = http.post("/v1/videos", json={"model": "kling-next", "prompt": "A lighthouse"}).json()
        assert wait_for_end(http, job["id"])["status"] == "completed"
        assert "kling-next" in http.get("/openapi.json").json()["components"]["schemas"]
        assert "kling-next" in anyio.run(list_tools, served.base_url)


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package of models, and forget it and no other module afterwards."""
    install_state("1-first", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "studio"]:
        del sys.modules[name]


@pytest.mark.usefixtures("third_party")
def test_model_of_a_third_party_package_is_there(tmp_path: Path) -> None:
    example: dict[str, Any] = read_example("1-first")
    with serve_app(make_sandbox_settings(tmp_path)) as served, open_http(served) as http:
        model = http.get("/v1/models/studio-1").json()
        assert model["id"] == "studio-1"
        path = "/v1/images/generations" if model["returns"] == "image" else "/v1/videos"
        assert http.post(path, json={"model": "studio-1", **example}).status_code == 200
        assert "studio-1" in anyio.run(list_tools, served.base_url)
