"""On a bad day at the gateway every job completes or was not started, none is billed twice, and every file is whole."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import av
import httpx
from kling_sandbox import Faults, ReceivedRequest, Sandbox

from kling_adapters import Outcome, SubmitUncertain
from kling_adapters.journal.journal import Journal
from tests.support.clients import OpenClient

from . import storm

# What `make test` has time for; `make storm` has 500.
JOBS = int(os.environ.get("KLING_STORM_JOBS", "40"))

Outcomes = list[Outcome[Any]]


def test_jobs_survive_a_storm_of_faults(open_client: OpenClient, tmp_path: Path) -> None:
    journal, folder = tmp_path / "journal.sqlite3", tmp_path / "out"
    with storm.sandbox() as sandbox:
        client = open_client(sandbox, journal=journal, clock=storm.FastClock())
        batch = client.map(storm.requests(JOBS), concurrency=storm.CONCURRENCY, save_to=folder)
        outcomes: Outcomes = list(batch)

        assert sorted(outcome.index for outcome in outcomes) == list(range(JOBS))
        check_submitted_once(sandbox, outcomes)
        check_every_fault_struck(sandbox)
        sandbox.faults = Faults()
        check_files_are_whole(sandbox, outcomes, folder)
        check_journal(journal, outcomes)


def check_every_fault_struck(sandbox: Sandbox) -> None:
    """At least a third as often as it should; and the submits those that the seed says."""
    for fault in storm.WEATHER:
        chances = [record.fault for record in sandbox.requests if fault.matches(record.method, record.path)]
        expected = len(chances) * fault.rate * fault.burst
        assert chances.count(fault.kind) >= max(1, expected / 3), fault
    again = Faults(storm.WEATHER, storm.SEED)
    struck = [again.strike(submit.method, submit.path) for submit in sandbox.submits]
    assert [submit.fault for submit in sandbox.submits] == [fault.kind if fault else "" for fault in struck]


def check_submitted_once(sandbox: Sandbox, outcomes: Outcomes) -> None:
    """By the gateway's own record, which has no body where the connection was cut before that was read."""
    submits: dict[str, list[ReceivedRequest]] = defaultdict(list)
    for submit in sandbox.submits:
        if submit.fault != "reset-early":
            submits[submit.json["negative_prompt"]].append(submit)
    unread = len([submit for submit in sandbox.submits if submit.fault == "reset-early"])

    started: set[str] = set()
    for outcome in outcomes:
        sent = submits[f"job {outcome.index}"]
        if outcome.error is None:
            accepted = sent.pop()
            # One that was cut off was found in the request history.
            assert accepted.fault in storm.CUT or (accepted.fault, accepted.is_complete) == ("", True)
            assert outcome.request_id == accepted.request_id
            started.add(outcome.request_id or "")
        else:
            assert isinstance(outcome.error, SubmitUncertain)
            # Its submit was not read: a job that was started would have been found in the request history.
            unread -= 1
        # What was sent before, and then repeated.
        assert {record.fault for record in sent} <= set(storm.SAFE)
        assert not any(record.request_id for record in sent)
    assert unread == 0
    assert set(sandbox.billed) == started

    ends = Counter("uncertain" if outcome.error else "completed" for outcome in outcomes)
    struck = sum(bool(record.fault) for record in sandbox.requests)
    sys.stdout.write(
        f"{JOBS} jobs: {dict(ends)}, {len(sandbox.billed)} billed, {len(sandbox.submits)} submits, "
        f"{struck} of {len(sandbox.requests)} requests struck\n"
    )


def check_files_are_whole(sandbox: Sandbox, outcomes: Outcomes, folder: Path) -> None:
    """Every file is what the gateway serves, and there is no other."""
    contents: dict[str, Path] = {}
    with httpx.Client(base_url=sandbox.base_url) as http:
        for outcome in outcomes:
            if outcome.result is not None:
                [file] = outcome.result.saved
                content = http.get(f"/media/{outcome.request_id}.mp4").raise_for_status().content
                assert file.path.read_bytes() == content
                assert file.sha256 == hashlib.sha256(content).hexdigest()
                contents[file.sha256] = file.path
    stored = {outcome.result.saved[0].path for outcome in outcomes if outcome.result}
    assert set(folder.iterdir()) == stored
    for path in contents.values():
        with av.open(path) as film:
            assert sum(1 for _ in film.decode(video=0)) == 5 * 24


def check_journal(journal: Path, outcomes: Outcomes) -> None:
    """Check that the journal has the outcome of each job."""
    expected_rows = {
        (f"job {outcome.index}", outcome.request_id, "UNCERTAIN" if outcome.error else "COMPLETED")
        for outcome in outcomes
    }
    entries = Journal(journal).entries()
    assert {
        (entry.params["negative_prompt"], entry.request_id, entry.state) for entry in entries
    } == expected_rows
    assert len(entries) == JOBS
