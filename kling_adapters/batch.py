"""Many jobs at once: what starts when, what is known already, and what it may cost. The clients bring them to their end."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from filelock import FileLock, Timeout

from kling_adapters import errors, flows, inputs, wire
from kling_adapters.adapter import Adapter
from kling_adapters.driver import Steps
from kling_adapters.flows import Call, Fetch, Flow, JobRef, Send, Session, Sleep
from kling_adapters.hookspecs import Storage
from kling_adapters.journal import EXPIRED, REFUSED, SUBMITTING, UNCERTAIN, Journal, JournalEntry
from kling_adapters.params import Params, given
from kling_adapters.result import Metrics, ResultData, StoredFile

log = logging.getLogger("kling_adapters")

R_co = TypeVar("R_co", bound=ResultData, covariant=True)
Request: TypeAlias = Params | Mapping[str, Any]

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
    error: errors.KlingError | None = None

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
        if concurrency < 1:
            raise errors.ConfigError(f"concurrency is {concurrency}; it must be 1 or more. Nothing was sent")
        self._session = session
        self._find_storage = find_storage
        self._concurrency = concurrency
        self._tasks: Iterator[Task] = iter(())
        self._held: Task | None = None
        self._paid: set[str] = set()
        self._budget: _Budget | None = None
        self._lock: FileLock | None = None
        self._storages: dict[str, Storage] = {}
        self._is_left = False
        self._is_capped = False
        # One at a time: when the process dies, one submit at most has not been answered.
        self._submitting: Task | None = None
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
        journal = self._session.journal if name is None else known_journal(self._session)
        yield Call(self._session.find_auth)
        if save_to is not None:
            yield from self._storage(save_to)
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
        entries = yield Call(known_journal(self._session).entries)
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
            and (entry.state == UNCERTAIN or (entry.is_unfinished and entry.state != SUBMITTING))
        )

    def ready(self) -> Iterator[Task]:
        """Yield the jobs that may start now."""
        while self.running < self._concurrency:
            if self._is_capped and not self._paid:
                return
            task = self._held or next(self._tasks, None)
            self._held = None
            if task is None:
                return
            if task.is_new and self._is_capped:
                continue
            if task.is_new and self._submitting is not None:
                self._held = task
                return
            if task.is_new and self._budget is not None:
                if not self._budget.admits(task.model):
                    if self.running:
                        self._held = task
                        return
                    log.warning(
                        "the batch submits nothing more: request %d could exceed max_cost", task.index
                    )
                    self._is_capped = True
                    continue
                self._budget.start(task.key, task.model)
            if task.is_new:
                self._submitting = task
            self._paid.discard(task.key)
            self.running += 1
            yield task

    def end(self, ended: Ended | None) -> None:
        """Note that a job has ended; None, which `wake` sends, only makes the client look at what is ready."""
        if ended is None:
            return
        self._let_submit(ended.task)
        self.running -= 1
        if self._budget is not None:
            self._budget.end(ended)

    def _let_submit(self, task: Task) -> None:
        if self._submitting is task:
            self._submitting = None

    def leave(self) -> None:
        """Let every job stop before it asks, sleeps or fetches again; a submit under way is answered first."""
        self._is_left = True

    def close(self) -> None:
        """Let others run the batch."""
        if self._lock is not None:
            self._lock.release()

    def flow(self, task: Task) -> Flow[Ended]:
        """Bring one job to its end, or to where the batch is left."""
        steps = Steps(self._to_its_end(task))
        while not steps.done:
            effect = steps.effect
            if self._is_left and isinstance(effect, Send | Sleep | Fetch):
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
        while seconds > 0 and not self._is_left:
            yield Sleep(min(NAP, seconds))
            seconds -= NAP

    def _to_its_end(self, task: Task) -> Flow[Ended]:
        if task.error is not None:
            return Ended(task, None, None, (), task.error)
        request_id: str | None = task.entry.request_id if task.entry and not task.is_new else None
        data: ResultData | None = None
        files: tuple[StoredFile, ...] = task.entry.files if task.entry else ()
        try:
            session, is_stored = self._session, bool(files) or task.save_to is None
            storage = None if is_stored else (yield from self._storage(task.save_to or ""))
            if task.is_new:
                job: JobRef = yield from flows.submit(
                    session, task.model, task.body, task.adapter, task.save_to, task.tag
                )
                request_id = job.request_id
                self._let_submit(task)
                self.wake()
            else:
                job = yield from self._known_job(task)
                data = _known_result(job, task)
            if data is None:
                data = yield from flows.wait(session, job, None)
            if storage is not None:
                files = yield from flows.collect(session, data, storage)
        except Exception as error:  # noqa: BLE001  a defect, of a plugin say, must not take the other jobs with it
            return Ended(task, request_id, data, files, error)
        return Ended(task, request_id, data, files, None)

    def _known_job(self, task: Task) -> Flow[JobRef]:
        """Return a job that was submitted earlier. Raises what is known to have become of it."""
        entry = task.entry
        assert entry is not None
        if entry.state in (UNCERTAIN, SUBMITTING) or entry.request_id is None:
            error = errors.SubmitUncertain(entry.model, entry.reason or "its submit is under way elsewhere")
            error.entry = entry.id
            raise error
        if entry.state == "FAILED":
            raise errors.JobFailed(entry.request_id, entry.reason or "", Metrics())
        if entry.state == EXPIRED:
            raise errors.JobExpired(entry.request_id)
        if task.save_to != entry.save_to and task.save_to is not None and self._session.journal is not None:
            yield Call(partial(self._session.journal.to_be_stored, entry.id, task.save_to))
        return JobRef.of(entry.request_id, task.model, task.adapter)

    def _storage(self, save_to: str) -> Flow[Storage]:
        if save_to not in self._storages:
            self._storages[save_to] = yield from flows.open_storage(self._find_storage, save_to)
        return self._storages[save_to]

    def _is_here(self, entry: JournalEntry) -> bool:
        return entry.gateway == self._session.gateway.base_url

    def _own(self, journal: Journal, name: str) -> None:
        """Keep other processes from running the same batch: both would submit what neither has begun."""
        lock = FileLock(
            journal.path.with_name(f"{journal.path.name}-{_digest(name)}.batch"), thread_local=False
        )
        journal.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise errors.ConfigError(f"the batch {name} is being run already. Nothing was sent") from None
        self._lock = lock


def known_journal(session: Session) -> Journal:
    """Return the journal of a client. Raises ConfigError if it keeps none."""
    if session.journal is None:
        raise errors.ConfigError("this client keeps no journal, so nothing is known of earlier jobs")
    return session.journal


def jobs(session: Session) -> Flow[list[JournalEntry]]:
    """Return every submit of the journal, the oldest first."""
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
        except errors.KlingError as error:
            model = request.adapter.slug if isinstance(request, Params) else str(request.get("model", ""))
            yield Task(index, model, {}, error=error)
            continue
        tag = None if name is None else _tag(name, adapter.slug, body, seen)
        yield Task(index, adapter.slug, body, adapter, save_to, tag, known.get(tag or ""))


def request_tags(name: str, requests: Iterable[Params]) -> Iterator[str]:
    """Yield the tags by which the journal knows the requests of a named batch."""
    seen: Counter[str] = Counter()
    for params in requests:
        yield _tag(name, params.adapter.slug, given(params), seen)


def _tag(name: str, model: str, body: Mapping[str, Any], seen: Counter[str]) -> str:
    digest = _digest([model, body])
    seen[digest] += 1
    return f"{name}#{digest}.{seen[digest] - 1}"


def _known_result(job: JobRef, task: Task) -> ResultData | None:
    """Return the result that the journal holds: the gateway forgets it after an hour, the files live for days."""
    if task.entry is None or task.entry.state != "COMPLETED" or task.entry.result is None:
        return None
    answer = wire.Answer(200, {}, json.dumps(task.entry.result).encode())
    found = wire.read_end(job.request_id, job.model, job.returns, answer)
    return found if isinstance(found, ResultData) else None


def _batch_of(entry: JournalEntry) -> str | None:
    name, hash_sign, _ = (entry.tag or "").rpartition("#")
    return name if hash_sign else None


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=inputs.digest)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
