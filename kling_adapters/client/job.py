"""A submitted job and its result, in a blocking and an awaitable form over the same flows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import InitVar, dataclass, field
from os import PathLike
from typing import NoReturn, TypeVar

from kling_adapters._local import ProcessLocal
from kling_adapters.client import arguments
from kling_adapters.driver import AsyncDriver, SyncDriver
from kling_adapters.errors import ConfigError, JobExpired, JobFailed
from kling_adapters.events import Completed, Event
from kling_adapters.protocol.collect import save
from kling_adapters.protocol.session import JobRef
from kling_adapters.protocol.wait import query_status, wait
from kling_adapters.result import JobStatus, ResultData, StoredFile

_Driver = TypeVar("_Driver", SyncDriver, AsyncDriver)


@dataclass(frozen=True)
class Result(ResultData):
    """A COMPLETED job whose files can be saved; `saved` are those that `run(save_to=...)` has stored.

    It can be copied and pickled. In another process it has no client: everything can be read, but `save` raises.
    """

    saved: tuple[StoredFile, ...] = ()
    # Not a field: a driver has locks and sockets, which are no data that asdict() could return.
    _driver: InitVar[SyncDriver | ProcessLocal[SyncDriver] | None] = field(default=None, kw_only=True)

    def __post_init__(self, _driver: SyncDriver | ProcessLocal[SyncDriver] | None) -> None:
        _keep_driver(self, _driver)

    def save(self, to: str | PathLike[str]) -> tuple[StoredFile, ...]:
        """Store every file in a folder, or where a storage plugin takes URLs such as s3://bucket/prefix/.

        A file is named after its model and request id. It appears whole, or not at all. The journal has the place before
        the first byte is fetched: if the process dies, `resume` stores the output there.
        Raises StorageError, or ConfigError if no plugin knows the place, or if the result comes from another process.
        """
        driver, place = _driver_of(self, SyncDriver), arguments.resolve_destination("to", to)
        return driver.run(save(driver.session, self, driver.plugins.storage, place))


@dataclass(frozen=True)
class AsyncResult(ResultData):
    """Result, with `await result.save(...)`."""

    saved: tuple[StoredFile, ...] = ()
    _driver: InitVar[AsyncDriver | ProcessLocal[AsyncDriver] | None] = field(default=None, kw_only=True)

    def __post_init__(self, _driver: AsyncDriver | ProcessLocal[AsyncDriver] | None) -> None:
        _keep_driver(self, _driver)

    async def save(self, to: str | PathLike[str]) -> tuple[StoredFile, ...]:
        """See Result.save."""
        driver, place = _driver_of(self, AsyncDriver), arguments.resolve_destination("to", to)
        return await driver.run(save(driver.session, self, driver.plugins.storage, place))


def _keep_driver(result: ResultData, driver: _Driver | ProcessLocal[_Driver] | None) -> None:
    kept: ProcessLocal[_Driver] = driver if isinstance(driver, ProcessLocal) else ProcessLocal(driver)
    # The name of the argument, so that dataclasses.replace() and vars() pass it on.
    object.__setattr__(result, "_driver", kept)


def _driver_of(result: ResultData, kind: type[_Driver]) -> _Driver:
    driver = vars(result)["_driver"].value
    if not isinstance(driver, kind):
        advice = f'Save it with kling.job("{result.request_id}").wait().save(...)'
        if any(artifact.content is not None for artifact in result.artifacts):
            # No gateway can be asked for it again.
            advice = "Its files are in the result: write artifacts[0].content, which is bytes, to a file"
        raise ConfigError(
            f"the result of job {result.request_id} comes from another process and has no client to save it with. "
            f"{advice}; nothing was sent"
        )
    return driver


class _Job:
    """What both forms of a job know without asking."""

    def __init__(self, ref: JobRef) -> None:
        self._ref = ref

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: it belongs to a client. Pass its request_id and model, and call "
            "kling.job(request_id, model) in the other process"
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


class Job(_Job):
    """A job the gateway has accepted. Its `request_id` is all that is needed to find it again, for one hour."""

    def __init__(self, driver: SyncDriver, ref: JobRef) -> None:
        super().__init__(ref)
        self._driver = driver
        self._result: Result | None = None

    def status(self) -> JobStatus:
        """Ask for the state of the job. Raises JobExpired, ApiError or TransportError."""
        return self._driver.run(query_status(self._driver.session, self._ref))

    def wait(self, timeout: float | None = None) -> Result:
        """Poll until the job has ended and return its result; it is not stored: see `Result.save`.

        `timeout`: seconds, 0 to ask once; by default four times the usual latency of the model and never under 15
        minutes. A result that is ready is asked for up to 30 seconds longer. Failing polls are survived until then.
        When the gateway no longer knows the job, the result that the journal holds is returned, if it holds one; and
        ConfigError says so if the job was submitted with another API key. Raises JobFailed, JobExpired, ApiError when the gateway refuses to
        answer, or WaitTimeout, which carries this job: the job itself goes on.
        """
        arguments.check_seconds("timeout", timeout, may_be_zero=True)
        if self._result is None:
            self._keep(self._driver.run(wait(self._driver.session, self._ref, timeout)))
        assert self._result is not None
        return self._result

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Poll as `wait` does and yield what happens, ending with Completed, Failed or Expired.

        After Completed, `wait()` returns the result without asking again. Raises WaitTimeout and ApiError as it does.
        """
        arguments.check_seconds("timeout", timeout, may_be_zero=True)
        try:
            for event in self._driver.follow(wait(self._driver.session, self._ref, timeout)):
                if isinstance(event, Completed):
                    self._keep(event.result)
                yield event
        except (JobFailed, JobExpired):
            return

    def _keep(self, data: ResultData) -> None:
        self._result = Result(**vars(data), _driver=self._driver)


class AsyncJob(_Job):
    """Job, with `await` and `async for`."""

    def __init__(self, driver: AsyncDriver, ref: JobRef) -> None:
        super().__init__(ref)
        self._driver = driver
        self._result: AsyncResult | None = None

    async def status(self) -> JobStatus:
        """See Job.status."""
        return await self._driver.run(query_status(self._driver.session, self._ref))

    async def wait(self, timeout: float | None = None) -> AsyncResult:
        """See Job.wait."""
        arguments.check_seconds("timeout", timeout, may_be_zero=True)
        if self._result is None:
            self._keep(await self._driver.run(wait(self._driver.session, self._ref, timeout)))
        assert self._result is not None
        return self._result

    async def events(self, timeout: float | None = None) -> AsyncIterator[Event]:
        """See Job.events."""
        arguments.check_seconds("timeout", timeout, may_be_zero=True)
        try:
            async for event in self._driver.follow(wait(self._driver.session, self._ref, timeout)):
                if isinstance(event, Completed):
                    self._keep(event.result)
                yield event
        except (JobFailed, JobExpired):
            return

    def _keep(self, data: ResultData) -> None:
        self._result = AsyncResult(**vars(data), _driver=self._driver)
