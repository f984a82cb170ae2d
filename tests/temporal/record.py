"""Record the histories of this release: python -m tests.temporal.record VERSION."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from kling_sandbox import Fault, Sandbox
from kling_temporal.listing import list_jobs
from temporalio.client import WorkflowHandle

from tests.temporal.batches import Setup, run_worker
from tests.temporal.servers import TemporalServer, run_server

FOLDER = Path(__file__).parent / "histories"
JOB = {"model": "kling-2", "prompt": "a lighthouse"}
_SUBMIT = ("POST", "/v2/*")
_JOBS = "WorkflowType = 'kling-job' AND KlingBatch = '{}'"
FAULTS = {
    "completed": [],
    "lost": [Fault("reset-late", 1.0, *_SUBMIT)],
    "uncertain": [Fault("reset-early", 1.0, *_SUBMIT)],
    "refused": [Fault("400", 1.0, *_SUBMIT)],
    "repeated": [Fault("502", 1.0, *_SUBMIT, nth=1, burst=5)],
}


async def find_job(setup: Setup, name: str) -> WorkflowHandle[object, object]:
    executions = [item async for item in setup.client.list_workflows(_JOBS.format(name))]
    return setup.client.get_workflow_handle(executions[0].id)


async def write(handle: WorkflowHandle[object, object], path: Path) -> None:
    history = await handle.fetch_history()
    path.write_text(f"{history.to_json()}\n", "utf-8")  # noqa: ASYNC240


async def record_faults(server: TemporalServer, folder: Path) -> None:
    for name, faults in FAULTS.items():
        with Sandbox(faults=faults, timing="polls:2") as sandbox:
            async with run_worker(server, sandbox, name, search_seconds=3) as setup:
                await setup.run([JOB], save_to="memory:renders/")
                await write(await find_job(setup, name), folder / f"{name}.json")


async def record_cancelled(server: TemporalServer, folder: Path) -> None:
    with Sandbox(timing="polls:1000") as sandbox:
        async with run_worker(server, sandbox, "cancelled") as setup:
            running = asyncio.create_task(setup.run([JOB]))
            while not (await list_jobs(setup.client, "cancelled")).states["RUNNING"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            handle = await find_job(setup, "cancelled")
            await handle.cancel()
            await running
            await write(handle, folder / "cancelled.json")


async def record_stored(server: TemporalServer, folder: Path) -> None:
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "stored") as setup:
            await setup.run([JOB])
            await setup.run([JOB], save_to="memory:renders/")
            async for execution in setup.client.list_workflows("WorkflowType = 'kling-store'"):
                await write(setup.client.get_workflow_handle(execution.id), folder / "stored.json")


async def record_batch(server: TemporalServer, folder: Path) -> None:
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "batch") as setup:
            await setup.run([{**JOB, "prompt": f"job {number}"} for number in range(4)], concurrency=2)
            query = "WorkflowType = 'kling-batch' AND KlingBatch = 'batch'"
            async for execution in setup.client.list_workflows(query):
                await write(setup.client.get_workflow_handle(execution.id), folder / "batch.json")


async def record_all(server: TemporalServer, folder: Path) -> None:
    await record_faults(server, folder)
    await record_cancelled(server, folder)
    await record_stored(server, folder)
    await record_batch(server, folder)


def main(version: str) -> None:
    folder = FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, run_server(Path(temporary)) as server:
        asyncio.run(record_all(server, folder))


if __name__ == "__main__":
    main(sys.argv[1])
