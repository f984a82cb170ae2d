"""An entry of the journal, and its states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from kling_adapters.result import StoredFile

SUBMITTING: Final = "SUBMITTING"
"""The intent is on disk; the gateway has not answered yet."""
REFUSED: Final = "REFUSED"
"""The submit started nothing."""
UNCERTAIN: Final = "UNCERTAIN"
"""The submit may have started a job that will be billed; its request id is unknown."""
EXPIRED: Final = "EXPIRED"
"""The gateway no longer has the job."""
FINAL_STATES: Final = (REFUSED, UNCERTAIN, EXPIRED, "COMPLETED", "FAILED")
"""The states after which the gateway reports nothing more."""


@dataclass(frozen=True)
class HistorySearch:
    """A search of the request history that did not find the job of an uncertain submit.

    Attributes:
        time: Its time, in seconds since 1970.
        rows: Requests of the model that the history has about the time of the submit.
        problem: The reason why the history could not be searched; None if it was.

    """

    time: float
    rows: int
    problem: str | None = None


@dataclass(frozen=True)
class JournalEntry:
    """A submit and its outcome, as the journal has them.

    Attributes:
        id: Number of the entry.
        gateway: Base URL of the gateway.
        model: Slug of the model.
        params: Parameters that were sent.
        key: Fingerprint of the API key, see `fingerprint_key`.
        save_to: Destination of the output; None if it is not stored.
        tag: Tag from the caller, or from a named batch.
        request_id: Request id of the job; None if the gateway gave none.
        state: State of the job as the gateway reports it, or SUBMITTING, REFUSED, UNCERTAIN or EXPIRED.
        reason: Reason of the failure of the job or its submit.
        result: Answer of the gateway to a COMPLETED job.
        cost: Cost in credits; None if it is unknown.
        files: The stored output files.
        created: Time of the submit, in seconds since 1970.
        updated: Time of the last change, in seconds since 1970.
        unchecked: Names of parameters that were sent without validation.
        looked: The last search for the job of an uncertain submit that did not find it, or could not be made; None if
            there was none. It stays when a later search finds the job, which `state` and `request_id` then show.

    """

    id: int
    gateway: str
    model: str
    params: Mapping[str, Any]
    key: str
    save_to: str | None
    tag: str | None
    request_id: str | None
    state: str
    reason: str | None
    result: Mapping[str, Any] | None
    cost: float | None
    files: tuple[StoredFile, ...]
    created: float
    updated: float
    unchecked: tuple[str, ...] = ()
    looked: HistorySearch | None = None

    @property
    def is_unfinished(self) -> bool:
        """True until the job has ended and its output is stored."""
        return self.state not in FINAL_STATES or (
            self.state == "COMPLETED" and self.save_to is not None and not self.files
        )


class Columns(TypedDict, total=False):
    """The columns of an entry that an update may set; see `JournalEntry`.

    `duration` is the time from the submit to the end of a COMPLETED job, in seconds; see `Journal.durations`.
    """

    key: str
    request_id: str
    state: str
    reason: str | None
    result: Mapping[str, Any]
    cost: float | None
    duration: float
    files: Iterable[StoredFile]
