"""The journal: intents, request ids and outcomes, kept apart from keys and links."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from kling_sandbox import Fault, Faults, Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling, fingerprint_key
from kling_adapters.hookspecs import hookimpl
from kling_adapters.journal.journal import Journal
from kling_adapters.journal.location import default_path
from kling_adapters.testing import SimulatedClock
from tests.support.clients import OpenClient
from tests.support.scripted_server import KEY, Reply, Request, ScriptedServer, Silence, submit_reply


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def test_journal_records_each_state_of_a_job(
    open_client: OpenClient, sandbox: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    states: list[tuple[str, str | None]] = []

    class Reading:
        @hookimpl
        def kling_event(self) -> None:
            [entry] = journal.entries()
            states.append((entry.state, entry.request_id))

    with open_client(sandbox, journal=journal.path, plugins=[Reading()]) as kling:
        kling.run("kling-2", prompt="a lighthouse", save_to=tmp_path / "out")
    [entry] = journal.entries()
    assert [state for state, _ in states] == ["QUEUED", "QUEUED", "PROCESSING", "COMPLETED", "COMPLETED"]
    assert all(request_id == entry.request_id for _, request_id in states)
    assert (entry.gateway, entry.model) == (sandbox.base_url, "kling-2")
    assert entry.params == {"prompt": "a lighthouse"}
    assert entry.key == fingerprint_key(sandbox.api_key)
    assert entry.save_to == str(tmp_path / "out")
    assert entry.result is not None
    assert entry.result["status"] == "COMPLETED"
    assert entry.cost is not None
    [file] = entry.files
    assert file.path.stat().st_size == file.size
    assert not entry.is_unfinished


def test_intent_is_on_disk_before_the_request(path: Path) -> None:
    states: list[str] = []

    def read_states(_: Request) -> Reply:
        connection = sqlite3.connect(path)
        states.extend(state for (state,) in connection.execute("SELECT state FROM jobs"))
        connection.close()
        return submit_reply("abc")

    with (
        ScriptedServer(read_states) as scripted_server,
        Kling(base_url=scripted_server.url, api_key=KEY, journal=path) as kling,
    ):
        assert kling.submit("kling-2", prompt="x").request_id == "abc"
        [entry] = Journal(path).entries()
    assert states == ["SUBMITTING"]
    assert (entry.state, entry.request_id) == ("QUEUED", "abc")


def test_refused_submit_and_failed_job_have_reasons(
    open_client: OpenClient, sandbox: Sandbox, journal: Journal
) -> None:
    with open_client(sandbox, journal=journal.path) as kling, pytest.raises(ka.JobFailed):
        kling.run("kling-2", prompt="sandbox-block")

    with (
        open_client(sandbox, journal=journal.path, api_key="SG_wrong_wrong_wrong") as kling,
        pytest.raises(ka.Unauthorized),
    ):
        kling.run("kling-2", prompt="x")
    failed, refused_entry = journal.entries()
    assert (failed.state, refused_entry.state, refused_entry.request_id) == ("FAILED", "REFUSED", None)
    assert failed.reason
    assert "401" in (refused_entry.reason or "")
    assert "SG_wrong" not in journal.path.read_bytes().decode("latin-1")


def test_client_without_journal_writes_no_file(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scenario(kling: Any) -> None:
        kling.run("kling-2", prompt="x")

    monkeypatch.setenv("KLING_JOURNAL", str(tmp_path / "journal.sqlite3"))
    with open_client(sandbox, journal=None) as kling:
        scenario(kling)
    monkeypatch.setenv("KLING_JOURNAL", "none")
    with open_client(sandbox) as kling:
        scenario(kling)
    assert list(tmp_path.iterdir()) == []


def test_default_path_is_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KLING_JOURNAL")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = default_path()
    assert path is not None
    assert path.name == "journal.sqlite3"
    if sys.platform == "linux":
        assert path == tmp_path / "kling-adapters" / "journal.sqlite3"


def test_files_are_readable_by_their_owner_only(journal: Journal) -> None:
    journal.intend("https://gateway", "kling-2", {"prompt": "x"}, "SG_0123456789")
    files = [path for path in journal.path.parent.iterdir() if path.suffix != ".alive"]
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not any(b"SG_0123456789" in path.read_bytes() for path in files)


def test_unwritable_journal_stops_the_submit(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("not a database")

    with open_client(sandbox, journal=blocked) as kling:
        before = len(sandbox.requests)
        with pytest.raises(ka.StorageError, match=r"journal .*blocked cannot be used.*KLING_JOURNAL=none"):
            kling.submit("kling-2", prompt="x")
        assert len(sandbox.requests) == before


def test_journal_broken_after_the_submit_loses_no_job(
    open_client: OpenClient, sandbox: Sandbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_client(sandbox, journal=path) as kling:
        job = kling.submit("kling-2", prompt="x")
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE jobs")
        connection.close()
        assert job.wait().output
    assert "could not update the journal" in caplog.text
    # A line for each write that fails, and no traceback.
    assert "Traceback" not in caplog.text
    assert "no such table: jobs" in caplog.text


def test_cancelled_submit_is_uncertain(sandbox: Sandbox, journal: Journal) -> None:
    async def main() -> None:
        async with AsyncKling(base_url=slow, api_key="SG_0123456789", journal=journal.path) as kling:
            with anyio.move_on_after(10) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(kling.submit_raw, "kling-2", {"prompt": "x"})
                    await anyio.to_thread.run_sync(arrived.wait)
                    group.cancel_scope.cancel()
            assert not scope.cancelled_caught

    arrived = threading.Event()

    def hold(_request: Request) -> Silence:
        arrived.set()
        return Silence()

    with ScriptedServer(hold) as server:
        slow = server.url
        anyio.run(main)
    [entry] = journal.entries()
    assert entry.state == "UNCERTAIN"
    assert "interrupted by Cancelled" in (entry.reason or "")


def test_submit_interrupted_between_retries_is_refused(
    open_client: OpenClient, sandbox: Sandbox, journal: Journal
) -> None:
    scopes: list[anyio.CancelScope] = []

    class Interrupting(SimulatedClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

        async def sleep_async(self, seconds: float) -> None:
            scopes[0].cancel()
            await anyio.lowlevel.checkpoint()

    def interrupt_submit(client: Any) -> None:
        """The blocking client is interrupted in its sleep, the other by a cancel scope of its caller."""

        async def submit() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await client.submit("kling-2", prompt="x")

        if isinstance(client, Kling):
            with pytest.raises(KeyboardInterrupt):
                client.submit("kling-2", prompt="x")
        else:
            anyio.run(submit)
            assert scopes[0].cancelled_caught

    sandbox.faults = Faults([Fault("500", method="POST")])
    try:
        with open_client(sandbox, journal=journal.path, clock=Interrupting()) as kling:
            interrupt_submit(kling.kling)
    finally:
        sandbox.faults = Faults()
    [entry] = journal.entries()
    assert entry.state == "REFUSED"
    assert "interrupted" in (entry.reason or "")


def test_duplicate_request_id_updates_both_entries(journal: Journal) -> None:
    first, second = (journal.intend("https://gateway", "kling-2", {}, "SG_0123456789") for _ in range(2))
    journal.update(first, request_id="the-same", state="QUEUED")
    journal.update(second, request_id="the-same", state="QUEUED")
    journal.update_job("https://gateway", "the-same", state="FAILED", reason="blocked")
    assert [(entry.request_id, entry.state) for entry in journal.entries()] == [("the-same", "FAILED")] * 2


HANGING = """
import sys
from kling_adapters import Kling
with Kling(base_url=sys.argv[1], api_key="SG_0123456789", journal=sys.argv[2]) as kling:
    kling.submit("kling-2", prompt="x")
