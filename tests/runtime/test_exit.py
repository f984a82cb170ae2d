"""The end of a process that has not taken every outcome of a batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

from kling_adapters import Kling

PROGRAM = """
import os, sys
from kling_adapters import Kling

kling = Kling(base_url=sys.argv[1], api_key=sys.argv[2], journal=sys.argv[3])
outcomes = kling.map([{"model": "kling-2", "prompt": str(number)} for number in range(4)], concurrency=3)
print(next(outcomes).error, flush=True)
"""
FORK = """
if (child := os.fork()) == 0:
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("end", ["", FORK], ids=["exit", "fork"])
def test_process_ends_with_outcomes_left(end: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Sandbox() as sandbox:
        # From Python 3.12 on, a fork of a process with threads warns.
        python = [sys.executable, "-W", "ignore:This process:DeprecationWarning"]
        words = [*python, "-c", PROGRAM + end, sandbox.base_url, sandbox.api_key, str(journal)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("None\n", "", 0)
        with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=journal) as kling:
            assert {entry.state for entry in kling.jobs()} <= {"QUEUED", "PROCESSING", "COMPLETED", "REFUSED"}
