"""Requests of programs that were not run here, as their sources make them: the image engine of Open WebUI, n8n's node."""

from __future__ import annotations

import base64
from typing import Any

import httpx
from kling_sandbox import Sandbox

from tests.support.serving import ALICE, ServedApp, count_submits

# routers/images.py of Open WebUI 0.6 and later: engine `openai`, an API version, and headers about the user.
OPEN_WEBUI_HEADERS = {
    "Authorization": f"Bearer {ALICE}",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ada",
    "X-OpenWebUI-User-Id": "1",
    "X-OpenWebUI-User-Email": "ada@example.com",
    "X-OpenWebUI-User-Role": "admin",
}
OPEN_WEBUI_BODY = {
    "model": "kling-3-text2image",
    "prompt": "A lighthouse in fog",
    "n": 1,
    "size": "1024x1024",
    "response_format": "b64_json",
}
# nodes/HttpRequest/V3 of n8n: its headers for a response that is detected, and the names of others in small letters.
N8N_HEADERS = {
    "accept": "application/json,text/html,application/xhtml+xml,application/xml,text/*;q=0.9, image/*;q=0.8, */*;q=0.7",
    "Authorization": f"Bearer {ALICE}",
    "user-agent": "n8n",
}


def test_open_webui_receives_its_image(served: ServedApp) -> None:
    url = f"{served.base_url}/v1/images/generations?api-version=2024-02-01"
    answer = httpx.post(url, json=OPEN_WEBUI_BODY, headers=OPEN_WEBUI_HEADERS, timeout=60)
    assert answer.status_code == 200, answer.text
    for image in answer.json()["data"]:
        assert image.get("url") is None
        assert base64.b64decode(image["b64_json"]).startswith(b"\x89PNG")


def test_open_webui_that_asks_for_several_images_is_told_why(served: ServedApp, gateway: Sandbox) -> None:
    before = count_submits(gateway)
    url = f"{served.base_url}/v1/images/generations"
    answer = httpx.post(url, json=OPEN_WEBUI_BODY | {"n": 2}, headers=OPEN_WEBUI_HEADERS)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")
    assert "a job makes one image" in answer.json()["error"]["message"]
    assert count_submits(gateway) == before


def test_nodes_of_n8n_run_a_job_to_its_file(served: ServedApp, gateway: Sandbox) -> None:
    before = count_submits(gateway)
    with httpx.Client(base_url=served.base_url, headers=N8N_HEADERS, timeout=60) as node:
        body: dict[str, Any] = {"model": "kling-2", "prompt": "A lighthouse in fog"}
        key = {"idempotency-key": "231-0", "content-type": "application/json"}
        # The node is retried after an error; the name of a workflow's execution and item is its key.
        first, repeated = (node.post("/v1/videos", json=body, headers=key) for _ in range(2))
        assert first.json()["id"] == repeated.json()["id"]
        path = f"/v1/videos/{first.json()['id']}"
        while (job := node.get(path).json())["status"] not in ("completed", "failed"):
            pass
        assert job["status"] == "completed"
        content = node.get(f"{path}/content")
    assert (content.headers["content-type"], content.content[4:8]) == ("video/mp4", b"ftyp")
    assert "attachment; filename=" in content.headers["content-disposition"]
    assert count_submits(gateway) - before == 1
