"""The result of a completed job, in a blocking and an asynchronous form over the same flows."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from kling_adapters._lazy_types import lazy_type
from kling_adapters._local import ProcessLocal
from kling_adapters.client import arguments
from kling_adapters.errors import ConfigError
from kling_adapters.protocol.collect import save
from kling_adapters.protocol.read import MAX_READ_BYTES, read, select_artifact
from kling_adapters.result import ResultData, StoredFile

if TYPE_CHECKING:
    from kling_adapters.driver.async_ import AsyncDriver
    from kling_adapters.driver.sync import SyncDriver
else:
    AsyncDriver = lazy_type("driver.async_", "AsyncDriver")
    SyncDriver = lazy_type("driver.sync", "SyncDriver")


@dataclass(frozen=True)
class Result(ResultData):
    """A COMPLETED job whose files can be saved.

    It can be copied and pickled. In another process it has no client: its data can be read, but `save`
    raises ConfigError.

    Attributes:
        saved: The files that `run(save_to=...)` has stored.

    """

    saved: tuple[StoredFile, ...] = ()
    # Not a field: a driver has locks and sockets, and is not data that asdict() could return.
    _driver: InitVar[object] = field(default=None, kw_only=True)

    def __post_init__(self, _driver: object) -> None:
        _set_driver(self, _driver)

    def save(self, to: str | PathLike[str]) -> tuple[StoredFile, ...]:
        """Store every file, by default under the model and request id. No partial file becomes visible.

        The destination is recorded in the journal before the first byte is fetched: if the process dies,
        `resume` stores the output there.

        Args:
            to: A folder, file name or template as for `Kling.run`, or a URL of a storage plugin, such as
                s3://bucket/prefix/.

        Returns:
            The stored files.

        Raises:
            ConfigError: No plugin can store to this URL, or the result comes from another process.
            StorageError: The output could not be fetched or stored.

        """
        driver: SyncDriver = _get_driver(self)
        destination = arguments.resolve_destination("to", to)
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
        artifact = select_artifact(self, index, max_bytes)
        if artifact.content is not None:
            return artifact.content
        driver: SyncDriver = _get_driver(self)
        return driver.run(read(driver.session, artifact, max_bytes))


@dataclass(frozen=True)
class AsyncResult(ResultData):
    """A COMPLETED job whose files can be saved with `await result.save(...)`. See `Result`.

    Attributes:
        saved: The files that `run(save_to=...)` has stored.

    """

    saved: tuple[StoredFile, ...] = ()
    _driver: InitVar[object] = field(default=None, kw_only=True)

    def __post_init__(self, _driver: object) -> None:
        _set_driver(self, _driver)

    async def save(self, to: str | PathLike[str]) -> tuple[StoredFile, ...]:
        """Store every file. See `Result.save`."""
        driver: AsyncDriver = _get_driver(self)
        destination = arguments.resolve_destination("to", to)
        return await driver.run(save(driver.session, self, driver.plugins.storage, destination))

    async def read(self, index: int = 0, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Read an output file into memory. See `Result.read`."""
        artifact = select_artifact(self, index, max_bytes)
        if artifact.content is not None:
            return artifact.content
        driver: AsyncDriver = _get_driver(self)
        return await driver.run(read(driver.session, artifact, max_bytes))


def _set_driver(result: ResultData, driver: object) -> None:
    is_reference = isinstance(driver, ProcessLocal)
    reference = cast("ProcessLocal[Any]", driver) if is_reference else ProcessLocal(driver)
    # The name of the argument, so that dataclasses.replace() and vars() pass it on.
    object.__setattr__(result, "_driver", reference)


def _get_driver(result: ResultData) -> Any:
    driver = vars(result)["_driver"].value
    if driver is None:
        advice = f'Save it with kling.job("{result.request_id}").wait().save(...)'
        if any(artifact.content is not None for artifact in result.artifacts):
            # The gateway does not keep the output of run_sync.
            advice = "Its files are in the result: write artifacts[0].content, which is bytes, to a file"
        raise ConfigError(
            f"the result of job {result.request_id} comes from another process and has no client to save it "
            f"with. {advice}. Nothing was sent"
        )
    return driver
