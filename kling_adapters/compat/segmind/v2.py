"""A submitted job, as the official client hands it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from kling_adapters.client.job import Job
from kling_adapters.compat.segmind.compatible_kling import CompatibleKling
from kling_adapters.compat.segmind.exceptions import (
    InferenceFailed,
    InferenceTimeout,
    translate_errors,
)

__all__ = [
    "DEFAULT_POLL_INTERVAL_S",
    "DEFAULT_POLL_TIMEOUT_S",
    "AsyncJob",
    "InferenceFailed",
    "InferenceTimeout",
]

DEFAULT_POLL_INTERVAL_S: Final = 1.0
DEFAULT_POLL_TIMEOUT_S: Final = 600.0
_LONGEST_WAIT = 365 * 86400.0


class _Client(Protocol):
    """A SegmindClient, whose module imports this one."""

    kling: CompatibleKling


@dataclass
class AsyncJob:
    """A job that the gateway has accepted.

    Attributes:
        request_id: The gateway's id of the job.
        status_url: The URL of its state. It is for logs: requests go to the gateway of the client.
        response_url: The URL of its result, for logs too.
        submit_response: The answer to the submit.

    """

    request_id: str
    status_url: str
    response_url: str
    submit_response: dict[str, Any]
    _client: _Client = field(repr=False)
    _submitted: Job | None = field(default=None, repr=False, compare=False)

    @property
    def _job(self) -> Job:
        return self._submitted or self._client.kling.job(self.request_id)

    def status(self) -> dict[str, Any]:
        """Query the state of the job; a failed query is repeated for half a minute.

        Returns:
            The body of the answer, with its status; that of a FAILED job has its error.

        Raises:
            SegmindError: The gateway refused the query, or no longer has the job (404).

        """
        with translate_errors():
            return self._client.kling.read_status(self.request_id)

    def result(self) -> dict[str, Any]:
        """Fetch the result of the job.

        Returns:
            The body of the answer; the state of a job that has not COMPLETED.

        Raises:
            SegmindError: As for `status`.

        """
        with translate_errors():
            return self._client.kling.read_result(self.request_id)

    def wait(
        self, timeout: float = DEFAULT_POLL_TIMEOUT_S, interval: float = DEFAULT_POLL_INTERVAL_S
    ) -> dict[str, Any]:
        """Wait for the end of the job. Failed polls are repeated until the timeout.

        Args:
            timeout: Seconds; 0 for one poll.
            interval: Not used: polls are densest where jobs of the model usually end.

        Returns:
            The body of the result.

        Raises:
            InferenceFailed: The job FAILED, and is not billed.
            InferenceTimeout: The job continues, and is billed when it completes.
            SegmindError: The gateway refused a poll, or no longer has the job (404).

        """
        with translate_errors():
            return dict(self._job.wait(min(max(0.0, timeout), _LONGEST_WAIT)).body)
