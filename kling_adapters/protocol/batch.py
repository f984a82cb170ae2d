"""Scheduling of a batch: the next task to start, and the outcome of each. A driver runs the flows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from kling_adapters import api_errors, errors
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.plan import Plan
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.task_flow import Storages, run_cancellable, run_task
from kling_adapters.protocol.tasks import Outcome, Task
from kling_adapters.result import ResultData, StoredFile

if TYPE_CHECKING:
    from kling_adapters.protocol.cost import CostCap

log = logging.getLogger("kling_adapters")

R = TypeVar("R", bound=ResultData)

STORAGE_FAILURES = 3
"""New jobs in a row whose storing fails before submits stop, so that a full disk does not waste credits."""


class _Admission(Enum):
    """Decision about the next task."""

    START = auto()
    WAIT = auto()
    """Decide again when a job has been submitted or has ended."""
    SKIP = auto()
    REFUSE = auto()
    """Submit nothing for this task; its outcome says why."""


class Batch(Generic[R]):
    """The jobs of one batch. A driver runs `open`, then `flow` for each task of `start_ready`, and `close` at
    the end.

    All methods except `flow` and `cancel` are called from one thread or task. `wake` is called when another
    job may start.
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
        # One at a time: if the process dies, at most one submit is uncertain.
        self._submitter: Task | None = None
        self._is_stopped = False
        self._storage_failures = 0
        self.running = 0
        self.is_submitting = False
        self.failure: Exception | None = None
        """The error of the iterator of requests, to be raised when the running jobs have ended."""
        self.cancelled = threading.Event()
        self.wake: Callable[[], None] = lambda: None

    def open(self) -> Flow[None]:
        """Make the plan. Raises errors that affect every job, before anything is sent."""
        yield from self._make_plan(self._plan)

    def close(self) -> Flow[None]:
        """Release the name of the batch for other processes."""
        if self._plan.lock is not None:
            yield Call(self._plan.lock.release)

    def cancel(self) -> None:
        """Stop every job before its next request or sleep. A submit in flight is answered first.

        Can be called from any thread.
        """
        self.cancelled.set()

    def start_ready(self) -> Iterator[Task]:
        """Yield each task that may start now, and count it as running."""
        while self.running < self._concurrency and (task := self._take_next()) is not None:
            if task.is_new:
                self._submitter, self.is_submitting = task, True
                if self._plan.cost_cap is not None:
                    self._plan.cost_cap.reserve(task.id, task.model, task.body)
            self._plan.submitted.discard(task.id)
            self.running += 1
            yield task

    def finish(self, task: Task, outcome: Outcome[R]) -> None:
        """Count an ended job, and stop submitting after a refused account or repeated storage failures."""
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
        """Run one job until it ends or the batch is cancelled."""
        running = run_task(self._session, task, self._storages, partial(self._end_submit, task))
        progress = yield from run_cancellable(running, self.cancelled)
        result = None if progress.data is None else self._make_result(progress.data, progress.files)
        return Outcome(task.index, task.model, progress.request_id, result, progress.error)

    def _end_submit(self, task: Task, is_accepted: bool) -> None:
        if self._submitter is not task:
            # It has ended before, as uncertain.
            return
        self.is_submitting = False
        # After a failure, `finish` first checks for a refused account.
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
                case _Admission.REFUSE:
                    self._next = None
                    return replace(task, error=_refuse_unknown_price(task.model))
                case _Admission.WAIT:
                    return None
                case _Admission.SKIP:
                    self._next = None
        return None

    def _is_exhausted(self) -> bool:
        """Return whether no further task can start, so that no more requests are taken from the iterator."""
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
        cap = self._plan.cost_cap
        return _Admission.START if cap is None else self._admit_cost(cap, task)

    def _admit_cost(self, cap: CostCap, task: Task) -> _Admission:
        if cap.admits(task.model, task.body):
            return _Admission.START
        is_unknown = cap.is_unknown(task.model, task.body)
        # A running job may cost less than its reserve, and show an unknown price.
        if self.running and (not is_unknown or cap.has_open_jobs(task.model)):
            return _Admission.WAIT
        if is_unknown:
            return _Admission.REFUSE
        self._stop(cap.stop_reason)
        return _Admission.SKIP

    def _stop(self, reason: str) -> None:
        """Submit nothing more. Running and earlier jobs are finished."""
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


def _refuse_unknown_price(model: str) -> errors.ConfigError:
    return errors.ConfigError(
        f"max_cost is set, and the price of this {model} job is unknown: its spec has none, and no earlier job is like "
        "it. Pass allow_unknown_cost=CREDITS, the most that such a job may cost. Nothing was sent for it"
    )
