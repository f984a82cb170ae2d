"""Queues for connections, in order of arrival.

A pool of httpcore visits its connections and waiting requests for each request that begins or ends, so the time for
many requests grows with the square of their number. A queue has MAX_CONNECTIONS pools of one connection instead, and
admits one exchange to each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import anyio

from kling_adapters._http.deadline import NotConnected
from kling_adapters._text import format_number

P = TypeVar("P")

MAX_CONNECTIONS = 32
"""Exchanges at once."""


class _Pools(Generic[P]):
    """Makes a pool when all others are in use; hands out the one that was used last, whose connection is open."""

    def __init__(self, make: Callable[[], P]) -> None:
        self._make = make
        # The first at once: the transport of a caller is closed even if it was never used.
        self._pools = [make()]
        self._idle = self._pools.copy()
        self._is_closed = False
        self._pools_lock = threading.Lock()

    def _take(self) -> P:
        with self._pools_lock:
            if self._is_closed:
                raise NotConnected("the client was closed")
            if self._idle:
                return self._idle.pop()
            pool = self._make()
            # The transport of a caller is its own only pool.
            if pool not in self._pools:
                self._pools.append(pool)
            return pool

    @contextmanager
    def _lend(self) -> Generator[P]:
        pool = self._take()
        try:
            yield pool
        finally:
            with self._pools_lock:
                self._idle.append(pool)

    def _end(self, method: str) -> list[Callable[[], Any]]:
        """Hand out no more pools, and return the method of each that closes it. A caller's transport may have none."""
        with self._pools_lock:
            self._is_closed = True
            return [getattr(pool, method) for pool in self._pools if hasattr(pool, method)]


class ThreadQueue(_Pools[P]):
    """A queue of threads. `make` makes a pool of one connection."""

    def __init__(self, make: Callable[[], P]) -> None:
        super().__init__(make)
        self._free = MAX_CONNECTIONS
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def admit(self, seconds: float | None) -> Generator[P]:
        """Wait for a pool, at most `seconds`, and yield it. Raises NotConnected."""
        self._acquire(seconds)
        try:
            with self._lend() as pool:
                yield pool
        finally:
            self._release()

    def close(self) -> None:
        """Close all pools, also those in use."""
        for close in self._end("close"):
            close()

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


class TaskQueue(_Pools[P]):
    """A queue of the tasks of an event loop. `make` makes a pool of one connection."""

    def __init__(self, make: Callable[[], P]) -> None:
        super().__init__(make)
        self._semaphore = anyio.Semaphore(MAX_CONNECTIONS)

    @asynccontextmanager
    async def admit(self, seconds: float | None) -> AsyncGenerator[P]:
        """Wait for a pool, at most `seconds`, and yield it. Raises NotConnected."""
        try:
            self._semaphore.acquire_nowait()
        except anyio.WouldBlock:
            await self._acquire(seconds)
        try:
            with self._lend() as pool:
                yield pool
        finally:
            self._semaphore.release()

    async def close(self) -> None:
        """Close all pools, also those in use."""
        for close in self._end("aclose"):
            await close()

    async def _acquire(self, seconds: float | None) -> None:
        try:
            with anyio.fail_after(seconds):
                await self._semaphore.acquire()
        except TimeoutError:
            raise _no_connection(seconds) from None


def _no_connection(seconds: float | None) -> NotConnected:
    return NotConnected(f"no connection was free within {format_number(seconds or 0.0)} s")
