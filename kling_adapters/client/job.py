"""A submitted job, in a blocking and an asynchronous form over the same flows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, NoReturn

# Python 3.15 imports these modules when a call needs them; earlier versions, at once.
__lazy_modules__ = ("kling_adapters.protocol.wait",)

from kling_adapters._lazy_types import lazy_type
from kling_adapters.client import arguments
from kling_adapters.client.result import AsyncResult, Result
from kling_adapters.errors import JobExpired, JobFailed
from kling_adapters.events import Completed, Event
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.wait import query_status, wait
from kling_adapters.result import JobStatus, ResultData

if TYPE_CHECKING:
    from kling_adapters.driver.async_ import AsyncDriver
    from kling_adapters.driver.sync import SyncDriver
else:
    AsyncDriver = lazy_type("driver.async_", "AsyncDriver")
    SyncDriver = lazy_type("driver.sync", "SyncDriver")


class _Job:
    """Data of a job, and the flow that waits for it."""

    def __init__(self, ref: JobRef, timeout: float | None) -> None:
        self._ref = ref
        self._timeout = timeout

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: it belongs to a client. Pass its request_id and "
            "model, and call kling.job(request_id, model) in the other process"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(request_id={self.request_id!r}, model={self.model!r})"

    @property
    def request_id(self) -> str:
        """The gateway's id of the job."""
        return self._ref.request_id

    @property
    def model(self) -> str | None:
        """The slug of the model; None if only the id of the job is known."""
        return self._ref.model

    def _wait_flow(self, session: Session, timeout: float | None) -> Flow[ResultData]:
        arguments.check_seconds("timeout", timeout, may_be_zero=True)
        return wait(session, self._ref, self._timeout if timeout is None else timeout)


class Job(_Job):
    """A job that the gateway has accepted. For one hour, `Kling.job` finds it by its `request_id`."""

    def __init__(self, driver: SyncDriver, ref: JobRef, timeout: float | None = None) -> None:
        super().__init__(ref, timeout)
        self._driver = driver
        self._result: Result | None = None

    def status(self) -> JobStatus:
        """Query the state of the job.

        Returns:
            The state, with the cost and times so far.

        Raises:
            JobExpired: The gateway no longer has the job.
            ApiError: The gateway refused the request.
            TransportError: There was no usable answer.

        """
        return self._driver.run(query_status(self._driver.session, self._ref))

    def wait(self, timeout: float | None = None) -> Result:
        """Poll until the job has ended and return its result. `Result.save` stores its output.

        Failed polls are repeated until the timeout. If the gateway no longer has the job, its result is read
        from the journal.

        Args:
            timeout: Seconds, 0 for one poll; by default that of the client, or four times the usual latency
                of the model, and at least 15 minutes. A finished result is fetched for up to 30 seconds more.

        Returns:
            The result.

        Raises:
            JobFailed: The job failed. It is not billed.
            JobExpired: Neither the gateway nor the journal has the result.
            WaitTimeout: The job continues and may be billed; the error carries it.
            ApiError: The gateway refused the request.
            ConfigError: The job was submitted with another API key.

        """
        flow = self._wait_flow(self._driver.session, timeout)
        if self._result is None:
            self._result = self._make_result(self._driver.run(flow))
        return self._result

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Poll as `wait` does and yield each event, the last of which is Completed, Failed or Expired.

        After Completed, `wait()` returns the result without another request.

        Args:
            timeout: As for `wait`.

        Yields:
            The events of the job.

        Raises:
            WaitTimeout: The job continues and may be billed; the error carries it.
            ApiError: The gateway refused the request.

        """
        try:
            for event in self._driver.follow(self._wait_flow(self._driver.session, timeout)):
                if isinstance(event, Completed):
                    self._result = self._make_result(event.result)
                yield event
        except (JobFailed, JobExpired):
            return

    def _make_result(self, data: ResultData) -> Result:
        return Result(**vars(data), _driver=self._driver)


class AsyncJob(_Job):
    """The asynchronous form of Job."""

    def __init__(self, driver: AsyncDriver, ref: JobRef, timeout: float | None = None) -> None:
        super().__init__(ref, timeout)
        self._driver = driver
        self._result: AsyncResult | None = None

    async def status(self) -> JobStatus:
        """Return the state of the job. See `Job.status`."""
        return await self._driver.run(query_status(self._driver.session, self._ref))

    async def wait(self, timeout: float | None = None) -> AsyncResult:
        """Poll until the job has ended and return its result. See `Job.wait`."""
        flow = self._wait_flow(self._driver.session, timeout)
        if self._result is None:
            self._result = self._make_result(await self._driver.run(flow))
        return self._result

    async def events(self, timeout: float | None = None) -> AsyncIterator[Event]:
        """Poll as `wait` does and yield each event. See `Job.events`."""
        try:
            async for event in self._driver.follow(self._wait_flow(self._driver.session, timeout)):
                if isinstance(event, Completed):
                    self._result = self._make_result(event.result)
                yield event
        except (JobFailed, JobExpired):
            return

    def _make_result(self, data: ResultData) -> AsyncResult:
        return AsyncResult(**vars(data), _driver=self._driver)
