"""An object is complete or absent: cancelled, aborted and interrupted uploads, and a server that crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from kling_adapters import AsyncKling, StorageError
from kling_adapters.testing import SimulatedClock
from tests.plugins.objectstore.conftest import BIG, MB, Run, S3Server, open_spools, open_storage
from tests.support.scripted_server import Reply, ScriptedServer, gateway_script, result_reply
from tests.support.waiting import wait_until


class Gate:
    """A TCP relay that stops after `after` bytes, sets `reached`, and waits for `go_on`."""

    def __init__(self, port: int, after: int) -> None:
        self._port = port
        self._remaining = after
        self._lock = threading.Lock()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __enter__(self) -> Self:
        # A raw socket: it forwards bytes and stops in the middle of a body.
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    near.close()
                    continue
                for source, target in ((near, far), (far, near)):
                    threading.Thread(
                        target=self._pass, args=(source, target, source is near), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError), closing(source), closing(target):
            while chunk := source.recv(65536):
                if counts:
                    with self._lock:
                        self._remaining -= len(chunk)
                    if self._remaining < 0:
                        self.reached.set()
                        assert self.go_on.wait(30)
                target.sendall(chunk)
            with suppress(OSError):
                target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def big_gateway() -> Iterator[str]:
    """A gateway whose jobs all return a file of 64 MB."""
    with ScriptedServer() as scripted_server:
        scripted_server.play(
            gateway_script(
                result=[result_reply(f"{scripted_server.url}/files/big.mp4")], files=[Reply(200, BIG)]
            )
        )
        yield scripted_server.url


async def cancel_task(work: Callable[[], Any], reached: threading.Event) -> None:
    task = asyncio.ensure_future(work())
    await anyio.to_thread.run_sync(reached.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_scope(work: Callable[[], Any], reached: threading.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await anyio.to_thread.run_sync(reached.wait, 30)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("cancel", [cancel_task, cancel_scope])
def test_cancelled_upload_leaves_no_data(
    cancel: Any, s3: S3Server, bucket: str, big_gateway: str, monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    with Gate(s3.port, 20 * MB) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)

        async def work() -> None:
            async with AsyncKling(base_url=big_gateway, api_key="SG_x", clock=SimulatedClock()) as kling:
                await kling.run("kling-2", prompt="a lighthouse", save_to=f"s3://{bucket}/")

        async def main() -> None:
            await cancel(work, gate.reached)
            # The cancellation did not wait for the upload.
            assert len(s3.uploads(bucket)) == 1
            assert open_spools(spool)
            gate.go_on.set()

        anyio.run(main)
        wait_until(lambda: not open_spools(spool))
    assert s3.uploads(bucket) == []
    assert s3.names(bucket) == []


@pytest.mark.usefixtures("use_s3")
def test_aborted_download_leaves_no_data(s3: S3Server, bucket: str, spool: Path) -> None:
    writer = open_storage(f"s3://{bucket}/").open("a.mp4", "video/mp4")
    writer.write(b"half")
    assert open_spools(spool)
    writer.abort()
    writer.abort()
    assert open_spools(spool) == []
    assert s3.names(bucket) == []


def test_server_crash_is_storage_error_with_url(
    run: Run, big_gateway: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spool: Path
) -> None:
    server = S3Server(tmp_path)
    with server, Gate(server.port, 20 * MB) as gate:
        server.bucket("films")
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)

        def kill() -> None:
            assert gate.reached.wait(30)
            server.kill()
            gate.go_on.set()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(StorageError) as caught:
            run("s3://films/", big_gateway)
        killer.join()
        assert caught.value.url == f"{big_gateway}/files/big.mp4"
        assert f"can still be fetched from {big_gateway}/files/big.mp4" in str(caught.value)
        assert open_spools(spool) == []
    with server:
        assert server.names("films") == []


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="signals of POSIX")
def test_interrupt_cancels_upload(s3: S3Server, bucket: str) -> None:
    code = f"""
import hashlib
from kling_objectstore import ObjectStore
writer = ObjectStore().kling_storage("s3://{bucket}/").open("a.mp4", "video/mp4")
writer.write(bytes({64 * MB}))
try:
    writer.commit("0" * 64)
except KeyboardInterrupt:
    print("interrupted")
"""
    with Gate(s3.port, 20 * MB) as gate:
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "AWS_ENDPOINT_URL": gate.url},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert gate.reached.wait(30)
        child.send_signal(signal.SIGINT)
        gate.go_on.set()
        assert child.communicate(timeout=30)[0] == "interrupted\n"
    assert s3.uploads(bucket) == []
    assert s3.names(bucket) == []


@pytest.mark.usefixtures("use_s3")
def test_memory_use_is_independent_of_file_size(s3: S3Server, bucket: str) -> None:
    code = f"""
import hashlib, os, re
from pathlib import Path
from kling_objectstore import ObjectStore
def peak():  # MiB; getrusage includes the memory of pytest at the fork
    return int(re.search("VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) // 1024
def store(name, megabytes):
    chunk, digest = os.urandom(1024**2), hashlib.sha256()
    writer = ObjectStore().kling_storage("s3://{bucket}/").open(name, "video/mp4")
    for _ in range(megabytes):
        digest.update(chunk)
        writer.write(chunk)
    writer.commit(digest.hexdigest())
store("small.mp4", 1)
before = peak()
store("large.mp4", 256)
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert s3.client.head_object(Bucket=bucket, Key="large.mp4")["ContentLength"] == 256 * MB
    assert int(done.stdout) < 64
