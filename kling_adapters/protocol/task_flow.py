"""The flow of one job of a batch, from its submit to its stored files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from kling_adapters import errors
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol import recall
from kling_adapters.protocol.collect import (
    Destination,
    FindStorage,
    collect,
    open_before_submit,
    open_destination,
)
from kling_adapters.protocol.earlier import find_destination, read_job
from kling_adapters.protocol.effects import Call, Fetch, Flow, Send, Sleep, Steps
from kling_adapters.protocol.file_names import check_unique_per_job
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.submit import submit
from kling_adapters.protocol.tasks import Task
from kling_adapters.protocol.wait import wait
from kling_adapters.result import ResultData, StoredFile

T = TypeVar("T")


class Storages:
    """The storages of a batch, by URL; each is opened and checked once."""

    def __init__(self, find: FindStorage) -> None:
        self._find = find
        self._storages: dict[str, Destination] = {}

    def open_first(self, save_to: str | None) -> Flow[None]:
        """Open a storage before anything is sent, which its error says."""
        if save_to is not None:
            yield Call(partial(check_unique_per_job, save_to))
            self._storages[save_to] = yield from open_before_submit(self._find, save_to)

    def open(self, save_to: str | None) -> Flow[Destination | None]:
        """Return the storage at a URL; None for None."""
        if save_to is None:
            return None
        if save_to not in self._storages:
            self._storages[save_to] = yield from open_destination(self._find, save_to)
        return self._storages[save_to]


@dataclass
class Progress:
    """The data of a job so far, also after a failed step."""

    request_id: str | None = None
    data: ResultData | None = None
    files: tuple[StoredFile, ...] = ()
    error: Exception | None = None


class Cancelled(errors.KlingError):
    """The batch was cancelled. The journal has the data to resume it."""


def run_task(
    session: Session, task: Task, storages: Storages, on_submit_ended: Callable[[bool], None]
) -> Flow[Progress]:
    """Finish a job: submit it, or resume it from the journal.

    `on_submit_ended` is called after the submit with True if another may start at once, and once more, with True if it
    started a job, else False, if its job had to be looked for.
    """
    progress = Progress(error=task.error)
    if task.error is not None:
        return progress
    try:
        if task.entry is None or task.is_new:
            yield from _run_new(session, task, storages, on_submit_ended, progress)
        else:
            yield from _run_earlier(session, task, task.entry, storages, progress)
    except Exception as error:  # noqa: BLE001  a defect, such as one of a plugin, must not stop other jobs
        progress.error = error
    return progress


def run_cancellable(flow: Flow[T], cancelled: threading.Event) -> Flow[T]:
    """Run a flow; once `cancelled` is set, raise Cancelled in it instead of its next request or sleep."""
    steps = Steps(flow)
    while not steps.done:
        if cancelled.is_set() and isinstance(steps.effect, Send | Sleep | Fetch):
            steps.fail(Cancelled("the batch was cancelled"))
            continue
        try:
            outcome = yield steps.effect
        except BaseException as error:  # noqa: BLE001  the flow raises it again
            steps.fail(error)
        else:
            steps.answer(outcome)
    return steps.value


def _run_new(
    session: Session,
    task: Task,
    storages: Storages,
    on_submit_ended: Callable[[bool], None],
    progress: Progress,
) -> Flow[None]:
    try:
        storage = yield from storages.open(task.save_to)
        if storage is not None and storage.name is not None and task.adapter is not None:
            storage.name.check_kind(task.adapter.returns)
        job = yield from submit(
            session,
            task.model,
            task.body,
            task.adapter,
            task.save_to,
            task.tag,
            # Others are submitted while the request history is searched.
            on_uncertain=partial(on_submit_ended, True),  # noqa: FBT003
        )
    except BaseException:
        on_submit_ended(False)  # noqa: FBT003
        raise
    progress.request_id = job.request_id
    on_submit_ended(True)  # noqa: FBT003
    progress.data = yield from wait(session, job, None)
    if storage is not None:
        progress.files = yield from collect(session, progress.data, storage)


def _run_earlier(
    session: Session, task: Task, entry: JournalEntry, storages: Storages, progress: Progress
) -> Flow[None]:
    progress.request_id = entry.request_id
    job = read_job(task, entry)
    progress.data = recall.read_result(entry, job.returns)
    save_to, progress.files = yield from find_destination(task, entry)
    storage = yield from storages.open(save_to)
    if save_to is not None and save_to != entry.save_to:
        gateway = session.gateway.base_url
        yield Call(partial(session.journal.record_destination, gateway, job.request_id, save_to))
    if progress.data is None:
        progress.data = yield from wait(session, job, None)
    if storage is not None:
        progress.files = yield from collect(session, progress.data, storage)
