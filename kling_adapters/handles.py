"""Handles of jobs and results in errors, for both clients."""

from __future__ import annotations

from os import PathLike
from typing import Any, Protocol, runtime_checkable

from kling_adapters.result import Artifact


@runtime_checkable
class JobHandle(Protocol):
    """A `Job`, or an `AsyncJob`, whose methods are awaited."""

    @property
    def request_id(self) -> str:
        """The gateway's id of the job."""
        ...

    @property
    def model(self) -> str | None:
        """The slug of the model; None if only the id of the job is known."""
        ...

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the job. See `Job.wait`."""
        ...


@runtime_checkable
class ResultHandle(Protocol):
    """A `Result`, or an `AsyncResult`, whose methods are awaited."""

    @property
    def request_id(self) -> str:
        """The id of the job."""
        ...

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The output files."""
        ...

    def read(self, index: int = 0) -> Any:
        """Read an output file into memory. See `Result.read`."""
        ...

    def save(self, to: str | PathLike[str]) -> Any:
        """Store the output files. See `Result.save`."""
        ...
