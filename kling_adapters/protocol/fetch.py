"""Fetch one output file, in one or more responses."""

from __future__ import annotations

import logging

from kling_adapters._text import escape
from kling_adapters.errors import StorageError
from kling_adapters.protocol.download import Download
from kling_adapters.protocol.effects import Fetch, Flow, Now, Sleep
from kling_adapters.protocol.messages import Answer, Fault, Outcome, Request
from kling_adapters.protocol.retry import backoff, is_output_gone
from kling_adapters.protocol.session import Session
from kling_adapters.result import Artifact

log = logging.getLogger("kling_adapters")

FETCH_FAILURES = 8
"""Responses in a row without new bytes before a download fails."""


def check_scheme(session: Session, artifact: Artifact) -> None:
    """Raise StorageError for an output over plain http, unless the gateway is local, such as a sandbox."""
    is_fetched = artifact.content is None
    if is_fetched and not artifact.url.startswith("https://") and not session.gateway.is_local:
        raise StorageError(
            f"the output is offered over plain http and was not fetched: {escape(artifact.url)}"
        )


def fetch(session: Session, artifact: Artifact, download: Download, end: float) -> Flow[None]:
    """Fetch a complete file, but not beyond the time `end`; a cut response is continued.

    Raises:
        StorageError: The output is gone, or could not be fetched in time.

    """
    failures = longest = 0
    reason = "the timeout ended before the first request"
    while True:
        request = yield from _bounded_request(session, artifact, download, end, reason)
        outcome: Outcome = yield Fetch(request, download)
        if _is_ok(outcome) and download.is_complete():
            return
        reason = _describe_failure(outcome, artifact, download)
        if is_output_gone(outcome):
            raise StorageError(
                f"the output cannot be fetched from {escape(artifact.url)}: {reason}", is_gone=True
            )
        # Only new bytes are progress: a server that restarts each response must not cause an endless loop.
        failures = 1 if download.received > longest else failures + 1
        longest = max(longest, download.received)
        if failures >= FETCH_FAILURES:
            raise StorageError(f"the output could not be fetched: {reason}")
        log.info("download of %s was cut (%s); continuing", escape(artifact.url), reason)
        yield Sleep(min(backoff(failures), max(0.0, end - (yield Now()))))


def _bounded_request(
    session: Session, artifact: Artifact, download: Download, end: float, reason: str
) -> Flow[Request]:
    """Return the request for the missing bytes. Raises StorageError if the client is closed or the time is up."""
    if session.closed.is_set():
        raise StorageError("this client was closed before the output was stored")
    remaining = end - (yield Now())
    if remaining <= 0:
        raise StorageError(f"the output could not be fetched in time: {reason}")
    deadline = None if remaining == float("inf") else remaining
    return Request("GET", artifact.url, None, download.headers(), deadline=deadline)


def _is_ok(outcome: Outcome) -> bool:
    return isinstance(outcome, Answer) and outcome.status in (200, 206)


def _describe_failure(outcome: Outcome, artifact: Artifact, download: Download) -> str:
    if isinstance(outcome, Fault):
        return outcome.reason
    if not _is_ok(outcome):
        return f"status {outcome.status}"
    expected = artifact.size if download.received == download.expected else download.expected
    return f"received {download.received} of {expected} bytes"
