"""The errors that programs of the official client catch, and their making from those of this package.

Each has the error of this package as its `__cause__`, whose message says what it means for money.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import httpx

from kling_adapters import api_errors, errors
from kling_adapters.result import Metrics


class SegmindError(Exception):
    """Base class of all errors, as of the official client.

    Attributes:
        title: None.
        status: The HTTP status; None if no answer is the cause.
        detail: The message of the gateway or of this package; None without one.

    """

    title: str | None = None

    def __init__(self, status: int | None = None, detail: str | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def to_dict(self) -> dict[str, Any]:
        """Return the status and the detail."""
        return {"status": self.status, "detail": self.detail}

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.to_dict().items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status={self.status}, detail={self.detail})"


class InferenceFailed(SegmindError):
    """The job FAILED, and is not billed.

    Attributes:
        status_body: The state of the job, as of `AsyncJob.status`.

    """

    def __init__(self, detail: str | None, status_body: dict[str, Any]) -> None:
        super().__init__(None, detail)
        self.args = (detail, status_body)
        self.status_body = status_body


class InferenceTimeout(SegmindError):
    """The job has not ended in time. It continues, and is billed when it completes.

    Attributes:
        request_id: The id of the job.
        elapsed_s: The duration of the wait in seconds.

    """

    def __init__(self, request_id: str, elapsed_s: float) -> None:
        super().__init__(
            None,
            f"job {request_id} has not ended within {elapsed_s:.1f} s. It continues; wait for it again "
            "instead of submitting a new one",
        )
        self.args = (request_id, elapsed_s)
        self.request_id = request_id
        self.elapsed_s = elapsed_s


class SubmitUncertain(SegmindError):
    """The submit may have started a job that will be billed. The official client has no such error.

    Its status is None and it is not an httpx.TransportError, so that programs that repeat a submit after a 5xx or a
    broken connection do not pay twice.
    """


class ConnectionFailed(SegmindError, httpx.TransportError):
    """There was no usable answer, and no job was started by the request, so that it can be repeated."""

    def __init__(self, detail: str) -> None:
        httpx.TransportError.__init__(self, detail)
        self.status = None
        self.detail = detail


@contextmanager
def translate_errors() -> Generator[None]:
    """Raise the errors of this package as those of the official client."""
    try:
        yield
    except errors.KlingError as error:
        raise _make_error(error) from error


def describe_state(request_id: str, state: str, metrics: Metrics, error: str | None = None) -> dict[str, Any]:
    """Return the body of a status answer. A metric that the gateway did not report is left out."""
    times = {name: value for name, value in asdict(metrics).items() if value is not None}
    body: dict[str, Any] = {"status": state, "request_id": request_id, "metrics": times}
    return body if error is None else {**body, "error": error}


def _make_error(error: errors.KlingError) -> SegmindError:
    match error:
        case api_errors.ApiError():
            return SegmindError(error.status, error.message or None)
        case errors.JobFailed():
            body = describe_state(error.request_id, "FAILED", error.metrics, error.message)
            return InferenceFailed(error.message or None, body)
        case errors.WaitTimeout():
            return InferenceTimeout(error.request_id, error.seconds)
        case errors.SubmitUncertain():
            return SubmitUncertain(None, str(error))
        case errors.TransportError():
            return ConnectionFailed(str(error))
        case _:
            # The gateway would answer with these statuses.
            statuses: Mapping[type[errors.KlingError], int] = {
                errors.ParamsInvalid: 400,
                errors.JobExpired: 404,
                errors.RetiredModel: 410,
            }
            return SegmindError(statuses.get(type(error)), str(error))
