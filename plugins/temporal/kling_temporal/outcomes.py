"""The outcomes of jobs: the ends of their workflows, and the errors of workflows without one."""

from __future__ import annotations

from dataclasses import replace

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError

from kling_adapters import (
    AsyncResult,
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    Metrics,
    Outcome,
    StorageError,
    StoredFile,
    SubmitUncertain,
    TransportError,
    WaitTimeout,
)
from kling_adapters.engine import EngineClient, PlannedJob
from kling_temporal import payloads
from kling_temporal.payloads import JobEnd

_INPUT_ERRORS = frozenset({"ConfigError", "ParamsInvalid", "UnknownModel", "RetiredModel"})


def make_outcome(kling: EngineClient, planned: PlannedJob, end: JobEnd) -> Outcome[AsyncResult]:
    """Return the outcome of a job that was started."""
    result, job = None, replace(planned.record, request_id=end.request_id)
    if end.body is not None:
        files = tuple(StoredFile(**file) for file in end.files)
        result = kling.read_result(job, end.body, files)
    return Outcome(planned.index, job.model, end.request_id, result, _make_error(end, job.model))


def read_failure(failure: WorkflowFailureError, model: str) -> KlingError:
    """Return the error of a workflow that failed, was cancelled before its submit, or was ended from outside."""
    cause: BaseException = failure
    while cause.__cause__ is not None:
        cause = cause.__cause__
    match cause:
        case ApplicationError(type=kind, message=message):
            return (ConfigError if kind in _INPUT_ERRORS else TransportError)(message)
        case CancelledError():
            return TransportError("the workflow was cancelled before the submit. Nothing was sent")
        case _:
            return SubmitUncertain(model, f"the workflow of the job did not come to its end: {cause}")


def _make_error(end: JobEnd, model: str) -> KlingError | None:
    reason, request_id = end.reason or "", end.request_id or ""
    match end.state:
        case payloads.COMPLETED:
            return None
        case payloads.FAILED:
            return JobFailed(request_id, reason, Metrics())
        case payloads.EXPIRED:
            return JobExpired(request_id)
        case payloads.NOT_STORED:
            return StorageError(reason.rstrip("."))
        case payloads.UNCERTAIN:
            return SubmitUncertain(model, reason)
        case _:
            return WaitTimeout(request_id, 0.0, None, f"{end.state.lower()}: {reason}")
