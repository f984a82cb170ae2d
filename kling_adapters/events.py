"""What happens to a job, as plugins and `job.events()` are told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kling_adapters.result import ResultData, StoredFile


@dataclass(frozen=True)
class SubmitFailed:
    """A submit came to nothing, for a `reason`; `uncertain` if a job may be running, and billed, all the same."""

    model: str
    reason: str
    uncertain: bool
    request_id: None = None


@dataclass(frozen=True)
class Submitted:
    """The gateway has accepted the job and given its id; from here on it can be billed.

    `params`: what was sent. `seconds`: how long it took, with every repetition of what had started nothing.
    """

    request_id: str
    model: str
    params: Mapping[str, Any] = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class StateChanged:
    """The job is in another state than when last asked: QUEUED, PROCESSING, or one added since."""

    request_id: str
    model: str | None
    state: str


@dataclass(frozen=True)
class Completed:
    """The job has COMPLETED; `result` is what it gave. `polls`: how often this wait has asked."""

    request_id: str
    model: str | None
    result: ResultData
    polls: int


@dataclass(frozen=True)
class Failed:
    """The job has FAILED, for the gateway's `reason`; it is not billed. `polls`: how often this wait has asked."""

    request_id: str
    model: str | None
    reason: str
    polls: int


@dataclass(frozen=True)
class Expired:
    """The gateway no longer knows the job. `polls`: how often this wait has asked."""

    request_id: str
    model: str | None
    polls: int


@dataclass(frozen=True)
class Stored:
    """The outputs of the job are where they were asked to be; fetching and storing took so many `seconds`."""

    request_id: str
    model: str | None
    files: tuple[StoredFile, ...]
    seconds: float


Event: TypeAlias = SubmitFailed | Submitted | StateChanged | Completed | Failed | Expired | Stored
