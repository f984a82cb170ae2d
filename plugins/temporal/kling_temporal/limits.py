"""The rate limit of a task queue, which the server keeps for all workers together."""

from __future__ import annotations

from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest
from temporalio.client import Client
from temporalio.service import RPCError

from kling_adapters import ConfigError

_REASON: Final = "kling temporal rate"


async def limit_task_queue(client: Client, task_queue: str, rate: float) -> None:
    """Set the steps a minute that the workers of a task queue run together; each try of a step counts.

    Args:
        client: The client of Temporal.
        task_queue: The task queue.
        rate: Steps a minute.

    Raises:
        ConfigError: The server does not accept it.

    """
    update = UpdateTaskQueueConfigRequest.RateLimitUpdate(
        rate_limit=RateLimit(requests_per_second=rate / 60), reason=_REASON
    )
    request = UpdateTaskQueueConfigRequest(
        namespace=client.namespace,
        identity=client.identity,
        task_queue=task_queue,
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        update_queue_rate_limit=update,
    )
    try:
        await client.workflow_service.update_task_queue_config(request)
    except RPCError as error:
        raise ConfigError(
            f"Temporal did not change the rate of the task queue {task_queue}: {error}"
        ) from error
