"""The job service: submits jobs, drives each to its end, and finds them again after a restart.

The journal is the truth. A restart loses nothing that is in memory only: a submit without an intent has sent nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from kling_adapters import JobExpired, JobFailed, KlingError, Params, StorageError
from kling_serve.claims import check_key, claim
from kling_serve.connections import Connections
from kling_serve.job import Job, Submission
from kling_serve.searches import is_search_due, is_searched
from kling_serve.watch import Watch

log = logging.getLogger("kling_serve")

_RETRY_SECONDS: Final = 30.0
"""Seconds after which a job is driven again whose gateway could not be asked or whose files could not be stored."""


class JobService:
    """The jobs of all connections.

    Args:
        connections: The connections, which are open while the service runs.
        outputs: The folder of stored files; each job has a folder in it that is named by its handle.

    Attributes:
        watch: The jobs as the journals have them.
        submissions: The submits of this process that have no entry in the journal, or failed before they had one.

    """

    def __init__(self, connections: Connections, outputs: Path) -> None:
        self.watch = Watch(connections)
        self.submissions: dict[str, Submission] = {}
        self._connections, self._outputs = connections, outputs
        self._tasks: set[asyncio.Task[None]] = set()
        self._submits: set[asyncio.Task[None]] = set()
        self._driven: set[str] = set()

    async def open(self) -> None:
        """Read the journals and resume every unfinished job, once."""
        await self.watch.refresh()
        _start(self._tasks, self.watch.run())
        _start(self._tasks, self._resume_all())

    async def close(self) -> None:
        """Wait for the answers to submits, so that none is uncertain, and stop. Jobs continue at the gateway."""
        await asyncio.gather(*self._submits, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(
        self,
        params: Params,
        *,
        connection: str | None = None,
        owner: str = "studio",
        handle: str | None = None,
        timeout: float | None = None,
    ) -> Submission:
        """Submit a job, and return once the journal has its intent, or the submit has failed.

        Args:
            params: The parameters.
            connection: Name of the gateway; None for the default.
            owner: Tag of the job in the journal.
            handle: Id of the job, 24 or 48 hexadecimal digits. A second submit with it submits nothing, also in another
                process, because the journal has the handle. None for a new one.
            timeout: Seconds after which to return in any case. The submit continues.

        Returns:
            The submission; `find` has the job by its handle.

        """
        handle = handle or secrets.token_hex(12)
        place = self._connections.find(connection)
        await self.watch.refresh()
        submission = self.submissions.get(handle)
        if submission is None or submission.error is not None:
            submission = Submission(handle, place, params, owner)
            if handle not in self.watch.jobs:
                self.submissions[handle] = submission
                _start(self._submits, self._run(submission))
        await self._await_intent(submission, timeout)
        return submission

    async def _await_intent(self, submission: Submission, timeout: float | None) -> None:
        """Wait until the journal has a submission, or it has failed."""
        try:
            async with asyncio.timeout(timeout):
                while submission.id not in self.watch.jobs and not submission.is_ended:
                    await asyncio.sleep(0.02)
                    await self.watch.refresh()
        except TimeoutError:
            return

    async def _run(self, submission: Submission) -> None:
        handle = submission.id
        self._driven.add(handle)
        try:
            await self._submit_once(submission)
        except KlingError as error:
            submission.error = error
        finally:
            submission.is_ended = True
            self._driven.discard(handle)
        await self.watch.refresh()
        if submission.error is None:
            self.submissions.pop(handle, None)
        # Also after an error: another process may have found the job of an uncertain submit meanwhile.
        self.drive(handle)

    async def _submit_once(self, submission: Submission) -> None:
        """Submit a job, unless the journal has it by now. Raises a KlingError."""
        client, handle = submission.connection.client, submission.id
        async with claim(handle, client.journal_path):
            await self.watch.refresh()
            check_key(handle, self.watch.jobs)
            if handle not in self.watch.jobs:
                destination = f"{self._outputs / handle}/"
                await client.submit(submission.params, save_to=destination, tag=submission.owner)

    def is_driven(self, job_id: str) -> bool:
        """Return whether a job is being submitted or waited for by this process."""
        return job_id in self._driven

    def drive(self, job_id: str) -> None:
        """Wait for a job in the background and store its files, unless that is under way."""
        job = self.watch.jobs.get(job_id)
        is_known = job is not None and job.is_unfinished and job.entry.request_id is not None
        if job is not None and is_known and job_id not in self._driven:
            self._driven.add(job_id)
            _start(self._tasks, self._drive(job))

    async def _drive(self, job: Job) -> None:
        try:
            while job.is_unfinished and not await self._finish(job):
                await asyncio.sleep(_RETRY_SECONDS)
                job = self.watch.jobs.get(job.id, job)
        finally:
            self._driven.discard(job.id)

    async def _finish(self, job: Job) -> bool:
        """Wait for a job and store its files. Return False if that has to be repeated."""
        entry, client = job.entry, job.connection.client
        assert entry.request_id is not None
        try:
            result = await client.job(entry.request_id, job.known_model).wait()
            if entry.save_to is not None:
                await result.save(entry.save_to)
        except (JobFailed, JobExpired):
            return True  # the journal has the reason
        except StorageError as error:
            log.warning("the files of job %s could not be stored: %s", job.id, error)
            return False
        except KlingError as error:
            log.warning("job %s could not be asked for: %s", job.id, error)
            return False
        finally:
            await self.watch.refresh()
        return True

    async def resume(self) -> int:
        """Drive every unfinished job of the journals, and return their number."""
        await self.watch.refresh()
        jobs = [job for job in self.watch.jobs.values() if job.is_unfinished]
        for job in jobs:
            self.drive(job.id)
        return len(jobs)

    async def store(self, job_id: str) -> None:
        """Store the files of a job that was submitted without a destination. Raises a KlingError."""
        job = await self.find(job_id)
        if job is not None and job.entry.request_id is not None and job.entry.state == "COMPLETED":
            result = await job.connection.client.job(job.entry.request_id, job.known_model).wait()
            await result.save(f"{self._outputs / job.id}/")
            await self.watch.refresh()

    async def reconcile(self) -> None:
        """Look in the request history for the jobs of uncertain submits, and drive those that are found."""
        for connection in self._connections:
            try:
                await connection.client.reconcile()
            except KlingError as error:
                log.warning("uncertain submits of %s could not be looked up: %s", connection.title, error)
        await self.resume()

    async def _resume_all(self) -> None:
        """Resume every unfinished job, and look for those of uncertain submits, which the history lists later."""
        await self.resume()
        while True:
            if any(is_search_due(job) for job in self.watch.jobs.values()):
                await self.reconcile()
            await asyncio.sleep(_RETRY_SECONDS)

    async def find(self, job_id: str) -> Job | None:
        """Return a job by its id; None if no journal has it."""
        await self.watch.refresh()
        return self.watch.jobs.get(job_id)

    async def wait(self, job_id: str, timeout: float) -> Job | None:
        """Wait until a job has ended and its files are stored, for `timeout` seconds at most, and return it.

        The job of an uncertain submit has not ended while it is searched.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        job = await self.find(job_id)
        while (job is None or job.is_open or is_searched(job)) and (rest := end - loop.time()) > 0:
            await self.watch.wait(self.watch.version, rest)
            job = self.watch.jobs.get(job_id)
        return job


def _start(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    def end(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the studio failed; the next start resumes its job", exc_info=error)

    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(end)
