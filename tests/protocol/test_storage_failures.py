"""Promise 6, a file is whole or absent: full disks, failing storages, interrupts and cancellation."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest

from kling_adapters import AsyncKling, ConfigError, Kling, StorageError
from kling_adapters.builtin.file_storage import PROBE_BYTES, Folder
from kling_adapters.hookspecs import Location, Storage, Writer, hookimpl
from kling_adapters.testing import MP4, PNG, SimulatedClock
from tests.support.clients import OpenClient
from tests.support.output_files import HTML, check_stored, list_files, part_reply, script_output
from tests.support.scripted_server import (
    JOB,
    KEY,
    Endless,
    Reply,
    ScriptedServer,
    gateway_script,
    json_reply,
    result_reply,
)


@pytest.mark.parametrize("to", ["file/below", "nul\0name", "n" * 300, "~no-such-user/x", "/proc/no/such"])
def test_unusable_folder_is_refused_before_the_submit(
    to: str,
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    server.play(gateway_script())
    client = open_client(server)
    with pytest.raises((StorageError, ConfigError)):
        client.run("kling-2", prompt="a lighthouse", save_to=to)
    assert server.requests == []


def test_target_that_is_a_folder_is_a_storage_error(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(200, MP4)])
    (tmp_path / f"kling-2-{JOB}.mp4").mkdir()
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_is_refused_before_a_submit(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(200, MP4)])
    client = open_client(server)
    with (
        disk_full_after(PROBE_BYTES - 1),
        pytest.raises(StorageError, match=r"File too large. Nothing was sent"),
    ):
        client.run("kling-2", prompt="x", save_to=tmp_path)
    assert server.requests == []
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("size", [0, PROBE_BYTES, PROBE_BYTES + 300, PROBE_BYTES + 4096])
@pytest.mark.parametrize("content", [MP4[:2000], MP4, MP4 * 40], ids=["small", "middle", "large"])
def test_full_disk_leaves_no_part(
    content: bytes, size: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """The bytes that did not fit are still in Python's buffer when the file is closed, and fail once more."""
    if size > len(content):
        return
    script_output(server, [Reply(200, content)])
    client = open_client(server)
    result = client.finish_job()
    with disk_full_after(size), pytest.raises(StorageError):
        result.save(tmp_path)
    assert list_files(tmp_path) == []
    check_stored(result.save(tmp_path), tmp_path, content)


class FailingStorage:
    """A plugin that stores in a folder, and in which `at` ("check", "open", "write", "commit") goes wrong."""

    def __init__(self, folder: Path, at: str, act: Callable[[], None]) -> None:
        self.folder, self.at, self.act = Folder(folder), at, act
        self.threads: set[int] = set()

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        return self if url.startswith("trouble:") else None

    def check(self) -> None:
        self.happen("check")
        self.folder.check()

    def open(self, name: str, content_type: str) -> Writer:
        self.happen("open")
        return FailingWriter(self, self.folder.open(name, content_type))

    def happen(self, at: str) -> None:
        self.threads.add(threading.get_ident())
        if at == self.at:
            self.act()


class FailingWriter:
    def __init__(self, failing_storage: FailingStorage, writer: Writer) -> None:
        self.failing_storage, self.writer = failing_storage, writer

    def write(self, chunk: bytes) -> None:
        self.writer.write(chunk[:100])
        self.failing_storage.happen("write")
        self.writer.write(chunk[100:])

    def commit(self, sha256: str) -> Location:
        self.failing_storage.happen("commit")
        return self.writer.commit(sha256)

    def abort(self) -> None:
        self.failing_storage.threads.add(threading.get_ident())
        self.writer.abort()


def raise_error(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("at", ["open", "write", "commit"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), ValueError("x"), StorageError("full"), RecursionError()]
)
def test_storage_failure_is_a_storage_error(
    at: str, error: Exception, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(200, MP4)])
    failing_storage = FailingStorage(tmp_path, at, raise_error(error))
    with pytest.raises(StorageError):
        open_client(server, plugins=[failing_storage]).save_job("trouble:")
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("at", ["check", "open", "write", "commit"])
def test_interrupt_leaves_no_part(at: str, server: ScriptedServer, tmp_path: Path) -> None:
    """Of the client that blocks; an interrupt of an event loop cancels its tasks, which has tests of its own."""
    script_output(server, [Reply(200, MP4)])
    failing_storage = FailingStorage(tmp_path, at, raise_error(KeyboardInterrupt()))
    client = Kling(api_key=KEY, base_url=server.url, clock=SimulatedClock(), plugins=[failing_storage])
    with client as kling, pytest.raises(KeyboardInterrupt):
        kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")
    assert list_files(tmp_path) == []


