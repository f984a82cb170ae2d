"""kling-opentelemetry: export of parameters, use without an SDK, and its README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kling_sandbox import BLOCKED_TEXT, Sandbox

import kling_adapters as ka
from kling_adapters import Kling
from kling_adapters.testing import SimulatedClock
from tests.plugins.opentelemetry.conftest import PROMPT, Host, attributes
from tests.support.scripted_server import (
    JOB,
    KEY,
    Hangup,
    ScriptedServer,
    failure_reply,
    gateway_script,
    json_reply,
    result_reply,
    status_reply,
    submit_reply,
)

README = Path(__file__).parents[3] / "plugins/opentelemetry/README.md"


def serve_quoted_prompts() -> ScriptedServer:
    """Return a gateway whose failure reasons quote the prompt."""
    return ScriptedServer(
        gateway_script(
            submit=[
                submit_reply(JOB),
                submit_reply(JOB.replace("5", "6")),
                json_reply(400, {"error": f"not a good prompt: {PROMPT}"}),
                Hangup(),
            ],
            status=[status_reply("COMPLETED"), failure_reply(f"blocked: {PROMPT}")],
            result=[result_reply("https://example.com/secret-address.mp4")],
        )
    )


@pytest.mark.parametrize("setting", ["off", "argument", "environment"])
def test_params_are_exported_only_if_enabled(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("KLING_OPENTELEMETRY_PARAMS", "1" if setting == "environment" else "0")
    plugin = host.plugin(params=True) if setting == "argument" else host.plugin()
    with (
        serve_quoted_prompts() as server,
        Kling(base_url=server.url, api_key=KEY, clock=SimulatedClock(), plugins=[plugin]) as kling,
    ):
        kling.submit_raw(
            "kling-o1", {"prompt": PROMPT, "n": 3, "loud": True, "image_urls": ["https://a/b.png"]}
        ).wait()
        for error in (ka.JobFailed, ka.BadRequest, ka.SubmitUncertain):
            with pytest.raises(error):
                kling.run("kling-2", prompt=PROMPT)
    assert len(host.spans_named("kling.job")) == 4
    assert KEY not in host.exported_text()
    assert "secret-address" not in host.exported_text()
    if setting == "off":
        assert PROMPT not in host.exported_text()
        assert "b.png" not in host.exported_text()
        return
    completed, job_failed, submit_failed, uncertain = host.spans_named("kling.job")
    assert {
        "kling.params.prompt": PROMPT,
        "kling.params.n": 3,
        "kling.params.loud": True,
        "kling.params.image_urls": '["https://a/b.png"]',
    }.items() <= attributes(completed).items()
    assert job_failed.status.description == f"blocked: {PROMPT}"
    assert f"not a good prompt: {PROMPT}" in (submit_failed.status.description or "")
    assert "no usable answer" not in (uncertain.status.description or "no usable answer")


def run(code: str, folder: Path, sandbox: Sandbox) -> str:
    """Run a program in a subprocess with warnings as errors; return its output."""
    code = code.replace("Kling(", f"Kling(base_url={sandbox.base_url!r}, ")
    environment = {**os.environ, "SEGMIND_API_KEY": sandbox.api_key}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert not process.stderr
    return process.stdout


def test_readme_examples_run(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 2
    with Sandbox() as sandbox:
        setup, options = (run(code, tmp_path, sandbox) for code in examples)
    assert len(list((tmp_path / "renders").iterdir())) == 1
    for name in ("make a teaser", "kling.job", "kling.submit", "kling.poll", "kling.store"):
        assert setup.count(f'"name": "{name}"') == 1
    assert setup.count('"name": "kling.job.duration"') == 1
    assert not options


def test_jobs_run_without_sdk(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["opentelemetry.sdk"] = None  # simulates a missing SDK
from kling_adapters import Kling, SubmitUncertain
with Kling(strict_plugins=True) as kling:
    [plugin] = [info for info in kling.plugins if info.name == "opentelemetry"]
    kling.submit("kling-2", prompt="never waited for")
    result = kling.run("kling-2", prompt="x", save_to=".")
print(plugin.state, plugin.hooks, len(result.saved))
"""
    with Sandbox() as sandbox:
        assert run(code, tmp_path, sandbox) == "loaded ('kling_close', 'kling_event') 1\n"


def test_readme_lists_all_exported_names(host: Host, sandbox: Sandbox, tmp_path: Path) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock(), plugins=[host.plugin()]
    ) as kling:
        kling.run("kling-2", prompt=PROMPT, save_to=tmp_path)
        with pytest.raises(ka.JobFailed):
            kling.run("kling-2", prompt=BLOCKED_TEXT)
    names = {name for span in host.spans for name in (span.name, *attributes(span))} | host.totals().keys()
    readme = README.read_text("utf-8")
    assert len(names) == 15
    assert [name for name in sorted(names) if not re.search(rf"(`|── ){re.escape(name)}\b", readme)] == []
