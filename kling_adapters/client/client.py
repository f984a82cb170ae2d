"""Kling, the blocking client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from os import PathLike
from typing import Any, Self

from kling_adapters._http.transport import GatewayTransport, SyncTransport
from kling_adapters.client._calls import SyncCalls
from kling_adapters.client.job import Job
from kling_adapters.client.requests import Extra
from kling_adapters.client.result import Result
from kling_adapters.driver.clock import Clock
from kling_adapters.driver.sync import SyncDriver
from kling_adapters.driver.threads import run_in_threads
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.run import run_and_collect
from kling_adapters.protocol.session import JobRef
from kling_adapters.protocol.tasks import Outcome, Request
from kling_adapters.result import Credits, ResultData, StoredFile


class Kling(SyncCalls):
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

    def submit_model(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
    ) -> Job:
        """Do as `submit`, for a slug that is known at run time only.

        Args:
            model: Slug of a model of the catalogue.
            params: Its parameters by name. They are validated as those of `submit`, but type checkers cannot
                see them.
            save_to: As for `submit`.
            timeout: As for `submit`.
            tag: As for `submit`.
            extra: As for `submit`.

        Returns:
            The job. It can be billed from now on.

        Raises:
            KlingError: Every error of `submit`.

        """
        return self._driver.run(self._submit_flow(model, params, extra, save_to, timeout, tag))

    def run_model(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
    ) -> Result:
        """Do as `run`, for a slug that is known at run time only.

        Args:
            model: Slug of a model of the catalogue.
            params: Its parameters by name. They are validated as those of `run`, but type checkers cannot see
                them.
            save_to: As for `run`.
            timeout: As for `run`.
            tag: As for `run`.
            extra: As for `run`.

        Returns:
            The result; with `save_to`, the stored files are its `saved`.

        Raises:
            KlingError: Every error of `run`.

        """
        return self._driver.run(self._run_flow(run_and_collect, model, params, extra, save_to, timeout, tag))

    def submit_raw(
        self,
        slug: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
    ) -> Job:
        """Submit to a model without a spec. The parameters are not validated; local media in them is
        uploaded.

        Args:
            slug: Slug of the model, as the gateway knows it.
            params: JSON, and local media where a URL is expected.
            save_to: As for `submit`.
            timeout: As for `submit`.
            tag: As for `submit`.

        Returns:
            The job. It can be billed from now on.

        Raises:
            KlingError: Every error of `submit`.

        """
        return self._driver.run(self._submit_raw_flow(slug, params, save_to, timeout, tag))

    def job(self, request_id: str, model: str | None = None) -> Job:
        """Return the handle of a job that was submitted earlier; nothing is sent.

        Args:
            request_id: The gateway's id of the job. The gateway knows a job for an hour; later, `wait`
                returns the result that the journal holds, if it holds one.
            model: Slug of its model, which helps to pace the polls.

        Raises:
            ConfigError: An argument is wrong.

        """
        return self._find_job(request_id, model)

    def map(
        self,
        requests: Iterable[Request],
        *,
        concurrency: int = 16,
        save_to: str | PathLike[str] | None = None,
        max_cost: float | None = None,
        name: str | None = None,
        tag: str | None = None,
    ) -> Generator[Outcome[Result]]:
        """Run all requests; yield each outcome as it completes.

        A request that cannot be sent is an outcome with its error, and the others go on. If `requests` itself
        raises, the submitted jobs are brought to their end before the error is raised here. Nothing more is
        submitted once the gateway refuses the key, the account has no credits, or three jobs in a row could
        not be stored: a warning in the log says so, and the iteration ends when the running jobs have ended.

        To leave early, use `contextlib.closing`: requests under way are answered first. Jobs that were
        submitted go on, and are found by `resume`, or by the same `name`.

        Args:
            requests: Objects such as Kling2(...), or mappings {"model": "kling-2", "prompt": ...}. Each is
                taken when there is room for it. While the caller does not take outcomes, running jobs are
                still finished and stored, but nothing more is submitted.
            concurrency: Jobs at a time.
            save_to: As for `run`; a file name needs the field request_id, so that no two jobs share it.
            max_cost: Credits. Nothing is submitted that could exceed them, by the highest cost known of its
                model; while none is known, one job of the model is submitted at a time. The iteration then
                ends early. Jobs of earlier runs of the same name count.
            name: Name of the batch in the journal. A request that was submitted under it before, with the
                same model and parameters as often as they occur, is not submitted again: its job is waited
                for, stored, or reported. Only a submit that was refused is repeated. An output whose file is
                gone, or is elsewhere than in `save_to`, is stored again while the gateway keeps it, for seven
                days.
            tag: A text of your own that the journal keeps with each job; not together with `name`.

        Yields:
            One outcome for each job. The error of a job is in its outcome.

        Raises:
            ConfigError: An argument is wrong, or there is no key. Nothing was sent.
            StorageError: `save_to` or the journal cannot be written. Nothing was sent.

        """
        batch = self._map_batch(requests, concurrency, save_to, max_cost, name, tag)
        return run_in_threads(self._driver, batch)

    def resume(
        self,
        *,
        save_to: str | PathLike[str] | None = None,
        concurrency: int = 32,
        on_start: Callable[[tuple[JournalEntry, ...]], object] | None = None,
    ) -> Generator[Outcome[Result]]:
        """Bring every unfinished job of the journal, at this gateway, to its end; yield each outcome as it
        completes.

        Uncertain submits are reported as SubmitUncertain, with the number of their entry, and never submitted
        again. Leave early as with `map`.

        Args:
            save_to: Folder or storage URL for jobs that were submitted without one; with it, jobs that
                completed within seven days and were never stored are stored, too. A file name needs the field
                request_id, as for `map`.
            concurrency: Jobs at a time.
            on_start: Called once, before the first job, with the entries of all jobs that will have an
                outcome.

        Yields:
            One outcome for each job; its `index` is the number of the entry.

        Raises:
            ConfigError: There is no journal, or an argument is wrong.

        """
        return run_in_threads(self._driver, self._resume_batch(concurrency, save_to, on_start))

    def entries(self) -> list[JournalEntry]:
        """Return every submit of the journal, the oldest first.

        Raises:
            ConfigError: The client has no journal.
            StorageError: The journal cannot be read.

        """
        return self._driver.run(self._entries_flow())

    def credits(self) -> Credits:
        """Return the credits that are left on the account; costs nothing.

        Raises:
            ApiError: The gateway refused to answer.
            TransportError: There was no answer.

        """
        return self._driver.run(self._credits_flow())

    def _make_driver(self, clock: Clock, proxy: str | None, transport: GatewayTransport | None) -> SyncDriver:
        connect = partial(SyncTransport, self._session.gateway, set(), proxy, transport)
        return SyncDriver(self._session, self._plugins, clock, connect)

    def _make_job(self, ref: JobRef) -> Job:
        return Job(self._driver, ref, self._timeout)

    def _make_result(self, data: ResultData, files: tuple[StoredFile, ...] = ()) -> Result:
        return Result(**vars(data), saved=files, _driver=self._driver)
