"""LiteLLM's client, unchanged, with kling-serve as its api_base. It runs in a process of its own, because it is large."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from kling_sandbox import Sandbox

from tests.support.serving import ALICE, make_settings, serve_app

_SCRIPT = """
import asyncio, json, sys, time, warnings
import litellm

base, token = sys.argv[1:]
options = {"api_base": base, "api_key": token, "custom_llm_provider": "openai"}

async def main():
    video = await litellm.avideo_generation(
        prompt="A lighthouse in fog", model="openai/kling-2", seconds="5", size="720x1280",
        extra_body={"cfg_scale": 0.7}, **options)
    first = video.status
    while video.status not in ("completed", "failed"):
        await asyncio.sleep(0.05)
        video = await litellm.avideo_status(video_id=video.id, **options)
    content = await litellm.avideo_content(video_id=video.id, **options)
    listed = await litellm.avideo_list(**options)
    image = await litellm.aimage_generation(
        prompt="A lighthouse", model="openai/kling-3-text2image", api_base=base, api_key=token)
    try:
        await litellm.avideo_generation(prompt="A", model="openai/kling-2", seconds="7", **options)
        error = ""
    except Exception as problem:
        error = f"{type(problem).__name__} {problem}"
    print(json.dumps({
        "first": first, "last": video.status, "seconds": video.seconds, "head": content[4:8].decode(),
        "listed": len(listed), "image": image.data[0].url, "error": error}))

asyncio.run(main())
"""


def test_litellm_runs_videos_and_images(tmp_path: Path) -> None:
    with Sandbox(timing="polls:1") as gateway, serve_app(make_settings(gateway, tmp_path)) as served:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, f"{served.base_url}/v1", ALICE],
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["first"], report["last"], report["seconds"], report["head"]) == (
        "queued",
        "completed",
        "5",
        "ftyp",
    )
    assert report["listed"]
    assert report["image"].startswith(served.base_url)
    assert "duration" in report["error"] or "seconds" in report["error"]
    sent = next(request.json for request in gateway.requests if request.path == "/v2/kling-2")
    assert (sent["cfg_scale"], sent["aspect_ratio"]) == (0.7, "9:16")
