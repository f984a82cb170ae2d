"""Workers: processes that run the steps of jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from kling_adapters.engine import SEARCH_SECONDS, EngineClient
from kling_temporal.activities import HEARTBEAT_SECONDS, Activities
from kling_temporal.batches import BatchWorkflow
from kling_temporal.connection import TASK_QUEUE
from kling_temporal.store import TemporalStore
from kling_temporal.workflows import ClaimWorkflow, JobWorkflow, StoreWorkflow

WORKFLOWS: Final = (JobWorkflow, BatchWorkflow, StoreWorkflow, ClaimWorkflow)
_GRACE: Final = timedelta(minutes=2)
_STICKY: Final = timedelta(seconds=5)


def make_runner() -> SandboxedWorkflowRunner:
    """Return the runner of workflows. Their modules are deterministic or used for types only, and are not reloaded."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules("kling_adapters", "kling_temporal")
    return SandboxedWorkflowRunner(restrictions=restrictions)


def make_worker(
    client: Client,
    *,
    task_queue: str = TASK_QUEUE,
    rate: float | None = None,
    concurrency: int = 100,
    build_id: str | None = None,
    search_seconds: float = SEARCH_SECONDS,
    **options: Any,
) -> tuple[Worker, EngineClient]:
    """Return a worker, and its client of the gateway, which the caller closes after it. Call it in an event loop.

    Args:
        client: The client of Temporal.
        task_queue: The task queue.
        rate: Steps a minute that all workers of the task queue run together; that of the last worker counts. None for
            no limit.
        concurrency: Steps that this worker runs at the same time.
        build_id: The version of this deployment. A job then ends on the version that started it.
        search_seconds: Seconds for which the job of a lost submit is looked for.
        **options: Arguments of `AsyncKling` without `journal`, such as `base_url` and `plugins`.

    Returns:
        The worker and the client.

    Raises:
        ConfigError: An option of the client is invalid.

    """
    store = TemporalStore(client, task_queue)
    kling = EngineClient(store, **options)
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=Activities(kling, store, search_seconds).all,
        workflow_runner=make_runner(),
        max_concurrent_activities=concurrency,
        max_task_queue_activities_per_second=None if rate is None else rate / 60,
        # An eager activity would not count against the limit of the task queue.
        disable_eager_activity_execution=True,
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        # The next step of a workflow whose worker was lost waits for so long.
        sticky_queue_schedule_to_start_timeout=_STICKY,
        graceful_shutdown_timeout=_GRACE,
        deployment_config=None if build_id is None else _make_versions(task_queue, build_id),
    )
    return worker, kling


def _make_versions(task_queue: str, build_id: str) -> WorkerDeploymentConfig:
    version = WorkerDeploymentVersion(deployment_name=task_queue, build_id=build_id)
    return WorkerDeploymentConfig(
        version=version, use_worker_versioning=True, default_versioning_behavior=VersioningBehavior.PINNED
    )
