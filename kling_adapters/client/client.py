"""Kling, the blocking client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Self

# Python 3.15 imports these modules when a call needs them; earlier versions, at once.
__lazy_modules__ = ("kling_adapters.driver.threads",)

from kling_adapters._http.custom import GatewayTransport, check_transport
from kling_adapters._http.settings import ConnectionSettings
from kling_adapters._lazy_types import lazy_type
from kling_adapters.client._slug_calls import SyncSlugCalls
from kling_adapters.client.job import Job
from kling_adapters.client.result import Result
from kling_adapters.driver.clock import Clock
from kling_adapters.driver.sync import SyncDriver
from kling_adapters.driver.threads import run_in_threads
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.session import JobRef
from kling_adapters.protocol.tasks import Outcome
from kling_adapters.result import Credits, ResultData, StoredFile

if TYPE_CHECKING:
    from kling_adapters._http.transport import SyncTransport
    from kling_adapters.protocol.batch_requests import Request
else:
    Request = lazy_type("protocol.batch_requests", "Request")


class Kling(SyncSlugCalls):
    """A client for the Kling models on the Segmind API; use it in a `with` block, from any thread."""

    def __enter__(self) -> Self:
        self._session.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all but submits under way, and let plugins finish. Later calls raise ConfigError."""
        self._session.closed.set()
        self._driver.close()
        self._session.close()

    def job(self, request_id: str, model: str | None = None) -> Job:
        """Make a handle of a job that was submitted earlier. Nothing is sent.

        Args:
            request_id: The gateway's id of the job. The gateway keeps the record of a job for an hour; later,
                `wait` returns the result in the journal, if there is one.
            model: Slug of its model, whose latency sets the default timeout.

        Returns:
            The job.

        Raises:
            ConfigError: An argument is invalid.

        """
        return self._find_job(request_id, model)

    def map(
        self,
        requests: Iterable[Request],
        *,
        concurrency: int = 16,
        save_to: str | PathLike[str] | None = None,
        max_cost: float | None = None,
        allow_unknown_cost: float | None = None,
        name: str | None = None,
        tag: str | None = None,
    ) -> Generator[Outcome[Result]]:
        """Run all requests; yield each outcome as it completes.

        An invalid request becomes an outcome with its error, and the batch continues. If `requests` itself
        raises, the running jobs are finished before the error is raised here. The batch stops submitting,
        with a warning in the log, if the gateway refuses the key, the account has no credits, or three jobs
        in a row could not be stored; the iteration ends when the running jobs have ended.

        To stop early, use `contextlib.closing`: submits in flight are answered first. Submitted jobs continue,
        and are resumed by `resume`, or by the same `name`.

        Args:
            requests: Objects such as Kling2(...), or mappings {"model": "kling-2", "prompt": ...}, taken from
                the iterable as jobs can start. While the caller does not take outcomes, running jobs are
                finished and stored, but nothing more is submitted.
            concurrency: Maximum number of running jobs.
            save_to: As for `run`; a file name needs the field request_id, so that no two jobs share it.
            max_cost: Limit in credits, also for earlier runs of the same `name`. The iteration ends early if
                the next job could exceed it. Each job in flight counts at the upper price of its `estimate`,
                and so does each whose end is unknown.
            allow_unknown_cost: The most that a job of unknown price may cost, in credits, which `max_cost` then
                sets aside for it. Without it, the outcome of such a request is a ConfigError.
            name: Name of the batch in the journal. A request that was submitted under it before, with the
                same model and parameters, is not submitted again: its job is awaited, stored or reported.
                Only a refused submit is repeated. An output whose file is missing, or is not in `save_to`, is
                stored again while the gateway keeps it, for seven days.
            tag: Tag of every job in the journal; not together with `name`.

        Yields:
            One outcome for each job. The error of a job is in its outcome.

        Raises:
            ConfigError: An argument is invalid, or there is no key. Nothing was sent.
            StorageError: `save_to` or the journal cannot be written. Nothing was sent.

        """
        batch = self._map_batch(requests, concurrency, save_to, max_cost, allow_unknown_cost, name, tag)
        return run_in_threads(self._driver, batch)

    def resume(
        self,
        *,
        save_to: str | PathLike[str] | None = None,
        concurrency: int = 32,
        on_start: Callable[[tuple[JournalEntry, ...]], object] | None = None,
    ) -> Generator[Outcome[Result]]:
        """Finish the unfinished jobs of the journal at this gateway; yield each outcome as it completes.

        Uncertain submits are looked for in the request history first, as by `reconcile`. Those that are not found
        are reported as SubmitUncertain, with the number of their entry, and never submitted again. Stop early
        as with `map`.

        Args:
            save_to: Destination of the outputs of jobs that were submitted without one, including those that
                completed within seven days and were not stored. A file name needs {request_id}, as in `map`.
            concurrency: Maximum number of running jobs.
            on_start: Called once, before the first job, with the entries of all jobs to finish.

        Yields:
            One outcome for each job; its `index` is the number of the entry.

        Raises:
            ConfigError: There is no journal, or an argument is invalid.

        """
        return run_in_threads(self._driver, self._resume_batch(concurrency, save_to, on_start))

    def entries(self, *, changed_since: float = 0.0) -> list[JournalEntry]:
        """List the entries of the journal, one for each submit.

        Args:
            changed_since: Only entries whose `updated` is not earlier, in seconds since 1970; by default all.

        Returns:
            The entries, the oldest first.

        Raises:
            ConfigError: The client has no journal.
            StorageError: The journal cannot be read.

        """
        return self._driver.run(self._entries_flow(changed_since))

    def reconcile(self) -> list[JournalEntry]:
        """Look in the request history for the jobs of uncertain submits, and record those that are found.

        A job may be listed late. So a submit whose job is not found stays uncertain, and `looked` of its entry
        has the time of this search. Expired jobs are looked for, too, within seven days of their submit.
        `resume` finishes the jobs that were found.

        Returns:
            The entries that were uncertain, and those of expired jobs that were found, as they are now, the oldest
            first.

        Raises:
            ConfigError: The client has no journal, or may not read the history.
            StorageError: The journal cannot be read.

        """
        return self._driver.run(self._reconcile_flow())

    def credits(self) -> Credits:
        """Query the credits of the account, free of charge.

        Returns:
            The remaining credits.

        Raises:
            ApiError: The gateway refused the request.
            TransportError: There was no usable answer.

        """
        return self._driver.run(self._credits_flow())

    def _make_driver(self, clock: Clock, proxy: str | None, transport: GatewayTransport | None) -> SyncDriver:
        check_transport(transport, "handle_request")
        settings, keys = ConnectionSettings(self._session.gateway, proxy), set[str]()

        def connect() -> SyncTransport:
            from kling_adapters._http.transport import SyncTransport  # imports httpx

            return SyncTransport(settings, keys, transport)

        return SyncDriver(self._session, self._plugins, clock, connect)

    def _make_job(self, ref: JobRef) -> Job:
        return Job(self._driver, ref, self._timeout)

    def _make_result(self, data: ResultData, files: tuple[StoredFile, ...] = ()) -> Result:
        return Result(**vars(data), saved=files, _driver=self._driver)
