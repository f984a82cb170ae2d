"""Batches with one thread for each job."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from kling_adapters.driver.sync import SyncDriver
from kling_adapters.protocol.batch import Batch
from kling_adapters.protocol.exchange import LONGEST_EXCHANGE
from kling_adapters.protocol.tasks import Outcome, Task
from kling_adapters.result import ResultData

R = TypeVar("R", bound=ResultData)
T = TypeVar("T")
_Finished: TypeAlias = SimpleQueue[tuple[Task, Outcome[R]] | None]

SIGNAL_INTERVAL = 0.25
"""Seconds after which the main thread handles a signal that arrived just before its wait."""

_OPEN_BATCHES: WeakKeyDictionary[Generator[Any], Batch[Any]] = WeakKeyDictionary()


def run_in_threads(driver: SyncDriver, batch: Batch[R]) -> Generator[Outcome[R]]:
    """Run a batch; yield each outcome as its job ends. Closing the generator, or exit, cancels the batch."""
    outcomes = _run(driver, batch)
    _OPEN_BATCHES[outcomes] = batch
    return outcomes


def _run(driver: SyncDriver, batch: Batch[R]) -> Generator[Outcome[R]]:
    finished: _Finished[R] = SimpleQueue()
    batch.wake = partial(finished.put, None)
    process = os.getpid()
    try:
        driver.run(batch.open())
        while True:
            for task in batch.start_ready():
                _start_thread(driver, batch, task, finished)
            if not batch.running:
                break
            outcome = _finish_next(batch, finished)
            # When the process ends, a job that was cut off has no outcome.
            if outcome is not None and not batch.cancelled.is_set():
                yield outcome
        if batch.failure is not None:
            raise batch.failure
    finally:
        # A forked child has neither the threads nor the lock.
        if os.getpid() == process:
            batch.cancel()
            while batch.running and not sys.is_finalizing():
                _finish_next(batch, finished)
            driver.run(batch.close())


def _start_thread(driver: SyncDriver, batch: Batch[R], task: Task, finished: _Finished[R]) -> None:
    def work() -> None:
        finished.put((task, driver.run(batch.flow(task), batch.cancelled)))

    # A daemon: a job of minutes must not delay the end of the process.
    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        # Too many threads, or the interpreter is ending: the job would never finish.
        batch.finish(task, Outcome(task.index, task.model, None, None, error))
        raise


def _finish_next(batch: Batch[R], finished: _Finished[R]) -> Outcome[R] | None:
    """Wait for the outcome of a job. Return None if another job may start first."""
    item = _wait_for_item(finished)
    if item is None:
        return None
    batch.finish(*item)
    return item[1]


def _wait_for_item(queue: SimpleQueue[T]) -> T:
    # A signal just before a wait without a timeout would be handled only after it.
    while True:
        with suppress(Empty):
            return queue.get(timeout=SIGNAL_INTERVAL)


@atexit.register
def _close_open_batches() -> None:
    for outcomes, batch in list(_OPEN_BATCHES.items()):
        batch.cancel()
        try:
            outcomes.close()
        except ValueError:
            # Another thread is iterating, and will end with the process.
            deadline = time.monotonic() + LONGEST_EXCHANGE
            while batch.is_submitting and time.monotonic() < deadline:
                time.sleep(0.01)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPEN_BATCHES.clear)
