"""The steps of jobs for an engine, with records in memory."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from kling_sandbox import Fault, Faults, Sandbox

from kling_adapters import (
    ConfigError,
    JobExpired,
    JobFailed,
    StorageError,
    SubmitUncertain,
    WaitTimeout,
    events,
    fingerprint_key,
)
from kling_adapters.engine import (
    EngineClient,
    JobEnd,
    JobProgress,
    JobRecord,
    PlannedJob,
)
from kling_adapters.protocol.reconcile import next_look_delay
from kling_adapters.protocol.single_poll import PollProgress
from kling_adapters.testing import EventRecorder, SimulatedClock

pytestmark = pytest.mark.anyio
JOB = JobRecord("films#1.0", "kling-2", {"prompt": "a lighthouse"})


class Records:
    """The records of an engine of one process."""

    def __init__(self) -> None:
        self.intents: list[tuple[str, str, float]] = []
        self.submitting: list[JobRecord] = []
        self.owners: dict[str, str] = {}
        self.failure: Exception | None = None

    def record_intent(self, tag: str, key: str, created: float) -> None:
        if self.failure is not None:
            raise self.failure
        self.intents.append((tag, key, created))

    def find_submitting(self, model: str) -> list[JobRecord]:
        return self.submitting

    def has_job(self, request_id: str) -> bool:
        return request_id in self.owners

    def claim(self, tag: str, request_id: str) -> bool:
        return self.owners.setdefault(request_id, tag) == tag


def open_client(sandbox: Sandbox, records: Records, *plugins: object) -> EngineClient:
    clock = SimulatedClock()
    return EngineClient(
        records, base_url=sandbox.base_url, api_key=sandbox.api_key, clock=clock, plugins=plugins
    )


async def follow(kling: EngineClient, job: JobRecord) -> JobEnd:
    """Advance a job until it ends, with the progress that an engine would keep."""
    progress = JobProgress()
    while isinstance(outcome := await kling.advance_job(job, progress), JobProgress):
        progress = outcome
        await anyio.lowlevel.checkpoint()
    return outcome


async def advance(kling: EngineClient, job: JobRecord, progress: JobProgress) -> JobProgress:
    """Advance a job by a step that does not end it."""
    outcome = await kling.advance_job(job, progress)
    assert isinstance(outcome, JobProgress)
    return outcome


async def find_result(kling: EngineClient, job: JobRecord) -> JobProgress:
    """Poll a job until it completes."""
    progress = JobProgress()
    while progress.body is None:
        progress = await advance(kling, job, progress)
    return progress


async def submit(kling: EngineClient, records: Records) -> JobRecord:
    request_id = await kling.submit_job(JOB)
    _, key, created = records.intents[-1]
    return replace(JOB, request_id=request_id, key=key, created=created)


async def test_intent_is_recorded_before_the_submit() -> None:
    records = Records()
    with Sandbox() as sandbox:
        async with open_client(sandbox, records) as kling:
            await kling.submit_job(JOB)
            assert records.intents[0][:2] == (JOB.tag, fingerprint_key(sandbox.api_key))
            records.failure = OSError("the engine is down")
            with pytest.raises(OSError, match="down"):
                await kling.submit_job(JOB)
        assert len(sandbox.submits) == 1


async def test_polls_of_several_processes_are_one_wait(tmp_path: Path) -> None:
    records, recorder = Records(), EventRecorder()
    with Sandbox(timing="polls:3") as sandbox:
        async with open_client(sandbox, records) as kling:
            job = await submit(kling, records)
        async with open_client(sandbox, records, recorder) as kling:
            end = await follow(kling, replace(job, save_to=str(tmp_path)))
            outcome = kling.make_outcome(PlannedJob(0, job), end)
        assert (outcome.error, outcome.request_id) == (None, job.request_id)
        assert outcome.result is not None
        [file] = outcome.result.saved
        assert file.path.stat().st_size == file.size
    names = [type(event) for event in recorder.events]
    assert names == [events.StateChanged, events.StateChanged, events.Completed, events.Stored]
    completed = recorder.events[2]
    assert isinstance(completed, events.Completed)
    assert completed.polls == 5


async def test_failed_poll_is_progress() -> None:
    records = Records()
    with Sandbox(timing="at-once") as sandbox:
        async with open_client(sandbox, records) as kling:
            job = await submit(kling, records)
            sandbox.faults = Faults([Fault("502", method="GET", nth=1), Fault("502", method="GET", nth=1)])
            progress = await advance(kling, job, JobProgress())
            assert progress.poll.failures == 1
            assert progress.delay == pytest.approx(1.0, rel=0.2)
            assert (await follow(kling, job)).state == "COMPLETED"


async def test_job_expires_after_three_missing_answers() -> None:
    records = Records()
    with Sandbox() as sandbox:
        async with open_client(sandbox, records) as kling:
            job = JobRecord(
                "films#1.0", "kling-2", {}, None, "no-such-job", fingerprint_key(sandbox.api_key), time.time()
            )
            first = await advance(kling, job, JobProgress(PollProgress(polls=1)))
            second = await advance(kling, job, first)
            assert second.poll.missing == 2
            end = await kling.advance_job(job, second)
            assert isinstance(end, JobEnd)
            assert isinstance(kling.make_outcome(PlannedJob(0, job), end).error, JobExpired)


async def test_failed_job_is_a_failed_outcome() -> None:
    records = Records()
    with Sandbox(faults=[Fault("failed")]) as sandbox:
        async with open_client(sandbox, records) as kling:
            end = await follow(kling, await submit(kling, records))
            error = kling.make_outcome(PlannedJob(0, JOB), end).error
    assert isinstance(error, JobFailed)
    assert error.message == end.reason


async def test_refused_poll_is_repeated_a_minute_later() -> None:
    records = Records()
    with Sandbox(timing="at-once") as sandbox:
        async with open_client(sandbox, records) as kling:
            job = await submit(kling, records)
            sandbox.faults = Faults([Fault("403", method="GET", nth=1)])
            progress = await advance(kling, job, JobProgress())
            assert progress.delay == 60.0
            assert "403" in progress.reason
            assert (await follow(kling, job)).state == "COMPLETED"


async def test_job_is_not_polled_for_more_than_a_day() -> None:
    records = Records()
    with Sandbox(timing="polls:1000") as sandbox:
        async with open_client(sandbox, records) as kling:
            job = await submit(kling, records)
            end = await follow(kling, replace(job, created=job.created - 86401))
            assert end.state == "UNFINISHED"
            assert isinstance(kling.make_outcome(PlannedJob(0, job), end).error, WaitTimeout)


async def test_storing_is_repeated_while_the_gateway_has_the_output(tmp_path: Path) -> None:
    records = Records()
    with Sandbox(timing="at-once") as sandbox:
        async with open_client(sandbox, records) as kling:
            folder = tmp_path / "folder"
            folder.write_text("a file")
            job = replace(await submit(kling, records), save_to=str(folder))
            progress = await find_result(kling, job)
            polls, delays = len(sandbox.requests), []
            for _ in range(3):
                progress = await advance(kling, job, progress)
                delays.append(progress.delay)
            assert delays == [1.0, 2.0, 4.0]
            late = await kling.advance_job(replace(job, created=job.created - 8 * 86400), progress)
            assert isinstance(late, JobEnd)
            assert late.state == "NOT STORED"
            outcome = kling.make_outcome(PlannedJob(0, job), late)
            assert isinstance(outcome.error, StorageError)
            assert outcome.result is not None
            assert (await advance(kling, job, replace(progress, failures=2000))).delay == 300.0
            assert len(sandbox.requests) == polls, "the gateway was asked for a job whose result is known"
            folder.unlink()
            assert isinstance(end := await kling.advance_job(job, progress), JobEnd)
            assert end.state == "COMPLETED"
            assert len(end.files) == 1


async def test_answer_of_no_completed_job_is_refused() -> None:
    with Sandbox() as sandbox:
        async with open_client(sandbox, Records()) as kling:
            end = JobEnd("COMPLETED", "request-1", {"status": "PROCESSING"})
            with pytest.raises(ConfigError, match="not the result of job request-1"):
                kling.make_outcome(PlannedJob(0, JOB), end)


async def test_lost_job_is_claimed_once() -> None:
    records = Records()
    with Sandbox(faults=[Fault("reset-late", method="POST")]) as sandbox:
        async with open_client(sandbox, records) as kling:
            for _ in range(2):
                with pytest.raises(SubmitUncertain):
                    await kling.submit_job(JOB)
            _, key, created = records.intents[-1]
            lost = [
                JobRecord(f"films#1.{number}", JOB.model, JOB.params, None, None, key, created)
                for number in range(3)
            ]
            # An equal submit in flight may be the owner.
            records.submitting = [JobRecord("films#1.9", JOB.model, JOB.params, created=created)]
            look = await kling.look_for_job(lost[0], created + 1, looks=3)
            assert (look.request_id, look.delay) == (None, 15.0)
            assert "not listed" in look.reason
            records.submitting = []
            looks = [(await kling.look_for_job(job, created + 1, 1)).request_id for job in lost]
        assert {looks[0], looks[1]} == set(sandbox.billed)
        assert looks[2] is None
        assert records.owners == {looks[0]: lost[0].tag, looks[1]: lost[1].tag}


async def test_search_ends_with_its_time_or_another_key() -> None:
    with Sandbox() as sandbox:
        async with open_client(sandbox, Records()) as kling:
            now = time.time()
            lost = replace(JOB, key=fingerprint_key(sandbox.api_key), created=now)
            soon = await kling.look_for_job(lost, now, looks=9, seconds=2)
            assert soon.delay is not None
            assert 0 < soon.delay <= 2
            assert (await kling.look_for_job(lost, now - 60, looks=9, seconds=2)).delay is None
            another = await kling.look_for_job(replace(lost, key="be850672d229"), now, looks=1)
            assert another.delay is None
            assert "another API key" in another.reason


def test_looks_are_at_growing_distances() -> None:
    delays = [next_look_delay(looks) for looks in range(12)]
    assert delays[:6] == [0.0, 2.0, 5.0, 15.0, 30.0, 60.0]
    assert delays == sorted(delays)
    assert delays[-1] == 600.0
