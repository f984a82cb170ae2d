"""Client in a process of its own, which is killed just before its nth effect outside the process.

It leaves half a request, a lock, a transaction or half a file, like any killed process. Run as a script, this is the
server from which processes are forked: it has imported everything, because the start of Python takes longer than most of
the processes live.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

import anyio.lowlevel

from kling_adapters import Kling, KlingError, Outcome
from kling_adapters.plugins import discovery

# C functions as sys.setprofile names them. A kill between two of these is the same as a kill before the second.
EFFECTS = {
    "socket.connect",
    "socket.send",
    "socket.sendall",
    "socket.recv",
    "Connection.execute",
    "BufferedWriter.write",
    "flock",
    "fsync",
    "mkdir",
    "replace",
    "unlink",
}


class ProcessKilled(Exception):
    """The process was killed."""


@dataclass(frozen=True)
class Raised:
    """A KlingError: the `name` of its class, and the number of its `entry` in the journal if it has one."""

    name: str
    text: str
    entry: int | None


class ClientProcess:
    """A process with one client. Its clock is simulated: `on_sleep` is called with the seconds of each sleep."""

    def __init__(
        self, connection: Connection, wait_for_end: Callable[[], int], on_sleep: Callable[[float], None]
    ) -> None:
        self._connection = connection
        self._wait_for_end = wait_for_end
        self._on_sleep = on_sleep

    def call(self, command: str, *arguments: Any, now: float, kill_at: int | None = None) -> Any:
        """Call a function of Commands and return its value, or Raised.

        Args:
            command: The name of the function.
            arguments: The arguments of the function.
            now: The time of the clock in seconds.
            kill_at: The number of the effect before which the process is killed, or after the last effect; None to let it
                live.

        Raises:
            ProcessKilled: The process was killed.

        """
        self._connection.send((command, arguments, now, kill_at))
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, ConnectionError):
                self._connection.close()
                status = self._wait_for_end()
                assert os.WIFSIGNALED(status), f"the process ended by itself: {status}"
                raise ProcessKilled from None
            if kind == "sleep":
                self._on_sleep(value)
                self._connection.send(None)
            elif kind == "raised":
                return Raised(*value)
            elif kind == "broke":
                raise AssertionError(value)
            else:
                return value

    def end(self) -> None:
        """Close the client, and let the process end."""
        self._connection.send(("end", (), 0.0, None))
        self._connection.close()
        status = self._wait_for_end()
        assert status == 0


class ProcessFactory:
    """Server from which processes are forked, one at a time; use it in a `with` block."""

    def __enter__(self) -> Self:
        self._listener = Listener(("127.0.0.1", 0))
        command = [sys.executable, __file__, *map(str, self._listener.address)]
        # Other plugins would only take time.
        environment = {**os.environ, "KLING_PLUGINS": "models"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._listener.close()

    def spawn(
        self, base_url: str, key: str, journal: Path, on_sleep: Callable[[float], None]
    ) -> ClientProcess:
        """Start a process with a client."""
        assert self._process.stdin is not None
        self._process.stdin.write("fork\n")
        self._process.stdin.flush()
        connection = self._listener.accept()
        connection.send((base_url, key, str(journal)))
        return ClientProcess(connection, self._wait, on_sleep)

    def _wait(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


# The code below runs in the processes.


class Commands:
    """Commands of a client."""

    def __init__(self, kling: Kling) -> None:
        self._kling: Any = kling  # its overloads are for slugs that stand in the code

    def submit(self, model: str, params: dict[str, Any]) -> str:
        request_id: str = self._kling.submit(model, **params).request_id
        return request_id

    def run(self, model: str, params: dict[str, Any], save_to: str) -> str:
        request_id: str = self._kling.run(model, **params, save_to=save_to).request_id
        return request_id

    def status(self, request_id: str, model: str) -> None:
        self._kling.job(request_id, model).status()

    def wait(self, request_id: str, model: str, timeout: float | None) -> None:
        self._kling.job(request_id, model).wait(timeout)

    def save(self, request_id: str, model: str, to: str) -> None:
        self._kling.job(request_id, model).wait().save(to)

    def submit_wait_save(self, model: str, params: dict[str, Any], folder: str, save_to: str | None) -> None:
        self._kling.submit(model, **params, save_to=save_to).wait().save(folder)

    def map(self, requests: list[dict[str, Any]], save_to: str) -> list[str | None]:
        with closing(self._kling.map(requests, concurrency=4, save_to=save_to, name="films")) as outcomes:
            return [_error_name(outcome) for outcome in outcomes]

    def resume(self, save_to: str | None, concurrency: int) -> list[tuple[int, str | None]]:
        with closing(self._kling.resume(save_to=save_to, concurrency=concurrency)) as outcomes:
            return [(outcome.index, _error_name(outcome)) for outcome in outcomes]

    def reconcile(self) -> list[tuple[int, str]]:
        return [(entry.id, entry.state) for entry in self._kling.reconcile()]

    def end(self) -> NoReturn:
        self._kling.close()
        os._exit(0)


def _error_name(outcome: Outcome[Any]) -> str | None:
    return None if outcome.error is None else type(outcome.error).__name__


class KillSwitch:
    """Counter of the effects of all threads, which kills the process before the nth."""

    def __init__(self, kill_at: int) -> None:
        self._remaining = kill_at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__qualname__ in EFFECTS:
            self._remaining -= 1
            if self._remaining < 0:
                kill_this_process()


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class SharedClock:
    """A Clock that reports each sleep to the test."""

    def __init__(self, connection: Connection) -> None:
        self.time = 0.0
        self._connection = connection
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._connection.send(("sleep", seconds))
            self._connection.recv()
            self.time += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await anyio.lowlevel.checkpoint()


def serve(connection: Connection) -> None:
    random.seed(0)
    base_url, key, journal = connection.recv()
    clock = SharedClock(connection)
    commands = Commands(Kling(base_url=base_url, api_key=key, journal=journal, clock=clock))
    while True:
        command, arguments, clock.time, kill_at = connection.recv()
        if kill_at is not None:
            threading.setprofile(switch := KillSwitch(kill_at))
            sys.setprofile(switch)
        answer: tuple[str, Any]
        try:
            answer = "done", getattr(commands, command)(*arguments)
        except KlingError as error:
            answer = "raised", (type(error).__name__, str(error), getattr(error, "entry", None))
        except Exception:  # noqa: BLE001  the test fails with it
            answer = "broke", traceback.format_exc()
        if kill_at is not None and answer[0] != "broke":
            kill_this_process()
        connection.send(answer)


def main() -> None:
    logging.disable()
    # Each client reads all root certificates and the entry points of every installed distribution.
    cache: Any = lru_cache
    finder: Any = discovery
    ssl.create_default_context = cache(ssl.create_default_context)
    finder.entry_points = cache(finder.entry_points)
    with Kling(api_key="SG_0", base_url="http://127.0.0.1:1", journal=None) as kling:
        for entry in kling.catalog.values():
            entry.load()
    address = sys.argv[1], int(sys.argv[2])
    for _ in sys.stdin:
        if (process := os.fork()) == 0:
            try:
                serve(Client(address))
            finally:
                os._exit(1)
        sys.stdout.write(f"{os.waitpid(process, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
