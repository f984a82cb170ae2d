"""mypy and pyright flag what is wrong where it is written, and only there."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kling_adapters import AsyncKling, Kling

FOLDER = Path(__file__).parent
FILES = [FOLDER / name for name in ("calls.py", "outcomes.py", "plugins.py")]

Place = tuple[str, int]


def refused() -> set[Place]:
    return {
        (file.name, number)
        for file in FILES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if line.endswith("# refused")
    }


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command, *map(str, FILES)],
        cwd=FOLDER.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_mypy_flags_exactly_the_wrong_lines() -> None:
    output = run("mypy", "--strict", "--no-error-summary")
    assert {(file, int(line)) for file, line in re.findall(r"(\w+\.py):(\d+): error", output)} == refused(), (
        output
    )
    # A name that is missing here would be wrong for a reason of its own.
    assert "[name-defined]" not in output


def test_pyright_flags_exactly_the_wrong_lines() -> None:
    output = run("pyright", "--pythonpath", sys.executable, "--outputjson")
    reports = [entry for entry in json.loads(output)["generalDiagnostics"] if entry["severity"] == "error"]
    places = {(Path(report["file"]).name, report["range"]["start"]["line"] + 1) for report in reports}
    assert places == refused(), output
    assert "reportUndefinedVariable" not in output


@pytest.mark.parametrize("client", [Kling, AsyncKling])
def test_table_has_every_call_of_a_client(client: type) -> None:
    text = FILES[0].read_text("utf-8")
    calls = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
    called = {
        name for part in re.findall(rf"\(kling: {client.__name__}\b.*?(?=\n\n\n|\Z)", text, re.DOTALL)
        for name in re.findall(r"kling\.(\w+)\(", part)
    }  # fmt: skip
    assert calls - {"close"} <= called
