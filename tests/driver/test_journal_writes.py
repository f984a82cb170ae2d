"""Writes of concurrent tasks to one journal: they share transactions, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from kling_adapters import AsyncKling, StorageError
from kling_adapters.driver.journal_writes import JournalWrites
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import FakeGateway

TASKS = 24


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an empty journal."""
    with closing(Journal(tmp_path / "journal")) as journal:
        yield journal


def intend(journal: Journal, prompt: str) -> Callable[[], int]:
    """Return a write that records a submit."""
    return partial(journal.intend, "https://gateway", "kling-2", {"prompt": prompt}, "SG_0123456789")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_concurrent_jobs_are_all_recorded(tmp_path: Path, backend: str) -> None:
    journal = tmp_path / "journal"

    async def main() -> list[str]:
        results: list[str] = []
        async with AsyncKling(base_url=gateway.base_url, api_key=gateway.api_key, journal=journal) as kling:

            async def run(number: int) -> None:
                results.append((await kling.run("kling-2", prompt=str(number))).request_id)

            async with anyio.create_task_group() as group:
                for number in range(TASKS):
                    group.start_soon(run, number)
        return results

    with FakeGateway() as gateway:
        results = anyio.run(main, backend=backend)
    with closing(Journal(journal)) as reader:
        entries = reader.entries()
    assert sorted(entry.request_id or "" for entry in entries) == sorted(results)
    assert {entry.state for entry in entries} == {"COMPLETED"}
    assert {entry.params["prompt"] for entry in entries} == {str(number) for number in range(TASKS)}


def test_failed_write_concerns_no_other(journal: Journal) -> None:
    outcomes: dict[str, int | Exception] = {}
    transactions: list[int] = []

    def fail() -> int:
        transactions.append(len(journal.entries()))
        raise StorageError("this write fails")

    async def main() -> None:
        writes = JournalWrites(journal)

        async def write(name: str, call: Callable[[], int]) -> None:
            try:
                outcomes[name] = await writes.perform(call)
            except StorageError as error:
                outcomes[name] = error

        async with anyio.create_task_group() as group:
            for name in ("a", "b", "c", "d"):
                group.start_soon(write, name, intend(journal, name))
            group.start_soon(write, "failure", fail)

    anyio.run(main)
    assert isinstance(outcomes.pop("failure"), StorageError)
    entries = {entry.id: entry.params["prompt"] for entry in journal.entries()}
    assert {number: name for name, number in outcomes.items()} == entries
    assert sorted(entries.values()) == ["a", "b", "c", "d"]
    # Once in a transaction with others, which was undone, and once by itself.
    assert len(transactions) == 2


def test_cancelled_writer_leaves_the_others(journal: Journal) -> None:
    async def main() -> list[int | BaseException]:
        writes = JournalWrites(journal)
        tasks = [asyncio.create_task(writes.perform(intend(journal, str(number)))) for number in range(TASKS)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[-1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *numbers, last = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(last, asyncio.CancelledError)
    entries = {entry.params["prompt"]: entry.id for entry in journal.entries()}
    assert [entries[str(number)] for number in range(1, TASKS - 1)] == numbers


FULL = """
import asyncio, resource, signal, sys
from kling_adapters import AsyncKling

async def main(url, key, journal):
    async with AsyncKling(base_url=url, api_key=key, journal=journal) as kling:
        await kling.submit("kling-2", prompt="x")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        submits = (kling.submit("kling-2", prompt=str(number)) for number in range(8))
        for error in await asyncio.gather(*submits, return_exceptions=True):
            print(type(error).__name__, "Nothing was sent" in str(error))

asyncio.run(main(*sys.argv[1:]))
"""


def test_full_disk_stops_every_concurrent_submit(tmp_path: Path) -> None:
    with FakeGateway() as gateway:
        done = subprocess.run(
            [sys.executable, "-c", FULL, gateway.base_url, gateway.api_key, str(tmp_path / "journal")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        posts = [request for request in gateway.requests if request.method == "POST"]
    assert done.stdout.splitlines() == ["StorageError True"] * 8
    assert len(posts) == 1


def test_job_without_journal_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Installed plugins may block, so their events are passed in threads.
    monkeypatch.setenv("KLING_PLUGINS", "sandbox")

    async def main() -> None:
        async with AsyncKling(base_url=gateway.base_url, api_key=gateway.api_key, journal=None) as kling:
            kling.catalog  # noqa: B018  loads the plugins
            threads = anyio.to_thread.current_default_thread_limiter()
            threads.total_tokens = 1
            async with threads:
                with anyio.fail_after(60):
                    await kling.run("kling-2", prompt="x")

    with FakeGateway() as gateway:
        anyio.run(main)
