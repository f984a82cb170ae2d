"""The templates of docs/ci run: their scripts are executed with the real compiler, git, and a stand-in for `gh`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.codegen.spec_pages import MODEL_LIST, SPECS, edit_text, write_page

DOCS = SPECS.parent / "docs"
PULL_REQUEST = "drift-pull-request.yml"
GH = """\
#!/bin/sh
echo "$@" >> "$GH_CALLS"
if [ "$2" = list ]; then cat "$GH_OPEN"; fi
"""

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the templates run in bash")


def read_workflow(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = YAML(typ="safe", pure=True).load(
        (DOCS / "ci" / name).read_text(encoding="utf-8")
    )
    return workflow


def find_script(name: str, job: str, step: str) -> str:
    [script] = [part["run"] for part in read_workflow(name)["jobs"][job]["steps"] if part.get("name") == step]
    return str(script)


def run_script(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    output = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    # The shell of the workflows.
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder / "work",
        env={**os.environ, **output, "PATH": path, "SEGMIND_API_KEY": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A repository with the specs, and a list of models beside it."""
    repository, remote = tmp_path / "work", tmp_path / "remote.git"
    for command in (["init", "-q", "-b", "main", str(repository)], ["init", "-q", "--bare", str(remote)]):
        subprocess.run(["git", *command], check=True)
    shutil.copytree(SPECS, repository / "specs")
    (tmp_path / "list.json").write_text(json.dumps(MODEL_LIST), encoding="utf-8")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (
        ["add", "."],
        [*author, "commit", "-qm", "Specs"],
        ["remote", "add", "origin", str(remote)],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(GH, encoding="utf-8")
    gh.chmod(0o755)
    return tmp_path


def add_page(work: Path, *edits: tuple[str, str]) -> None:
    (work / "work" / "pages").mkdir(exist_ok=True)
    text = edit_text(write_page("kling-2.5-turbo"), *edits)
    (work / "work" / "pages" / "a.txt").write_text(text, encoding="utf-8")


def test_nightly_job_fails_after_a_change_only(work: Path) -> None:
    script = find_script("drift.yml", "drift", "Compare")
    lists = {"LIST": str(work / "list.json")}
    same = run_script(script, work, **lists)
    assert same.returncode == 0, same.stderr
    add_page(work, ("Default: 0.7", "Default: 0.5"))
    changed = run_script(script, work, **lists)
    assert changed.returncode == 1, changed.stderr
    assert "warning: kling-2.5-turbo cfg_scale: default 0.7 -> 0.5" in changed.stdout
    assert "| kling-2.5-turbo | `cfg_scale` |" in (work / "summary").read_text(encoding="utf-8")
    assert run_script(script, work, LIST="missing.json").returncode == 2


def test_pull_request_has_the_report(work: Path) -> None:
    compare = find_script(PULL_REQUEST, "compare", "Compare")
    add_page(work, ("Default: 0.7", "Default: 0.5"))
    done = run_script(compare, work, LIST=str(work / "list.json"))
    assert done.returncode == 0, done.stderr
    assert (work / "output").read_text(encoding="utf-8") == "code=1\n"
    calls = work / "calls"
    for open_numbers, command in (("", "pr create"), ("7", "pr edit")):
        (work / "open").write_text(open_numbers, encoding="utf-8")
        environment = {"GH_CALLS": str(calls), "GH_OPEN": str(work / "open"), "BASE": "main"}
        opened = run_script(
            find_script(PULL_REQUEST, "pull-request", "Open a pull request"), work, **environment
        )
        assert opened.returncode == 0, opened.stderr
        assert command in calls.read_text(encoding="utf-8")
        remote = ["git", "-C", str(work / "remote.git"), "show", "drift:drift.md"]
        report = subprocess.run(remote, capture_output=True, text=True, check=True).stdout
        assert "| kling-2.5-turbo | `cfg_scale` |" in report
        # The next night starts from the default branch, with another report.
        for arguments in (["switch", "-q", "main"], ["branch", "-qD", "drift"]):
            subprocess.run(["git", *arguments], cwd=work / "work", check=True)
        (work / "work" / "drift.md").write_text(f"{report}again\n", encoding="utf-8")


def test_writing_job_runs_no_code_of_the_repository() -> None:
    jobs = read_workflow(PULL_REQUEST)["jobs"]
    assert jobs["compare"].get("permissions") is None
    assert read_workflow(PULL_REQUEST)["permissions"] == {"contents": "read"}
    scripts = "\n".join(step.get("run", "") for step in jobs["pull-request"]["steps"])
    assert "kling" not in scripts
    assert "tools/" not in scripts
    # No text of an event or a step becomes part of a script.
    for name in ("drift.yml", PULL_REQUEST):
        for job in read_workflow(name)["jobs"].values():
            assert not [step for step in job["steps"] if "${{" in step.get("run", "")]


def test_templates_use_the_actions_of_our_own_workflows() -> None:
    own_texts = "".join(
        path.read_text(encoding="utf-8") for path in (DOCS.parent / ".github" / "workflows").glob("*.yml")
    )
    for name in ("drift.yml", PULL_REQUEST):
        for job in read_workflow(name)["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith(("actions/checkout@", "actions/setup-python@")):
                    assert step["uses"] in own_texts
