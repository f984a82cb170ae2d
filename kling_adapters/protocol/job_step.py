"""One step of a job that was submitted, for a caller that keeps its progress: a poll, or a try to store its output."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from kling_adapters import errors
from kling_adapters.api_errors import ApiError
from kling_adapters.journal.entries import EXPIRED
from kling_adapters.models._gateway import OUTPUT_LIFETIME
from kling_adapters.protocol.collect import Destination, collect
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.recall import read_body
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.single_poll import PollProgress, poll_once
from kling_adapters.result import Metrics, ResultData

NOT_STORED: Final = "NOT STORED"
"""The job completed, and its output can no longer be stored."""
UNFINISHED: Final = "UNFINISHED"
"""The job has not ended, and is not polled any more."""
_LONGEST_WAIT = 86400.0
"""Seconds after the submit for which a job is polled."""
_REFUSAL_DELAY = 60.0
"""Seconds between polls that are refused, by a key that was revoked say, until someone repairs it."""
_LONGEST_STORE_DELAY = 300.0


@dataclass(frozen=True)
class JobEnd:
    """End of a job, as an engine records it.

    Attributes:
        state: COMPLETED, NOT STORED, FAILED, EXPIRED or UNCERTAIN; another for a job that goes on without the engine.
        request_id: The gateway's id of the job; None if it is unknown.
        body: The gateway's answer to a completed job.
        files: The stored files, as StoredFile has them.
        reason: The message of the error.

    """

    state: str
    request_id: str | None = None
    body: Mapping[str, Any] | None = None
    files: Sequence[Mapping[str, Any]] = ()
    reason: str | None = None


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job that has not ended, which an engine keeps between two steps.

    Attributes:
        poll: The progress of the wait.
        body: The gateway's answer to a completed job; None before it.
        failures: Failures of storing its output.
        reason: The reason of the delay.
        delay: Seconds until the next step; None for at once.

    """

    poll: PollProgress = field(default_factory=PollProgress)
    body: Mapping[str, Any] | None = None
    failures: int = 0
    reason: str = ""
    delay: float | None = None


def advance_job(
    session: Session,
    job: JobRef,
    created: float,
    progress: JobProgress,
    open_storage: Callable[[], Flow[Destination]] | None,
) -> Flow[JobEnd | JobProgress]:
    """Poll a job once; or, if it completed, try once to store its output.

    Args:
        session: The state of the client, whose journal has the job.
        job: The job.
        created: The time of its submit, in seconds since 1970.
        progress: The outcome of the step before.
        open_storage: Opens the destination of the output; None if it is not stored.

    Returns:
        The end of the job, or its progress. A step that fails is progress, too.

    """
    if progress.body is None:
        return (yield from _poll(session, job, created, progress))
    if open_storage is None:
        return JobEnd("COMPLETED", job.request_id, progress.body)
    try:
        destination = yield from open_storage()
        result = read_body(job.request_id, job.model, job.returns, progress.body)
        files = yield from collect(session, result, destination)
    except (errors.StorageError, errors.ConfigError) as error:
        is_gone = isinstance(error, errors.StorageError) and error.is_gone
        if is_gone or (yield Call(time.time)) > created + OUTPUT_LIFETIME:
            return JobEnd(NOT_STORED, job.request_id, progress.body, reason=str(error))
        delay = min(_LONGEST_STORE_DELAY, 2.0 ** min(progress.failures, 10))
        return replace(progress, failures=progress.failures + 1, reason=str(error), delay=delay)
    # A link opens the file without credentials, and expires.
    rows = [{**asdict(file), "link": None} for file in files]
    return JobEnd("COMPLETED", job.request_id, progress.body, rows)


def _poll(session: Session, job: JobRef, created: float, progress: JobProgress) -> Flow[JobEnd | JobProgress]:
    try:
        outcome = yield from poll_once(session, job, progress.poll)
    except errors.JobFailed as error:
        return JobEnd("FAILED", job.request_id, reason=error.message)
    except errors.JobExpired as error:
        return JobEnd(EXPIRED, job.request_id, reason=str(error))
    except (ApiError, errors.ConfigError) as error:
        return replace(progress, reason=str(error), delay=_REFUSAL_DELAY)
    if isinstance(outcome, ResultData):
        return JobProgress(body=outcome.body)
    if (yield Call(time.time)) > created + _LONGEST_WAIT:
        return JobEnd(UNFINISHED, job.request_id, reason=f"its last state is {outcome.state}")
    return JobProgress(outcome, reason=outcome.state or "not polled yet", delay=outcome.delay)


def make_error(end: JobEnd, model: str) -> errors.KlingError | None:
    """Return the error of the outcome of the job; None for one that completed."""
    reason, request_id = end.reason or "", end.request_id or ""
    match end.state:
        case "COMPLETED":
            return None
        case "FAILED":
            return errors.JobFailed(request_id, reason, Metrics())
        case "EXPIRED":
            return errors.JobExpired(request_id)
        case "NOT STORED":
            return errors.StorageError(reason.rstrip("."))
        case "UNCERTAIN":
            return errors.SubmitUncertain(model, reason)
        case _:
            return errors.WaitTimeout(request_id, 0.0, None, f"{end.state.lower()}: {reason}")