def test_first_file_stays_if_the_second_fails(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    images = [{"url": f"{server.url}/files/{n}"} for n in (1, 2)]
    files = lambda received: Reply(200, PNG if received.path.endswith("1") else HTML)  # noqa: E731
    server.play(gateway_script(result=[result_reply(images=images)], files=files))
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert [path.read_bytes() for path in list_files(tmp_path)] == [PNG]


def test_existing_file_outlives_a_failed_download(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    target = tmp_path / f"kling-2-{JOB}.mp4"
    target.write_bytes(b"before")
    script_output(server, [part_reply(0, 5000), json_reply(404)])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == [target]
    assert target.read_bytes() == b"before"


def wait_for_threads() -> None:
    """Wait for the worker threads of an event loop that has ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("AnyIO worker"):
            thread.join(10)


async def cancel_by_task(work: Callable[[], Any], reached: anyio.Event) -> None:
    """As `asyncio.timeout`, `wait_for` and task groups of asyncio do it."""
    task = asyncio.ensure_future(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_by_scope(work: Callable[[], Any], reached: anyio.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await reached.wait()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("at", ["open", "write", "commit"])
@pytest.mark.parametrize("cancel", [cancel_by_task, cancel_by_scope])
def test_cancel_during_a_slow_write_leaves_no_part(
    at: str, cancel: Any, server: ScriptedServer, tmp_path: Path
) -> None:
    """The thread goes on after the task has been cancelled; what it does then must be undone too."""
    script_output(server, [Reply(200, MP4)])

    async def main() -> None:
        reached, go_on = anyio.Event(), threading.Event()

        def act() -> None:
            anyio.from_thread.run_sync(reached.set)
            assert go_on.wait(10)

        async def work() -> None:
            async with AsyncKling(
                api_key=KEY,
                base_url=server.url,
                clock=SimulatedClock(),
                plugins=[FailingStorage(tmp_path, at, act)],
            ) as kling:
                await kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")

        async def release() -> None:
            await reached.wait()
            for _ in range(20):  # let the cancellation do what it does first
                await anyio.lowlevel.checkpoint()
            go_on.set()

        async with anyio.create_task_group() as group:
            group.start_soon(release)
            await cancel(work, reached)

    anyio.run(main)
    wait_for_threads()
    # Whole is right too, when the file was being put in its place at that very moment.
    assert [path.read_bytes() for path in list_files(tmp_path)] in ([], [MP4])
    assert not [path for path in list_files(tmp_path) if path.suffix == ".part"]


@pytest.mark.parametrize("cancel", [cancel_by_task, cancel_by_scope])
def test_cancel_during_a_download_leaves_no_part(cancel: Any, server: ScriptedServer, tmp_path: Path) -> None:
    async def main() -> None:
        reached = anyio.Event()
        count = iter(range(10**9))

        class Watch(FailingStorage):
            def happen(self, at: str) -> None:
                if at == "write" and next(count) == 3:
                    anyio.from_thread.run_sync(reached.set)

        script_output(server, [Endless(MP4 * 50)])

        async def work() -> None:
            plugins = [Watch(tmp_path, "", lambda: None)]
            async with AsyncKling(
                api_key=KEY, base_url=server.url, clock=SimulatedClock(), plugins=plugins
            ) as kling:
                await kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")

        await cancel(work, reached)

    anyio.run(main)
    wait_for_threads()
    assert list_files(tmp_path) == []


def test_async_storage_is_called_in_worker_threads_only(server: ScriptedServer, tmp_path: Path) -> None:
    """As hookspecs promises, so that plain blocking code is right in a plugin; to abort may take long too."""
    script_output(server, [part_reply(0, 9000), Reply(200, HTML)])
    failing_storage = FailingStorage(tmp_path, "", lambda: None)

    async def main() -> int:
        async with AsyncKling(
            api_key=KEY, base_url=server.url, clock=SimulatedClock(), plugins=[failing_storage]
        ) as kling:
            with pytest.raises(StorageError):
                await kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")
        return threading.get_ident()

    assert anyio.run(main) not in failing_storage.threads
