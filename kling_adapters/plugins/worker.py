"""The worker of a plugin: one thread for its plain functions, and one event loop for its coroutines."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import asyncio

GRACE_SECONDS = 1.0
"""The time that a coroutine has to end after its cancellation, in seconds."""

Function: TypeAlias = Callable[[], "Coroutine[Any, Any, None] | None"]


class _Call:
    """A call, shared by the thread that requests it and the thread that runs it."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.context = contextvars.copy_context()
        self.started: float | None = None
        self.end = threading.Event()
        self.is_dropped = False
        self.grace = 0.0

    def remaining_seconds(self, seconds: float) -> float:
        """Return the time left until the call is late, in seconds; before it has started, all of it."""
        if self.started is None:
            return seconds
        return max(0.0, self.started + seconds + self.grace - time.monotonic())


_Queue: TypeAlias = "SimpleQueue[_Call | None]"


class PluginWorker:
    """Calls one plugin, in order, in a daemon thread that lives as long as the client."""

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
            seconds: The longest time to wait, from the start of the call, in seconds.

        Returns:
            "ended"; "hangs" if the call takes longer, after which all calls are skipped until it has ended;
            or "skipped" because an earlier call hangs.

        """
        call = _Call(function)
        if threading.current_thread() is self._thread:
            # The plugin uses the client inside its hook.
            _perform(call, self._loop)
        elif not self._enqueue(call):
            return "skipped"
        try:
            # One wait for start and end: each would be a switch between threads.
            while not call.end.wait(call.remaining_seconds(seconds)):
                if not call.remaining_seconds(seconds):
                    self._skip_waiting(call)
                    return "hangs"
        finally:
            with self._lock:
                self._waiting.discard(call)
        return "skipped" if call.is_dropped else "ended"

    def close(self) -> None:
        """End the thread and the event loop without waiting for a call that hangs."""
        with self._lock:
            queue, self._queue = self._queue, None
        if queue is not None:
            queue.put(None)
        self._loop.close()

    def _enqueue(self, call: _Call) -> bool:
        with self._lock:
            if self._hanging is not None and not self._hanging.end.is_set():
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
        # A daemon, because a plugin that hangs must not prevent the end of the process.
        thread = threading.Thread(
            target=_work, args=(queue, self._loop), name=f"kling-{self._name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending and starts no more threads.
            return None
        # Ends the thread of a client that is never closed; the thread has no reference to the worker.
        weakref.finalize(self, queue.put, None).atexit = False
        self._queue, self._thread = queue, thread
        return queue

    def _skip_waiting(self, hanging: _Call) -> None:
        with self._lock:
            self._hanging = hanging
            for call in self._waiting:
                if call.started is None:
                    call.is_dropped = True
                    call.end.set()


def _work(queue: _Queue, loop: _LoopThread) -> None:
    for call in iter(queue.get, None):
        if not call.is_dropped:
            _perform(call, loop)
        # A waiting thread must not keep the objects of the last call alive.
        del call


def _perform(call: _Call, loop: _LoopThread) -> None:
    call.started = time.monotonic()
    coroutine = call.context.run(call.function)
    if coroutine is None:
        call.end.set()
    else:
        call.grace = GRACE_SECONDS
        call.context.run(loop.run, coroutine, call.end.set)


class _LoopThread:
    """An event loop in a daemon thread, started for the first coroutine."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, None], end: Callable[[], None]) -> None:
        """Run a coroutine concurrently with the others, and call `end` afterwards."""
        import asyncio  # for plugins with coroutines only

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            name = f"kling-{self._name}-loop"
            self._thread = threading.Thread(target=_run_loop, args=(self._loop,), name=name, daemon=True)
            self._thread.start()
            weakref.finalize(self, _stop, self._loop).atexit = False
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).add_done_callback(lambda _: end())

    def close(self) -> None:
        """Stop the loop and its coroutines."""
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            _stop(loop)
            self._thread.join(GRACE_SECONDS)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
