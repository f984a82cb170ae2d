"""Recorded ends of jobs, used when the gateway no longer has their records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kling_adapters._text import fingerprint_key
from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.models._gateway import OUTPUT_LIFETIME, RECORD_LIFETIME
from kling_adapters.protocol.history_rows import HistoryRow
from kling_adapters.protocol.messages import Answer
from kling_adapters.protocol.responses import read_ended_job
from kling_adapters.result import JobStatus, Metrics, ResultData
from kling_adapters.schema.facts import OutputKind


def read_result(entry: JournalEntry, returns: OutputKind | None = None) -> ResultData | None:
    """Return the recorded result of a COMPLETED job; None for any other entry."""
    if entry.state != "COMPLETED" or entry.request_id is None:
        return None
    result = _read_answer(entry.request_id, entry.model, returns, entry.result)
    return result if isinstance(result, ResultData) else None


def read_body(
    request_id: str, model: str | None, returns: OutputKind | None, body: Mapping[str, Any]
) -> ResultData:
    """Return the result of a completed job from the answer of the gateway. Raises ConfigError for any other answer."""
    result = _read_answer(request_id, model, returns, body)
    if not isinstance(result, ResultData):
        raise ConfigError(f"the recorded answer is not the result of job {request_id}")
    return result


def read_end(entry: JournalEntry, returns: OutputKind | None = None) -> ResultData | JobStatus | None:
    """Return the recorded result of a job, or its status if it FAILED; None if neither is recorded."""
    if entry.state == "FAILED":
        return JobStatus("FAILED", error=entry.reason)
    return read_result(entry, returns)


def read_row(
    row: HistoryRow, model: str | None = None, returns: OutputKind | None = None
) -> ResultData | JobStatus | None:
    """Return the result of a job in the request history, or its state; None for a result without an output."""
    if row.state != "COMPLETED":
        state = {"FAILED": "FAILED", "PENDING": "PROCESSING"}.get(row.state)
        return None if state is None else JobStatus(state, Metrics(cost=row.cost), row.error)
    if not row.urls:
        return None
    output = row.url if len(row.urls) == 1 else list(row.urls)
    body = {
        "status": "COMPLETED",
        "request_id": row.request_id,
        "output": output,
        "metrics": {"cost": row.cost},
    }
    return _read_answer(row.request_id, row.model or model, returns, body)


def _read_answer(
    request_id: str, model: str | None, returns: OutputKind | None, body: Mapping[str, Any] | None
) -> ResultData | JobStatus | None:
    return read_ended_job(request_id, model, returns, Answer(200, {}, json.dumps(body).encode()))


def output_is_alive(entry: JournalEntry, now: float) -> bool:
    """Return whether the gateway still keeps the files of a job at `now`, in seconds since 1970."""
    return now < entry.created + OUTPUT_LIFETIME


def check_key(entry: JournalEntry, key: str) -> None:
    """Raise ConfigError if a job was submitted with another key than `key`."""
    current = fingerprint_key(key)
    if current != entry.key:
        raise ConfigError(
            f"the gateway does not have job {entry.request_id} under the API key of this client. Entry {entry.id} of the "
            f"journal was submitted with another key (fingerprint {entry.key}; the current one has {current}). "
            f"Use the key of that account within {RECORD_LIFETIME // 60} minutes of its submit. "
            "The journal was not changed"
        )
