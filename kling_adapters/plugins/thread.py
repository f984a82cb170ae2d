"""Runs the events of one plugin: plain functions in a thread of its own, coroutines in an event loop of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias

GRACE_SECONDS = 1.0
"""How long a coroutine may take to end once it is cancelled."""

Function: TypeAlias = Callable[[], "Coroutine[Any, Any, None] | None"]


class _Call:
    """One call, for the thread that makes it and for the thread that waits for it."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.context = contextvars.copy_context()
        self.started = threading.Event()
        self.ended = threading.Event()
        self.is_dropped = False
        self.grace = 0.0


_Queue: TypeAlias = "SimpleQueue[_Call | None]"


class PluginThread:
    """Calls one plugin, in order, in a daemon thread that lives until `close` or until the client is forgotten."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._queue: _Queue | None = None
        self._thread: threading.Thread | None = None
        self._waiting: set[_Call] = set()
        self._hanging: _Call | None = None
        self._loop = _LoopThread(name)

    def call(self, function: Function, seconds: float) -> Literal["ended", "hangs", "skipped"]:
        """Call a function, run the coroutine that it may return, and wait for the end.

        Args:
            function: Must not raise, nor may its coroutine, which must end by itself after `seconds`.
            seconds: Seconds to wait, from the start of the call. A plain function that takes longer is left behind, and
                until it has ended every other call is skipped.

        Returns:
            "ended", or "hangs" if this call takes longer, or "skipped" because another one does.

        """
        call = _Call(function)
        if threading.current_thread() is self._thread:
            # The plugin uses the client inside its own hook.
            _perform(call, self._loop)
        elif not self._enqueue(call):
            return "skipped"
        try:
            call.started.wait()
        finally:
            with self._lock:
                self._waiting.discard(call)
        if call.is_dropped:
            return "skipped"
        if call.ended.wait(seconds) or call.ended.wait(call.grace):
            return "ended"
        self._leave_behind(call)
        return "hangs"

    def close(self) -> None:
        """End the thread and the event loop; what hangs in them is left behind."""
        with self._lock:
            queue, self._queue = self._queue, None
        if queue is not None:
            queue.put(None)
        self._loop.close()

    def _enqueue(self, call: _Call) -> bool:
        with self._lock:
            if self._hanging is not None and not self._hanging.ended.is_set():
                return False
            self._hanging = None
            queue = self._queue or self._start()
            if queue is None:
                return False
            self._waiting.add(call)
            queue.put(call)
            return True

    def _start(self) -> _Queue | None:
        queue: _Queue = SimpleQueue()
        # A daemon: one that hangs must not keep the process from ending.
        thread = threading.Thread(
            target=_work, args=(queue, self._loop), name=f"kling-{self._name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending, and starts no thread any more.
            return None
        # A client that is never closed ends its threads when it is forgotten; the thread has no reference to it.
        weakref.finalize(self, queue.put, None).atexit = False
        self._queue, self._thread = queue, thread
        return queue

    def _leave_behind(self, call: _Call) -> None:
        with self._lock:
            self._hanging = call
            for waiting in self._waiting:
                waiting.is_dropped = True
                waiting.started.set()


def _work(queue: _Queue, loop: _LoopThread) -> None:
    for call in iter(queue.get, None):
        if not call.is_dropped:
            _perform(call, loop)
        # While the thread waits it must hold nothing of the last call.
        del call


def _perform(call: _Call, loop: _LoopThread) -> None:
    call.started.set()
    coroutine = call.context.run(call.function)
    if coroutine is None:
        call.ended.set()
    else:
        call.grace = GRACE_SECONDS
        call.context.run(loop.run, coroutine, call.ended.set)


class _LoopThread:
    """An event loop in a daemon thread, made when the first coroutine is to run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, None], end: Callable[[], None]) -> None:
        """Run a coroutine beside those that run already, and call `end` afterwards."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            name = f"kling-{self._name}-loop"
            self._thread = threading.Thread(target=_run_loop, args=(self._loop,), name=name, daemon=True)
            self._thread.start()
            weakref.finalize(self, _stop, self._loop).atexit = False
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).add_done_callback(lambda _: end())

    def close(self) -> None:
        """End what still runs, and the loop."""
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            _stop(loop)
            self._thread.join(GRACE_SECONDS)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
