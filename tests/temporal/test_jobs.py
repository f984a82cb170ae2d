"""Jobs as workflows, against the sandbox and a real server of Temporal."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import pytest
from kling_sandbox import Fault, Sandbox
from kling_temporal.activities import shield
from kling_temporal.listing import list_jobs
from kling_temporal.payloads import BATCH_WORKFLOW, JOB_WORKFLOW, BatchLine, BatchPart
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from kling_adapters import ConfigError, JobFailed, SubmitUncertain, TransportError, WaitTimeout
from kling_adapters.engine import JobRecord
from kling_adapters.testing import MP4, EventRecorder
from tests.temporal.batches import run_worker
from tests.temporal.servers import TemporalServer

pytestmark = pytest.mark.anyio
JOB = {"model": "kling-2", "prompt": "a lighthouse"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_batch_stores_every_output_once(server: TemporalServer, tmp_path: Path) -> None:
    requests = [{"model": "kling-2", "prompt": f"job {number}"} for number in range(5)]
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "stores") as setup:
            outcomes = await setup.run(requests, save_to=tmp_path / "out")
            assert [outcome.error for outcome in outcomes] == [None] * 5
            for outcome in outcomes:
                assert outcome.result is not None
                [file] = outcome.result.saved
                assert file.path.stat().st_size == file.size
            again = await setup.run(requests, save_to=tmp_path / "out")
        assert [outcome.request_id for outcome in again] == [outcome.request_id for outcome in outcomes]
        assert len(sandbox.submits) == 5


async def test_two_batches_with_one_line_submit_it_once(server: TemporalServer) -> None:
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "twice") as setup:
            job = JobRecord("twice", "kling-2", {"prompt": "a lighthouse"})
            line = BatchLine(id="twice", job=asdict(job))
            part = BatchPart("twice", sandbox.base_url, [line], 1)
            for number in range(2):
                await setup.client.execute_workflow(
                    BATCH_WORKFLOW, part, id=f"twice-{number}", task_queue="twice"
                )
        assert len(sandbox.submits) == 1


async def test_later_destination_receives_the_output(server: TemporalServer, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "later") as setup:
            [unsaved] = await setup.run([JOB])
            assert unsaved.result is not None
            assert not unsaved.result.saved
            requests = len(sandbox.requests)
            for _ in range(2):
                [outcome] = await setup.run([JOB], save_to=tmp_path / "out")
                assert outcome.request_id == unsaved.request_id
                assert outcome.result is not None
                [file] = outcome.result.saved
                assert file.path.stat().st_size == file.size
            jobs = await list_jobs(setup.client, "later")
        assert jobs.states == {"COMPLETED": 1}
        # Only the output is fetched, and once.
        assert [request.method for request in sandbox.requests[requests:]] == ["GET"]


async def test_shielded_submit_ends_after_a_cancellation() -> None:
    answers: list[str] = []

    async def submit() -> str:
        await asyncio.sleep(0.05)
        answers.append("request-1")
        return "request-1"

    task = asyncio.create_task(shield(submit()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "request-1"
    assert answers == ["request-1"]


async def test_refused_line_is_submitted_again_when_its_first_run_is_gone(server: TemporalServer) -> None:
    """A namespace keeps a workflow for some days only."""
    with Sandbox(faults=[Fault("400", method="POST", path="/v2/*", nth=1, burst=2)]) as sandbox:
        async with run_worker(server, sandbox, "forgotten") as setup:
            for _ in range(2):
                [outcome] = await setup.run([JOB])
                assert outcome.error is not None
            query = "WorkflowType = 'kling-job' AND KlingBatch = 'forgotten'"
            ids = sorted([execution.id async for execution in setup.client.list_workflows(query)])
            await setup.client.workflow_service.delete_workflow_execution(
                DeleteWorkflowExecutionRequest(
                    namespace=setup.client.namespace,
                    workflow_execution=WorkflowExecution(workflow_id=ids[0]),
                )
            )
            while (await setup.client.count_workflows(query)).count != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            [outcome] = await setup.run([JOB])
            assert outcome.error is None
        assert len(sandbox.billed) == 1


async def test_changed_batch_submits_only_new_lines(server: TemporalServer) -> None:
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "changed") as setup:
            await setup.run([JOB, JOB])
            outcomes = await setup.run([{**JOB, "prompt": "a kite"}, JOB, JOB, JOB])
            assert [outcome.error for outcome in outcomes] == [None] * 4
        assert len(sandbox.billed) == 4


async def test_job_of_a_lost_answer_is_in_the_history(server: TemporalServer) -> None:
    with Sandbox(faults=[Fault("reset-late", method="POST", path="/v2/*")]) as sandbox:
        async with run_worker(server, sandbox, "lost") as setup:
            # Two of them are equal: each has a job of its own.
            outcomes = await setup.run([JOB, JOB, {**JOB, "prompt": "a kite"}])
        assert [outcome.error for outcome in outcomes] == [None] * 3
        assert {outcome.request_id for outcome in outcomes} == set(sandbox.billed)
        assert len(sandbox.submits) == 3


async def test_submit_that_is_not_listed_stays_uncertain(server: TemporalServer) -> None:
    with Sandbox(faults=[Fault("reset-early", method="POST", path="/v2/*")]) as sandbox:
        async with run_worker(server, sandbox, "unlisted", search_seconds=1) as setup:
            [outcome] = await setup.run([JOB])
            assert isinstance(outcome.error, SubmitUncertain)
            [again] = await setup.run([JOB])
            assert isinstance(again.error, SubmitUncertain)
            jobs = await list_jobs(setup.client, "unlisted")
        assert jobs.states == {"UNCERTAIN": 1}
        assert len(jobs.problems) == 1
        assert len(sandbox.submits) == 1


async def test_submit_that_started_nothing_is_repeated(server: TemporalServer) -> None:
    with Sandbox(faults=[Fault("502", method="POST", path="/v2/*", nth=1, burst=5)]) as sandbox:
        async with run_worker(server, sandbox, "repeated") as setup:
            [outcome] = await setup.run([JOB])
        assert outcome.error is None
        assert len(sandbox.submits) == 6


async def test_worker_of_another_gateway_sends_nothing(server: TemporalServer) -> None:
    with Sandbox() as sandbox, Sandbox() as another:
        async with run_worker(server, sandbox, "gateways", base_url=another.base_url) as setup:
            [outcome] = await setup.run([JOB])
        assert isinstance(outcome.error, ConfigError)
        assert "this worker uses" in str(outcome.error)
        assert sandbox.submits == another.submits == ()


async def test_failed_job_is_a_failed_outcome(server: TemporalServer) -> None:
    with Sandbox(faults=[Fault("failed")]) as sandbox:
        async with run_worker(server, sandbox, "failed") as setup:
            [outcome] = await setup.run([JOB])
        assert isinstance(outcome.error, JobFailed)
        assert outcome.error.message


async def test_local_media_is_uploaded_before_the_start(server: TemporalServer, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(MP4)
    request = {"model": "kling-o1-video-to-video-edit", "prompt": "make it night", "video_url": film}
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "media") as setup:
            [outcome] = await setup.run([request])
            assert outcome.error is None
            await setup.run([request])
        assert sandbox.uploads == 1
        assert sandbox.submits[0].json["video_url"].startswith("http")


async def test_cancelled_job_continues_at_the_gateway(server: TemporalServer) -> None:
    with Sandbox(timing="polls:1000") as sandbox:
        async with run_worker(server, sandbox, "cancelled") as setup:
            running = asyncio.create_task(setup.run([JOB]))
            while not (await list_jobs(setup.client, "cancelled")).states["RUNNING"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            async for execution in setup.client.list_workflows(
                "WorkflowType = 'kling-job' AND KlingBatch = 'cancelled'"
            ):
                await setup.client.get_workflow_handle(execution.id).cancel()
            [outcome] = await running
            assert isinstance(outcome.error, WaitTimeout)
            assert outcome.request_id == sandbox.submits[0].request_id
            await setup.run([JOB])
        assert len(sandbox.submits) == 1


async def test_cancelled_batch_refuses_the_other_lines(server: TemporalServer) -> None:
    with Sandbox(timing="polls:1000") as sandbox:
        async with run_worker(server, sandbox, "stopped") as setup:
            running = asyncio.create_task(setup.run([JOB, {**JOB, "prompt": "a kite"}], concurrency=1))
            while not (await list_jobs(setup.client, "stopped")).states["RUNNING"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert (await list_jobs(setup.client, "stopped")).waiting == 1
            query = "KlingBatch = 'stopped' AND WorkflowType = '{}'"
            for kind in (BATCH_WORKFLOW, JOB_WORKFLOW):
                async for execution in setup.client.list_workflows(query.format(kind)):
                    await setup.client.get_workflow_handle(execution.id).cancel()
            [started, waiting] = await running
            assert (await list_jobs(setup.client, "stopped")).waiting == 0
        assert isinstance(started.error, WaitTimeout)
        assert isinstance(waiting.error, TransportError)
        assert "Nothing was sent" in str(waiting.error)
        assert len(sandbox.submits) == 1


async def test_terminated_workflow_is_uncertain(server: TemporalServer) -> None:
    with Sandbox(timing="polls:1000") as sandbox:
        async with run_worker(server, sandbox, "terminated") as setup:
            running = asyncio.create_task(setup.run([JOB]))
            while not (await list_jobs(setup.client, "terminated")).states["RUNNING"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            query = "WorkflowType = 'kling-job' AND KlingBatch = 'terminated'"
            async for execution in setup.client.list_workflows(query):
                await setup.client.get_workflow_handle(execution.id).terminate()
            [outcome] = await running
            assert isinstance(outcome.error, SubmitUncertain)
            await setup.run([JOB])
        assert len(sandbox.submits) == 1


async def test_workers_notify_plugins(server: TemporalServer, tmp_path: Path) -> None:
    recorder = EventRecorder()
    with Sandbox(timing="polls:4") as sandbox:
        async with run_worker(server, sandbox, "events", plugins=[recorder]) as setup:
            await setup.run([JOB], save_to=tmp_path / "{tag}-{request_id}.mp4")
    names = [type(event).__name__ for event in recorder.events]
    assert names == ["Submitted", "StateChanged", "StateChanged", "Completed", "Stored"]
    [stored] = tmp_path.iterdir()  # noqa: ASYNC240
    assert stored.name.startswith("events")
