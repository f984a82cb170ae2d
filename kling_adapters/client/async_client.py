"""AsyncKling, the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

# Python 3.15 imports these modules when a call needs them; earlier versions, at once.
__lazy_modules__ = (
    "kling_adapters.driver.tasks",
    "kling_adapters.protocol.run",
)

from kling_adapters._http.custom import AsyncGatewayTransport, check_transport
from kling_adapters._http.settings import ConnectionSettings
from kling_adapters._lazy_types import lazy_type
from kling_adapters.client._calls import AsyncCalls
from kling_adapters.client.job import AsyncJob
from kling_adapters.client.result import AsyncResult
from kling_adapters.driver.async_ import AsyncDriver
from kling_adapters.driver.clock import Clock
from kling_adapters.driver.tasks import run_in_tasks
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.run import run_and_collect
from kling_adapters.protocol.session import JobRef
from kling_adapters.protocol.tasks import Outcome
from kling_adapters.result import Credits, ResultData, StoredFile

if TYPE_CHECKING:
    from kling_adapters._http.transport import AsyncTransport
    from kling_adapters.client.requests import Extra
    from kling_adapters.protocol.batch_requests import Request
    from kling_adapters.protocol.estimate import Estimate
    from kling_adapters.protocol.usage import Usage
    from kling_adapters.schema.params import Params
else:
    Extra = lazy_type("client.requests", "Extra")
    Request = lazy_type("protocol.batch_requests", "Request")
    Estimate = lazy_type("protocol.estimate", "Estimate")
    Usage = lazy_type("protocol.usage", "Usage")
    Params = lazy_type("schema.params", "Params")


class AsyncKling(AsyncCalls):
    """The asynchronous form of Kling, for asyncio and trio; use it in an `async with` block."""

    async def __aenter__(self) -> Self:
        self._session.check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all but submits under way, and let plugins finish. Later calls raise ConfigError."""
        self._session.closed.set()
        await self._driver.close()
        self._session.close()

    async def submit_model(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
    ) -> AsyncJob:
        """Submit a job of a model whose slug is only known at run time. See `Kling.submit_model`."""
        return await self._driver.run(
            self._submit_flow(model, params, extra, unchecked, save_to, timeout, tag)
        )

    async def run_model(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
    ) -> AsyncResult:
        """Run a job of a model whose slug is only known at run time. See `Kling.run_model`."""
        return await self._driver.run(
            self._run_flow(run_and_collect, model, params, extra, unchecked, save_to, timeout, tag)
        )

    async def submit_raw(
        self,
        slug: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
    ) -> AsyncJob:
        """Submit to a model without a spec. See `Kling.submit_raw`."""
        return await self._driver.run(self._submit_raw_flow(slug, params, save_to, timeout, tag))

    async def estimate(self, model: str | Params, /, **params: Any) -> Estimate:
        """Estimate the price of a job. See `Kling.estimate`."""
        return await self._driver.run(self._estimate_flow(model, params))

    async def estimate_all(self, requests: Iterable[Request]) -> list[Estimate]:
        """Estimate the price of each request of a batch. See `Kling.estimate_all`."""
        return await self._driver.run(self._estimate_all_flow(requests))

    async def usage(self, since: float) -> Usage:
        """List the jobs that were billed, or may be, with their costs. See `Kling.usage`."""
        return await self._driver.run(self._usage_flow(since))

    def job(self, request_id: str, model: str | None = None) -> AsyncJob:
        """Make a handle of a job that was submitted earlier. See `Kling.job`."""
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
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Run all requests; yield each outcome as it completes. See `Kling.map`.

        Iterate in one task. To stop early, use `contextlib.aclosing`: after a `break` alone the jobs run until
        the generator is collected. Put a time limit around the whole loop. A cancellation stops at once: an
        unanswered submit is then uncertain, and the other jobs can be resumed.
        """
        batch = self._map_batch(requests, concurrency, save_to, max_cost, allow_unknown_cost, name, tag)
        return run_in_tasks(self._driver, batch)

    def resume(
        self,
        *,
        save_to: str | PathLike[str] | None = None,
        concurrency: int = 32,
        on_start: Callable[[tuple[JournalEntry, ...]], object] | None = None,
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """Finish the unfinished jobs of the journal. See `Kling.resume`, and `map` for stopping early."""
        return run_in_tasks(self._driver, self._resume_batch(concurrency, save_to, on_start))

    async def entries(self, *, changed_since: float = 0.0) -> list[JournalEntry]:
        """List the entries of the journal. See `Kling.entries`."""
        return await self._driver.run(self._entries_flow(changed_since))

    async def reconcile(self) -> list[JournalEntry]:
        """Look in the request history for the jobs of uncertain submits. See `Kling.reconcile`."""
        return await self._driver.run(self._reconcile_flow())

    async def credits(self) -> Credits:
        """Query the credits of the account. See `Kling.credits`."""
        return await self._driver.run(self._credits_flow())

    def _make_driver(
        self, clock: Clock, proxy: str | None, transport: AsyncGatewayTransport | None
    ) -> AsyncDriver:
        check_transport(transport, "handle_async_request")
        settings, keys = ConnectionSettings(self._session.gateway, proxy), set[str]()

        def connect() -> AsyncTransport:
            from kling_adapters._http.transport import AsyncTransport  # imports httpx

            return AsyncTransport(settings, keys, transport)

        return AsyncDriver(self._session, self._plugins, clock, connect)

    def _make_job(self, ref: JobRef) -> AsyncJob:
        return AsyncJob(self._driver, ref, self._timeout)

    def _make_result(self, data: ResultData, files: tuple[StoredFile, ...] = ()) -> AsyncResult:
        return AsyncResult(**vars(data), saved=files, _driver=self._driver)
