"""`kling batch`, interrupted, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from kling_adapters.journal.journal import Journal
from tests.support.waiting import wait_until

from .conftest import Command, Gateway, outcomes_file, rows, write


def test_killed_batch_is_resumed_and_submits_no_line_twice(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    for kill_at, how in ((3, ()), (8, ("--resume",))):
        process = kling.start("batch", str(file), "--concurrency", "4", "--save-to", "out", *how)
        wait_until(lambda: len(gateway.submits) >= kill_at)  # noqa: B023  called at once
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done = kling("batch", str(file), "--concurrency", "4", "--save-to", "out", "--resume")
    assert set(Counter(gateway.submits).values()) == {1}
    assert sorted(row["line"] for row in rows(file)) == list(range(1, 13))
    count = Counter(row["state"] for row in rows(file))
    assert set(count) <= {"COMPLETED", "UNCERTAIN"}
    # At most the submits that were under way when it was killed.
    assert count["UNCERTAIN"] <= 8
    assert len(gateway.submits) >= count["COMPLETED"] >= 4
    assert done.returncode == (4 if count["UNCERTAIN"] else 0)
    assert len(list((tmp_path / "out").glob("*.mp4"))) == count["COMPLETED"]
    assert not [entry for entry in Journal(kling.journal).entries() if entry.is_unfinished]


def test_ctrl_c_once_finishes_jobs_in_flight(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    process = kling.start("batch", str(file), "--concurrency", "3")
    wait_until(lambda: len(gateway.submits) == 3)
    process.send_signal(signal.SIGINT)
    done = kling.end(process)
    assert done.returncode == 7
    assert "finishing jobs in flight" in done.stderr
    assert "9 lines not submitted or not ended; --resume continues" in done.stderr
    assert [row["state"] for row in rows(file)] == kling.states() == ["COMPLETED"] * 3
    assert len(gateway.submits) == 3


def test_ctrl_c_twice_stops_at_once(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    gateway.hangs = True
    file = write(tmp_path / "films.jsonl", 12)
    process = kling.start("batch", str(file), "--concurrency", "3")
    wait_until(lambda: kling.states() == ["QUEUED"] * 3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two signals at once are one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    done = kling.end(process)
    assert time.monotonic() - begun < 10
    assert done.returncode == 4
    assert not outcomes_file(file).exists()
    assert "stopped at once" in done.stderr
    gateway.hangs = False
    done = kling("resume", "--json", "--save-to", "out")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["state"] for line in done.stdout.splitlines()] == ["COMPLETED"] * 3
    assert len(list((tmp_path / "out").iterdir())) == len(gateway.submits) == 3


def test_resume_of_a_moved_file_pays_for_nothing_twice(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    moved = tmp_path / "later" / "films.jsonl"
    moved.parent.mkdir()
    file.rename(moved)
    done = kling("batch", str(moved), "--resume")
    assert (done.returncode, len(gateway.submits)) == (2, 2)
    assert f"If the file was moved, pass its old name: --name {file}." in done.stderr
    assert "Nothing was sent" in done.stderr
    assert kling("batch", str(moved), "--resume", "--name", str(file)).returncode == 0
    assert len(gateway.submits) == 2


def test_resume_with_another_journal_pays_for_nothing_twice(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    other_journal = str(tmp_path / "other.sqlite3")
    done = kling("batch", str(file), "--resume", "--journal", other_journal)
    assert (done.returncode, "has no job of the batch" in done.stderr) == (2, True)
    # A journal that has the name, but not the jobs of this file.
    with closing(Journal(other_journal)) as journal:
        journal.intend(gateway.base_url, "kling-2", {"prompt": "x"}, "k", tag=f"{file}#0123456789abcdef.0")
    done = kling("batch", str(file), "--resume", "--journal", other_journal)
    assert (done.returncode, len(gateway.submits)) == (2, 2)
    assert "reports 2 jobs that the journal" in done.stderr
    # Another gateway does not have them either.
    with Gateway() as elsewhere:
        kling.gateway = elsewhere
        done = kling("batch", str(file), "--resume")
        assert (done.returncode, elsewhere.submits) == (2, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_finishes_jobs_in_flight(
    kling: Command, gateway: Gateway, tmp_path: Path, number: signal.Signals
) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    gateway.hangs = True
    process = kling.start("batch", str(file), "--concurrency", "3")
    wait_until(lambda: kling.states() == ["QUEUED"] * 3)
    process.send_signal(number)
    time.sleep(0.3)  # two signals at once are one
    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None
    gateway.hangs = False
    done = kling.end(process)
    assert done.returncode == 7
    assert done.stderr.count("finishing jobs in flight") == 1
    assert kling.states() == ["COMPLETED"] * 3
    assert len(gateway.submits) == 3


def test_sigterm_of_a_run_explains_how_to_go_on(kling: Command, gateway: Gateway) -> None:
    gateway.hangs = True
    process = kling.start("run", "kling-2", "prompt=x")
    wait_until(lambda: gateway.polls > 0)
    process.send_signal(signal.SIGTERM)
    done = kling.end(process)
    assert (done.returncode, "continues and will be billed" in done.stderr) == (4, True), done.stderr
    assert kling.states() == ["QUEUED"]
