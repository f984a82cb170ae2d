"""The end of a process that has not taken every outcome of a batch."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kling_sandbox import Fault, Sandbox

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
            assert {entry.state for entry in kling.entries()} <= {
                "QUEUED",
                "PROCESSING",
                "COMPLETED",
                "REFUSED",
            }


THREAD = """
import sys, threading
from kling_adapters import Kling

def take():
    with Kling(base_url=sys.argv[1], api_key=sys.argv[2], journal=sys.argv[3]) as kling:
        for outcome in kling.map([{"model": "kling-2", "prompt": str(number)} for number in range(99)]):
            print(outcome.error, flush=True)

threading.Thread(target=take, daemon=True).start()
sys.stdin.readline()
"""


def test_submit_of_a_thread_is_answered_at_exit(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Sandbox(timing="polls:9", faults=[Fault("latency", method="POST", seconds=1)]) as sandbox:
        words = [sys.executable, "-c", THREAD, sandbox.base_url, sandbox.api_key, str(journal)]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not sandbox.submits and process.poll() is None:
            time.sleep(0.01)
        assert process.communicate("\n", timeout=60) == ("", "")
        assert process.returncode == 0
        with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=journal) as kling:
            assert {entry.state for entry in kling.entries()} <= {"QUEUED", "PROCESSING", "REFUSED"}
            assert len(kling.entries()) < 9


def test_batch_ends_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with (
        Sandbox() as sandbox,
        Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=tmp_path / "journal") as kling,
    ):
        requests = [{"model": "kling-2", "prompt": "x"}]
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match=r"new thread"):
                list(kling.map(requests, name="films"))
        assert not sandbox.submits
        [outcome] = kling.map(requests, name="films")
        assert outcome.error is None
