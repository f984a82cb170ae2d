"""The jobs of a batch until they end, and their ends as outcomes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError, RPCStatusCode

from kling_adapters import (
    AsyncResult,
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    Metrics,
    Outcome,
    StorageError,
    StoredFile,
    SubmitUncertain,
    TransportError,
    WaitTimeout,
)
from kling_adapters.engine import EngineClient, JobRecord, PlannedJob
from kling_temporal import payloads
from kling_temporal.payloads import JobEnd
from kling_temporal.store import run_once

_INPUT_ERRORS = frozenset({"ConfigError", "ParamsInvalid", "UnknownModel", "RetiredModel"})
_FOLLOWED: Final = 64
"""Jobs whose end is waited for at the same time."""
_LOOK_SECONDS: Final = 1.0
_FINAL: Final = (
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.INVALID_ARGUMENT,
)
"""Answers that stay the same. Others pass: the server is started again."""
_STOPPED: Final = "the workflow of the batch ended before it started this job. Nothing was sent"


@dataclass(frozen=True)
class Follower:
    """Waits for jobs.

    Attributes:
        client: The client of Temporal.
        task_queue: The task queue of the workers.
        kling: The client that reads results.
        starters: The id of the workflow that starts a job, by the id of the job.

    """

    client: Client
    task_queue: str
    kling: EngineClient
    starters: Mapping[str, str]

    async def follow(self, jobs: Mapping[str, PlannedJob]) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Yield the outcome of each job when it ends; `jobs` has the ids of their workflows."""
        tasks = (asyncio.create_task(self._await_outcome(*job)) for job in jobs.items())
        running = set(islice(tasks, _FOLLOWED))
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running.update(islice(tasks, len(done)))
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()

    async def _await_outcome(self, workflow_id: str, planned: PlannedJob) -> Outcome[AsyncResult]:
        """Return the outcome of a job; its workflow may not be started yet, and the server may be down."""
        while True:
            try:
                # This is asked first, because the workflow may start the job and then end.
                is_stopped = await self._is_stopped(workflow_id)
                if (end := await self._await_end(workflow_id, planned.record)) is not None:
                    return self._make_outcome(planned, end)
                if is_stopped:
                    return planned.refuse(TransportError(_STOPPED))
            except WorkflowFailureError as error:
                return planned.refuse(_read_failure(error, planned.record.model))
            except RPCError as error:
                if error.status in _FINAL:
                    return planned.refuse(TransportError(f"Temporal answered: {error}"))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _is_stopped(self, workflow_id: str) -> bool:
        """Return whether the workflow that was to start a job has ended."""
        if (starter := self.starters.get(workflow_id)) is None:
            return False
        described = await self.client.get_workflow_handle(starter).describe()
        return described.status != WorkflowExecutionStatus.RUNNING

    async def _await_end(self, workflow_id: str, job: JobRecord) -> JobEnd | None:
        """Wait for the end of a job. Return None if its workflow still has to be started."""
        handle: WorkflowHandle[Any, JobEnd] = self.client.get_workflow_handle(workflow_id, result_type=JobEnd)
        try:
            end = await handle.result()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        if end.state != payloads.COMPLETED or end.files or job.save_to is None:
            return end
        # An earlier run had no destination.
        created = (await handle.describe()).start_time.timestamp()
        workflow_id = f"{workflow_id}:{hashlib.sha256(job.save_to.encode()).hexdigest()[:16]}"
        job = replace(job, request_id=end.request_id, created=created)
        arguments = [job, self.kling.base_url, end]
        return await run_once(
            self.client, self.task_queue, payloads.STORE_WORKFLOW, workflow_id, arguments, JobEnd
        )

    def _make_outcome(self, planned: PlannedJob, end: JobEnd) -> Outcome[AsyncResult]:
        result, job = None, replace(planned.record, request_id=end.request_id)
        if end.body is not None:
            files = tuple(StoredFile(**file) for file in end.files)
            result = self.kling.read_result(job, end.body, files)
        return Outcome(planned.index, job.model, end.request_id, result, _make_error(end, job.model))


def _read_failure(failure: WorkflowFailureError, model: str) -> KlingError:
    """Return the error of a workflow that failed, was cancelled before its submit, or was ended from outside."""
    cause: BaseException = failure
    while cause.__cause__ is not None:
        cause = cause.__cause__
    match cause:
        case ApplicationError(type=kind, message=message):
            return (ConfigError if kind in _INPUT_ERRORS else TransportError)(message)
        case CancelledError():
            return TransportError("the workflow was cancelled before the submit. Nothing was sent")
        case _:
            return SubmitUncertain(model, f"the workflow of the job did not come to its end: {cause}")


def _make_error(end: JobEnd, model: str) -> KlingError | None:
    reason, request_id = end.reason or "", end.request_id or ""
    match end.state:
        case payloads.COMPLETED:
            return None
        case payloads.FAILED:
            return JobFailed(request_id, reason, Metrics())
        case payloads.EXPIRED:
            return JobExpired(request_id)
        case payloads.NOT_STORED:
            return StorageError(reason.rstrip("."))
        case payloads.UNCERTAIN:
            return SubmitUncertain(model, reason)
        case _:
            return WaitTimeout(request_id, 0.0, None, f"{end.state.lower()}: {reason}")
