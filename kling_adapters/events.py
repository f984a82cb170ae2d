"""Events of jobs, for `job.events()` and the hook `kling_event`.

from kling_adapters import events

if isinstance(event, events.Completed):
    print(event.result.output)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kling_adapters.result import ResultData, StoredFile

__all__ = [
    "Completed",
    "Event",
    "Expired",
    "Failed",
    "StateChanged",
    "Stored",
    "SubmitFailed",
    "Submitted",
]


@dataclass(frozen=True)
class SubmitFailed:
    """A submit failed.

    Attributes:
        model: The slug of the model.
        reason: The message of the error.
        uncertain: Whether a job may be running and may be billed.
        request_id: None; there is no id.

    """

    model: str
    reason: str
    uncertain: bool
    request_id: None = None


@dataclass(frozen=True)
class Submitted:
    """The gateway accepted the job, which can be billed from now on.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model.
        params: The parameters as sent.
        seconds: Duration of the submit in seconds, with uploads and all retries.

    """

    request_id: str
    model: str
    params: Mapping[str, Any] = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class StateChanged:
    """The state of the job differs from the state at the previous poll.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        state: QUEUED, PROCESSING, or a state that the gateway has introduced since.

    """

    request_id: str
    model: str | None
    state: str


@dataclass(frozen=True)
class Completed:
    """The job COMPLETED.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        result: The result of the job.
        polls: Number of polls of this wait.

    """

    request_id: str
    model: str | None
    result: ResultData
    polls: int


@dataclass(frozen=True)
class Failed:
    """The job FAILED; it is not billed.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        reason: The gateway's message.
        polls: Number of polls of this wait.

    """

    request_id: str
    model: str | None
    reason: str
    polls: int


@dataclass(frozen=True)
class Expired:
    """The gateway no longer has the job.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        polls: Number of polls of this wait.

    """

    request_id: str
    model: str | None
    polls: int


@dataclass(frozen=True)
class Stored:
    """The output files of the job are stored.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        files: The stored files.
        seconds: Duration of the download and the storing, in seconds.

    """

    request_id: str
    model: str | None
    files: tuple[StoredFile, ...]
    seconds: float


Event: TypeAlias = SubmitFailed | Submitted | StateChanged | Completed | Failed | Expired | Stored
"""An event of a job."""
