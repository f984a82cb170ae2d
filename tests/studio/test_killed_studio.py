"""A studio that is killed at any moment loses no job and submits none twice, and its pages continue by themselves."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from kling_adapters import JournalEntry, Kling
from tests.studio.browsing import TIMEOUT, Visitor
from tests.studio.processes import SandboxProcess, StudioProcess

# What `make test` has time for; `make serve-crash` kills 20 times.
KILLS = int(os.environ.get("KLING_SERVE_KILLS", "2"))
JOBS = 4
"""Jobs that are submitted for each kill."""
SECONDS = 120.0


@pytest.fixture(scope="module")
def gateway() -> Iterator[SandboxProcess]:
    """A gateway whose jobs run for two seconds or so, and which survives the studio."""
    slow = {"kind": "latency", "method": "POST", "path": "/v2/*", "seconds": 0.4}
    with SandboxProcess("latency:0.005") as gateway:
        # Many kills hit a studio that waits for the answer to a submit.
        httpx.post(f"{gateway.base_url}/_sandbox/faults", json={"faults": [slow]}).raise_for_status()
        yield gateway


@contextmanager
def submitting(studio: StudioProcess, handles: dict[str, str]) -> Iterator[None]:
    """Submit jobs with these handles, and prompts, from programs that repeat a submit until it is accepted."""
    threads = [
        threading.Thread(target=submit, args=(studio, handle, prompt)) for handle, prompt in handles.items()
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "a submit was never accepted"


def submit(studio: StudioProcess, handle: str, prompt: str) -> None:
    form = {"prompt": prompt, "-attempt": handle, "-gateway": "account", "-confirmed": "unknown"}
    headers = {"Authorization": f"Bearer {studio.token}"}
    while True:
        try:
            response = httpx.post(
                f"{studio.base_url}/models/kling-2/run", data=form, headers=headers, timeout=30
            )
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        assert response.status_code == 204, response.text
        assert response.headers["hx-redirect"] == f"/jobs/{handle}"
        return


def read_state(gateway: SandboxProcess) -> dict[str, Any]:
    state: dict[str, Any] = httpx.get(f"{gateway.base_url}/_sandbox/state", timeout=30).json()
    return state


def read_entries(journal: Path) -> list[JournalEntry]:
    with Kling(api_key="SG_unused", base_url="http://127.0.0.1:1", journal=journal, history=False) as kling:
        return list(kling.entries())


def await_ends(journal: Path, count: int) -> list[JournalEntry]:
    """Wait until the journal has every job, and each has ended, and return its entries."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        entries = read_entries(journal)
        if len(entries) == count and not any(entry.is_unfinished for entry in entries):
            return entries
        time.sleep(0.2)
    states = Counter(entry.state for entry in read_entries(journal))
    pytest.fail(f"of {count} jobs, the journal has {dict(states)}")


def test_killed_studio_loses_and_repeats_no_job(
    browser: Browser, gateway: SandboxProcess, tmp_path: Path
) -> None:
    chance = random.Random(KILLS)
    journal = tmp_path / "journal.sqlite3"
    options = ("--journal", str(journal), "--no-sandbox")
    prompts: dict[str, str] = {}
    with StudioProcess(tmp_path / "studio", *options, environment=gateway.environment) as studio:
        visitor = Visitor(browser, studio.base_url)
        page = visitor.page
        page.goto(studio.link)
        page.goto("/jobs")
        page.evaluate("window.isSamePage = true")
        studio.keep_port()
        for kill in range(KILLS):
            handles = {f"{kill:08x}{number:016x}": f"job {kill}.{number}" for number in range(JOBS)}
            prompts |= handles
            with submitting(studio, handles):
                time.sleep(chance.uniform(0.0, 1.5))
                studio.end(signal.SIGKILL)
                studio.start()
        entries = await_ends(journal, len(prompts))
        for prompt in prompts.values():
            expect(page.locator("#rows > tr", has_text=prompt)).to_have_count(1, timeout=TIMEOUT)
        done = sum(entry.state == "COMPLETED" for entry in entries)
        expect(page.locator("#rows .badge", has_text="Done")).to_have_count(done, timeout=TIMEOUT)
        assert page.evaluate("window.isSamePage")
        visitor.close()

    state = read_state(gateway)
    submits = {
        request["request_id"]: request["json"]["prompt"]
        for request in state["requests"]
        if request["method"] == "POST" and request["request_id"]
    }
    sys.stdout.write(
        f"{len(prompts)} jobs, {KILLS} kills: {dict(Counter(entry.state for entry in entries))}, {len(submits)} submits\n"
    )
    assert Counter(submits.values()).most_common(1)[0][1] == 1, "a job was submitted twice"
    assert sorted(submits) == sorted(state["billed"])
    assert {entry.params["prompt"] for entry in entries} == set(prompts.values())
    completed = {entry.request_id for entry in entries if entry.state == "COMPLETED"}
    assert completed == set(submits), "a job that was billed was lost"
    # An uncertain one is that of a process which was killed before its request arrived: nothing is billed for it.
    assert {entry.state for entry in entries} <= {"COMPLETED", "UNCERTAIN"}
    for entry in entries:
        if entry.state == "COMPLETED":
            [file] = entry.files
            assert file.path.read_bytes()[4:8] == b"ftyp"
