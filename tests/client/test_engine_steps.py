"""The steps of jobs for an engine, with records in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from kling_sandbox import Fault, Faults, Sandbox

from kling_adapters import AsyncResult, JobExpired, JobFailed, SubmitUncertain, events, fingerprint_key
from kling_adapters.engine import EngineClient, JobRecord, PollProgress, next_look_delay
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


async def follow(kling: EngineClient, job: JobRecord) -> AsyncResult:
    """Poll a job until it ends, with the progress that an engine would keep."""
    progress = PollProgress()
    while not isinstance(outcome := await kling.poll_job(job, progress), AsyncResult):
        progress = outcome
        await anyio.lowlevel.checkpoint()
    return outcome


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
            result = await follow(kling, job)
            [file] = await kling.store_output(replace(job, save_to=str(tmp_path)), result.body)
            assert file.path.stat().st_size == file.size
            assert kling.read_result(job, result.body, (file,)).saved == (file,)
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
            progress = await kling.poll_job(job, PollProgress())
            assert isinstance(progress, PollProgress)
            assert progress.failures == 1
            assert progress.delay == pytest.approx(1.0, rel=0.2)
            await follow(kling, job)


async def test_job_expires_after_three_missing_answers() -> None:
    records = Records()
    with Sandbox() as sandbox:
        async with open_client(sandbox, records) as kling:
            job = JobRecord(
                "films#1.0", "kling-2", {}, None, "no-such-job", fingerprint_key(sandbox.api_key), 1.0
            )
            first = await kling.poll_job(job, PollProgress(polls=1))
            assert isinstance(first, PollProgress)
            second = await kling.poll_job(job, first)
            assert isinstance(second, PollProgress)
            assert second.missing == 2
            with pytest.raises(JobExpired):
                await kling.poll_job(job, second)


async def test_failed_job_raises() -> None:
    records = Records()
    with Sandbox(faults=[Fault("failed")]) as sandbox:
        async with open_client(sandbox, records) as kling:
            with pytest.raises(JobFailed):
                await follow(kling, await submit(kling, records))


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
            assert await kling.look_for_job(lost[0], created + 1) is None
            records.submitting = []
            looks = [await kling.look_for_job(job, created + 1) for job in lost]
        assert {looks[0], looks[1]} == set(sandbox.billed)
        assert looks[2] is None
        assert records.owners == {looks[0]: lost[0].tag, looks[1]: lost[1].tag}


def test_looks_are_at_growing_distances() -> None:
    delays = [next_look_delay(looks) for looks in range(12)]
    assert delays[:6] == [0.0, 2.0, 5.0, 15.0, 30.0, 60.0]
    assert delays == sorted(delays)
    assert delays[-1] == 600.0
