"""The activities of workers. Each runs a step of a client; see `kling_adapters.engine`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.converter import value_to_type
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from kling_adapters import (
    GATEWAY_STATUSES,
    ApiError,
    KlingError,
    StorageError,
    SubmitUncertain,
    TransportError,
)
from kling_adapters.engine import (
    SEARCH_SECONDS,
    EngineClient,
    JobEnd,
    JobProgress,
    JobRecord,
)
from kling_temporal.payloads import Accepted, Search
from kling_temporal.store import TemporalStore

T = TypeVar("T")

HEARTBEAT_SECONDS: Final = 4.0
_MISMATCH_SECONDS: Final = 60.0
"""Seconds until a step of another gateway is tried again, until someone repairs it."""


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
        self._check_gateway(gateway)
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
        self._check_gateway(search.gateway)
        looks = activity.info().attempt
        async with heartbeats():
            look = await self.kling.look_for_job(search.job, search.until, looks, self.search_seconds)
        if look.delay is not None:
            raise make_pending(look.reason, look.delay)
        if look.request_id is None:
            activity.logger.warning("the job of a lost submit was not found: %s", look.reason)
        return look.request_id

    @activity.defn(name="kling-collect")
    async def collect(self, job: JobRecord, gateway: str) -> JobEnd:
        """Poll a job once, and store the output of a completed one. Temporal calls this again until both are done."""
        return await self._advance(job, gateway, JobProgress())

    @activity.defn(name="kling-store")
    async def store(self, job: JobRecord, gateway: str, completed: JobEnd) -> JobEnd:
        """Store the output of a completed job. Temporal calls this again until it is stored."""
        return await self._advance(job, gateway, JobProgress(body=completed.body))

    async def _advance(self, job: JobRecord, gateway: str, progress: JobProgress) -> JobEnd:
        """Go on from the progress of an earlier try, which the server keeps in the heartbeat."""
        self._check_gateway(gateway)
        if details := activity.info().heartbeat_details:
            progress = value_to_type(JobProgress, details[0])

        async def report() -> None:
            activity.heartbeat(progress)

        async with heartbeats(report):
            while isinstance(outcome := await self.kling.advance_job(job, progress), JobProgress):
                progress = outcome
                await report()
                if progress.delay is not None:
                    raise make_pending(progress.reason, progress.delay)
            return outcome

    def _check_gateway(self, gateway: str) -> None:
        """Leave a step to another worker if this one would ask the wrong gateway; a submit has no other try."""
        if gateway == self.kling.base_url:
            return
        problem = (
            f"the job is for the gateway {gateway}, and this worker uses {self.kling.base_url}. Start the worker with "
            "that gateway, or use another task queue. This one sends nothing for the job"
        )
        activity.logger.warning("%s", problem)
        raise make_pending(problem, _MISMATCH_SECONDS, "ConfigError")

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


def make_pending(reason: str, delay: float | None = None, kind: str = "Pending") -> ApplicationError:
    """Return the error that makes Temporal run an activity again after `delay` seconds, or as its retry policy says."""
    category = ApplicationErrorCategory.BENIGN
    next_delay = None if delay is None else timedelta(seconds=delay)
    return ApplicationError(reason, type=kind, next_retry_delay=next_delay, category=category)


def make_final(kind: str, reason: str, *details: Any) -> ApplicationError:
    """Return the error of a submit, of which the workflow decides."""
    category = ApplicationErrorCategory.BENIGN
    return ApplicationError(reason, *details, type=kind, non_retryable=True, category=category)


async def _report() -> None:
    activity.heartbeat()


@asynccontextmanager
async def heartbeats(send: Callable[[], Awaitable[None]] = _report) -> AsyncGenerator[None]:
    """Send heartbeats inside the block, so that the step of a lost worker is soon another's."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await send()
            except Exception as error:  # noqa: BLE001  the step goes on, and its end is reported
                activity.logger.info("a heartbeat failed: %s", error)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()


async def shield(call: Awaitable[T]) -> T:
    """Await a call to its end, even if the activity is cancelled: a submit that is cut off may have been paid for."""
    task = asyncio.ensure_future(call)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()
