"""The size of histories: every step of a job is a stub, whose answers are as long as those of the gateway."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from kling_temporal import payloads
from kling_temporal.activities import Activities, make_pending
from kling_temporal.batch_run import split_lines
from kling_temporal.connection import prepare_namespace
from kling_temporal.payloads import Accepted, BatchLine, BatchPart, Intent
from kling_temporal.store import TemporalStore
from kling_temporal.worker import WORKFLOWS, make_runner
from temporalio import activity
from temporalio.client import Client, WorkflowExecution
from temporalio.worker import Worker

from kling_adapters.engine import EngineClient, JobEnd, JobRecord
from tests.temporal.servers import TemporalServer

pytestmark = pytest.mark.anyio
# What `make test` has time for; `make temporal` has 10,000.
JOBS = int(os.environ.get("KLING_TEMPORAL_SCALE", "60"))
GATEWAY = "https://gateway.example"
WINDOW = 100
POLLS = 2
POLL_SECONDS = 1.0
MAX_JOB_EVENTS, MAX_JOB_BYTES, MAX_EVENTS = 25, 6000, 5000
CONTINUE_EVENTS = 0 if JOBS >= 1000 else 4 * JOBS
"""Events after which the server asks a batch to continue as a new run, earlier than the batch does it by itself."""
PROMPT = "A lighthouse in a storm, seen from a small boat; long exposure, cold light, film grain, 35 mm"
URL = "https://outputs.example.com/2026/11/29/01a228ca-20a7-74d9-bea1-5a6f02a5e88c.mp4"
BODY = {
    "status": "COMPLETED",
    "request_id": "01a228ca-20a7-74d9-bea1-5a6f02a5e88c",
    "output": URL,
    "video": {"url": URL, "content_type": "video/mp4", "file_size": 4_322_340},
    "metrics": {"cost": 0.5, "remaining_credits": 999.5, "inference_time": 50.539, "total_time": 56.155},
}
FILE = {
    "url": f"s3://renders/{'x' * 60}.mp4",
    "size": 4_322_340,
    "sha256": "c4" * 32,
    "content_type": "video/mp4",
    "link": None,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@activity.defn(name="kling-submit")
async def submit(job: JobRecord, gateway: str) -> Accepted:
    return Accepted(f"{job.tag[-20:]:0>36}", Intent("be850672d229", 1795980665.17))


@activity.defn(name="kling-collect")
async def collect(job: JobRecord, gateway: str) -> JobEnd:
    if activity.info().attempt <= POLLS:
        raise make_pending("PROCESSING", POLL_SECONDS)
    return JobEnd(payloads.COMPLETED, job.request_id, BODY, [FILE])


def make_line(number: int) -> BatchLine:
    job = JobRecord(
        f"/home/ann/films/batch.jsonl#{number:016x}.0",
        "kling-3-pro-image2video",
        {"prompt": f"{PROMPT}, {number}", "duration": 5, "image_url": URL},
        "s3://renders/films/",
    )
    return BatchLine(id=f"{job.tag}@{GATEWAY}", job=asdict(job))


async def run_batch(client: Client, lines: Sequence[BatchLine]) -> int:
    """Run all lines to their end, and return the number of parts."""
    store = TemporalStore(client, "scale")
    async with EngineClient(store, base_url=GATEWAY, api_key="none") as kling:
        worker = Worker(
            client,
            task_queue="scale",
            workflows=WORKFLOWS,
            activities=[submit, collect, Activities(kling, store).find_ended],
            workflow_runner=make_runner(),
            max_cached_workflows=2000,
            disable_eager_activity_execution=True,
        )
        async with worker:
            handles = [
                await client.start_workflow(
                    payloads.BATCH_WORKFLOW,
                    BatchPart("films", GATEWAY, part, WINDOW),
                    id=f"films-{number}",
                    task_queue="scale",
                )
                for number, part in enumerate(split_lines(lines))
            ]
            for handle in handles:
                await handle.result()
            count = len(lines) + len(handles)
            while (await client.count_workflows("ExecutionStatus = 'Completed'")).count < count:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    return len(handles)


async def list_runs(client: Client, workflow_type: str) -> list[tuple[int, int]]:
    """Return the events and the bytes of the history of each run."""

    def measure(run: WorkflowExecution) -> tuple[int, int]:
        return run.history_length, run.raw_info.history_size_bytes

    return [measure(run) async for run in client.list_workflows(f"WorkflowType = '{workflow_type}'")]


async def test_histories_stay_small(tmp_path: Path) -> None:
    options = ("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={CONTINUE_EVENTS}")
    with TemporalServer(tmp_path, *(options if CONTINUE_EVENTS else ()), is_stored=False) as server:
        client = await server.connect()
        await prepare_namespace(client)
        parts = await run_batch(client, [make_line(number) for number in range(JOBS)])
        jobs = await list_runs(client, payloads.JOB_WORKFLOW)
        runs = await list_runs(client, payloads.BATCH_WORKFLOW)
    events = Counter(events for events, _ in jobs)
    sys.stdout.write(
        f"{len(jobs)} jobs: events {dict(events)}, up to {max(size for _, size in jobs)} bytes; "
        f"{parts} parts, whose runs have the events and bytes {runs}\n"
    )
    assert len(jobs) == JOBS
    assert max(events) <= MAX_JOB_EVENTS
    # A busy machine may time out the task of a workflow, which adds three events.
    assert max(size for count, size in jobs if count == min(events)) <= MAX_JOB_BYTES
    assert max(events for events, _ in runs) <= MAX_EVENTS
    assert len(runs) > parts, "no batch was continued as a new run"
