"""Uploads: a key is required, all files or none are stored, and downloads need no key."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from kling_sandbox import Sandbox


def data_url(content: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


def upload(sandbox: Sandbox, body: Any, key: str | None = None) -> httpx.Response:
    headers = {"x-api-key": key or sandbox.api_key}
    return httpx.post(f"{sandbox.base_url}/upload-asset", json=body, headers=headers)


def test_files_are_kept_counted_and_served_without_a_key() -> None:
    with Sandbox() as sandbox:
        answer = upload(sandbox, {"data_urls": [data_url(b"one"), data_url(b"two", "video/mp4")]})
        assert answer.status_code == 200
        files = [httpx.get(url) for url in answer.json()["file_urls"]]
        assert [(file.content, file.headers["content-type"]) for file in files] == [
            (b"one", "image/png"),
            (b"two", "video/mp4"),
        ]
        assert sandbox.uploads == 2
        assert sandbox.credits == 1000.0
        assert httpx.get(f"{sandbox.base_url}/assets/other").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"data_urls": []},
        {"data_urls": "data:image/png;base64,AA=="},
        {"data_urls": [data_url(b"x"), "https://example.com/a.png"]},
        {"data_urls": [data_url(b"x"), "data:image/png;base64,A"]},
        {"data_urls": [data_url(b"x"), "data:image/png;base64,"]},
        {"data_urls": [7]},
    ],
    ids=str,
)
def test_invalid_upload_stores_nothing(body: Any) -> None:
    with Sandbox() as sandbox:
        assert upload(sandbox, body).status_code == 400
        assert sandbox.uploads == 0


def test_request_without_a_key_is_refused() -> None:
    with Sandbox() as sandbox:
        assert upload(sandbox, {"data_urls": [data_url(b"x")]}, "SG_ffffffffffffffff").status_code == 401
        assert sandbox.uploads == 0
