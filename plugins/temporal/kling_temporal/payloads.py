"""The payloads of workflows and activities. A new field needs a default, because Temporal has earlier histories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from kling_adapters.engine import JobRecord

JOB_WORKFLOW: Final = "kling-job"
BATCH_WORKFLOW: Final = "kling-batch"
STORE_WORKFLOW: Final = "kling-store"
CLAIM_WORKFLOW: Final = "kling-claim"

MODEL: Final = SearchAttributeKey.for_keyword("KlingModel")
STATE: Final = SearchAttributeKey.for_keyword("KlingState")
BATCH: Final = SearchAttributeKey.for_keyword("KlingBatch")
REQUEST_ID: Final = SearchAttributeKey.for_keyword("KlingRequestId")
SEARCH_ATTRIBUTES: Final = (MODEL, STATE, BATCH, REQUEST_ID)

SUBMITTING: Final = "SUBMITTING"
SEARCHING: Final = "SEARCHING"
RUNNING: Final = "RUNNING"
COMPLETED: Final = "COMPLETED"
UNCERTAIN: Final = "UNCERTAIN"
CANCELLED: Final = "CANCELLED"
REFUSED: Final = "REFUSED"


def find_line(workflow_id: str) -> str:
    """Return the id of the first workflow of a line; a line that was refused has another one for each further run."""
    return split_id(workflow_id)[0]


def split_id(workflow_id: str) -> tuple[str, int]:
    """Return the id of the first workflow of a line, and the number of this run of it, from 0."""
    match = re.fullmatch(r"(.*?)(?:#(\d+))?", workflow_id, re.DOTALL)
    assert match is not None
    return match[1], int(match[2] or 0)


def make_attributes(model: str, batch: str) -> TypedSearchAttributes:
    """Return the search attributes of a job that is about to start."""
    values = {MODEL: model, STATE: SUBMITTING, BATCH: batch}
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in values.items()])


@dataclass(frozen=True)
class Intent:
    """The durable record that a submit is about to be sent.

    Attributes:
        key: The fingerprint of the API key.
        created: The time, in seconds since 1970.

    """

    key: str
    created: float


@dataclass(frozen=True)
class Accepted:
    """A submit that was answered with a request id."""

    request_id: str
    intent: Intent


@dataclass(frozen=True)
class Search:
    """A search for the job of a submit that became uncertain at the time `until`, in seconds since 1970."""

    job: JobRecord
    until: float
    gateway: str


class BatchLine(TypedDict):
    """A job of a batch. Not a class of data: to decode a thousand of those takes longer than a workflow may compute.

    Attributes:
        id: The id of its workflow.
        job: The members of its JobRecord.

    """

    id: str
    job: dict[str, Any]


@dataclass(frozen=True)
class BatchPart:
    """A part of a batch, as large as a payload may be.

    Attributes:
        name: The name of the batch.
        gateway: The base URL of the gateway.
        lines: The jobs that are not started yet, as BatchLine.
        window: The number of jobs that run at the same time.
        running: The ids of workflows that an earlier run of this part has started.

    """

    name: str
    gateway: str
    lines: list[Any]
    window: int
    running: Sequence[str] = ()
