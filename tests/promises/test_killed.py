"""Processes that are killed at any moment lose nothing that was paid for: what they started is found and finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Fault, Sandbox

from kling_adapters import Kling
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import SimulatedClock

# What `make test` has time for; `make crash` has 500 jobs, and kills a hundred times.
JOBS = int(os.environ.get("KLING_CRASH_JOBS", "60"))
KILLS = int(os.environ.get("KLING_CRASH_KILLS", "10"))
PROCESSES = 4

WORKER = """
import sys

import anyio

from kling_adapters import AsyncKling
from kling_adapters.testing import SimulatedClock

url, key, journal, folder, name, count = sys.argv[1:]


async def main():
    requests = (
        {"model": "kling-2.5-turbo", "prompt": "a kite", "negative_prompt": f"job {number}"}
        for number in range(int(count))
    )
    async with AsyncKling(base_url=url, api_key=key, journal=journal, clock=SimulatedClock()) as kling:
        print("ready", flush=True)
        async for _ in kling.map(requests, name=name, save_to=folder, concurrency=8):
            pass


anyio.run(main)
"""
# Submits are slow, so that most kills strike while one is under way.
FAULTS = (
    Fault("reset-late", 0.05, "POST", "/v2/*", seconds=0.05),
    Fault("latency", 1, "POST", "/v2/*", seconds=0.05),
)
HISTORY_DELAYS = (0.0, 0.5, 2.0)
"""Seconds: some rows are there at once, some when the next process looks, some later."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(faults=FAULTS, seed=1, history_delay=HISTORY_DELAYS) as running:
        yield running


def test_jobs_survive_repeated_kills_of_a_process(sandbox: Sandbox, tmp_path: Path) -> None:
    run_killed(sandbox, tmp_path, "all of them", JOBS, KILLS)
    finish(sandbox, tmp_path)
    check_jobs(sandbox, tmp_path, 1)


def test_four_killed_processes_never_share_a_job(sandbox: Sandbox, tmp_path: Path) -> None:
    """Their requests are the same, so that each row of the history may be the job of any of them."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        ends = [
            pool.submit(
                run_killed, sandbox, tmp_path, f"batch {number}", JOBS // PROCESSES, KILLS // PROCESSES
            )
            for number in range(PROCESSES)
        ]
    for end in ends:
        end.result()
    finish(sandbox, tmp_path)
    check_jobs(sandbox, tmp_path, PROCESSES)


def run_killed(sandbox: Sandbox, home: Path, name: str, jobs: int, kills: int) -> None:
    """Run a batch in a process that is killed so many times, and then in one that is not."""
    chance = random.Random(f"{name} {jobs * kills}")
    options = (sandbox.base_url, sandbox.api_key, home / "journal", home / "out", name, jobs)
    command = [sys.executable, "-c", WORKER, *map(str, options)]
    for _ in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.0, 0.6))
            # One that is done already has been looking at what is done.
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def finish(sandbox: Sandbox, home: Path) -> None:
    """Settle and finish what is left, when all rows are in the history."""
    sandbox.advance(max(HISTORY_DELAYS))
    options: Any = {"base_url": sandbox.base_url, "api_key": sandbox.api_key, "journal": home / "journal"}
    with Kling(**options, clock=SimulatedClock()) as kling:
        before = Counter(entry.state for entry in kling.entries())
        list(kling.resume(save_to=home / "out"))
    sys.stdout.write(f"{dict(before)} before the last resume\n")


def check_jobs(sandbox: Sandbox, home: Path, processes: int) -> None:
    """Check that the journal has each job of the gateway once, and that its file is whole."""
    entries = Journal(home / "journal").entries()
    states = Counter(entry.state for entry in entries)
    submits = [submit for submit in sandbox.submits if submit.request_id]
    sys.stdout.write(f"{JOBS} jobs, {KILLS} kills: {dict(states)}, {len(sandbox.submits)} submits\n")
    assert set(states) <= {"COMPLETED", "UNCERTAIN"}
    # No line has two entries, and so none was submitted twice.
    assert len({entry.tag for entry in entries}) == len(entries) == JOBS // processes * processes

    request_ids = [entry.request_id for entry in entries if entry.request_id is not None]
    assert len(request_ids) == len(set(request_ids)) == states["COMPLETED"]
    # Those that are uncertain started nothing.
    assert set(request_ids) == set(sandbox.billed) == {submit.request_id for submit in submits}
    sent = {submit.request_id: submit.json["negative_prompt"] for submit in submits}
    files: set[Path] = set()
    for entry in entries:
        if entry.request_id is not None:
            assert entry.params["negative_prompt"] == sent[entry.request_id]
            [file] = entry.files
            assert file.path.name == f"{entry.model}-{entry.request_id}.mp4"
            files.add(file.path)
    assert {path for path in (home / "out").iterdir() if path.suffix == ".mp4"} == files
    [content] = {path.read_bytes() for path in files}
    assert len(content) > 1000
