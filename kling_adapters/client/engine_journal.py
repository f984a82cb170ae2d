"""The journal of a client whose jobs are recorded by an engine: it passes on what an engine has to know."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, Unpack

from kling_adapters._text import fingerprint_key
from kling_adapters.journal.entries import SUBMITTING, UNCERTAIN, Columns, JournalEntry
from kling_adapters.journal.null import NullJournal


@dataclass(frozen=True)
class JobRecord:
    """A job as an engine records it.

    Attributes:
        tag: The identity of the job, which no other job of the engine has.
        model: The slug of the model.
        params: The parameters.
        save_to: The destination of the output; None if it is not stored.
        request_id: The gateway's id of the job; None until it is known.
        key: The fingerprint of the API key of the submit; "" before it.
        created: The time of the submit, in seconds since 1970; 0 before it.

    """

    tag: str
    model: str
    params: Mapping[str, Any] = field(repr=False)
    save_to: str | None = None
    request_id: str | None = None
    key: str = ""
    created: float = 0.0


class JobStore(Protocol):
    """The records of an engine, for the steps of its jobs. The methods are called in worker threads, and may block."""

    def record_intent(self, tag: str, key: str, created: float) -> None:
        """Record durably that the submit of a job is about to be sent. If this raises, nothing is sent.

        Called again if the gateway refuses the key and the submit goes on with another one.

        Args:
            tag: The identity of the job.
            key: The fingerprint of the API key.
            created: The time, in seconds since 1970.

        """
        ...

    def find_submitting(self, model: str) -> list[JobRecord]:
        """Find the jobs whose submit may be in flight, without those that are known to be uncertain.

        Args:
            model: The slug of their model.

        Returns:
            The jobs.

        """
        ...

    def has_job(self, request_id: str) -> bool:
        """Find the owner of a request id.

        Args:
            request_id: The request id.

        Returns:
            True if a job of the engine has it.

        """
        ...

    def claim(self, tag: str, request_id: str) -> bool:
        """Make a request id that of a job. One place decides for all processes.

        Args:
            tag: The identity of the job.
            request_id: The request id.

        Returns:
            False if another job has it.

        """
        ...


class EngineJournal(NullJournal):
    """The journal of an EngineClient. It has the entry of a job while a step of that job runs."""

    may_block = True

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._numbers = count(1)
        self._tags: dict[int, str] = {}
        self._searches: set[int] = set()
        self._entries: dict[str, JournalEntry] = {}

    @contextmanager
    def hold(self, gateway: str, job: JobRecord, until: float | None = None) -> Generator[JournalEntry]:
        """Have the entry of a job inside the block.

        Args:
            gateway: The base URL of the gateway.
            job: The job.
            until: The time at which its submit became uncertain, in seconds since 1970; None for a job with an id.

        """
        number, state = next(self._numbers), "QUEUED" if until is None else UNCERTAIN
        entry = _make_entry(number, gateway, job, state, job.created if until is None else until)
        self._tags[number] = job.tag
        if job.request_id is not None:
            self._entries[job.request_id] = entry
        if until is not None:
            self._searches.add(number)
        try:
            yield entry
        finally:
            del self._tags[number]
            self._searches.discard(number)
            if self._entries.get(job.request_id or "") is entry:
                del self._entries[job.request_id or ""]

    def intend(
        self,
        gateway: str,
        model: str,
        params: Mapping[str, Any],
        key: str,
        save_to: str | None = None,
        tag: str | None = None,
        unchecked: tuple[str, ...] = (),
    ) -> int:
        """Have the engine record the submit."""
        number = next(self._numbers)
        self._store.record_intent(str(tag), fingerprint_key(key), time.time())
        self._tags[number] = str(tag)
        return number

    def update(self, entry: int, **columns: Unpack[Columns]) -> None:
        """Have the engine record the key of a submit that goes on with another one."""
        if "key" in columns:
            self._store.record_intent(self._tags[entry], columns["key"], time.time())
        elif "state" in columns:
            self._tags.pop(entry, None)

    def find(self, gateway: str, request_id: str) -> JournalEntry | None:
        """Return the entry of a job that has a step in progress, or of another job of the engine."""
        entry = self._entries.get(request_id)
        if entry is None and self._store.has_job(request_id):
            return _make_entry(0, gateway, JobRecord("", "", {}, request_id=request_id), "QUEUED", 0.0)
        return entry

    def find_unanswered(self, gateway: str, model: str | None = None) -> list[JournalEntry]:
        """Return the submits in flight, of all processes."""
        jobs = self._store.find_submitting(model or "")
        searched = [self._tags.get(number) for number in tuple(self._searches)]
        return [
            _make_entry(0, gateway, job, SUBMITTING, job.created) for job in jobs if job.tag not in searched
        ]

    def claim(self, entry: int, request_id: str) -> bool:
        """Have the engine decide whose job it is."""
        return self._store.claim(self._tags[entry], request_id)


def _make_entry(number: int, gateway: str, job: JobRecord, state: str, updated: float) -> JournalEntry:
    return JournalEntry(
        id=number,
        gateway=gateway,
        model=job.model,
        params=job.params,
        key=job.key,
        save_to=job.save_to,
        tag=job.tag,
        request_id=job.request_id,
        state=state,
        reason=None,
        result=None,
        cost=None,
        files=(),
        created=job.created,
        updated=updated,
    )
