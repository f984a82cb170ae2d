"""The plan of a batch, made before any submit: its tasks, its cost cap, and the lock of its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from kling_adapters import errors
from kling_adapters.journal.base import BaseJournal
from kling_adapters.journal.entries import REFUSED, JournalEntry
from kling_adapters.journal.lockfile import LockFile
from kling_adapters.protocol.earlier import is_resumable, read_entries
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.expired import find_expired_jobs
from kling_adapters.protocol.file_names import check_unique_per_job
from kling_adapters.protocol.keys import check_key
from kling_adapters.protocol.reconcile import settle_entries
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.tags import batch_name, digest
from kling_adapters.protocol.task_flow import Storages
from kling_adapters.protocol.tasks import Task, make_named_tasks, make_tasks
from kling_adapters.schema.adapter import Adapter

if TYPE_CHECKING:
    from kling_adapters.protocol.batch_requests import PrepareRequest, Request
    from kling_adapters.protocol.cost import CostCap


@dataclass
class Plan:
    """The tasks of a batch; empty until it is made.

    `submitted` are the ids of the tasks that were submitted in an earlier run.
    """

    tasks: Iterator[Task] = field(default_factory=lambda: iter(()))
    submitted: set[str] = field(default_factory=set[str])
    cost_cap: CostCap | None = None
    lock: LockFile | None = None


def plan_requests(
    plan: Plan,
    session: Session,
    requests: Iterable[Request],
    prepare: PrepareRequest,
    storages: Storages,
    *,
    save_to: str | None,
    make_cap: Callable[[Sequence[JournalEntry]], Flow[CostCap]] | None,
    name: str | None,
    tag: str | None,
) -> Flow[None]:
    """Plan one job for each request. Raises errors that affect every job; nothing was sent."""
    session.check_open()
    if name is not None:
        session.journal.check_available()
    # Without a key, each request would fail separately.
    yield from check_key(session)
    yield from storages.open_first(save_to)
    if name is not None:
        plan.lock = yield Call(partial(_acquire_lock, session.journal, name))
    entries: list[JournalEntry] = []
    if name is not None or make_cap is not None:
        entries = yield from read_entries(session)
    if make_cap is not None:
        plan.cost_cap = yield from make_cap(entries)
    if name is None:
        plan.tasks = make_tasks(requests, prepare, save_to, tag)
    else:
        # A refused submit may have been repeated: the last entry of a tag counts.
        earlier = {entry.tag: entry for entry in entries if entry.tag and batch_name(entry) == name}
        settled = yield from settle_entries(session, earlier.values())
        settled = yield from find_expired_jobs(session, settled, (yield Call(time.time)))
        earlier = dict(zip(earlier, settled, strict=True))
        _add_earlier(plan, earlier)
        plan.tasks = make_named_tasks(requests, prepare, save_to, name, earlier)


def plan_resume(
    plan: Plan,
    session: Session,
    find_adapter: Callable[[str], Adapter | None],
    save_to: str | None,
    on_start: Callable[[tuple[JournalEntry, ...]], object] | None,
) -> Flow[None]:
    """Plan the unfinished and uncertain jobs of the journal; `on_start` receives their entries."""
    session.check_open()
    session.journal.check_available()
    if save_to is not None:
        yield Call(partial(check_unique_per_job, save_to))
    entries = yield from read_entries(session)
    now: float = yield Call(time.time)
    entries = yield from find_expired_jobs(session, entries, now)
    selected = [entry for entry in entries if is_resumable(entry, save_to, now)]
    resumable = tuple((yield from settle_entries(session, selected)))
    if on_start is not None:
        on_start(resumable)
    plan.tasks = (_resume_task(entry, find_adapter(entry.model), save_to) for entry in resumable)


def _resume_task(entry: JournalEntry, adapter: Adapter | None, save_to: str | None) -> Task:
    return Task(
        str(entry.id),
        entry.id,
        entry.model,
        entry.params,
        adapter,
        entry.save_to or save_to,
        entry.tag,
        entry,
    )


def _acquire_lock(journal: BaseJournal, name: str) -> LockFile:
    """Lock a batch against other processes, which would submit the same requests."""
    lock = journal.lock_batch(digest(name))
    if lock is None:
        raise errors.ConfigError(
            f"the batch {name} is already running. Wait until it has ended, or use another name. "
            "Nothing was sent"
        )
    return lock


def _add_earlier(plan: Plan, entries: dict[str, JournalEntry]) -> None:
    for tag, entry in entries.items():
        if entry.state != REFUSED:
            plan.submitted.add(tag)
        if plan.cost_cap is not None:
            plan.cost_cap.add_earlier(tag, entry)
