"""Batches of jobs on Temporal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.service import RPCError

from kling_adapters import AsyncResult, KlingError, Outcome, Request, TransportError
from kling_adapters.engine import EngineClient, PlannedJob
from kling_temporal import payloads
from kling_temporal.connection import prepare_namespace
from kling_temporal.following import Follower
from kling_temporal.payloads import BatchLine, BatchPart
from kling_temporal.store import TemporalStore, quote
from kling_temporal.task_queues import has_workers
from kling_temporal.worker import TASK_QUEUE

log = logging.getLogger("kling_adapters")

_PART_BYTES: Final = 1_000_000
"""Bytes of the lines of a part; Temporal accepts 2 MB."""
_LINE_BYTES: Final = 300
"""Bytes of a line beside its job."""
_WATCH_SECONDS: Final = 5.0
_REFUSED: Final = (WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.CANCELED)
"""The ends of a workflow that has sent nothing. One that was terminated may have."""


class TemporalEngine:
    """Runs batches on the workers of a task queue. The jobs go on without this process.

    Args:
        client: The client of Temporal; see `connect`.
        task_queue: The task queue of the workers.
        **options: Arguments of `AsyncKling` without `journal`, such as `base_url`, for checks and uploads.

    """

    def __init__(self, client: Client, *, task_queue: str = TASK_QUEUE, **options: Any) -> None:
        self._client = client
        self._task_queue = task_queue
        self._options = options

    async def map(
        self,
        requests: Iterable[Request],
        *,
        name: str,
        save_to: str | PathLike[str] | None = None,
        concurrency: int = 16,
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Run all requests of a batch; yield each outcome. A request that was started before is only followed.

        Args:
            requests: The requests, as for `Kling.map`. Local media is uploaded by this process.
            name: The name of the batch, which identifies its requests together with their content.
            save_to: The folder or URL of the output, which every worker can store to.
            concurrency: Jobs that run at the same time.

        Yields:
            The outcome of each request.

        Raises:
            ConfigError: An argument is invalid, or the namespace lacks a search attribute. Nothing was sent.

        """
        store = TemporalStore(self._client, self._task_queue)
        async with EngineClient(store, **self._options) as kling:
            plan = await asyncio.to_thread(kling.plan, requests, name, save_to)
            await prepare_namespace(self._client)
            watch = asyncio.create_task(self._watch_workers())
            try:
                async for outcome in self._run(kling, plan, name, concurrency):
                    yield outcome
            except RPCError as error:
                raise TransportError(
                    f"Temporal answered {error.status.name}: {error.message}. Jobs that were started go on"
                ) from error
            finally:
                watch.cancel()

    async def _watch_workers(self) -> None:
        """Log a warning when no worker polls the task queue, so that nothing goes on."""
        has_polled = True
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                is_polled = await has_workers(self._client, self._task_queue)
            except RPCError:
                continue
            if has_polled and not is_polled:
                log.warning(
                    "no worker polls the task queue %s of the namespace %s, so no job goes on. Start one: "
                    "kling temporal worker --task-queue %s",
                    self._task_queue,
                    self._client.namespace,
                    self._task_queue,
                )
            has_polled = is_polled

    async def _run(
        self,
        kling: EngineClient,
        plan: Sequence[PlannedJob | Outcome[AsyncResult]],
        name: str,
        concurrency: int,
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Start the jobs that were not started before, and follow all. Yield each outcome."""
        started, refused = await self._find_earlier(name)
        new: list[BatchLine] = []
        jobs: dict[str, PlannedJob] = {}
        for planned in plan:
            if isinstance(planned, Outcome):
                yield planned
                continue
            line = f"{planned.record.tag}@{kling.base_url}"
            if (workflow_id := started.get(line)) is None:
                try:
                    job = await kling.upload_media(planned.record)
                except KlingError as error:
                    yield planned.refuse(error)
                    continue
                workflow_id = f"{line}#{refused[line]}" if line in refused else line
                new.append(BatchLine(id=workflow_id, job=asdict(job)))
            jobs[workflow_id] = planned
        starters = await self._start_parts(name, kling.base_url, new, concurrency)
        async for outcome in Follower(self._client, self._task_queue, kling, starters).follow(jobs):
            yield outcome

    async def _find_earlier(self, name: str) -> tuple[dict[str, str], Counter[str]]:
        """Return the ids of the workflows that were started for lines, and how many were refused for each line."""
        query = f"WorkflowType = '{payloads.JOB_WORKFLOW}' AND {payloads.BATCH.name} = {quote(name)}"
        started: dict[str, str] = {}
        refused = Counter[str]()
        async for execution in self._client.list_workflows(query):
            line = payloads.find_line(execution.id)
            if execution.status in _REFUSED:
                refused[line] += 1
            else:
                started[line] = execution.id
        return started, refused

    async def _start_parts(
        self, name: str, gateway: str, new: Sequence[BatchLine], concurrency: int
    ) -> dict[str, str]:
        """Start the workflows of a batch. Return the id of that which starts each job, by the id of the job."""
        starters: dict[str, str] = {}
        parts = list(split_lines(new))
        for lines in parts:
            ids = [line["id"] for line in lines]
            content = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
            handle = await self._client.start_workflow(
                payloads.BATCH_WORKFLOW,
                BatchPart(name, gateway, lines, max(1, concurrency // len(parts))),
                id=f"{payloads.BATCH_WORKFLOW}:{name}:{content}",
                task_queue=self._task_queue,
                # The same lines may be started again when all others have ended; none of them is started twice.
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes([SearchAttributePair(payloads.BATCH, name)]),
                memo={"lines": len(lines)},
            )
            starters |= dict.fromkeys(ids, handle.id)
        return starters


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
