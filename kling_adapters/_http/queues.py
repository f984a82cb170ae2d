"""Queues for the connections of a pool, in order of arrival.

The pool of httpcore visits all of its waiting requests for each request that begins or ends, so the time for many
requests grows with the square of their number. Above these queues it has at most as many requests as connections.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio

from kling_adapters._http.deadline import NotConnected
from kling_adapters._text import format_number

MAX_CONNECTIONS = 32
"""Connections of a pool. A larger pool makes each request slower."""


class ThreadQueue:
    """Admits MAX_CONNECTIONS threads at a time."""

    def __init__(self) -> None:
        self._free = MAX_CONNECTIONS
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def admit(self, seconds: float | None) -> Generator[None]:
        """Wait for a connection, at most `seconds`, and keep it until the end. Raises NotConnected."""
        self._acquire(seconds)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, seconds: float | None) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            turn.wait(seconds)
        except BaseException:  # an interrupt
            if not self._withdraw(turn):
                self._release()
            raise
        if not turn.is_set() and self._withdraw(turn):
            raise _no_connection(seconds)

    def _withdraw(self, turn: threading.Event) -> bool:
        """Leave the queue. Returns False if the thread has been admitted meanwhile."""
        with self._lock:
            if turn.is_set():
                return False
            self._waiting.remove(turn)
            return True

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


class TaskQueue:
    """Admits MAX_CONNECTIONS tasks of an event loop at a time."""

    def __init__(self) -> None:
        self._semaphore = anyio.Semaphore(MAX_CONNECTIONS)

    @asynccontextmanager
    async def admit(self, seconds: float | None) -> AsyncGenerator[None]:
        """Wait for a connection, at most `seconds`, and keep it until the end. Raises NotConnected."""
        try:
            self._semaphore.acquire_nowait()
        except anyio.WouldBlock:
            await self._acquire(seconds)
        try:
            yield
        finally:
            self._semaphore.release()

    async def _acquire(self, seconds: float | None) -> None:
        try:
            with anyio.fail_after(seconds):
                await self._semaphore.acquire()
        except TimeoutError:
            raise _no_connection(seconds) from None


def _no_connection(seconds: float | None) -> NotConnected:
    return NotConnected(f"no connection was free within {format_number(seconds or 0.0)} s")
