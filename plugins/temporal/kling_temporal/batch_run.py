"""A run of a batch: it starts the jobs that were not started before, and follows all to their ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError, RPCStatusCode

from kling_adapters import AsyncResult, ConfigError, KlingError, Outcome, SubmitUncertain, TransportError
from kling_adapters.engine import EngineClient, JobEnd, JobRecord, PlannedJob
from kling_temporal import payloads
from kling_temporal.payloads import BatchLine, BatchPart
from kling_temporal.store import quote, run_once

_PART_BYTES: Final = 1_000_000
"""Bytes of the lines of a part; Temporal accepts 2 MB."""
_LINE_BYTES: Final = 300
"""Bytes of a line beside its job."""
_FOLLOWED: Final = 64
"""Jobs whose end is waited for at the same time."""
_LOOK_SECONDS: Final = 1.0
_REFUSED: Final = (WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.CANCELED)
"""The ends of a workflow that has sent nothing. One that was terminated may have."""
_FINAL: Final = (
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.INVALID_ARGUMENT,
)
"""Answers that stay the same. Others pass: the server is started again."""
_INPUT_ERRORS: Final = frozenset({"ConfigError", "ParamsInvalid", "UnknownModel", "RetiredModel"})
_STOPPED: Final = "the workflow of the batch ended before it started this job. Nothing was sent"


@dataclass(frozen=True)
class BatchRun:
    """A run of a batch.

    Attributes:
        client: The client of Temporal.
        task_queue: The task queue of the workers.
        kling: The client that uploads media and reads results.
        name: The name of the batch.
        starters: The workflow that starts a job, by the id of the workflow of the job.

    """

    client: Client
    task_queue: str
    kling: EngineClient
    name: str
    starters: dict[str, WorkflowHandle[Any, Any]] = field(default_factory=dict[str, Any])

    async def run(
        self, plan: Iterable[PlannedJob | Outcome[AsyncResult]], concurrency: int
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Start the jobs that were not started before, and follow all. Yield each outcome when it is known."""
        workflow_ids, next_runs = await self._find_earlier()
        new_lines: list[BatchLine] = []
        jobs: dict[str, PlannedJob] = {}
        for planned in plan:
            if isinstance(planned, Outcome):
                yield planned
                continue
            line = f"{planned.record.tag}@{self.kling.base_url}"
            if (workflow_id := workflow_ids.get(line)) is None:
                try:
                    job = await self.kling.upload_media(planned.record)
                except KlingError as error:
                    yield planned.refuse(error)
                    continue
                workflow_id = f"{line}#{next_runs[line]}" if line in next_runs else line
                new_lines.append(BatchLine(id=workflow_id, job=asdict(job)))
            jobs[workflow_id] = planned
        await self._start_parts(list(split_lines(new_lines)), concurrency)
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

    async def _find_earlier(self) -> tuple[dict[str, str], dict[str, int]]:
        """Return the ids of workflows that were started, and the number of the next run of lines that were refused."""
        query = f"WorkflowType = '{payloads.JOB_WORKFLOW}' AND {payloads.BATCH.name} = {quote(self.name)}"
        workflow_ids: dict[str, str] = {}
        next_runs: dict[str, int] = {}
        # The latest workflow comes first. The earliest may be gone, because a namespace keeps them for some days.
        async for execution in self.client.list_workflows(query):
            line, run = payloads.split_id(execution.id)
            if execution.status in _REFUSED:
                next_runs[line] = max(next_runs.get(line, 0), run + 1)
            else:
                workflow_ids.setdefault(line, execution.id)
        return workflow_ids, next_runs

    async def _start_parts(self, parts: Sequence[list[BatchLine]], concurrency: int) -> None:
        """Start the workflows that start the jobs."""
        for lines in parts:
            ids = [line["id"] for line in lines]
            content = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
            starter = await self.client.start_workflow(
                payloads.BATCH_WORKFLOW,
                BatchPart(self.name, self.kling.base_url, lines, max(1, concurrency // len(parts))),
                id=f"{payloads.BATCH_WORKFLOW}:{self.name}:{content}",
                task_queue=self.task_queue,
                # The same lines may be started again when all others have ended; none of them is started twice.
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes([SearchAttributePair(payloads.BATCH, self.name)]),
                # A line that was refused before counts already.
                memo={"lines": sum(id_ == payloads.find_line(id_) for id_ in ids)},
            )
            self.starters.update(dict.fromkeys(ids, starter))

    async def _await_outcome(self, workflow_id: str, planned: PlannedJob) -> Outcome[AsyncResult]:
        """Return the outcome of a job; its workflow may not be started yet, and the server may be down."""
        starter, is_stopped = self.starters.get(workflow_id), False
        while True:
            try:
                if starter is not None:
                    # This is asked first, because the workflow may start the job and then end.
                    is_stopped = (await starter.describe()).status != WorkflowExecutionStatus.RUNNING
                end = await self._await_end(workflow_id, planned.record)
                return self.kling.make_outcome(planned, end)
            except WorkflowFailureError as error:
                return planned.refuse(_read_failure(error, planned.record.model))
            except RPCError as error:
                if is_stopped and error.status == RPCStatusCode.NOT_FOUND:
                    return planned.refuse(TransportError(_STOPPED))
                if error.status in _FINAL:
                    return planned.refuse(TransportError(f"Temporal answered: {error}"))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _await_end(self, workflow_id: str, job: JobRecord) -> JobEnd:
        """Wait for the end of a job, and have an output stored whose workflow had no destination."""
        handle: WorkflowHandle[Any, JobEnd] = self.client.get_workflow_handle(workflow_id, result_type=JobEnd)
        end = await handle.result()
        if end.state != payloads.COMPLETED or end.files or job.save_to is None:
            return end
        workflow_id = f"{workflow_id}:{hashlib.sha256(job.save_to.encode()).hexdigest()[:16]}"
        created = (await handle.describe()).start_time.timestamp()
        arguments = [replace(job, request_id=end.request_id, created=created), self.kling.base_url, end]
        return await run_once(
            self.client, self.task_queue, payloads.STORE_WORKFLOW, workflow_id, arguments, JobEnd
        )


def split_lines(lines: Sequence[BatchLine]) -> Iterator[list[BatchLine]]:
    """Yield parts of a batch that fit into a payload."""
    part: list[BatchLine] = []
    size = 0
    for line in lines:
        length = len(json.dumps(line["job"])) + len(line["id"]) + _LINE_BYTES
        if part and size + length > _PART_BYTES:
            yield part
            part, size = [], 0
        part.append(line)
        size += length
    if part:
        yield part


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
