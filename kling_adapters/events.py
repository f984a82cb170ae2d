"""What happens to a job, as plugins and `job.events()` are told it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kling_adapters.result import ResultData, StoredFile


@dataclass(frozen=True)
class Submitted:
    """The gateway has accepted the job and given its id; from here on it can be billed."""

    request_id: str
    model: str | None


@dataclass(frozen=True)
class StateChanged:
    """The job is in another state than when last asked: QUEUED, PROCESSING, or one added since."""

    request_id: str
    model: str | None
    state: str


@dataclass(frozen=True)
class Completed:
    """The job has COMPLETED; `result` is what it gave."""

    request_id: str
    model: str | None
    result: ResultData


@dataclass(frozen=True)
class Failed:
    """The job has FAILED, for the gateway's `reason`; it is not billed."""

    request_id: str
    model: str | None
    reason: str


@dataclass(frozen=True)
class Expired:
    """The gateway no longer knows the job."""

    request_id: str
    model: str | None


@dataclass(frozen=True)
class Stored:
    """The outputs of the job are where they were asked to be."""

    request_id: str
    model: str | None
    files: tuple[StoredFile, ...]


Event: TypeAlias = Submitted | StateChanged | Completed | Failed | Expired | Stored
