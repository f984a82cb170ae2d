"""Objects that plugins provide to a client: the source of the API key, and the storage of outputs.

Plugins import them from `kling_adapters.hookspecs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Auth(Protocol):
    """Source of the API key for requests."""

    def api_key(self) -> str:
        """Provide the key for the next request.

        Returns:
            The API key.

        Raises:
            ConfigError: There is no key. The message says how to provide one.

        """
        ...


class InstantAuth(ABC):
    """An Auth of this package that may know its key without blocking, so that a request needs no thread for it."""

    @abstractmethod
    def api_key(self) -> str:
        """See Auth."""

    @abstractmethod
    def instant_key(self) -> str | None:
        """Return the key; None if only `api_key`, which may block, can tell."""


@runtime_checkable
class RenewableAuth(Auth, Protocol):
    """An Auth that is notified of refused keys, so that it can fetch another key, such as a rotated one."""

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        """Handle the refusal of a key. The refused request started no job.

        Args:
            key: The refused key.
            status: 401 for an invalid key; for submits also 403 for a missing permission, 406 for an account
                without credits, 429 for a rate limit.
            retry_after: Seconds until the rate limit ends; None if unknown.

        Returns:
            Whether `api_key` has another key for an immediate retry. If not, the refusal is raised.

        """
        ...


@runtime_checkable
class KeyPool(RenewableAuth, Protocol):
    """An Auth with several keys.

    `api_key` is called for every submit, and `refused` for submits only. A job is polled with the key that
    submitted it.
    """

    def keys(self) -> Iterable[str]:
        """List the keys, among which the journal identifies the key of a job of another process.

        Returns:
            All keys.

        """
        ...

    def accepted(self, key: str, request_id: str) -> None:
        """Handle the start of a job, in this or an earlier process. `kling_event` reports its end.

        Args:
            key: The key that submitted the job.
            request_id: The id of the job.

        """
        ...

    def key_of(self, request_id: str) -> str | None:
        """Find the key that submitted a job.

        Args:
            request_id: The id of the job.

        Returns:
            The key, or None to use the key in the journal, or else that of `api_key`.

        """
        ...


@dataclass(frozen=True)
class Location:
    """Location of a stored file.

    Attributes:
        url: The URL of the file.
        link: A temporary URL that opens the file without credentials; None if the storage cannot create one.

    """

    url: str
    link: str | None = None


@dataclass(frozen=True)
class JobContext:
    """Job of an output file.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        params: The parameters as sent, including the prompt; None if the journal has no entry for the job.
        cost: The price of the job in credits; None if unknown.
        number: The position of this file among the files of the job, from 1.
        count: The number of files of the job.

    """

    request_id: str
    model: str | None
    params: Mapping[str, Any] | None = field(repr=False)
    cost: float | None
    number: int
    count: int


@runtime_checkable
class Writer(Protocol):
    """Writer of a file, which is not visible under its name before `commit`."""

    def write(self, chunk: bytes) -> None:
        """Append to the file.

        Args:
            chunk: The next bytes.

        """
        ...

    def commit(self, sha256: str) -> Location:
        """Publish the complete file.

        Args:
            sha256: The hex digest of its content.

        Returns:
            The location of the file.

        """
        ...

    def abort(self) -> None:
        """Discard the file. Called after any failure, possibly twice; must not raise.

        The cancellation of a task calls it on the event loop, so it must return quickly. `write` or `commit`
        may then be running in a thread and should stop; after their failure it is called again.
        """
        ...


@runtime_checkable
class Storage(Protocol):
    """Storage for finished files."""

    def check(self) -> None:
        """Check that files can be stored. Called before a job is submitted.

        Raises:
            StorageError: Files cannot be stored.

        """
        ...

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file. `commit` replaces an existing file of this name.

        Args:
            name: The name of the file: letters, digits, dots, hyphens and underscores.
            content_type: The media type of the file, such as `video/mp4`.

        Returns:
            The writer of the file.

        """
        ...


@runtime_checkable
class JobStorage(Storage, Protocol):
    """A Storage that receives the job of a file, for its own file names or for metadata."""

    def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
        """Start a file of a job. Called instead of `open`, also when another process resumes the job.

        Args:
            job: The job of the file.
            name: The name of the file: letters, digits, dots, hyphens and underscores.
            content_type: The media type of the file, such as `video/mp4`.

        Returns:
            The writer of the file.

        """
        ...


@runtime_checkable
class Engine(Protocol):
    """Runs the jobs of batches in other processes, and keeps their records itself."""

    def map(
        self, requests: Sequence[Any], *, base_url: str, name: str, save_to: str | None, concurrency: int
    ) -> AsyncGenerator[Any]:
        """Run a batch, without a second submit of a request that an earlier run with this name has submitted.

        Args:
            requests: The requests, as objects such as Kling2(...).
            base_url: The base URL of the gateway.
            name: The name of the batch.
            save_to: The folder or URL of the output; None to store nothing.
            concurrency: Jobs that run at the same time.

        Yields:
            An Outcome for each request.

        """
        ...
