"""On a bad day at the gateway every job completes or was not started, none is billed twice, and every file is whole."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from kling_sandbox import Faults, ReceivedRequest, Sandbox

from kling_adapters import Outcome, SubmitUncertain, WaitTimeout
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol import reconcile
from tests.support.clients import Client, OpenClient

from . import storm

# What `make test` has time for; `make storm` has 500.
JOBS = int(os.environ.get("KLING_STORM_JOBS", "40"))
RESUBMIT_AFTER = 120.0
"""Seconds: longer than any row is late, if there are none of ten minutes."""
LONGEST_DELAY = 86400.0
"""Seconds after which the last rows are listed: longer than a test takes on the slowest machine."""

Outcomes = dict[int, Outcome[Any]]
"""The last outcome of each job, by its number."""


def test_jobs_survive_a_storm_of_faults(open_client: OpenClient, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with storm.sandbox() as sandbox:
        client = open_client(sandbox, journal=journal, clock=storm.FastClock())
        outcomes = run_all(client, tmp_path / "out")
        check_submitted_once(sandbox, outcomes)
        check_every_fault_struck(sandbox)
        check_files_and_journal(sandbox, outcomes, tmp_path)


def test_late_rows_are_found_by_a_later_resume(open_client: OpenClient, tmp_path: Path) -> None:
    journal, folder = tmp_path / "journal.sqlite3", tmp_path / "out"
    with storm.sandbox(storm.late_rows(JOBS, LONGEST_DELAY)) as sandbox:
        client = open_client(sandbox, journal=journal, clock=storm.FastClock())
        outcomes = run_all(client, folder)
        # Rows that late are not waited for.
        assert find_lost(sandbox, outcomes)
        sandbox.advance(LONGEST_DELAY / storm.SPEED)
        resume_all(client, folder, outcomes)
        check_submitted_once(sandbox, outcomes)
        check_files_and_journal(sandbox, outcomes, tmp_path)


def test_resubmission_leaves_no_submit_uncertain(
    open_client: OpenClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal.sqlite3"
    # The history has 5 s for an answer, 50 ms on the fast clock: a busy machine needs more, and without an answer a
    # submit is not repeated.
    monkeypatch.setattr(reconcile, "LOOK_BUDGET", 60.0)
    with storm.sandbox(storm.late_rows(JOBS, storm.LONGEST_USUAL_DELAY)) as sandbox:
        clock = storm.FastClock()
        client = open_client(sandbox, journal=journal, clock=clock, resubmit_after=RESUBMIT_AFTER)
        outcomes = run_all(client, tmp_path / "out")
        assert not [outcome.error for outcome in outcomes.values() if outcome.error]
        check_submitted_once(sandbox, outcomes)
        check_files_and_journal(sandbox, outcomes, tmp_path)


def run_all(client: Client, folder: Path) -> Outcomes:
    batch = client.map(storm.requests(JOBS), concurrency=storm.CONCURRENCY, save_to=folder)
    outcomes: Outcomes = {outcome.index: outcome for outcome in batch}
    assert sorted(outcomes) == list(range(JOBS))
    if any(isinstance(outcome.error, WaitTimeout) for outcome in outcomes.values()):
        # The default timeout of a wait is twelve seconds on the fast clock, which a busy machine may need.
        resume_all(client, folder, outcomes)
    return outcomes


def resume_all(client: Client, folder: Path, outcomes: Outcomes) -> None:
    numbers = {entry.id: read_number(entry.params) for entry in client.entries()}
    for outcome in client.resume(save_to=folder):
        outcomes[numbers[outcome.index]] = outcome


def read_number(params: Mapping[str, Any]) -> int:
    return int(params["negative_prompt"].removeprefix("job "))


def find_lost(sandbox: Sandbox, outcomes: Outcomes) -> set[str]:
    """Return the ids of the jobs that were billed and have no file."""
    return set(sandbox.billed) - {outcome.request_id for outcome in outcomes.values() if outcome.result}


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
    submits: dict[int, list[ReceivedRequest]] = defaultdict(list)
    for submit in sandbox.submits:
        if submit.fault != "reset-early":
            submits[read_number(submit.json)].append(submit)
    started: set[str] = set()
    for number, outcome in outcomes.items():
        sent = submits[number]
        if outcome.error is None:
            accepted = sent.pop()
            # One that was cut off was found in the request history.
            assert accepted.fault in storm.STARTED or (accepted.fault, accepted.is_complete) == ("", True)
            assert outcome.request_id == accepted.request_id
            started.add(outcome.request_id or "")
        else:
            # A job that was started would have been found in the request history.
            assert isinstance(outcome.error, SubmitUncertain)
        # What was sent before, and then repeated.
        assert {record.fault for record in sent} <= set(storm.SAFE)
        assert not any(record.request_id for record in sent)
    assert set(sandbox.billed) == started

    ends = Counter("uncertain" if outcome.error else "completed" for outcome in outcomes.values())
    struck = sum(bool(record.fault) for record in sandbox.requests)
    sys.stdout.write(
        f"{JOBS} jobs: {dict(ends)}, {len(sandbox.billed)} billed, {len(sandbox.submits)} submits, "
        f"{struck} of {len(sandbox.requests)} requests struck\n"
    )


def check_files_and_journal(sandbox: Sandbox, outcomes: Outcomes, home: Path) -> None:
    unread = len([submit for submit in sandbox.submits if submit.fault == "reset-early"])
    sandbox.faults = Faults()
    check_files_are_whole(sandbox, outcomes.values(), home / "out")
    check_journal(home / "journal.sqlite3", outcomes, unread)


def check_files_are_whole(sandbox: Sandbox, outcomes: Iterable[Outcome[Any]], folder: Path) -> None:
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


def check_journal(journal: Path, outcomes: Outcomes, unread: int) -> None:
    """Check that the journal has the outcome of each job, and one other entry for each submit that was sent once more."""
    expected_rows = {
        (number, outcome.request_id, "UNCERTAIN" if outcome.error else "COMPLETED")
        for number, outcome in outcomes.items()
    }
    entries = Journal(journal).entries()
    rows = [(read_number(entry.params), entry.request_id, entry.state) for entry in entries]
    assert {row for row in rows if row[2] != "REFUSED"} == expected_rows
    # Each submit that the gateway has not read is uncertain, or was sent once more.
    open_count = sum(state in ("UNCERTAIN", "REFUSED") for _, _, state in rows)
    assert (open_count, len(rows)) == (unread, JOBS + unread - sum(row[2] == "UNCERTAIN" for row in rows))