"""


def test_intent_is_uncertain_once_its_process_is_killed(
    journal: Journal,
) -> None:
    arrived = threading.Event()

    def hold(_request: Request) -> Silence:
        arrived.set()
        return Silence()

    with (
        ScriptedServer(hold) as server,
        subprocess.Popen([sys.executable, "-c", HANGING, server.url, str(journal.path)]) as process,
    ):
        assert arrived.wait(30)
        [entry] = journal.entries()
        assert entry.state == "SUBMITTING"
        assert entry.is_unfinished
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    [entry] = journal.entries()
    assert (entry.state, entry.request_id) == ("UNCERTAIN", None)
    assert entry.reason == "the process ended before the gateway had answered"
    with pytest.raises(
        ka.ConfigError, match=f"there is no uncertain submit 7 in the journal {journal.path};"
    ):
        journal.resolve(7, None)
    journal.resolve(entry.id, "abc")
    [entry] = journal.entries()
    assert (entry.state, entry.request_id, entry.is_unfinished) == ("QUEUED", "abc", True)
    assert not list(journal.path.parent.glob("*.alive"))


def test_intent_without_lock_file_is_uncertain(journal: Journal, path: Path) -> None:
    owner = Journal(path)
    owner.intend("https://gateway.example", "kling-2", {}, "SG_1")
    assert [entry.state for entry in journal.entries()] == ["SUBMITTING"]
    owner.close()
    assert not list(path.parent.glob("*.alive"))
    assert [entry.state for entry in journal.entries()] == ["UNCERTAIN"]


def test_uncertain_submit_is_resolved_once(journal: Journal) -> None:
    first, second = (journal.intend("https://gateway", "kling-2", {}, "SG_0123456789") for _ in range(2))
    journal.update(first, state="UNCERTAIN", reason="cut")
    journal.update(second, state="UNCERTAIN", reason="cut")
    journal.resolve(first, "abc")
    with pytest.raises(ka.ConfigError, match="abc is already in the journal"):
        journal.resolve(second, "abc")
    journal.resolve(second, None)
    assert [entry.state for entry in journal.entries()] == ["QUEUED", "REFUSED"]


def test_completed_job_is_stored_after_its_record_expired(
    open_client: OpenClient, sandbox: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=journal.path) as kling:
        job = kling.submit("kling-2", prompt="a lighthouse")
        journal.record_destination(sandbox.base_url, job.request_id, str(tmp_path / "out"))
        job.wait()
        sandbox.advance(3601)
        [outcome] = list(kling.resume())
    assert outcome.error is None
    [entry] = journal.entries()
    assert entry.state == "COMPLETED"
    assert entry.files[0].path.exists()


def test_processes_share_a_journal(path: Path) -> None:
    code = f"""
