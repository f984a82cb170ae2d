"""The jobs of a batch: one task for each request, with its tag in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kling_adapters.journal.entries import REFUSED, JournalEntry
from kling_adapters.protocol.tags import BatchTags
from kling_adapters.result import ResultData
from kling_adapters.schema.adapter import Adapter

if TYPE_CHECKING:
    from kling_adapters.protocol.batch_requests import PrepareRequest, Request

R_co = TypeVar("R_co", bound=ResultData, covariant=True)


@dataclass(frozen=True)
class Outcome(Generic[R_co]):
    """Outcome of one job of a batch.

    Attributes:
        index: Position of the request, from 0; for `resume`, the number of the entry in the journal.
        model: Slug of the model.
        request_id: The gateway's id of the job; None if no job is known.
        result: The result of a job that completed.
        error: The error of a job that did not complete, or whose output could not be stored; then `result` is
            set, too.

    """

    index: int
    model: str
    request_id: str | None
    result: R_co | None
    error: Exception | None


@dataclass(frozen=True)
class Task:
    """One job of a batch.

    Attributes:
        id: The identity of the task within the batch.
        index: Position of the request, from 0; for `resume`, the number of the entry in the journal.
        model: Slug of the model.
        body: The parameters.
        adapter: The facts of the model; None without a spec.
        save_to: The destination of the output; None if it is not stored.
        tag: The tag of the submit in the journal.
        entry: The earlier submit in the journal.
        error: The error of a request that cannot be sent.

    """

    id: str
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
        """True if the job must be submitted."""
        return self.error is None and (self.entry is None or self.entry.state == REFUSED)


def make_tasks(
    requests: Iterable[Request], prepare: PrepareRequest, save_to: str | None, tag: str | None
) -> Iterator[Task]:
    """Yield the tasks of a batch without a name; all have the same tag."""
    for index, request in enumerate(requests):
        try:
            adapter, body = prepare(request)
            adapter.check_retired()
        except Exception as error:  # noqa: BLE001  one request that cannot be sent must not stop the others
            yield _make_failed_task(index, request, error)
        else:
            yield Task(str(index), index, adapter.slug, body, adapter, save_to, tag)


def make_named_tasks(
    requests: Iterable[Request],
    prepare: PrepareRequest,
    save_to: str | None,
    name: str,
    entries: Mapping[str, JournalEntry],
) -> Iterator[Task]:
    """Yield the tasks of a named batch; `entries` are its earlier submits by tag."""
    tags = BatchTags(name, entries)
    for index, request in enumerate(requests):
        try:
            adapter, body = prepare(request)
            tag = tags.next_tag(adapter, body)
            task = Task(tag, index, adapter.slug, body, adapter, save_to, tag, entries.get(tag))
            if task.is_new:
                adapter.check_retired()
        except Exception as error:  # noqa: BLE001  one request that cannot be sent must not stop the others
            yield _make_failed_task(index, request, error)
        else:
            yield task


def _make_failed_task(index: int, request: object, error: Exception) -> Task:
    from kling_adapters.protocol.batch_requests import find_slug  # imports pydantic

    return Task(str(index), index, find_slug(request), {}, error=error)
