"""The workflow of a batch: a sliding window of job workflows, which go on if it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError

from kling_adapters.engine import JobEnd
from kling_temporal import payloads
from kling_temporal.payloads import BatchLine, BatchPart

_MAX_EVENTS: Final = 2500
"""Events of a run before it continues as a new one; each running job adds up to eight."""
_LOOK_SECONDS: Final = timedelta(minutes=1)
_LOOKS: Final = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=1))


@workflow.defn(name=payloads.BATCH_WORKFLOW)
class BatchWorkflow:
    """A part of a batch. Its jobs are workflows of their own: cancelling it only stops further submits."""

    @workflow.init
    def __init__(self, part: BatchPart) -> None:
        self._part = part
        self._running = set(part.running)
        self._follows: list[asyncio.Task[None]] = []

    @workflow.run
    async def run(self, part: BatchPart) -> None:
        """Start each job in the order of the lines, at most `part.window` at a time, and wait for all."""
        carried = asyncio.create_task(self._follow_carried())
        for position, line in enumerate(part.lines):
            await workflow.wait_condition(lambda: len(self._running) < part.window or self._is_full())
            if self._is_full():
                self._continue(position)
            await self._start(line)
        await workflow.wait_condition(lambda: not self._running or self._is_full())
        if self._running:
            self._continue(len(part.lines))
        await carried

    async def _start(self, line: BatchLine) -> None:
        """Start a job and follow it, unless it was started before."""
        try:
            child = await workflow.start_child_workflow(
                payloads.JOB_WORKFLOW,
                args=[line["job"], self._part.gateway],
                id=line["id"],
                result_type=JobEnd,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                cancellation_type=workflow.ChildWorkflowCancellationType.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=payloads.make_attributes(line["job"]["model"], self._part.name),
            )
        except WorkflowAlreadyStartedError:
            return
        self._running.add(line["id"])
        self._follows.append(asyncio.create_task(self._follow(line["id"], child)))

    async def _follow(self, workflow_id: str, child: workflow.ChildWorkflowHandle[Any, Any]) -> None:
        try:
            await child
        except ChildWorkflowError:
            workflow.logger.info("job %s was refused; nothing was sent for it", workflow_id)
        self._running.discard(workflow_id)

    async def _follow_carried(self) -> None:
        """Follow the jobs of an earlier run of this workflow, of which Temporal does not report the end."""
        carried = set(self._part.running)
        while carried:
            ended: list[str] = await workflow.execute_activity(
                "kling-find-ended",
                sorted(carried),
                result_type=list[str],
                start_to_close_timeout=_LOOK_SECONDS,
                retry_policy=_LOOKS,
            )
            carried -= set(ended)
            self._running -= set(ended)

    def _is_full(self) -> bool:
        info = workflow.info()
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > _MAX_EVENTS

    def _continue(self, position: int) -> None:
        part = self._part
        workflow.continue_as_new(replace(part, lines=part.lines[position:], running=sorted(self._running)))
