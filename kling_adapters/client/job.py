"""A submitted job and its result, in a blocking and an awaitable form over the same flows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import InitVar, dataclass, field
from os import PathLike
from typing import NoReturn, TypeVar

from kling_adapters._local import ProcessLocal
from kling_adapters.client import arguments
from kling_adapters.driver.async_ import AsyncDriver
from kling_adapters.driver.sync import SyncDriver
from kling_adapters.errors import ConfigError, JobExpired, JobFailed
from kling_adapters.events import Completed, Event
from kling_adapters.protocol.collect import save
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.read import MAX_READ_BYTES, read, select_artifact
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.wait import query_status, wait
from kling_adapters.result import Artifact, JobStatus, ResultData, StoredFile

_Driver = TypeVar("_Driver", SyncDriver, AsyncDriver)


@dataclass(frozen=True)
class Result(ResultData):
    """A COMPLETED job whose files can be saved.

    It can be copied and pickled. In another process it has no client: everything can be read, but `save`
    raises.

    Attributes:
        saved: The files that `run(save_to=...)` has stored.

    """

    saved: tuple[StoredFile, ...] = ()
    # Not a field: a driver has locks and sockets, and is not data that asdict() could return.
    _driver: InitVar[SyncDriver | ProcessLocal[SyncDriver] | None] = field(default=None, kw_only=True)

    def __post_init__(self, _driver: SyncDriver | ProcessLocal[SyncDriver] | None) -> None:
        _set_driver(self, _driver)

    def save(self, to: str | PathLike[str]) -> tuple[StoredFile, ...]:
        """Store every file. A file is named after its model and request id; it appears whole, or not at all.

        The destination is written to the journal before the first byte is fetched: if the process dies,
        `resume` stores the output there.

        Args:
            to: A folder, file name or template as for `Kling.run`, or a URL that a storage plugin takes, such
                as s3://bucket/prefix/.

        Returns:
            The stored files.

        Raises:
            ConfigError: No plugin can store to this URL, or the result comes from another process.
            StorageError: The output could not be fetched or stored.

        """
        driver, destination = _get_driver(self, SyncDriver), arguments.resolve_destination("to", to)
        return driver.run(save(driver.session, self, driver.plugins.storage, destination))

    def read(self, index: int = 0, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Read an output file into memory; use `save` for large ones. The file is checked as `save` does.

        Args:
            index: The position of the file in `artifacts`.
            max_bytes: The largest accepted size in bytes.

        Returns:
            The content of the file.

        Raises:
            ConfigError: There is no file at this index, or the result comes from another process.
            StorageError: The file is larger than `max_bytes`, or could not be fetched.

        """
        artifact = _select_artifact(self, index, max_bytes)
        if artifact.content is not None:
            return artifact.content
        driver = _get_driver(self, SyncDriver)
        return driver.run(read(driver.session, artifact, max_bytes))


@dataclass(frozen=True)
class AsyncResult(ResultData):
    """Result, with `await result.save(...)`."""

    saved: tuple[StoredFile, ...] = ()
    _driver: InitVar[AsyncDriver | ProcessLocal[AsyncDriver] | None] = field(default=None, kw_only=True)

    def __post_init__(self, _driver: AsyncDriver | ProcessLocal[AsyncDriver] | None) -> None:
        _set_driver(self, _driver)

    async def save(self, to: str | PathLike[str]) -> tuple[StoredFile, ...]:
        """Store every file. See `Result.save`."""
        driver, destination = _get_driver(self, AsyncDriver), arguments.resolve_destination("to", to)
        return await driver.run(save(driver.session, self, driver.plugins.storage, destination))

    async def read(self, index: int = 0, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Read an output file into memory. See `Result.read`."""
        artifact = _select_artifact(self, index, max_bytes)
        if artifact.content is not None:
            return artifact.content
        driver = _get_driver(self, AsyncDriver)
        return await driver.run(read(driver.session, artifact, max_bytes))


def _select_artifact(result: ResultData, index: int, max_bytes: int) -> Artifact:
    arguments.check_index(index)
    arguments.check_max_bytes(max_bytes)
    return select_artifact(result, index)


def _set_driver(result: ResultData, driver: _Driver | ProcessLocal[_Driver] | None) -> None:
    reference: ProcessLocal[_Driver] = driver if isinstance(driver, ProcessLocal) else ProcessLocal(driver)
    # The name of the argument, so that dataclasses.replace() and vars() pass it on.
    object.__setattr__(result, "_driver", reference)


def _get_driver(result: ResultData, kind: type[_Driver]) -> _Driver:
    driver = vars(result)["_driver"].value
    if not isinstance(driver, kind):
        advice = f'Save it with kling.job("{result.request_id}").wait().save(...)'
        if any(artifact.content is not None for artifact in result.artifacts):
            # No gateway can be asked for it again.
            advice = "Its files are in the result: write artifacts[0].content, which is bytes, to a file"
        raise ConfigError(
            f"the result of job {result.request_id} comes from another process and has no client to save it "
            f"with. {advice}. Nothing was sent"
        )
    return driver


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