from kling_adapters.journal.journal import Journal
journal = Journal({str(path)!r})
for number in range(50):
    entry = journal.intend("https://gateway", "kling-2", {{}}, "SG_0123456789")
    journal.update(entry, request_id=f"{{entry}}", state="QUEUED")
journal.close()
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    entries = Journal(path).entries()
    assert len(entries) == 200
    assert all(entry.state == "QUEUED" and entry.request_id == str(entry.id) for entry in entries)


def test_opening_and_closing_does_not_damage_a_journal(path: Path) -> None:
    code = f"""
from kling_adapters.journal.journal import Journal
for number in range(150):
    journal = Journal({str(path)!r})
    for _ in range(3):
        journal.intend("https://gateway", "kling-2", {{"prompt": "x" * 3000}}, "SG_0123456789")
    journal.close()
"""

    def write() -> None:
        for _ in range(150):
            journal = Journal(path)
            for _ in range(3):
                journal.intend("https://gateway", "kling-2", {"prompt": "x" * 3000}, "SG_0123456789")
            journal.close()

    with subprocess.Popen([sys.executable, "-c", code]) as process, ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(write) for _ in range(3)]:
            future.result()
    assert process.returncode == 0
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (4 * 150 * 3,)
    connection.close()


def test_old_ended_entries_are_deleted(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [journal.intend("https://gateway", "kling-2", {}, "SG_0123456789") for _ in range(3)]
    journal.update(numbers[0], state="REFUSED", reason="no")
    journal.update(numbers[1], state="UNCERTAIN", reason="cut")
    journal.update(numbers[2], request_id="abc", state="QUEUED")
    journal.close()
    monkeypatch.setenv("KLING_JOURNAL_DAYS", "0")
    assert [entry.state for entry in Journal(journal.path).entries()] == ["UNCERTAIN", "QUEUED"]
    monkeypatch.setenv("KLING_JOURNAL_DAYS", "soon")
    with pytest.raises(ka.ConfigError, match="'soon'; expected a number of days"):
        Journal(journal.path).entries()


def test_unstored_output_outlives_a_short_retention(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for save_to in ("out", None):
        entry = journal.intend("https://gateway", "kling-2", {}, "SG_0123456789", save_to)
        journal.update(entry, request_id=f"job to {save_to}", state="COMPLETED", result={}, cost=1.0)
    journal.close()
    monkeypatch.setenv("KLING_JOURNAL_DAYS", "0")
    assert [entry.request_id for entry in journal.entries()] == ["job to out"]
    journal.close()
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute("UPDATE jobs SET updated = updated - 31 * 86400")
    assert journal.entries() == []


def test_collected_journal_closes_its_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[sqlite3.Connection] = []

    class Connection(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            closed.append(self)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))
    Journal(path).intend("https://gateway", "kling-2", {}, "SG_0123456789")
    gc.collect()
    assert len(closed) == 1


def test_request_ids_of_two_gateways_are_kept_apart(journal: Journal) -> None:
    for gateway in ("https://one", "https://two"):
        entry = journal.intend(gateway, "kling-2", {"prompt": gateway}, "SG_0123456789")
        journal.update(entry, request_id="job-1", state="QUEUED")
    journal.update_job("https://one", "job-1", state="FAILED", reason="blocked")
    journal.record_destination("https://two", "job-1", "out")
    first, second = journal.entries()
    assert (first.state, first.save_to) == ("FAILED", None)
    assert (second.state, second.save_to) == ("QUEUED", "out")
    assert journal.find("https://two", "job-1") == second
    uncertain = journal.intend("https://three", "kling-2", {}, "SG_0123456789")
    journal.update(uncertain, state="UNCERTAIN", reason="cut")
    journal.resolve(uncertain, "job-1")
    assert journal.entries()[2].request_id == "job-1"


def test_completed_job_stays_completed(journal: Journal) -> None:
    entry = journal.intend("https://gateway", "kling-2", {}, "SG_0123456789")
    journal.update(entry, request_id="abc", state="QUEUED")
    for state in ("FAILED", "EXPIRED", "COMPLETED", "EXPIRED", "FAILED"):
        journal.update_job("https://gateway", "abc", state=state)
    assert journal.entries()[0].state == "COMPLETED"


def test_locked_journal_delays_progress_for_a_second(journal: Journal) -> None:
    entry = journal.intend("https://gateway", "kling-2", {}, "SG_0123456789")
    journal.update(entry, request_id="abc", state="QUEUED")
    journal.close()
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        # The file is opened first, then it is open.
        for _ in range(2):
            with pytest.raises(ka.StorageError, match="locked"):
                journal.update_job("https://gateway", "abc", state="PROCESSING")
        assert time.monotonic() - start < 10


def test_journal_of_a_newer_version_is_refused(journal: Journal) -> None:
    journal.intend("https://gateway", "kling-2", {}, "SG_0123456789")
    journal.close()
    connection = sqlite3.connect(journal.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        ka.StorageError, match=r"journal \S+ was written by a newer version.*Nothing was sent\."
    ):
        Journal(journal.path).entries()
    with pytest.raises(ka.StorageError, match=r"newer version.*expected 1\. Nothing was sent\. Upgrade"):
        Journal(journal.path).intend("https://gateway", "kling-2", {}, "SG_0123456789")


def test_signed_links_are_not_recorded(journal: Journal) -> None:
    entry = journal.intend("https://gateway", "kling-2", {}, "SG_0123456789")
    journal.update(entry, request_id="abc", state="QUEUED")
    file = ka.StoredFile(
        "s3://bucket/a.mp4", 7, "0" * 64, "video/mp4", "https://bucket/a.mp4?signature=5ecret"
    )
    journal.update_job("https://gateway", "abc", files=[file])
    assert journal.entries()[0].files == (ka.StoredFile("s3://bucket/a.mp4", 7, "0" * 64, "video/mp4"),)
    assert json.dumps([vars(file) for file in journal.entries()[0].files]).count("5ecret") == 0
