"""Many jobs at once: what starts when, what is known already, and what it may cost. The clients bring them to their end."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, cast

from kling_adapters import api_errors, errors
from kling_adapters.hookspecs import Storage
from kling_adapters.journal.journal import EXPIRED, REFUSED, SUBMITTING, UNCERTAIN, Journal, JournalEntry
from kling_adapters.journal.lockfile import LockFile
from kling_adapters.media.inputs import digest_media
from kling_adapters.protocol import flows, recall
from kling_adapters.protocol.effects import Call, Fetch, Flow, Send, Sleep, Steps
from kling_adapters.protocol.flows import JobRef, Session
from kling_adapters.result import Metrics, ResultData, StoredFile
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.fields import dump_set_fields
from kling_adapters.schema.params import Params

log = logging.getLogger("kling_adapters")

R_co = TypeVar("R_co", bound=ResultData, covariant=True)
Request: TypeAlias = Params | Mapping[str, Any]

STORAGE_FAILURES = 3
"""How many new jobs in a row may fail to be stored before no more are submitted: a full disk must not go on paying."""
NAP = 0.25
"""Seconds after which a sleeping job of a batch looks whether the batch has been left."""


@dataclass(frozen=True)
class Outcome(Generic[R_co]):
    """How one job of a batch ended.

    `index`: the place of the request, from 0; of `resume`, the number of the entry in the journal. `request_id` is None
    if the gateway gave none. `result` or `error` is there, and both when a job completed and could not be stored.
    """

    index: int
    model: str
    request_id: str | None
    result: R_co | None
    error: Exception | None


@dataclass(frozen=True)
class Task:
    """One request of a batch; `entry` is what the journal knows of it, `error` why it cannot be sent."""

    index: int
    model: str
    body: Mapping[str, Any]
    adapter: Adapter | None = None
    save_to: str | None = None
    tag: str | None = None
    entry: JournalEntry | None = None
    error: Exception | None = None

    @property
    def is_new(self) -> bool:
        """Whether it has to be submitted."""
        return self.error is None and (self.entry is None or self.entry.state == REFUSED)

    @property
    def key(self) -> str:
        """What tells it from the others of its batch."""
        return self.tag or str(self.index)


@dataclass(frozen=True)
class Ended:
    """What became of a task."""

    task: Task
    request_id: str | None
    data: ResultData | None
    files: tuple[StoredFile, ...]
    error: Exception | None


class _Left(errors.KlingError):
    """The batch has been left; the journal knows how to go on."""


class _Budget:
    """Credits that may be spent: what was, and the highest cost seen of its model for each job that may be billed yet."""

    def __init__(self, limit: float, entries: Iterable[JournalEntry]) -> None:
        self._limit = limit
        self._spent = 0.0
        self._open: dict[str, str] = {}
        self._highest: dict[str, float] = {}
        for entry in entries:
            if entry.cost is not None:
                self._saw(entry.model, entry.cost)

    def admits(self, model: str) -> bool:
        """Whether one more job can be afforded; of a model whose cost is not known, one at a time."""
        if any(open_model not in self._highest for open_model in self._open.values()):
            return False
        total = self._spent + sum(self._highest[open_model] for open_model in self._open.values())
        if model not in self._highest:
            return total < self._limit
        return total + self._highest[model] <= self._limit

    def start(self, key: str, model: str) -> None:
        """Set the cost of a job aside."""
        self._open[key] = model

    def recall(self, key: str, entry: JournalEntry) -> None:
        """Count a job of an earlier run of the batch."""
        if entry.cost is not None:
            self._spent += entry.cost
        elif entry.state not in (REFUSED, "FAILED"):
            self._open[key] = entry.model

    def end(self, ended: Ended) -> None:
        """Count what a job cost; what may be billed, and is not known, stays set aside."""
        key, cost = ended.task.key, ended.data.metrics.cost if ended.data else None
        if key not in self._open:
            return
        if cost is not None:
            self._saw(ended.task.model, cost)
            self._spent += cost
            del self._open[key]
        elif isinstance(ended.error, errors.JobFailed) or (
            ended.request_id is None
            and isinstance(ended.error, errors.KlingError)
            and not isinstance(ended.error, errors.SubmitUncertain)
        ):
            del self._open[key]

    def _saw(self, model: str, cost: float) -> None:
        self._highest[model] = max(cost, self._highest.get(model, cost))


class Batch:
    """The jobs of one batch. The client starts those that are `ready`, runs `flow` for each, and hands back its end.

    All but the flows is used by one thread or task alone.
    """

    def __init__(self, session: Session, find_storage: Callable[[str], Storage], concurrency: int) -> None:
        self._session = session
        self._find_storage = find_storage
        self._concurrency = concurrency
        self._tasks: Iterator[Task] = iter(())
        self._held: Task | None = None
        self._paid: set[str] = set()
        self._budget: _Budget | None = None
        self._lock: LockFile | None = None
        self._storages: dict[str, Storage] = {}
        self.is_left = False
        self._is_stopped = False
        self._storage_failures = 0
        # What the iterator of requests raised.
        self.failure: Exception | None = None
        # One at a time: when the process dies, one submit at most has not been answered.
        self._submitting: Task | None = None
        # The last whose flow failed.
        self._failed: Task | None = None
        self.wake: Callable[[], None] = lambda: None
        self.running = 0

    def open_requests(
        self,
        requests: Iterable[Request],
        prepare: Callable[[Request], tuple[Adapter, Mapping[str, Any]]],
        save_to: str | None,
        max_cost: float | None,
        name: str | None,
    ) -> Flow[None]:
        """Make ready what `requests` ask for. What would stop each of them stops here, before anything is sent."""
        self._session.check_open()
        journal = self._session.journal if name is None else known_journal(self._session)
        # Not only where it comes from: without a key, each request would fail by itself.
        yield Call(self._session.check_key)
        if save_to is not None:
            self._storages[save_to] = yield from flows.open_first(self._find_storage, save_to)
        known: dict[str, JournalEntry] = {}
        entries: list[JournalEntry] = []
        if journal is not None and (name is not None or max_cost is not None):
            if name is not None:
                yield Call(partial(self._own, journal, name))
            entries = [entry for entry in (yield Call(journal.entries)) if self._is_here(entry)]
            # Of a submit that was refused and then repeated, the last one counts.
            known = {entry.tag: entry for entry in entries if _batch_of(entry) == name and entry.tag}
        self._paid = {tag for tag, entry in known.items() if entry.state != REFUSED}
        if max_cost is not None:
            self._budget = _Budget(max_cost, entries)
            for tag, entry in known.items():
                self._budget.recall(tag, entry)
        self._tasks = _tasks(requests, prepare, save_to, name, known)

    def open_journal(self, find_adapter: Callable[[str], Adapter | None], save_to: str | None) -> Flow[None]:
        """Make ready what the journal knows to be unfinished, and report what is uncertain."""
        self._session.check_open()
        entries = yield Call(known_journal(self._session).entries)
        now: float = yield Call(time.time)
        self._tasks = (
            Task(
                entry.id,
                entry.model,
                entry.params,
                find_adapter(entry.model),
                entry.save_to or save_to,
                entry.tag,
                entry,
            )
            for entry in entries
            # What is being submitted has a process that is alive, and waits for the answer.
            if self._is_here(entry)
            and (
                entry.state == UNCERTAIN
                or (entry.is_unfinished and entry.state != SUBMITTING)
                or (save_to is not None and _can_be_stored(entry, now))
            )
        )

    def ready(self) -> Iterator[Task]:
        """Yield the jobs that may start now."""
        while self.running < self._concurrency and not self.is_left:
            if self._is_stopped and not self._paid:
                return
            task = self._held or self._next_task()
            self._held = None
            if task is None:
                return
            if task.is_new and self._is_stopped:
                continue
            if task.is_new and self._submitting is not None:
                self._held = task
                return
            if task.is_new and self._budget is not None:
                if not self._budget.admits(task.model):
                    if self.running:
                        self._held = task
                        return
                    self._stop(f"request {task.index} could exceed max_cost")
                    continue
                self._budget.start(task.key, task.model)
            if task.is_new:
                self._submitting = task
            self._paid.discard(task.key)
            self.running += 1
            yield task

    def _next_task(self) -> Task | None:
        if self.failure is not None:
            return None
        try:
            return next(self._tasks, None)
        except Exception as error:  # noqa: BLE001  the client raises it once the running jobs have ended
            self.failure = error
            return None

    def _stop(self, reason: str) -> None:
        """Submit nothing more; what is running, or was submitted earlier, is brought to its end."""
        if not self._is_stopped:
            log.warning("the batch submits nothing more: %s", reason)
        self._is_stopped = True

    def end(self, ended: Ended | None) -> None:
        """Note that a job has ended; None, which `wake` sends, only makes the client look at what is ready."""
        if ended is None:
            return
        self._let_submit(ended.task)
        self.running -= 1
        if self._budget is not None:
            self._budget.end(ended)
        if isinstance(ended.error, api_errors.Unauthorized | api_errors.InsufficientCredits):
            self._stop(f"the gateway refused the account ({ended.error.status})")
        if ended.task.is_new:
            self._count_storage(ended)

    def _count_storage(self, ended: Ended) -> None:
        if isinstance(ended.error, errors.StorageError):
            self._storage_failures += 1
        elif ended.files:
            self._storage_failures = 0
        if self._storage_failures >= STORAGE_FAILURES:
            self._stop(
                f"{STORAGE_FAILURES} jobs in a row could not be stored, the last because {ended.error}"
            )

    def _let_submit(self, task: Task) -> None:
        if self._submitting is task:
            self._submitting = None

    @property
    def is_submitting(self) -> bool:
        """Whether a submit is under way. Can be asked from any thread."""
        return self._submitting is not None and self._submitting is not self._failed

    def leave(self) -> None:
        """Let every job stop before it asks, sleeps or fetches again; a submit under way is answered first.

        Can be called from any thread.
        """
        self.is_left = True

    def close(self) -> None:
        """Let others run the batch."""
        if self._lock is not None:
            self._lock.release()

    def flow(self, task: Task) -> Flow[Ended]:
        """Bring one job to its end, or to where the batch is left."""
        steps = Steps(self._to_its_end(task))
        while not steps.done:
            effect = steps.effect
            if self.is_left and isinstance(effect, Send | Sleep | Fetch):
                steps.fail(_Left("the batch was left"))
                continue
            try:
                if isinstance(effect, Sleep) and effect.seconds > NAP:
                    yield from self._naps(effect.seconds)
                    outcome = None
                else:
                    outcome = yield effect
            except BaseException as error:  # noqa: BLE001  the flow raises it again
                steps.fail(error)
            else:
                steps.answer(outcome)
        return steps.value

    def _naps(self, seconds: float) -> Flow[None]:
        """Sleep in short pieces: a thread that sleeps cannot be woken."""
        while seconds > 0 and not self.is_left:
            yield Sleep(min(NAP, seconds))
            seconds -= NAP

    def _to_its_end(self, task: Task) -> Flow[Ended]:
        if task.error is not None:
            return Ended(task, None, None, (), task.error)
        request_id: str | None = task.entry.request_id if task.entry and not task.is_new else None
        data: ResultData | None = None
        files: tuple[StoredFile, ...] = ()
        try:
            session, place = self._session, task.save_to
            if task.is_new or task.entry is None:
                storage = None if place is None else (yield from self._storage(place))
                job: JobRef = yield from flows.submit(
                    session, task.model, task.body, task.adapter, place, task.tag
                )
                request_id = job.request_id
                self._let_submit(task)
                self.wake()
            else:
                job = _known_job(task, task.entry)
                data = recall.read_result(task.entry, job.returns)
                place, files = yield from _to_be_stored(task, task.entry)
                storage = None if place is None else (yield from self._storage(place))
                if place is not None and place != task.entry.save_to and session.journal is not None:
                    yield Call(partial(session.journal.record_destination, job.request_id, place))
            if data is None:
                data = yield from flows.wait(session, job, None)
            if storage is not None:
                files = yield from flows.collect(session, data, storage)
        except Exception as error:  # noqa: BLE001  a defect, of a plugin say, must not take the other jobs with it
            # Not let go before `end` has seen why: a refused account must submit nothing more.
            self._failed = task
            return Ended(task, request_id, data, files, error)
        return Ended(task, request_id, data, files, None)

    def _storage(self, save_to: str) -> Flow[Storage]:
        if save_to not in self._storages:
            self._storages[save_to] = yield from flows.open_storage(self._find_storage, save_to)
        return self._storages[save_to]

    def _is_here(self, entry: JournalEntry) -> bool:
        return entry.gateway == self._session.gateway.base_url

    def _own(self, journal: Journal, name: str) -> None:
        """Keep other processes from running the same batch: both would submit what neither has begun."""
        lock = journal.lock_batch(_digest(name))
        if lock is None:
            raise errors.ConfigError(f"the batch {name} is being run already. Nothing was sent")
        self._lock = lock


def known_journal(session: Session) -> Journal:
    """Return the journal of a client. Raises ConfigError if it keeps none."""
    if session.journal is None:
        raise errors.ConfigError("this client keeps no journal, so nothing is known of earlier jobs")
    return session.journal


def jobs(session: Session) -> Flow[list[JournalEntry]]:
    """Return every submit of the journal, the oldest first."""
    session.check_open()
    entries: list[JournalEntry] = yield Call(known_journal(session).entries)
    return entries


def _tasks(
    requests: Iterable[Request],
    prepare: Callable[[Request], tuple[Adapter, Mapping[str, Any]]],
    save_to: str | None,
    name: str | None,
    known: Mapping[str, JournalEntry],
) -> Iterator[Task]:
    seen: Counter[str] = Counter()
    for index, request in enumerate(requests):
        try:
            adapter, body = prepare(request)
            digest = None if name is None else _digest([adapter.slug, body])
        except Exception as error:  # noqa: BLE001  one request that cannot be sent must not take the others with it
            yield Task(index, _model_of(request), {}, error=error)
            continue
        tag = None
        if digest is not None:
            tag = _tag(name, digest, seen)
        yield Task(index, adapter.slug, body, adapter, save_to, tag, known.get(tag or ""))


def _model_of(request: object) -> str:
    if isinstance(request, Params):
        return request.adapter.slug
    model = cast("Mapping[str, object]", request).get("model") if isinstance(request, Mapping) else None
    return model if isinstance(model, str) else ""


def _known_job(task: Task, entry: JournalEntry) -> JobRef:
    """Return a job that was submitted earlier. Raises what is known to have become of it."""
    if entry.state in (UNCERTAIN, SUBMITTING) or entry.request_id is None:
        error = errors.SubmitUncertain(entry.model, entry.reason or "its submit is under way elsewhere")
        error.entry = entry.id
        raise error
    if entry.state == "FAILED":
        raise errors.JobFailed(entry.request_id, entry.reason or "", Metrics())
    if entry.state == EXPIRED:
        raise errors.JobExpired(entry.request_id)
    return JobRef.of(entry.request_id, task.model, task.adapter)


def _to_be_stored(task: Task, entry: JournalEntry) -> Flow[tuple[str | None, tuple[StoredFile, ...]]]:
    """Return where the output of a known job is to be stored, None for nowhere, and the files that it has already.

    A file that is gone, or that belongs to another place now, is stored again while the gateway keeps the output.
    """
    if not entry.files or entry.state != "COMPLETED":
        return task.save_to, entry.files
    job = f"job {entry.request_id} (entry {entry.id} of the journal)"
    gone: list[StoredFile] = yield Call(partial(_missing_files, entry.files))
    is_alive = recall.output_is_alive(entry, (yield Call(time.time)))
    if gone:
        reason = f"{gone[0].url}, which {job} was stored as, is gone"
        if not is_alive:
            raise errors.StorageError(f"{reason}, and the gateway keeps outputs for seven days only")
        place = task.save_to or entry.save_to
        if place is not None:
            log.warning("%s; it is stored again in %s", reason, place)
            return place, ()
        log.warning("%s; pass save_to to store it again", reason)
    elif task.save_to is not None and task.save_to != entry.save_to:
        if is_alive:
            log.warning("%s was stored in %s; it is stored again in %s", job, entry.save_to, task.save_to)
            return task.save_to, ()
        log.warning("%s stays in %s: the gateway keeps outputs for seven days only", job, entry.save_to)
    return None, entry.files


def _missing_files(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Return the files that were stored on this machine and are not there."""
    return [file for file in files if file.url.startswith("file:") and not file.path.exists()]


def _can_be_stored(entry: JournalEntry, now: float) -> bool:
    """Return whether a job completed, was not stored, and has an output that can still be fetched."""
    if entry.state != "COMPLETED" or entry.files or not recall.output_is_alive(entry, now):
        return False
    result = recall.read_result(entry)
    return result is not None and bool(result.artifacts)


def request_tags(name: str, requests: Iterable[Params]) -> Iterator[str]:
    """Yield the tags by which the journal knows the requests of a named batch."""
    seen: Counter[str] = Counter()
    for params in requests:
        yield _tag(name, _digest([params.adapter.slug, dump_set_fields(params)]), seen)


def _tag(name: str | None, digest: str, seen: Counter[str]) -> str:
    seen[digest] += 1
    return f"{name}#{digest}.{seen[digest] - 1}"


def _batch_of(entry: JournalEntry) -> str | None:
    name, hash_sign, _ = (entry.tag or "").rpartition("#")
    return name if hash_sign else None


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=digest_media)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
