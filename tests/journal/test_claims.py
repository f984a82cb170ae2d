"""Settling of uncertain submits: no job is claimed twice, whatever process asks."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import HistorySearch
from kling_adapters.journal.journal import Journal
from kling_adapters.journal.null import NullJournal

GATEWAY = "https://gateway.example"
PROCESSES, SUBMITS = 4, 30
# Each process claims every job for every entry, in an order of its own, and prints what it got.
CLAIMS = """
import json, random, sys
from kling_adapters.journal.journal import Journal
path, entries, seed = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
journal, pairs = Journal(path), [(entry, f"job-{job}") for entry in entries for job in range(len(entries))]
random.Random(seed).shuffle(pairs)
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([pair for pair in pairs if journal.claim(*pair)]))
journal.close()
"""


def add_uncertain(journal: Journal, gateway: str = GATEWAY) -> int:
    entry = journal.intend(gateway, "kling-2", {"prompt": "a heron"}, "key")
    journal.update(entry, state="UNCERTAIN", reason="cut")
    return entry


def test_four_processes_never_claim_a_job_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        entries = [add_uncertain(journal) for _ in range(SUBMITS)]
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", CLAIMS, str(path), json.dumps(entries), str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in range(PROCESSES)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        claims = [
            tuple(pair) for worker in workers for pair in json.loads(worker.communicate(timeout=120)[0])
        ]
        recorded = {(entry.id, entry.request_id) for entry in journal.entries()}
        assert {entry.state for entry in journal.entries()} == {"QUEUED"}
    assert len(claims) == SUBMITS
    assert set(claims) == recorded
    assert len({request_id for _, request_id in recorded}) == SUBMITS


def test_claim_needs_an_uncertain_submit_and_a_free_job(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal")) as journal:
        first, second = add_uncertain(journal), add_uncertain(journal)
        elsewhere = add_uncertain(journal, "https://sandbox.example")
        in_flight = journal.intend(GATEWAY, "kling-2", {"prompt": "a heron"}, "key")
        assert not journal.claim(in_flight, "job-1")
        assert not journal.claim(999, "job-1")
        assert journal.claim(first, "job-1")
        assert not journal.claim(first, "job-2")
        assert not journal.claim(second, "job-1")
        # Request ids are those of one gateway.
        assert journal.claim(elsewhere, "job-1")
        with pytest.raises(ConfigError, match="already in the journal"):
            journal.resolve(second, "job-1")
        states = {entry.id: (entry.state, entry.request_id, entry.reason) for entry in journal.entries()}
        assert states[first] == ("QUEUED", "job-1", None)
        assert states[second] == ("UNCERTAIN", None, "cut")


def test_unanswered_submits_are_those_without_a_job(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal")) as journal:
        assert journal.find_unanswered(GATEWAY, "kling-2") == []
        uncertain = add_uncertain(journal)
        in_flight = journal.intend(GATEWAY, "kling-2", {}, "key")
        journal.intend(GATEWAY, "kling-o1", {}, "key")
        journal.claim(add_uncertain(journal), "job-1")
        add_uncertain(journal, "https://sandbox.example")
        unanswered = journal.find_unanswered(GATEWAY, "kling-2")
        assert [entry.id for entry in unanswered] == [uncertain, in_flight]


def test_look_is_recorded_without_a_change_of_the_submit(tmp_path: Path) -> None:
    look = HistorySearch(1_790_000_000.5, 3, "it answered 500")
    with closing(Journal(tmp_path / "journal")) as journal:
        entry = add_uncertain(journal)
        [before] = journal.entries()
        journal.record_search(entry, look)
        [after] = journal.entries()
    assert (before.looked, after.looked, after.updated) == (None, look, before.updated)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"time": "x", "rows": 1}', '{"pair": 1}', "text"])
def test_damaged_look_does_not_hide_the_submit(tmp_path: Path, text: str) -> None:
    with closing(Journal(tmp_path / "journal")) as journal:
        damaged = add_uncertain(journal)
        with closing(sqlite3.connect(tmp_path / "journal")) as connection:
            connection.execute("UPDATE jobs SET looked = ? WHERE id = ?", (text, damaged))
            connection.commit()
        assert [(entry.id, entry.looked) for entry in journal.entries()] == [(damaged, None)]


def test_client_without_a_journal_claims_nothing() -> None:
    journal = NullJournal()
    journal.record_search(0, HistorySearch(0.0, 0))
    assert not journal.claim(0, "job-1")
    assert journal.find_unanswered(GATEWAY, "kling-2") == []
