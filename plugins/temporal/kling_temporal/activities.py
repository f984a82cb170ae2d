"""The activities of workers. Each runs a step of a client; see `kling_adapters.engine`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from kling_adapters import (
    ApiError,
    BadGateway,
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    RateLimited,
    ResultData,
    ServerError,
    StorageError,
    SubmitUncertain,
    TransportError,
)
from kling_adapters.engine import SEARCH_SECONDS, EngineClient, JobRecord, PollProgress, next_look_delay
from kling_temporal import payloads
from kling_temporal.payloads import Accepted, JobEnd, Search
from kling_temporal.store import TemporalStore

T = TypeVar("T")

_HEARTBEAT_SECONDS: Final = 4.0
_REFUSAL_SECONDS: Final = timedelta(minutes=1)
"""The distance of polls that are refused, by a key that was revoked say, until someone repairs it."""
_PASSING: Final = (TransportError, RateLimited, ServerError, BadGateway, StorageError)
"""Errors of a submit that started nothing, and may pass."""
_CLOSED_LOOK_SECONDS: Final = timedelta(seconds=5)


class Activities:
    """The activities of one worker.

    Args:
        kling: The client for the gateway.
        temporal: The client of Temporal.
        store: The records of jobs in Temporal.
        search_seconds: Seconds for which the job of a lost submit is looked for.

    """

    def __init__(
        self,
        kling: EngineClient,
        temporal: Client,
        store: TemporalStore,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        self._kling = kling
        self._temporal = temporal
        self._store = store
        self._search_seconds = search_seconds

    @property
    def all(self) -> list[Callable[..., Any]]:
        """The activities."""
        return [self.submit, self.search, self.wait, self.store_output, self.find_ended]

    @activity.defn(name="kling-submit")
    async def submit(self, job: JobRecord, gateway: str) -> Accepted:
        """Submit a job. It is cut off only by the death of the worker."""
        if gateway != self._kling.base_url:
            message = (
                f"the job is for the gateway {gateway}, and this worker uses {self._kling.base_url}. Start the worker with "
                "that gateway, or use another task queue. Nothing was sent"
            )
            raise ApplicationError(message, type="ConfigError", non_retryable=True)
        submit = self._store.open_submit(job.tag, activity.info().task_token)
        try:
            async with _heartbeats(submit.heartbeat):
                request_id = await _shield(self._kling.submit_job(job))
        except SubmitUncertain as error:
            raise ApplicationError(
                error.reason, submit.intent, type="SubmitUncertain", non_retryable=True
            ) from error
        except KlingError as error:
            kind = "NotSent" if isinstance(error, _PASSING) else type(error).__name__
            raise ApplicationError(str(error), type=kind, non_retryable=True) from error
        finally:
            del self._store.submits[job.tag]
        assert submit.intent is not None
        return Accepted(request_id, submit.intent)

    @activity.defn(name="kling-search")
    async def search(self, search: Search) -> str | None:
        """Look once for the job of a lost submit."""
        looks = activity.info().attempt
        remaining = search.until + self._search_seconds - time.time()
        request_id = None
        try:
            async with _heartbeats():
                request_id = await self._kling.look_for_job(search.job, search.until)
        except ConfigError as error:
            activity.logger.warning("%s", error)
            return None
        except TransportError as error:
            activity.logger.info("%s", error)
        if request_id is not None or remaining <= 0:
            return request_id
        delay = min(next_look_delay(looks), max(1.0, remaining))
        raise ApplicationError(
            "the job is not listed", type="Pending", next_retry_delay=timedelta(seconds=delay)
        )

    @activity.defn(name="kling-wait")
    async def wait(self, job: JobRecord) -> JobEnd:
        """Poll a job once. Temporal calls this again until the job has ended."""
        details = activity.info().heartbeat_details
        progress = PollProgress(**details[0]) if details else PollProgress()
        try:
            async with _heartbeats(lambda: _report(progress)):
                outcome = await self._kling.poll_job(job, progress)
        except (JobFailed, JobExpired) as error:
            state = "FAILED" if isinstance(error, JobFailed) else "EXPIRED"
            reason = error.message if isinstance(error, JobFailed) else str(error)
            return JobEnd(state, job.request_id, reason=reason)
        except (ApiError, ConfigError) as error:
            kind = type(error).__name__
            raise ApplicationError(str(error), type=kind, next_retry_delay=_REFUSAL_SECONDS) from error
        if isinstance(outcome, ResultData):
            return JobEnd(payloads.COMPLETED, job.request_id, outcome.body)
        activity.heartbeat(outcome)
        delay = timedelta(seconds=outcome.delay)
        raise ApplicationError(outcome.state or "not polled yet", type="Pending", next_retry_delay=delay)

    @activity.defn(name="kling-store")
    async def store_output(self, job: JobRecord, body: dict[str, Any]) -> list[Mapping[str, Any]]:
        """Store the output of a completed job."""
        try:
            async with _heartbeats():
                files = await self._kling.store_output(job, body)
        except StorageError as error:
            raise ApplicationError(str(error), type="StorageError", non_retryable=error.is_gone) from error
        # A link opens the file without credentials, and expires.
        return [{**asdict(file), "link": None} for file in files]

    @activity.defn(name="kling-find-ended")
    async def find_ended(self, workflow_ids: list[str]) -> list[str]:
        """Return those of the workflows that have ended. Temporal calls this again until there are some."""
        descriptions = [await self._temporal.get_workflow_handle(id_).describe() for id_ in workflow_ids]
        ended = [item.id for item in descriptions if item.status != WorkflowExecutionStatus.RUNNING]
        if not ended:
            raise ApplicationError("all are running", type="Pending", next_retry_delay=_CLOSED_LOOK_SECONDS)
        return ended


async def _report(progress: PollProgress) -> None:
    activity.heartbeat(progress)


async def _report_nothing() -> None:
    activity.heartbeat()


@asynccontextmanager
async def _heartbeats(send: Callable[[], Awaitable[None]] = _report_nothing) -> AsyncGenerator[None]:
    """Send heartbeats inside the block, so that the step of a lost worker is soon another's."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            try:
                await send()
            except Exception as error:  # noqa: BLE001  the step goes on, and its end is reported
                activity.logger.info("a heartbeat failed: %s", error)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()


async def _shield(call: Awaitable[T]) -> T:
    """Await a call to its end, even if the activity is cancelled: a submit that is cut off may have been paid for."""
    task = asyncio.ensure_future(call)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
