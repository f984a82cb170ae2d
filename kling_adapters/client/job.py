"""A submitted job, in a blocking and an awaitable form over the same flows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import NoReturn

from kling_adapters.client import arguments
from kling_adapters.client.result import AsyncResult, Result
from kling_adapters.driver.async_ import AsyncDriver
from kling_adapters.driver.sync import SyncDriver
from kling_adapters.errors import JobExpired, JobFailed
from kling_adapters.events import Completed, Event
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.wait import query_status, wait
from kling_adapters.result import JobStatus, ResultData


class _Job:
    """The part of a job that sends nothing; it also builds the flow that waits."""

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
        """The slug of the model; None if the job was made from a bare request id."""
        return self._ref.model

    def _wait_flow(self, session: Session, timeout: float | None) -> Flow[ResultData]:
        arguments.check_seconds("timeout", timeout, may_be_zero=True)
        return wait(session, self._ref, self._timeout if timeout is None else timeout)


class Job(_Job):
    """A job that the gateway has accepted. Its `request_id` is enough to find it again, for one hour."""

    def __init__(self, driver: SyncDriver, ref: JobRef, timeout: float | None = None) -> None:
        super().__init__(ref, timeout)
        self._driver = driver
        self._result: Result | None = None

    def status(self) -> JobStatus:
        """Return the state of the job.

        Raises:
            JobExpired: The gateway no longer knows the job.
            ApiError: The gateway refused to answer.
            TransportError: There was no answer.

        """
        return self._driver.run(query_status(self._driver.session, self._ref))

    def wait(self, timeout: float | None = None) -> Result:
        """Poll until the job has ended and return its result; it is not stored, see `Result.save`.

        Failing polls are repeated until the time is over. When the gateway no longer knows the job, the
        result is read from the journal, if it has one.

        Args:
            timeout: Seconds, 0 to ask once; by default that of the client, or four times the usual latency of
                the model, and at least 15 minutes. A result that is ready is asked for up to 30 seconds
                longer.

        Returns:
            The result.

        Raises:
            JobFailed: The job failed. It is not billed.
            JobExpired: Neither the gateway nor the journal has the job any more.
            WaitTimeout: The job goes on, and may be billed; the error carries it.
            ApiError: The gateway refused to answer.
            ConfigError: The job was submitted with another API key.

        """
        flow = self._wait_flow(self._driver.session, timeout)
        if self._result is None:
            self._result = self._make_result(self._driver.run(flow))
        return self._result

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Poll as `wait` does and yield each event, the last of which is Completed, Failed or Expired.

        After Completed, `wait()` returns the result without asking again.

        Args:
            timeout: As for `wait`.

        Yields:
            The events of the job.

        Raises:
            WaitTimeout: The job goes on, and may be billed; the error carries it.
            ApiError: The gateway refused to answer.

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
    """Job, with `await` and `async for`."""

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
