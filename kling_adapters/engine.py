"""The steps of jobs, for an engine that keeps their state itself and runs each step in any of several processes.

The steps are the flows of the clients. The engine records what they have to know; see `JobStore`. kling-temporal is
such an engine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from kling_adapters.client import arguments
from kling_adapters.client.async_client import AsyncKling
from kling_adapters.client.engine_journal import EngineJournal, JobRecord, JobStore
from kling_adapters.client.result import AsyncResult
from kling_adapters.client.settings import check_key
from kling_adapters.journal.base import BaseJournal
from kling_adapters.models._gateway import HISTORY_LAG
from kling_adapters.protocol.collect import open_destination
from kling_adapters.protocol.file_names import check_unique_per_job
from kling_adapters.protocol.job_search import look_for_jobs
from kling_adapters.protocol.job_step import (
    NOT_STORED,
    UNFINISHED,
    JobEnd,
    JobProgress,
    advance_job,
    make_error,
)
from kling_adapters.protocol.recall import read_body
from kling_adapters.protocol.reconcile import next_look_delay
from kling_adapters.protocol.request_history import HISTORY_BUDGET, HistoryUnavailable
from kling_adapters.protocol.session import JobRef
from kling_adapters.protocol.tasks import Outcome, make_named_tasks
from kling_adapters.protocol.uploads import upload_media
from kling_adapters.result import StoredFile

if TYPE_CHECKING:
    from kling_adapters.protocol.batch_requests import Request

__all__ = [
    "NOT_STORED",
    "SEARCH_SECONDS",
    "UNFINISHED",
    "EngineClient",
    "JobEnd",
    "JobProgress",
    "JobRecord",
    "JobSearch",
    "JobStore",
    "PlannedJob",
    "check_key",
]

SEARCH_SECONDS: Final = HISTORY_LAG
"""Seconds for which a lost job is looked for, because the request history may list it so late."""
SUBMIT_SECONDS: Final = 5.0
"""Seconds for the retries of a step: the engine repeats it, and a process that dies in between leaves it uncertain."""


@dataclass(frozen=True)
class PlannedJob:
    """A request of a batch, as an engine starts it.

    Attributes:
        index: The position of the request, from 0.
        record: The job.

    """

    index: int
    record: JobRecord

    def refuse(self, error: Exception) -> Outcome[AsyncResult]:
        """Return the outcome of a job that was not started.

        Args:
            error: The reason.

        Returns:
            The outcome.

        """
        return Outcome(self.index, self.record.model, None, None, error)


@dataclass(frozen=True)
class JobSearch:
    """Outcome of a look for the job of an uncertain submit.

    Attributes:
        request_id: The request id; None if the job was not found, which proves nothing.
        delay: Seconds until the next look; None if this was the last.
        reason: The reason why it was not found.

    """

    request_id: str | None
    delay: float | None = None
    reason: str = ""


class EngineClient(AsyncKling):
    """A client whose jobs are recorded by an engine.

    Args:
        store: The records of the engine.
        **options: Arguments of `AsyncKling`, without `journal` and `resubmit_after`.

    """

    def __init__(self, store: JobStore, **options: Any) -> None:
        self._engine_journal = EngineJournal(store)
        super().__init__(journal=None, **options)

    def plan(
        self, requests: Iterable[Request], name: str, save_to: str | PathLike[str] | None
    ) -> list[PlannedJob | Outcome[AsyncResult]]:
        """Plan the jobs of a named batch. The same request has the same tag in each run; equal ones are numbered.

        Args:
            requests: The requests, as for `map`.
            name: The name of the batch.
            save_to: The destination of the output, which each process must be able to store to.

        Returns:
            The jobs, and the outcomes of requests that cannot be sent, in the order of the requests.

        Raises:
            ConfigError: An argument is invalid, or several jobs would have the same file name.

        """
        from kling_adapters.client.requests import prepare_request  # imports pydantic

        arguments.check_requests(requests)
        arguments.check_name("name", name)
        if (destination := arguments.resolve_save_to(save_to)) is not None:
            check_unique_per_job(destination)
        prepare = partial(prepare_request, self.catalog)
        return [
            Outcome(task.index, task.model, None, None, task.error)
            if task.error
            else PlannedJob(task.index, JobRecord(task.id, task.model, task.body, task.save_to))
            for task in make_named_tasks(requests, prepare, destination, name, {})
        ]

    async def upload_media(self, job: JobRecord) -> JobRecord:
        """Upload the local media of a job, so that any process can submit it. Raises as `submit` does.

        Args:
            job: The job.

        Returns:
            The job with URLs.

        """
        body = await self._driver.run(upload_media(self._session, job.params, float("inf")))
        return replace(job, params=body)

    async def submit_job(self, job: JobRecord) -> str:
        """Submit a job after its intent is recorded. Raises as `submit` does.

        Args:
            job: The job.

        Returns:
            The request id.

        """
        flow = self._submit_flow(job.model, job.params, None, None, job.save_to, SUBMIT_SECONDS, job.tag)
        return (await self._driver.run(flow)).request_id

    async def advance_job(self, job: JobRecord, progress: JobProgress) -> JobEnd | JobProgress:
        """Poll a job once; or, if it completed, try once to store its output in its destination.

        Args:
            job: The job, with its request id.
            progress: The outcome of the step before.

        Returns:
            The end of the job, or its progress, with the seconds until the next step.

        """
        open_storage = None
        if job.save_to is not None:
            open_storage = partial(open_destination, self._plugins.storage, job.save_to)
        flow = advance_job(self._session, self._make_ref(job), job.created, progress, open_storage)
        with self._engine_journal.hold(self.base_url, job):
            return await self._driver.run(flow)

    async def look_for_job(
        self, job: JobRecord, until: float, looks: int, seconds: float = SEARCH_SECONDS
    ) -> JobSearch:
        """Look once in the request history for the job of an uncertain submit, and claim it.

        Args:
            job: The job, with the key and the time of its submit.
            until: The time at which it became uncertain, in seconds since 1970.
            looks: The number of looks so far, with this one.
            seconds: Seconds after `until` in which the job is looked for.

        Returns:
            The request id, or the seconds until the next look.

        """
        # A look that begins in time counts, however long it takes.
        remaining = until + seconds - time.time()
        with self._engine_journal.hold(self.base_url, job, until) as entry:
            try:
                search = await self._driver.run(look_for_jobs(self._session, [entry], HISTORY_BUDGET))
            except HistoryUnavailable as error:
                reason, is_final = f"the request history cannot be searched: {error}", error.is_final
            else:
                if entry.id in search.settled:
                    return JobSearch(search.settled[entry.id].request_id)
                reason, is_final = "the job is not listed", False
        delay = None if is_final or remaining <= 0 else min(next_look_delay(looks), max(1.0, remaining))
        return JobSearch(None, delay, reason)

    def make_outcome(self, planned: PlannedJob, end: JobEnd) -> Outcome[AsyncResult]:
        """Return the outcome of a job that was started.

        Args:
            planned: The job.
            end: Its end.

        Returns:
            The outcome, with the result if the job completed.

        Raises:
            ConfigError: The recorded answer is not that of a completed job.

        """
        job, result = replace(planned.record, request_id=end.request_id), None
        if end.body is not None:
            ref = self._make_ref(job)
            data = read_body(ref.request_id, ref.model, ref.returns, end.body)
            result = self._make_result(data, tuple(StoredFile(**file) for file in end.files))
        return Outcome(planned.index, job.model, end.request_id, result, make_error(end, job.model))

    def _make_ref(self, job: JobRecord) -> JobRef:
        arguments.check_request_id(job.request_id)
        return JobRef.of(str(job.request_id), job.model, self._find_adapter(job.model))

    def _open_journal(self, journal: str | PathLike[str] | None) -> BaseJournal:
        return self._engine_journal
