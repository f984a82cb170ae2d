"""Writes of many tasks to the journal in one transaction, so that they wait for the disk once, and use one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread

from kling_adapters.driver.loops import running_loop
from kling_adapters.journal.base import BaseJournal

T = TypeVar("T")


class JournalWrites:
    """The writes of the flows of one client; those of one event loop share transactions."""

    def __init__(self, journal: BaseJournal) -> None:
        self._journal = journal
        self._by_loop: WeakKeyDictionary[object, _Queue] = WeakKeyDictionary()

    async def perform(self, call: Callable[[], T]) -> T:
        """Call a function that writes to the journal, and return its value when it is on disk.

        A cancelled task is cancelled after the write, never during it.
        """
        if not self._journal.may_block:
            return call()
        loop = running_loop()
        if (queue := self._by_loop.get(loop)) is None:
            queue = self._by_loop[loop] = _Queue(self._journal)
        return await queue.perform(call)


class _Write(Generic[T]):
    """A call, and its outcome once `is_done`."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.call = call
        self.is_done = False
        self._value: T | None = None
        self._error: Exception | None = None

    def succeed(self, value: T) -> None:
        self._value, self.is_done = value, True

    def perform(self) -> None:
        try:
            self._value = self.call()
        except Exception as error:  # noqa: BLE001  `result` raises it
            self._error = error
        self.is_done = True

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


class _Queue:
    """Writes of one event loop. While a worker thread performs some of them, the next ones gather."""

    def __init__(self, journal: BaseJournal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        # A write stays here until it is done, because asyncio may cancel the task that starts the thread.
        self._waiting: dict[_Write[Any], None] = {}
        self._is_writing = False
        self._changed = anyio.Event()

    async def perform(self, call: Callable[[], T]) -> T:
        write = _Write(call)
        self._waiting[write] = None
        cancellation: BaseException | None = None
        # The flow must know whether the record was written.
        with anyio.CancelScope(shield=True):
            while not write.is_done:
                try:
                    await (self._changed.wait() if self._is_writing else self._write())
                except anyio.get_cancelled_exc_class() as error:
                    # Only asyncio's own cancellation ignores the shield. It is raised when the write is done.
                    cancellation = error
        if cancellation is not None:
            raise cancellation
        return write.result()

    async def _write(self) -> None:
        self._is_writing = True
        try:
            await anyio.to_thread.run_sync(self._perform_waiting)
        finally:
            # If asyncio cancelled this one, the thread of the next waits for the lock.
            self._is_writing = False
            self._changed.set()
            self._changed = anyio.Event()

    def _perform_waiting(self) -> None:
        with self._lock:
            writes = list(self._waiting)
            if len(writes) == 1 or not self._perform_together(writes):
                # Each has its own error, and concerns no other.
                for write in writes:
                    write.perform()
            for write in writes:
                self._waiting.pop(write, None)

    def _perform_together(self, writes: Sequence[_Write[Any]]) -> bool:
        """Perform writes in one transaction. Return False if it failed, and left no trace."""
        try:
            with self._journal.transaction():
                values = [write.call() for write in writes]
        except Exception:  # noqa: BLE001  the write that caused it will fail again, by itself
            return False
        for write, value in zip(writes, values, strict=True):
            write.succeed(value)
        return True
