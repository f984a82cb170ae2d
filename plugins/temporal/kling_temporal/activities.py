"""The activities of workers. Each runs a step of a client; see `kling_adapters.engine`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus

from kling_adapters import (
    GATEWAY_STATUSES,
    ApiError,
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    ResultData,
    StorageError,
    SubmitUncertain,
    TransportError,
)
from kling_adapters.engine import SEARCH_SECONDS, STORE_SECONDS, EngineClient, JobRecord, next_look_delay
from kling_temporal import payloads
from kling_temporal.payloads import Accepted, JobEnd, Search
from kling_temporal.steps import Progress, heartbeats, make_final, make_pending, read_progress, shield
from kling_temporal.store import TemporalStore

_REFUSAL_SECONDS: Final = 60.0
"""The distance of polls that are refused, by a key that was revoked say, until someone repairs it."""
_LONGEST_WAIT: Final = 86400.0
_LONGEST_STORE_DELAY: Final = 300.0


@dataclass(frozen=True)
class Activities:
    """The activities of one worker.

    Attributes:
        kling: The client for the gateway.
        records: The records of jobs in Temporal.
        search_seconds: Seconds for which the job of a lost submit is looked for.

    """

    kling: EngineClient
    records: TemporalStore
    search_seconds: float = SEARCH_SECONDS

    @property
    def all(self) -> list[Callable[..., Any]]:
        """The activities."""
        return [self.submit, self.search, self.collect, self.store, self.find_ended]

    @activity.defn(name="kling-submit")
    async def submit(self, job: JobRecord, gateway: str) -> Accepted:
        """Submit a job. It is cut off only by the death of the worker."""
        if problem := self._find_mismatch(gateway):
            raise make_final("ConfigError", f"{problem}. Nothing was sent")
        if job.tag in self.records.submits:
            raise make_final("NotSent", "an earlier attempt has not ended on this worker. Nothing was sent")
        submit = self.records.open_submit(job.tag, activity.info().task_token)
        try:
            async with heartbeats(submit.heartbeat):
                request_id = await shield(self.kling.submit_job(job))
        except SubmitUncertain as error:
            raise make_final("SubmitUncertain", error.reason, submit.intent) from error
        except KlingError as error:
            kind = "NotSent" if _may_pass(error) else type(error).__name__
            raise make_final(kind, str(error)) from error
        except BaseException as error:
            if submit.intent is None:
                raise
            # A defect of a plugin, say: whether the request was sent is unknown.
            raise make_final("SubmitUncertain", f"{type(error).__name__}: {error}", submit.intent) from error
        finally:
            del self.records.submits[job.tag]
        assert submit.intent is not None
        return Accepted(request_id, submit.intent)

    @activity.defn(name="kling-search")
    async def search(self, search: Search) -> str | None:
        """Look once for the job of a lost submit."""
        remaining = search.until + self.search_seconds - time.time()
        try:
            async with self._run_step(search.gateway):
                if (request_id := await self.kling.look_for_job(search.job, search.until)) is not None:
                    return request_id
        except ConfigError as error:
            activity.logger.warning("%s", error)
            return None
        except TransportError as error:
            activity.logger.info("%s", error)
        if remaining <= 0:
            return None
        delay = next_look_delay(activity.info().attempt)
        raise make_pending("the job is not listed", min(delay, max(1.0, remaining)))

    @activity.defn(name="kling-collect")
    async def collect(self, job: JobRecord, gateway: str) -> JobEnd:
        """Poll a job once, and store the output of a completed one. Temporal calls this again until both are done."""
        async with self._run_step(gateway) as progress:
            if progress.body is None:
                end = await self._poll(job, progress)
            else:
                end = JobEnd(payloads.COMPLETED, job.request_id, progress.body)
            if end.state != payloads.COMPLETED or job.save_to is None:
                return end
            return await self._store_output(job, progress, end)

    @activity.defn(name="kling-store")
    async def store(self, job: JobRecord, gateway: str, completed: JobEnd) -> JobEnd:
        """Store the output of a completed job. Temporal calls this again until it is stored."""
        async with self._run_step(gateway) as progress:
            return await self._store_output(job, progress, completed)

    def _find_mismatch(self, gateway: str) -> str | None:
        if gateway == self.kling.base_url:
            return None
        return (
            f"the job is for the gateway {gateway}, and this worker uses {self.kling.base_url}. Start the worker with "
            "that gateway, or use another task queue"
        )

    @asynccontextmanager
    async def _run_step(self, gateway: str) -> AsyncGenerator[Progress]:
        """Send heartbeats inside the block, with the progress of earlier tries and of this one.

        A step is left to another worker if this one would ask the wrong gateway, which does not have the job.
        """
        if problem := self._find_mismatch(gateway):
            activity.logger.warning("%s", problem)
            raise make_pending(problem, _REFUSAL_SECONDS)
        progress = read_progress()
        async with heartbeats(progress.report):
            yield progress

    async def _poll(self, job: JobRecord, progress: Progress) -> JobEnd:
        """Poll a job once. Return its end, or have Temporal call the step again."""
        try:
            outcome = await self.kling.poll_job(job, progress.poll)
        except JobFailed as error:
            return JobEnd(payloads.FAILED, job.request_id, reason=error.message)
        except JobExpired as error:
            return JobEnd(payloads.EXPIRED, job.request_id, reason=str(error))
        except (ApiError, ConfigError) as error:
            raise make_pending(str(error), _REFUSAL_SECONDS) from error
        if isinstance(outcome, ResultData):
            progress.body = outcome.body
            await progress.report()
            return JobEnd(payloads.COMPLETED, job.request_id, outcome.body)
        if time.time() > job.created + _LONGEST_WAIT:
            return JobEnd(payloads.UNFINISHED, job.request_id, reason=f"its last state is {outcome.state}")
        progress.poll = outcome
        await progress.report()
        raise make_pending(outcome.state or "not polled yet", outcome.delay)

    async def _store_output(self, job: JobRecord, progress: Progress, end: JobEnd) -> JobEnd:
        try:
            files = await self.kling.store_output(job, end.body or {})
        except (StorageError, ConfigError) as error:
            is_gone = isinstance(error, StorageError) and error.is_gone
            if is_gone or time.time() > job.created + STORE_SECONDS:
                return replace(end, state=payloads.NOT_STORED, reason=str(error))
            delay = min(_LONGEST_STORE_DELAY, 2.0**progress.failures)
            progress.failures += 1
            await progress.report()
            raise make_pending(str(error), delay) from error
        # A link opens the file without credentials, and expires.
        return replace(end, files=[{**asdict(file), "link": None} for file in files])

    @activity.defn(name="kling-find-ended")
    async def find_ended(self, workflow_ids: list[str]) -> list[str]:
        """Return those of the workflows that have ended. Temporal calls this again until there are some."""
        client = activity.client()
        descriptions = [await client.get_workflow_handle(id_).describe() for id_ in workflow_ids]
        ended = [item.id for item in descriptions if item.status != WorkflowExecutionStatus.RUNNING]
        if not ended:
            raise make_pending("all are running")
        return ended


def _may_pass(error: KlingError) -> bool:
    """Return whether a submit that started nothing may succeed when it is repeated."""
    if isinstance(error, ApiError):
        row = GATEWAY_STATUSES.get(error.status)
        return row is not None and row.submit == "safe"
    return isinstance(error, TransportError | StorageError)
