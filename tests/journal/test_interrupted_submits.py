"""Submits that are cancelled or interrupted before anything is sent: the journal says that they started nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from kling_adapters import AsyncKling, Kling, StorageError
from kling_adapters.journal.database import Database
from kling_adapters.journal.journal import Journal
from kling_adapters.journal.opening import LOCK_TIMEOUT
from tests.support.scripted_server import KEY, Reply, Request, ScriptedServer, Silence, submit_reply


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an empty journal whose file exists."""
    with closing(Journal(tmp_path / "journal")) as journal:
        journal.update(0, state="REFUSED")
        yield journal


@contextmanager
def locked(path: Path) -> Generator[sqlite3.Connection]:
    """Hold the lock of SQLite on a journal, like another process that writes."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def states(journal: Journal) -> list[str]:
    return [entry.state for entry in journal.entries()]


def test_task_cancelled_while_its_intent_is_written_is_refused(
    journal: Journal, server: ScriptedServer
) -> None:
    server.play([submit_reply()])

    async def main() -> list[str]:
        async with AsyncKling(base_url=server.url, api_key=KEY, journal=journal.path, history=False) as kling:
            with locked(journal.path) as lock:
                task = asyncio.create_task(kling.submit("kling-2", prompt="x"))
                await asyncio.sleep(0.2)
                task.cancel()
                await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.sleep(0.05)
                lock.execute("ROLLBACK")
                with pytest.raises(asyncio.CancelledError):
                    await task
            # The process goes on: nothing else would settle the entry.
            return states(journal)

    assert asyncio.run(main()) == ["REFUSED"]
    assert server.posts == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_scope_cancelled_while_an_intent_is_written_is_refused(
    journal: Journal, server: ScriptedServer, backend: str
) -> None:
    server.play([submit_reply()])

    async def main() -> list[str]:
        async with AsyncKling(base_url=server.url, api_key=KEY, journal=journal.path, history=False) as kling:
            with locked(journal.path) as lock:
                async with anyio.create_task_group() as group:
                    group.start_soon(kling.submit_raw, "kling-2", {"prompt": "x"})
                    await anyio.sleep(0.2)
                    group.cancel_scope.cancel()
                    lock.execute("ROLLBACK")
            return states(journal)

    assert anyio.run(main, backend=backend) == ["REFUSED"]
    assert server.posts == []


@pytest.fixture
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each queue have one connection."""
    monkeypatch.setattr("kling_adapters._http.queues.MAX_CONNECTIONS", 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.usefixtures("one_connection")
def test_task_cancelled_in_the_queue_is_refused(
    journal: Journal, server: ScriptedServer, backend: str
) -> None:
    arrived = threading.Event()

    def hold(_request: Request) -> Silence:
        arrived.set()
        return Silence()

    server.play(hold)

    async def main() -> None:
        async with (
            AsyncKling(base_url=server.url, api_key=KEY, journal=journal.path, history=False) as kling,
            anyio.create_task_group() as group,
        ):
            group.start_soon(kling.submit_raw, "kling-2", {"prompt": "sent"})
            await anyio.to_thread.run_sync(arrived.wait)
            group.start_soon(kling.submit_raw, "kling-2", {"prompt": "waiting"})
            await anyio.sleep(0.5)
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    entries = {entry.params["prompt"]: entry.state for entry in journal.entries()}
    assert entries == {"sent": "UNCERTAIN", "waiting": "REFUSED"}
    assert len(server.posts) == 1


@pytest.mark.usefixtures("one_connection")
def test_thread_interrupted_in_the_queue_is_refused(
    journal: Journal, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, answer = threading.Event(), threading.Event()

    def hold(_request: Request) -> Reply:
        arrived.set()
        answer.wait(30)
        return submit_reply()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server.play(hold)
    with (
        Kling(base_url=server.url, api_key=KEY, journal=journal.path, history=False) as kling,
        ThreadPoolExecutor() as pool,
    ):
        submit = pool.submit(kling.submit_raw, "kling-2", {"prompt": "sent"})
        assert arrived.wait(30)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Event, "wait", interrupt)
            with pytest.raises(KeyboardInterrupt):
                kling.submit_raw("kling-2", {"prompt": "waiting"})
        entries = {entry.params["prompt"]: entry.state for entry in journal.entries()}
        assert entries == {"sent": "SUBMITTING", "waiting": "REFUSED"}
        answer.set()
        submit.result()


def test_interrupt_during_the_commit_of_an_intent_is_refused(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = Database._end

    def interrupt(database: Database, statement: str) -> None:
        end(database, statement)
        if statement == "COMMIT":
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(Database, "_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        journal.intend("https://gateway", "kling-2", {}, KEY)
    assert states(journal) == ["REFUSED"]


def test_interrupt_before_the_commit_of_an_intent_changes_no_other_entry(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = journal.intend("https://gateway", "kling-2", {}, KEY)

    def interrupt(database: Database, statement: str) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Database, "_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        journal.intend("https://gateway", "kling-2", {}, KEY)
    assert [(entry.id, entry.state) for entry in journal.entries()] == [(first, "SUBMITTING")]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_interrupt_ends_the_wait_for_a_locked_journal(journal: Journal) -> None:
    with locked(journal.path):
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            journal.intend("https://gateway", "kling-2", {}, KEY)
        assert time.monotonic() - start < LOCK_TIMEOUT / 2
        timer.join()
    assert states(journal) == []


def test_locked_journal_stops_a_write_at_its_time(journal: Journal) -> None:
    with (
        locked(journal.path),
        pytest.raises(StorageError, match=r"is locked\. Nothing was sent\."),
        Database(journal.path).write("Nothing was sent.", timeout=0.2),
    ):
        pass
