"""The records of jobs in Temporal: intents as heartbeats, jobs in flight by search attributes, claims as workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from temporalio.client import AsyncActivityHandle, Client, WorkflowExecution, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from kling_adapters import StorageError
from kling_adapters.engine import JobRecord
from kling_temporal import payloads
from kling_temporal.payloads import Intent

T = TypeVar("T")

_CALL_SECONDS: Final = 30.0
_VISIBILITY_SECONDS: Final = 2.0
"""Seconds that the list of workflows may lag behind."""


@dataclass
class SubmitHandle:
    """A submit activity in progress, and its intent once that is recorded."""

    activity: AsyncActivityHandle
    intent: Intent | None = None

    async def record(self, intent: Intent) -> None:
        """Record the intent. It is durable when this returns. Raises if the activity is no longer this worker's."""
        await self.activity.heartbeat(intent)
        # In the event loop, so that no heartbeat of an earlier intent follows.
        self.intent = intent

    async def heartbeat(self) -> None:
        """Repeat the intent; without one, nothing may be reported."""
        if self.intent is not None:
            await self.activity.heartbeat(self.intent)


class TemporalStore:
    """A JobStore over Temporal, for one worker, made in its event loop. Its blocking methods are called in threads.

    Args:
        client: The client of Temporal.
        task_queue: The task queue of claims.

    """

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._loop = asyncio.get_running_loop()
        self.submits: dict[str, SubmitHandle] = {}

    def open_submit(self, tag: str, task_token: bytes) -> SubmitHandle:
        """Return the handle of a submit activity that begins."""
        self.submits[tag] = SubmitHandle(self._client.get_async_activity_handle(task_token=task_token))
        return self.submits[tag]

    def record_intent(self, tag: str, key: str, created: float) -> None:
        """See JobStore."""
        submit = self.submits[tag]
        # The first time counts: the job may be that of any request since.
        intent = Intent(key, created if submit.intent is None else submit.intent.created)
        try:
            self._run(submit.record(intent))
        except Exception as error:
            raise StorageError(
                f"the submit cannot be recorded in Temporal: {error}. Nothing was sent"
            ) from error

    def find_submitting(self, model: str) -> list[JobRecord]:
        """See JobStore."""
        return self._run(self._list_submitting(model))

    def has_job(self, request_id: str) -> bool:
        """See JobStore."""
        query = f"{payloads.REQUEST_ID.name} = {quote(request_id)}"
        return self._run(self._client.count_workflows(query)).count > 0

    def claim(self, tag: str, request_id: str) -> bool:
        """See JobStore."""
        workflow_id = f"{payloads.CLAIM_WORKFLOW}:{request_id}"
        owner = run_once(self._client, self._task_queue, payloads.CLAIM_WORKFLOW, workflow_id, [tag], str)
        return self._run(owner) == tag

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        in_time = asyncio.wait_for(call, _CALL_SECONDS)
        return asyncio.run_coroutine_threadsafe(in_time, self._loop).result()

    async def _list_submitting(self, model: str) -> list[JobRecord]:
        # A job that was started before the rows were read must be in the list.
        await asyncio.sleep(_VISIBILITY_SECONDS)
        query = (
            f"WorkflowType = '{payloads.JOB_WORKFLOW}' AND ExecutionStatus = 'Running' AND "
            f"{payloads.MODEL.name} = {quote(model)} AND {payloads.STATE.name} = '{payloads.SUBMITTING}'"
        )
        return [await self._read_job(execution) async for execution in self._client.list_workflows(query)]

    async def _read_job(self, execution: WorkflowExecution) -> JobRecord:
        handle: WorkflowHandle[Any, Any] = self._client.get_workflow_handle(
            execution.id, run_id=execution.run_id
        )
        # The first event of a history has the arguments.
        event = await anext(handle.fetch_history_events(page_size=1))
        arguments = event.workflow_execution_started_event_attributes.input.payloads
        job: JobRecord = (await self._client.data_converter.decode(arguments, [JobRecord, str]))[0]
        return replace(job, created=execution.start_time.timestamp())


async def run_once(
    client: Client,
    task_queue: str,
    kind: str,
    workflow_id: str,
    arguments: Sequence[Any],
    result_type: type[T],
) -> T:
    """Start a workflow unless it was started before. Return its result."""
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            kind,
            args=arguments,
            id=workflow_id,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
    handle: WorkflowHandle[Any, T] = client.get_workflow_handle(workflow_id, result_type=result_type)
    return await handle.result()


def quote(value: str) -> str:
    """Return a text as a value of a query."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
