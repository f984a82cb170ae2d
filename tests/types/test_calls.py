"""mypy and pyright flag a wrong call where it is written, and only there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

CALLS = Path(__file__).with_name("calls.py")
ROOT = CALLS.parents[2]


def refused() -> set[int]:
    lines = CALLS.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if line.endswith("# refused")}


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_mypy_flags_exactly_the_wrong_calls() -> None:
    output = run("mypy", "--strict", "--no-error-summary", str(CALLS))
    found = {int(line) for line in re.findall(r"calls\.py:(\d+): error", output)}
    assert found == refused(), output


def test_pyright_flags_exactly_the_wrong_calls() -> None:
    output = run("pyright", "--outputjson", str(CALLS))
    errors = [found for found in json.loads(output)["generalDiagnostics"] if found["severity"] == "error"]
    assert {found["range"]["start"]["line"] + 1 for found in errors} == refused(), output
