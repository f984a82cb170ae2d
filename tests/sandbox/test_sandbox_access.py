"""Requests from web pages are refused; clients of this machine and of allowed hosts are not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from kling_sandbox import Sandbox
from PIL import Image

from kling_adapters import Kling

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(**getattr(request, "param", {})) as running:
        yield running


def status_for(sandbox: Sandbox, host: str, path: str = "/v1/get-user-credits") -> int:
    headers = {"host": host, "x-api-key": sandbox.api_key}
    return httpx.get(f"{sandbox.base_url}{path}", headers=headers).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "localhost.", "app.localhost:80", "127.0.0.1:9", "[::1]:80", "10.0.0.7"],
)
def test_local_names_and_addresses_are_allowed(sandbox: Sandbox, host: str) -> None:
    assert status_for(sandbox, host) == 200


@pytest.mark.parametrize("path", ["/v1/get-user-credits", "/samples/a.png?size=16x16", "/_sandbox/state"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "sandbox", "localhost@evil.example", "localhost:x", ""]
)
def test_rebound_name_is_refused_everywhere(sandbox: Sandbox, path: str, host: str) -> None:
    before = len(sandbox.requests)
    assert status_for(sandbox, host, path) == 403
    assert len(sandbox.requests) == before


@pytest.mark.parametrize("sandbox", [{"host": "0.0.0.0"}], indirect=True)
@pytest.mark.parametrize(
    ("host", "status"),
    [("sandbox:8123", 200), ("host.docker.internal", 200), ("evil.example", 403), ("sandbox.local", 403)],
)
def test_names_of_containers_are_allowed_when_shared(sandbox: Sandbox, host: str, status: int) -> None:
    assert status_for(sandbox, host) == status


@pytest.mark.parametrize("sandbox", [{"allowed_hosts": ["Sandbox.Example.com"]}], indirect=True)
def test_host_is_allowed_by_name(sandbox: Sandbox) -> None:
    assert status_for(sandbox, "sandbox.example.com:443") == 200
    assert status_for(sandbox, "other.example.com") == 403


def test_base_url_of_all_addresses_is_local() -> None:
    with Sandbox(host="0.0.0.0") as sandbox:
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling:
            assert kling.credits().credits == 1000


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_control_refuses_pages_of_another_origin(sandbox: Sandbox, origin: str) -> None:
    headers = {**JSON, "origin": origin}
    before = sandbox.faults
    body = {"faults": [{"kind": "502"}]}
    answer = httpx.post(f"{sandbox.base_url}/_sandbox/faults", json=body, headers=headers)
    assert (answer.status_code, "origin" in answer.json()["error"]) == (403, True)
    assert httpx.get(f"{sandbox.base_url}/_sandbox/state", headers=headers).status_code == 403
    assert sandbox.faults is before


def test_control_takes_requests_of_its_own_origin(sandbox: Sandbox) -> None:
    headers = {**JSON, "origin": sandbox.base_url}
    assert httpx.post(
        f"{sandbox.base_url}/_sandbox/clock", content=b'{"advance": 1}', headers=headers
    ).is_success


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_control_requires_json(sandbox: Sandbox, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    before = sandbox.faults
    for path in ("faults", "clock"):
        url = f"{sandbox.base_url}/_sandbox/{path}"
        assert httpx.post(url, content=b'{"faults": []}', headers=headers).status_code == 415
    assert sandbox.faults is before


def test_preflight_of_a_page_is_refused(sandbox: Sandbox) -> None:
    """The preflight request of a browser gets no permission."""
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for path in ("/v2/kling-2", "/_sandbox/faults"):
        answer = httpx.options(f"{sandbox.base_url}{path}", headers=headers)
        assert not answer.is_success
        assert "access-control-allow-origin" not in answer.headers


def test_uploaded_page_cannot_act_for_the_sandbox(sandbox: Sandbox) -> None:
    body = {"data_urls": ["data:text/html;base64,PHA+"]}
    headers = {"x-api-key": sandbox.api_key}
    [url] = httpx.post(f"{sandbox.base_url}/upload-asset", json=body, headers=headers).json()["file_urls"]
    policy = httpx.get(url).headers["content-security-policy"]
    assert "sandbox" in policy.split("; ")


@pytest.mark.parametrize("user_agent", ["kling-sandbox-renderer", "kling-sandbox-renderer/1"])
def test_no_user_agent_hides_from_the_record(sandbox: Sandbox, user_agent: str) -> None:
    headers = {"user-agent": user_agent, "x-api-key": sandbox.api_key}
    answer = httpx.post(f"{sandbox.base_url}/v2/kling-2", json={"prompt": "x"}, headers=headers)
    assert answer.status_code == 200
    assert sandbox.submits[-1].request_id == answer.json()["request_id"]


def test_own_files_are_used_without_a_request(sandbox: Sandbox) -> None:
    def run(slug: str, host: str, **params: Any) -> bytes:
        headers = {"x-api-key": sandbox.api_key, "host": host}
        with httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=60) as client:
            job = client.post(f"/v2/{slug}", json=params).json()
            result = client.get(f"/v2/requests/{job['request_id']}").json()
            return client.get(f"/media/{result['images'][0]['file_name']}").content

    def colour(picture: bytes) -> tuple[int, ...]:
        small = Image.open(BytesIO(picture)).convert("RGB").resize((1, 1))
        return tuple(small.tobytes())

    red = BytesIO()
    Image.new("RGB", (64, 64), (250, 0, 0)).save(red, "PNG")
    body = {"data_urls": [f"data:image/png;base64,{base64.b64encode(red.getvalue()).decode()}"]}
    headers = {"x-api-key": sandbox.api_key}
    [url] = httpx.post(f"{sandbox.base_url}/upload-asset", json=body, headers=headers).json()["file_urls"]
    before = len(sandbox.requests)
    name = url.rpartition("/")[2]
    for host in (sandbox.base_url.removeprefix("http://"), "10.0.0.7:8123"):
        picture = run("kling-o1", host, prompt="x", image_urls=[f"http://{host}/assets/{name}"])
        assert colour(picture)[0] > 2 * colour(picture)[1]
    assert len(sandbox.requests) == before + 6
