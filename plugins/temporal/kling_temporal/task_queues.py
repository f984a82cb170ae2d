"""The task queue of the workers: its rate limit, which the server keeps for all of them, and who polls it."""

from __future__ import annotations

import time
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, UpdateTaskQueueConfigRequest
from temporalio.client import Client
from temporalio.service import RPCError

from kling_adapters import ConfigError

TASK_QUEUE: Final = "kling"
"""The task queue of workers and batches that name none."""
_POLL_SECONDS: Final = 90.0
"""Seconds in which a worker polls again. The server lists it for minutes more."""


async def limit_task_queue(client: Client, task_queue: str, rate: float) -> None:
    """Set the steps a minute that the workers of a task queue run together; each try of a step counts.

    Args:
        client: The client of Temporal.
        task_queue: The task queue.
        rate: Steps a minute.

    Raises:
        ConfigError: The server does not accept it.

    """
    request = UpdateTaskQueueConfigRequest(
        namespace=client.namespace,
        identity=client.identity,
        task_queue=task_queue,
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        update_queue_rate_limit=UpdateTaskQueueConfigRequest.RateLimitUpdate(
            rate_limit=RateLimit(requests_per_second=rate / 60), reason="kling temporal rate"
        ),
    )
    try:
        await client.workflow_service.update_task_queue_config(request)
    except RPCError as error:
        raise ConfigError(
            f"Temporal did not change the rate of the task queue {task_queue}: {error}"
        ) from error


async def has_workers(client: Client, task_queue: str) -> bool:
    """Return whether a worker has polled a task queue lately."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    oldest = time.time() - _POLL_SECONDS
    return any(poller.last_access_time.ToSeconds() > oldest for poller in answer.pollers)
