"""Batches of jobs on Temporal: the engine of `kling batch`, and of programs."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from os import PathLike
from typing import Any, Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from kling_adapters import AsyncResult, Outcome, Request, TransportError
from kling_adapters.engine import EngineClient
from kling_temporal.batch_run import BatchRun
from kling_temporal.connection import TASK_QUEUE, connect, prepare_namespace
from kling_temporal.store import TemporalStore

log = logging.getLogger("kling_adapters")

_WATCH_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 90.0
"""Seconds in which a worker polls again. The server lists it for minutes more."""


class TemporalEngine:
    """Runs batches on the workers of a task queue. The jobs go on without this process.

    Args:
        client: The client of Temporal, see `connect`; None to connect with the settings of the environment.
        address: Host and port of Temporal, without a client; None for those of the environment.
        task_queue: The task queue of the workers; None for KLING_TEMPORAL_TASK_QUEUE, else "kling".
        **options: Arguments of `AsyncKling` without `journal`, such as `api_key`, for checks and uploads.

    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        address: str | None = None,
        task_queue: str | None = None,
        **options: Any,
    ) -> None:
        self._client = client
        self._address = address
        self._task_queue = task_queue or os.environ.get("KLING_TEMPORAL_TASK_QUEUE") or TASK_QUEUE
        self._options = options

    async def map(
        self,
        requests: Iterable[Request],
        *,
        name: str,
        save_to: str | PathLike[str] | None = None,
        concurrency: int = 16,
        base_url: str | None = None,
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Run all requests of a batch; yield each outcome. A request that was started before is only followed.

        Args:
            requests: The requests, as for `Kling.map`. Local media is uploaded by this process.
            name: The name of the batch, which identifies its requests together with their content.
            save_to: The folder or URL of the output, which every worker can store to.
            concurrency: Jobs that run at the same time.
            base_url: The base URL of the gateway; None for that of the options.

        Yields:
            The outcome of each request.

        Raises:
            ConfigError: An argument is invalid, or the namespace lacks a search attribute. Nothing was sent.

        """
        client = self._client or await connect(self._address)
        options = self._options if base_url is None else {**self._options, "base_url": base_url}
        async with EngineClient(TemporalStore(client, self._task_queue), **options) as kling:
            plan = await asyncio.to_thread(kling.plan, requests, name, save_to)
            await prepare_namespace(client)
            watch = asyncio.create_task(_warn_without_workers(client, self._task_queue))
            run = BatchRun(client, self._task_queue, kling, name)
            try:
                async for outcome in run.run(plan, concurrency):
                    yield outcome
            except RPCError as error:
                raise TransportError(
                    f"Temporal answered {error.status.name}: {error.message}. Jobs that were started go on"
                ) from error
            finally:
                watch.cancel()


async def _warn_without_workers(client: Client, task_queue: str) -> None:
    """Log a warning when no worker polls the task queue, so that nothing goes on."""
    has_polled = True
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        with suppress(RPCError):
            is_polled = await _has_workers(client, task_queue)
            if has_polled and not is_polled:
                log.warning(
                    "no worker polls the task queue %s of the namespace %s, so no job goes on. Start one: "
                    "kling temporal worker --task-queue %s",
                    task_queue,
                    client.namespace,
                    task_queue,
                )
            has_polled = is_polled


async def _has_workers(client: Client, task_queue: str) -> bool:
    """Return whether a worker has polled the task queue lately."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    oldest = time.time() - _POLL_SECONDS
    return any(poller.last_access_time.ToSeconds() > oldest for poller in answer.pollers)
