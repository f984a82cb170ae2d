"""Jobs of earlier submits in the journal: their errors, and the destinations of their outputs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial

from kling_adapters import errors
from kling_adapters.journal.entries import EXPIRED, SUBMITTING, UNCERTAIN, JournalEntry
from kling_adapters.protocol import recall
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.tasks import Task
from kling_adapters.result import Metrics, StoredFile

log = logging.getLogger("kling_adapters")


def list_entries(session: Session, changed_since: float) -> Flow[list[JournalEntry]]:
    """Return the submits of the journal that changed since a time, the oldest first."""
    session.check_open()
    session.journal.check_available()
    entries: list[JournalEntry] = yield Call(partial(session.journal.entries, changed_since))
    return entries


def read_entries(session: Session) -> Flow[list[JournalEntry]]:
    """Return the submits of the journal to the gateway of the client, the oldest first."""
    entries: list[JournalEntry] = yield Call(session.journal.entries)
    return [entry for entry in entries if entry.gateway == session.gateway.base_url]


def is_resumable(entry: JournalEntry, save_to: str | None, now: float) -> bool:
    """Return whether `resume` must report a submit, wait for its job, or store its output in `save_to`."""
    # The process of a submit in flight is alive and waits for the answer.
    is_open = entry.is_unfinished and entry.state != SUBMITTING
    return entry.state == UNCERTAIN or is_open or (save_to is not None and _can_be_stored(entry, now))


def read_job(task: Task, entry: JournalEntry) -> JobRef:
    """Return an earlier job. Raises its recorded error."""
    if entry.state in (UNCERTAIN, SUBMITTING) or entry.request_id is None:
        error = errors.SubmitUncertain(entry.model, entry.reason or "another process is submitting it")
        error.entry = entry.id
        raise error
    if entry.state == "FAILED":
        raise errors.JobFailed(entry.request_id, entry.reason or "", Metrics())
    if entry.state == EXPIRED:
        raise errors.JobExpired(entry.request_id)
    return JobRef.of(entry.request_id, task.model, task.adapter)


def find_destination(task: Task, entry: JournalEntry) -> Flow[tuple[str | None, tuple[StoredFile, ...]]]:
    """Return the destination of the output of an earlier job, None if it needs none, and its stored files.

    A missing file, or one in another destination, is stored again while the gateway keeps the output.
    """
    if not entry.files or entry.state != "COMPLETED":
        return task.save_to, entry.files
    missing: list[StoredFile] = yield Call(partial(_missing_files, entry.files))
    is_alive = recall.output_is_alive(entry, (yield Call(time.time)))
    if missing:
        destination = _replace_missing(task, entry, missing[0], is_alive=is_alive)
    else:
        destination = _move_elsewhere(task, entry, is_alive=is_alive)
    return (None, entry.files) if destination is None else (destination, ())


def _replace_missing(task: Task, entry: JournalEntry, missing: StoredFile, *, is_alive: bool) -> str | None:
    reason = f"{missing.url}, the stored output of {_describe(entry)}, is missing"
    if not is_alive:
        raise errors.StorageError(f"{reason}, and the gateway keeps outputs for seven days only")
    destination = task.save_to or entry.save_to
    if destination is None:
        log.warning("%s; pass save_to to store it again", reason)
    else:
        log.warning("%s; it is stored again in %s", reason, destination)
    return destination


def _move_elsewhere(task: Task, entry: JournalEntry, *, is_alive: bool) -> str | None:
    if task.save_to is None or task.save_to == entry.save_to:
        return None
    job = _describe(entry)
    if not is_alive:
        log.warning("%s stays in %s: the gateway keeps outputs for seven days only", job, entry.save_to)
        return None
    log.warning("%s was stored in %s; it is stored again in %s", job, entry.save_to, task.save_to)
    return task.save_to


def _describe(entry: JournalEntry) -> str:
    return f"job {entry.request_id} (entry {entry.id} of the journal)"


def _missing_files(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Return the files that were stored on this machine and no longer exist."""
    return [file for file in files if file.url.startswith("file:") and not file.path.exists()]


def _can_be_stored(entry: JournalEntry, now: float) -> bool:
    """Return whether a job completed, is not stored, and has an output that can still be fetched."""
    if entry.state != "COMPLETED" or entry.files or not recall.output_is_alive(entry, now):
        return False
    result = recall.read_result(entry)
    return result is not None and bool(result.artifacts)
