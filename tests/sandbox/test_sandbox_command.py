"""`kling sandbox`, the demo, and the imports of the plugin."""

import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import httpx
import pytest
from kling_sandbox import Sandbox

from kling_adapters import Kling, load_catalog

KLING = [sys.executable, "-c", "from kling_adapters.cli import main; main()"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_interrupted(number: signal.Signals) -> None:
    command = [*KLING, "sandbox", "--port", "0", "--timing", "polls:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        base_url, key = (line.split()[-1] for line in lines[:2])
        exports = dict(re.findall("^  export ([A-Z_]+)=(.+)$", "".join(lines), re.MULTILINE))
        assert (exports["KLING_BASE_URL"], exports["SEGMIND_API_KEY"]) == (base_url, key)
        journal = Path(exports["KLING_JOURNAL"])
        assert journal.parent.is_dir()
        headers = {"x-api-key": key}
        job = httpx.post(f"{base_url}/v2/kling-2", json={"prompt": "x"}, headers=headers).json()
        assert httpx.get(job["status_url"], headers=headers).json()["status"] == "QUEUED"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert not journal.parent.exists()


def test_command_for_other_machines_explains_access() -> None:
    command = [*KLING, "sandbox", "--host", "0.0.0.0", "--allow-host", "sandbox.example.com"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
        base_url = lines[0].split()[-1]
        with Kling(base_url=base_url, api_key="x", journal=None):
            assert base_url.startswith("http://127.0.0.1:")
        for host, status in (("sandbox.example.com", 401), ("other.example.com", 403)):
            answer = httpx.get(f"{base_url}/v1/get-user-credits", headers={"host": host})
            assert answer.status_code == status
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    port = base_url.rpartition(":")[2]
    assert f"  export KLING_BASE_URL=http://NAME:{port}\n" in lines
    assert "  export KLING_LOCAL_HOSTS=NAME\n" in lines


def test_start_failure_prints_one_line() -> None:
    with Sandbox() as sandbox:
        port = sandbox.base_url.rpartition(":")[2]
        for arguments, words in (
            (
                ["--port", port],
                f"cannot listen at 127.0.0.1, port {port}: Address already in use. Pass another",
            ),
            (["--port", "0", "--timing", "now"], "polls:N"),
        ):
            done = subprocess.run(
                [*KLING, "sandbox", *arguments], capture_output=True, text=True, check=False
            )
            assert done.returncode != 0
            assert words in done.stderr
            assert "Traceback" not in done.stderr


def test_plugin_imports_no_libraries() -> None:
    heavy = {"av", "PIL", "starlette", "uvicorn", "jsonschema_rs"}
    code = f"import sys, kling_sandbox.plugin; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_demo_imports_no_development_tool() -> None:
    tools = {"kling_codegen", "pytest", "hypothesis", "schemathesis", "ruamel", "datamodel_code_generator"}
    code = f"import sys, kling_sandbox.demo; print({tools} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_demo_stores_and_lists_a_file_per_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kling_sandbox.demo", "out"],
        cwd=tmp_path,
        env={**os.environ, "KLING_JOURNAL": str(tmp_path / "journal")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not (tmp_path / "journal").exists()
    lines = (line.replace("│", " ").split() for line in done.stdout.splitlines())
    rows = {words[0]: words[1:] for words in lines if words}
    assert set(rows) >= set(load_catalog())
    for slug, entry in load_catalog().items():
        request_id, seconds, cost, file = rows[slug]
        assert request_id in file
        assert float(seconds) >= 0
        assert float(cost) > 0
        with av.open(str(tmp_path / file), "r") as container:
            frames = sum(1 for _ in container.decode(container.streams.video[0]))
        assert (frames > 1) == (entry.returns == "video")
