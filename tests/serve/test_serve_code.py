"""Code to copy: each of the three forms runs as it is, and submits the parameters of the form."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.serve.conftest import get_parts
from tests.support.media import make_png


class CodeReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.code: dict[str, str] = {}
        self._name: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("id") or ""
        if name.startswith("code-"):
            self._name = name.removeprefix("code-")
            self.code[self._name] = ""

    def handle_endtag(self, tag: str) -> None:
        self._name = None if tag in ("pre", "div") else self._name

    def handle_data(self, data: str) -> None:
        if self._name is not None:
            self.code[self._name] += data


@pytest.fixture
def form(browser: TestClient) -> dict[str, str]:
    """Every kind of value, with texts that a shell or a program would read as something else."""
    upload = browser.post("/uploads", content=make_png(), headers={"X-File-Name": "a%20b.png"}).json()
    return {
        "prompt": """@Element1's "fox" $HOME `id` \\n 100% {x}\nsecond line, née""",
        "start_image_url": f"upload:{upload['id']}",
        "cfg_scale": "0.7",
        "duration": "8",
        "generate_audio": "false",
        "elements[0].frontal_image_url": f"upload:{upload['id']}",
        "elements[0].reference_image_urls[0]": "https://example.com/left.png",
        "negative_prompt": "@home",
        "voice_ids[0]": "5",
    }


def run_code(name: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    commands = {
        "python": [sys.executable, "-c", code],
        "curl": ["sh", "-ec", code],
        "shell": ["sh", "-ec", code],
    }
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("SEGMIND_API_KEY", None)
    return subprocess.run(
        commands[name], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("name", ["python", "curl", "shell"])
def test_code_runs_and_submits_parameters_of_form(
    browser: TestClient, form: dict[str, str], name: str, tmp_path: Path
) -> None:
    if name == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    reader = CodeReader()
    reader.feed(browser.post("/models/kling-3-pro-image2video/check", data=form).text)
    ended = run_code(name, reader.code[name], tmp_path)
    assert ended.returncode == 0, f"{reader.code[name]}\n{ended.stderr}"
    job = _find_body(browser)
    assert job["prompt"] == form["prompt"]
    assert job["elements"][0]["reference_image_urls"] == ["https://example.com/left.png"]
    assert "/assets/" in job["start_image_url"]
    assert "/assets/" in job["elements"][0]["frontal_image_url"]
    assert {
        key: job[key] for key in ("cfg_scale", "duration", "generate_audio", "negative_prompt", "voice_ids")
    } == {
        "cfg_scale": 0.7,
        "duration": "8",
        "generate_audio": False,
        "negative_prompt": "@home",
        "voice_ids": ["5"],
    }
    if name != "curl":
        assert len(list((tmp_path / "renders").iterdir())) == 1


def _find_body(browser: TestClient) -> Any:
    """Return the parameters of the only job of the sandbox, from its request history."""
    import httpx

    connection = get_parts(browser).connections.find("sandbox")
    headers = {"x-api-key": connection.sandbox_key or ""}
    answer = httpx.get(
        f"{connection.client.base_url}/inference-request/request-history", headers=headers
    ).json()
    [row] = next(value for value in answer.values() if isinstance(value, list))
    return row["request_body"]
