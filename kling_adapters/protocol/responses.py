"""Readers of the answers of the gateway, one for each kind of answer.

Everything in an answer is checked: a value that is missing, or of an undocumented type, becomes None, and a reader
returns None for an answer that it cannot use. URLs in answers are never used to reach the gateway.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from kling_adapters import errors
from kling_adapters.media.urls import is_http_url
from kling_adapters.models._gateway import FAILED_JOB_STATUS, STATES
from kling_adapters.protocol.failures import read_message
from kling_adapters.protocol.fields import (
    make_printable,
    read_count,
    read_decimal,
    read_id,
    read_list,
    read_number,
    read_object,
)
from kling_adapters.protocol.messages import Answer
from kling_adapters.protocol.outputs import read_artifacts
from kling_adapters.result import Artifact, Credits, JobStatus, Metrics, ResultData
from kling_adapters.schema.facts import OutputKind


def read_upload(answer: Answer) -> str | None:
    """Return the URL of an uploaded file; None if there is none that a model could fetch."""
    body = answer.json() or {}
    urls = read_list(body.get("file_urls")) or read_list(body.get("urls"))
    url = urls[0] if urls and answer.status < 300 else None
    return url if is_http_url(url) else None


def read_request_id(answer: Answer) -> str | None:
    """Return the id of a submitted job; None if there is none that could be used."""
    return read_id((answer.json() or {}).get("request_id"))


def read_status(answer: Answer, request_id: str | None = None) -> JobStatus | None:
    """Return the state of a job; None if there is none, or if the answer names another job than `request_id`.

    The state FAILED comes with the status 422.
    """
    body = answer.json()
    if body is None or answer.status not in (200, FAILED_JOB_STATUS) or names_another_job(body, request_id):
        return None
    state, error = body.get("status"), body.get("error")
    if not isinstance(state, str):
        if answer.status != FAILED_JOB_STATUS:
            return None
        state = "FAILED"
    reason = make_printable(error) if isinstance(error, str) else None
    return JobStatus(_normalize_state(state), _read_metrics(body), reason)


def names_another_job(body: Mapping[str, Any], request_id: str | None) -> bool:
    """Return whether an answer names a job other than `request_id`."""
    answered_id = read_id(body.get("request_id"))
    return None not in (answered_id, request_id) and str(answered_id).casefold() != str(request_id).casefold()


def read_ended_job(
    request_id: str, model: str | None, returns: OutputKind | None, answer: Answer
) -> ResultData | JobStatus | None:
    """Return the result of a COMPLETED job, or the status of a FAILED job; None for anything else.

    Args:
        request_id: The id of the job.
        model: The slug of its model, if known.
        returns: The kind of output of its model, if known.
        answer: The answer to `Gateway.result`.

    """
    status, body = read_status(answer, request_id), answer.json()
    if status is None or body is None or status.state not in ("COMPLETED", "FAILED"):
        return None
    if status.state == "FAILED":
        return status
    artifacts = read_artifacts(body, returns)
    return ResultData(request_id, model, body.get("output"), artifacts, status.metrics, body)


def read_direct_result(model: str, returns: OutputKind, answer: Answer) -> ResultData | None:
    """Return the result of a direct run: the body is the file, the headers hold its cost. None for anything else.

    Raises:
        JobFailed: The job ran and FAILED.

    """
    headers = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
    request_id = (
        read_id(headers.get("x-request-id", "").strip()) or read_request_id(answer) or f"sync-{uuid.uuid4()}"
    )
    metrics = Metrics(
        cost=read_decimal(headers.get("x-cost")),
        remaining_credits=read_decimal(headers.get("x-remaining-credits")),
        inference_time=read_decimal(headers.get("x-generation-time")),
    )
    state = (answer.json() or {}).get("status")
    is_failed = isinstance(state, str) and _normalize_state(state) == "FAILED"
    if answer.status == FAILED_JOB_STATUS and is_failed:
        raise errors.JobFailed(request_id, read_message(answer), metrics)
    if not (answer.is_success and answer.body):
        return None
    content_type = answer.headers.get("content-type")
    output = answer.body.decode("utf-8", "replace") if returns == "text" else None
    artifact = Artifact("", returns, content_type, len(answer.body), answer.body)
    return ResultData(request_id, model, output, (artifact,), metrics, headers)


def read_credits(answer: Answer) -> Credits | None:
    """Return the credits of the account; None if the answer does not hold them."""
    body = answer.json()
    if body is None or answer.status != 200:
        return None
    return Credits(read_number(body.get("credits")), read_number(body.get("free-credits")))


def _normalize_state(text: str) -> str:
    """Return a documented state in its documented spelling; another state unchanged."""
    state = make_printable(text).strip()
    return state.upper() if state.upper() in STATES else state


def _read_metrics(body: Mapping[str, Any]) -> Metrics:
    members = read_object(body.get("metrics"))
    return Metrics(
        cost=read_number(members.get("cost")),
        remaining_credits=read_number(members.get("remaining_credits")),
        inference_time=read_number(members.get("inference_time")),
        queue_time=read_number(members.get("queue_time")),
        total_time=read_number(members.get("total_time")),
        retry_count=read_count(members.get("retry_count")),
    )
