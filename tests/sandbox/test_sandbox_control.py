"""The control interface over HTTP, and its description in the README."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from kling_sandbox import API_KEY, Fault, Sandbox
from kling_sandbox.faults import KINDS

README = (Path(__file__).parents[2] / "plugins/sandbox/README.md").read_text()
KLING = [sys.executable, "-c", "from kling_adapters.cli import main; main()"]
BODY = {"prompt": "x"}
JSON = {"content-type": "application/json"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"))
def test_examples_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    assert ("save_to" in block) == bool(list(tmp_path.rglob("*.mp4")))


def test_shell_example_works(sandbox: Sandbox, http: httpx.Client) -> None:
    [script] = [block for block in blocks("sh") if "/_sandbox/clock" in block]
    # The first part ends before the faults are removed.
    before, _, after = script.partition("# remove all faults\n")

    def shell(text: str) -> str:
        environment = {**os.environ, "SANDBOX": sandbox.base_url, "no_proxy": "*"}
        done = subprocess.run(
            ["sh", "-e", "-c", text], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    job = http.post("/v2/kling-2", json=BODY).json()
    state = json.loads(shell(before))
    assert sandbox.faults.faults == (
        Fault("502", rate=0.1),
        Fault("reset-late", method="POST", nth=1),
    )
    assert (state["seed"], len(state["faults"])) == (7, 2)
    assert state["billed"] == {job["request_id"]: 0.5}
    assert state["credits"] == 999.5
    [submit] = state["requests"]
    assert submit["json"] == BODY
    assert (submit["fault"], submit["status"], submit["is_complete"]) == ("", 200, True)
    assert API_KEY not in json.dumps(state)
    shell(after)
    assert not sandbox.faults.faults
    # An hour has passed.
    assert http.get(job["status_url"]).status_code == 404


def test_it_is_neither_struck_nor_recorded(sandbox: Sandbox) -> None:
    def set_faults(*faults: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{sandbox.base_url}/_sandbox/faults", json={"faults": faults})

    assert set_faults({"kind": "reset-early"}).status_code == 204
    with pytest.raises(httpx.ReadError):
        httpx.get(sandbox.base_url)
    assert set_faults().status_code == 204
    assert [entry.path for entry in sandbox.requests] == ["/"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", b""),
        ("faults", b"[]"),
        ("faults", b'{"faults": {}}'),
        ("faults", b'{"faults": [7]}'),
        ("faults", b'{"faults": [{"kind": "nothing"}]}'),
        ("faults", b'{"faults": [{"kind": "latency", "seconds": 1e999}]}'),
        ("faults", b'{"faults": [{"kind": "502", "path": "\\ud800"}]}'),
        ("faults", b'{"fault": []}'),
        ("faults", b'{"seed": "x"}'),
        ("faults", b'{"seed": true}'),
        ("faults", b'{"seed": 1.5}'),
        ("clock", b"{}"),
        ("clock", b'{"advance": -1}'),
        ("clock", b'{"advance": "1"}'),
        ("clock", b'{"advance": NaN}'),
        ("clock", b'{"advance": true}'),
        ("clock", b'{"advance": 1e300}'),
        ("clock", b'{"advance": 1, "faults": []}'),
        ("clock", b"[" * 100_000),
    ],
)
def test_invalid_body_changes_nothing(sandbox: Sandbox, path: str, body: bytes) -> None:
    before = sandbox.faults
    answer = httpx.post(f"{sandbox.base_url}/_sandbox/{path}", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert sandbox.faults is before


def test_float_form_of_integer_is_accepted(sandbox: Sandbox) -> None:
    body = b'{"seed": 7.0, "faults": [{"kind": "502", "nth": 2.0}]}'
    assert httpx.post(f"{sandbox.base_url}/_sandbox/faults", content=body, headers=JSON).status_code == 204
    assert sandbox.faults.seed == 7
    assert sandbox.faults.faults == (Fault("502", nth=2),)


def test_other_verbs_and_addresses(sandbox: Sandbox) -> None:
    assert httpx.get(f"{sandbox.base_url}/_sandbox/faults").status_code == 405
    assert httpx.get(f"{sandbox.base_url}/_sandbox/nothing").status_code == 404


@pytest.mark.parametrize("body", [b'{"x": "\\ud800"}', b'{"x": NaN}', b'{"x": 1e999}', b"\xff"])
def test_state_is_json_after_any_request(sandbox: Sandbox, http: httpx.Client, body: bytes) -> None:
    http.post("/v2/kling-2%FF", content=body)
    answer = httpx.get(f"{sandbox.base_url}/_sandbox/state")
    assert answer.status_code == 200
    assert answer.json()["requests"][0]["json"] is None


def test_every_kind_has_a_row_in_the_documentation() -> None:
    for kind, words in KINDS.items():
        assert f"| `{kind}` | {words} |" in README


def test_faults_of_the_command_line() -> None:
    [command] = [line for line in README.splitlines() if line.startswith("kling sandbox --seed")]
    started = [*KLING, *command.split()[1:]]
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().split()[-1]
        state = httpx.get(f"{base_url}/_sandbox/state").json()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert state["seed"] == 7
    assert [(fault["kind"], fault["rate"], fault["nth"]) for fault in state["faults"]] == [
        ("502", 0.1, None),
        ("reset-late", 1.0, 3),
    ]
    wrong = [*KLING, "sandbox", "--faults", "sometimes"]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "unknown fault 'sometimes'" in done.stderr
    assert "Traceback" not in done.stderr
