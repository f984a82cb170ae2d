"""Submit, wait and save, killed before each of their effects: `resume` stores the file, and nothing is paid twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import Kling, SubmitUncertain
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import MP4, FakeGateway, SimulatedClock

from .client_process import ProcessFactory, ProcessKilled

# `make test` kills before every seventh effect; `make crash` before each.
STEP = 1 if os.environ.get("KLING_CRASH_SWEEP") else 7
MOST_EFFECTS = 2000


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessFactory]:
    with ProcessFactory() as running:
        yield running


@pytest.mark.parametrize("place_from", ["submit", "save", "resume"])
def test_resume_stores_the_file_once(processes: ProcessFactory, tmp_path: Path, place_from: str) -> None:
    resumed = 0
    with FakeGateway() as gateway:
        for number in range(0, MOST_EFFECTS, STEP):
            home = tmp_path / str(number)
            abandoned, entry = kill_and_resume(processes, gateway, home, number, place_from)
            submits = [request for request in gateway.requests if request.params == {"prompt": str(number)}]
            if entry is None or entry.request_id is None:
                # A submit without an answer before the kill is reported and never repeated.
                assert entry is not None or not submits
                assert entry is None or entry.state == "UNCERTAIN"
                continue
            assert len(submits) == 1
            if place_from == "save" and abandoned.save_to is None:
                # It was killed before `save`, so the journal has no destination.
                assert list((home / "out").glob("*")) == []
                continue
            [path] = (home / "out").iterdir()
            assert path.read_bytes() == MP4
            assert [file.path for file in entry.files] == [path]
            if abandoned.files:
                assert resumed
                return
            resumed += 1
    raise AssertionError("the process always had another effect to be killed at")


def kill_and_resume(
    processes: ProcessFactory, gateway: FakeGateway, home: Path, number: int, place_from: str
) -> tuple[Any, Any]:
    """Kill a process before the effect of this number and resume in another; return the entry before and after it."""
    home.mkdir()
    folder, journal = str(home / "out"), home / "journal"
    process = processes.spawn(gateway.base_url, gateway.api_key, journal, lambda _: None)
    arguments = ("kling-2", {"prompt": str(number)}, folder, folder if place_from == "submit" else None)
    with pytest.raises(ProcessKilled):
        process.call("submit_wait_save", *arguments, now=0.0, kill_at=number)
    abandoned = entry_of(journal)
    process = processes.spawn(gateway.base_url, gateway.api_key, journal, lambda _: None)
    outcomes = process.call("resume", folder if place_from == "resume" else None, 1, now=0.0)
    process.end()
    assert all(error in (None, "SubmitUncertain") for _, error in outcomes)
    return abandoned, entry_of(journal)


def entry_of(path: Path) -> JournalEntry | None:
    with closing(Journal(path)) as journal:
        return next(iter(journal.entries()), None)


README = Path(__file__).parents[2] / "README.md"
TEN_LINES = """
import re, sys, time
time.sleep = lambda seconds: None
exec(re.search("```python\\n(.*?)```", open(sys.argv[1], encoding="utf-8").read(), re.DOTALL)[1])
"""
# The system calls whose effect outlasts the process: a kill before any other is a kill before the next of these.
SYSTEM_CALLS = (
    *(
        "connect",
        "sendto",
        "sendmsg",
        "recvfrom",
        "write",
        "writev",
        "pwrite64",
        "openat",
        "mkdir",
        "mkdirat",
    ),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat", "ftruncate", "fallocate"),
    *("fsync", "fdatasync", "flock", "chmod", "fchmod"),
)


def test_readme_example_survives_a_kill_at_any_call(tmp_path: Path) -> None:
    if not traces_processes():
        pytest.skip("strace is not installed, or may not trace processes here")
    ends: Counter[str] = Counter()
    with FakeGateway() as gateway:
        calls = list_system_calls(gateway, tmp_path / "traced")
    # `make test` kills at some, `make crash` at each.
    for number, (name, count) in enumerate(calls[:: 1 if STEP == 1 else len(calls) // 6]):
        home = tmp_path / str(number)
        with FakeGateway() as gateway:
            run_ten_lines(gateway, home, f"inject={name}:signal=KILL:when={count}", "-e", f"trace={name}")
            ends[resume_and_check(gateway, home)] += 1
    sys.stdout.write(f"killed at {ends.total()} system calls: {dict(ends)}\n")
    assert ends["stored"]


def resume_and_check(gateway: FakeGateway, home: Path) -> str:
    """Resume the job of a killed process in `home`, check it, and return its outcome."""
    journal, folder = home / "journal", home / "renders"
    options: Any = {"base_url": gateway.base_url, "api_key": gateway.api_key, "journal": journal}
    with Kling(**options, clock=SimulatedClock()) as kling:
        outcomes = list(kling.resume(save_to=folder))
    entry = entry_of(journal)
    posts = sum(request.method == "POST" for request in gateway.requests)
    if entry is None:
        assert posts == 0
        return "nothing sent"
    if entry.request_id is None:
        assert posts <= 1
        [outcome] = outcomes
        assert isinstance(outcome.error, SubmitUncertain)
        return "uncertain"
    assert posts == 1
    [path] = folder.iterdir()
    assert path.read_bytes() == MP4
    assert [file.path for file in entry.files] == [path]
    return "stored"


def list_system_calls(gateway: FakeGateway, home: Path) -> list[tuple[str, int]]:
    """Return the system calls of the ten lines from the first that concerns the journal: name, and count of that name."""
    trace = home.with_suffix(".strace")
    run_ten_lines(gateway, home, f"trace={','.join(SYSTEM_CALLS)}", "-o", str(trace))
    counts: Counter[str] = Counter()
    calls: list[tuple[str, int]] = []
    for line in trace.read_text(encoding="utf-8").splitlines():
        name = line.partition("(")[0]
        if name not in SYSTEM_CALLS:
            continue  # a signal, or the end
        counts[name] += 1
        if (calls or str(home) in line) and (name != "openat" or "O_CREAT" in line):
            calls.append((name, counts[name]))
    assert len(calls) > 100
    return calls


def run_ten_lines(gateway: FakeGateway, home: Path, expression: str, *options: str) -> None:
    """Run the ten lines of the README under strace, which kills them where the expression says."""
    home.mkdir()
    environment = {
        **os.environ,
        "SEGMIND_API_KEY": gateway.api_key,
        "KLING_BASE_URL": gateway.base_url,
        "KLING_JOURNAL": str(home / "journal"),
        "KLING_PLUGINS": "models",
        # So that each run makes the same system calls.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
    command = ["strace", *options, "-e", expression, sys.executable, "-c", TEN_LINES, str(README)]
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr


def traces_processes() -> bool:
    command = ["strace", "-e", "trace=none", sys.executable, "-c", ""]
    if shutil.which("strace") is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
