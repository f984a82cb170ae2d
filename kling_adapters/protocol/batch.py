"""Many jobs at once: which may start, and how each is brought to its end. A driver runs the flows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Generic, TypeVar

from kling_adapters import api_errors, errors
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.plan import Plan
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.task_flow import Storages, run_cancellable, run_task
from kling_adapters.protocol.tasks import Outcome, Task
from kling_adapters.result import ResultData, StoredFile

log = logging.getLogger("kling_adapters")

R = TypeVar("R", bound=ResultData)

STORAGE_FAILURES = 3
"""New jobs in a row that may fail to be stored before submits stop: a full disk must not go on paying."""


class _Admission(Enum):
    """What to do with the next task."""

    START = auto()
    WAIT = auto()
    """Ask again when a job has been submitted, or has ended."""
    SKIP = auto()


class Batch(Generic[R]):
    """The jobs of one batch. A driver runs `open`, then `flow` for each task of `start_ready`, and `close` at
    the end.

    All but `flow` and `cancel` is called from one thread or task alone. `wake` is called when another job may
    start.
    """

    def __init__(
        self,
        session: Session,
        make_plan: Callable[[Plan], Flow[None]],
        concurrency: int,
        storages: Storages,
        make_result: Callable[[ResultData, tuple[StoredFile, ...]], R],
    ) -> None:
        self._session = session
        self._make_plan = make_plan
        self._concurrency = concurrency
        self._storages = storages
        self._make_result = make_result
        self._plan = Plan()
        self._next: Task | None = None
        # One at a time: when the process dies, one submit at most has not been answered.
        self._submitter: Task | None = None
        self._is_stopped = False
        self._storage_failures = 0
        self.running = 0
        self.is_submitting = False
        self.failure: Exception | None = None
        """The error that the iterator of requests raised; to be raised once the running jobs have ended."""
        self.cancelled = threading.Event()
        self.wake: Callable[[], None] = lambda: None

    def open(self) -> Flow[None]:
        """Make the plan. Raises the errors that would stop every job, before anything is sent."""
        yield from self._make_plan(self._plan)

    def close(self) -> Flow[None]:
        """Let other processes run the batch."""
        if self._plan.lock is not None:
            yield Call(self._plan.lock.release)

    def cancel(self) -> None:
        """Stop every job before it sends, sleeps or fetches again. A submit under way is answered first.

        Can be called from any thread.
        """
        self.cancelled.set()

    def start_ready(self) -> Iterator[Task]:
        """Yield each task that may start now, and count it as running."""
        while self.running < self._concurrency and (task := self._take_next()) is not None:
            if task.is_new:
                self._submitter, self.is_submitting = task, True
                if self._plan.cost_cap is not None:
                    self._plan.cost_cap.reserve(task.id, task.model)
            self._plan.submitted.discard(task.id)
            self.running += 1
            yield task

    def finish(self, task: Task, outcome: Outcome[R]) -> None:
        """Count a job that has ended, and decide whether to go on submitting."""
        self.running -= 1
        if self._submitter is task:
            self._submitter = None
        result, error = outcome.result, outcome.error
        if self._plan.cost_cap is not None:
            cost = result.metrics.cost if result else None
            self._plan.cost_cap.settle(task.id, cost, outcome.request_id, error)
        if isinstance(error, api_errors.Unauthorized | api_errors.InsufficientCredits):
            self._stop(f"the gateway refused the account ({error.status})")
        if task.is_new:
            self._count_storage_failure(task, error)

    def flow(self, task: Task) -> Flow[Outcome[R]]:
        """Bring one job to its end, or to the point where the batch is cancelled."""
        running = run_task(self._session, task, self._storages, self._end_submit)
        progress = yield from run_cancellable(running, self.cancelled)
        result = None if progress.data is None else self._make_result(progress.data, progress.files)
        return Outcome(task.index, task.model, progress.request_id, result, progress.error)

    def _end_submit(self, is_accepted: bool) -> None:
        self.is_submitting = False
        # After a failure `finish` decides: a refused account must submit nothing more.
        if is_accepted:
            self._submitter = None
            self.wake()

    def _take_next(self) -> Task | None:
        """Return the next task that may start; None if there is none now."""
        while not self.cancelled.is_set() and not self._is_exhausted():
            self._next = task = self._next or self._draw()
            if task is None:
                return None
            match self._admit(task):
                case _Admission.START:
                    self._next = None
                    return task
                case _Admission.WAIT:
                    return None
                case _Admission.SKIP:
                    self._next = None
        return None

    def _is_exhausted(self) -> bool:
        """Return whether no task can start any more; then no request is taken from an endless iterator."""
        return self._is_stopped and not self._plan.submitted

    def _draw(self) -> Task | None:
        if self.failure is not None:
            return None
        try:
            return next(self._plan.tasks, None)
        except Exception as error:  # noqa: BLE001  the driver raises it once the running jobs have ended
            self.failure = error
            return None

    def _admit(self, task: Task) -> _Admission:
        if not task.is_new:
            return _Admission.START
        if self._is_stopped:
            return _Admission.SKIP
        if self._submitter is not None:
            return _Admission.WAIT
        if self._plan.cost_cap is None or self._plan.cost_cap.admits(task.model):
            return _Admission.START
        if self.running:
            # It may cost less than what is set aside for it.
            return _Admission.WAIT
        self._stop("max_cost could be exceeded")
        return _Admission.SKIP

    def _stop(self, reason: str) -> None:
        """Submit nothing more. Jobs that run, or were submitted earlier, are brought to their end."""
        if not self._is_stopped:
            log.warning("the batch is stopping, nothing more is submitted: %s", reason)
        self._is_stopped = True

    def _count_storage_failure(self, task: Task, error: Exception | None) -> None:
        if isinstance(error, errors.StorageError):
            self._storage_failures += 1
        elif error is None and task.save_to is not None:
            self._storage_failures = 0
        if self._storage_failures >= STORAGE_FAILURES:
            self._stop(f"{STORAGE_FAILURES} jobs in a row could not be stored, the last because {error}")
