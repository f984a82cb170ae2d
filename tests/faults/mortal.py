"""A client in a process of its own, which is killed just before the nth thing it does that others could notice.

What it leaves behind, half a request, a lock, a transaction, half a file, is what a dead process leaves in earnest. Run
as a script this is the nursery: it has imported everything and forks for each life, because starting Python takes longer
than most of them last.
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

# C functions as sys.setprofile names them. Between two of these it makes no difference to anyone when a process dies.
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


class Died(Exception):
    """The process was killed."""


@dataclass(frozen=True)
class Raised:
    """A KlingError: the `name` of its class, and the number of its `entry` in the journal if it has one."""

    name: str
    text: str
    entry: int | None


class Life:
    """A process with one client. It has no time of its own: `slept` is told when it would have slept."""

    def __init__(
        self, connection: Connection, has_ended: Callable[[], int], slept: Callable[[float], None]
    ) -> None:
        self._connection = connection
        self._has_ended = has_ended
        self._slept = slept

    def do(self, what: str, *arguments: Any, now: float, dies_at: int | None = None) -> Any:
        """Call a function of Deeds, the last if `dies_at` is told. Return what it returns, or Raised. Raises Died."""
        self._connection.send((what, arguments, now, dies_at))
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, ConnectionError):
                self._connection.close()
                status = self._has_ended()
                assert os.WIFSIGNALED(status), f"it ended by itself: {status}"
                raise Died from None
            if kind == "sleep":
                self._slept(value)
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
        status = self._has_ended()
        assert status == 0


class Nursery:
    """Where processes come from; use it in a `with` block. One lives at a time."""

    def __enter__(self) -> Self:
        self._listener = Listener(("127.0.0.1", 0))
        command = [sys.executable, __file__, *map(str, self._listener.address)]
        # The plugins beside the core would only take time.
        environment = {**os.environ, "KLING_PLUGINS": "models"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._listener.close()

    def bear(self, base_url: str, key: str, journal: Path, slept: Callable[[float], None]) -> Life:
        """Start a life."""
        assert self._process.stdin is not None
        self._process.stdin.write("fork\n")
        self._process.stdin.flush()
        connection = self._listener.accept()
        connection.send((base_url, key, str(journal)))
        return Life(connection, self._wait, slept)

    def _wait(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


# From here on, what happens in the processes.


class Deeds:
    """What a client can be told to do."""

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

    def submit_wait_save(self, model: str, params: dict[str, Any], folder: str, noted: str | None) -> None:
        self._kling.submit(model, **params, save_to=noted).wait().save(folder)

    def map(self, requests: list[dict[str, Any]], save_to: str) -> list[str | None]:
        with closing(self._kling.map(requests, concurrency=4, save_to=save_to, name="films")) as outcomes:
            return [_told(outcome) for outcome in outcomes]

    def resume(self, save_to: str | None, concurrency: int) -> list[tuple[int, str | None]]:
        with closing(self._kling.resume(save_to=save_to, concurrency=concurrency)) as outcomes:
            return [(outcome.index, _told(outcome)) for outcome in outcomes]

    def end(self) -> NoReturn:
        self._kling.close()
        os._exit(0)


def _told(outcome: Outcome[Any]) -> str | None:
    return None if outcome.error is None else type(outcome.error).__name__


class Reaper:
    """Counts effects, those of all threads, and kills the process before the nth."""

    def __init__(self, dies_at: int) -> None:
        self._left = dies_at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__qualname__ in EFFECTS:
            self._left -= 1
            if self._left < 0:
                die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class SharedClock:
    """A Clock whose time passes elsewhere, too."""

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


def live(connection: Connection) -> None:
    random.seed(0)
    base_url, key, journal = connection.recv()
    clock = SharedClock(connection)
    deeds = Deeds(Kling(base_url=base_url, api_key=key, journal=journal, clock=clock))
    while True:
        what, arguments, clock.time, dies_at = connection.recv()
        if dies_at is not None:
            threading.setprofile(reaper := Reaper(dies_at))
            sys.setprofile(reaper)
        answer: tuple[str, Any]
        try:
            answer = "done", getattr(deeds, what)(*arguments)
        except KlingError as error:
            answer = "raised", (type(error).__name__, str(error), getattr(error, "entry", None))
        except Exception:  # noqa: BLE001  the test fails with it
            answer = "broke", traceback.format_exc()
        if dies_at is not None and answer[0] != "broke":
            die()
        connection.send(answer)


def main() -> None:
    logging.disable()
    # Each client reads all certificates of the world, and what every installed distribution says of plugins.
    once: Any = lru_cache
    found: Any = discovery
    ssl.create_default_context = once(ssl.create_default_context)
    found.entry_points = once(found.entry_points)
    with Kling(api_key="SG_0", base_url="http://127.0.0.1:1", journal=None) as kling:
        for entry in kling.catalog.values():
            entry.load()
    address = sys.argv[1], int(sys.argv[2])
    for _ in sys.stdin:
        if (process := os.fork()) == 0:
            try:
                live(Client(address))
            finally:
                os._exit(1)
        sys.stdout.write(f"{os.waitpid(process, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
