"""The jobs of a batch: one task for each request, with the tag by which the journal finds it again."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from kling_adapters.journal.entries import REFUSED, JournalEntry
from kling_adapters.media.inputs import digest_media
from kling_adapters.result import ResultData
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.fields import dump_set_fields
from kling_adapters.schema.params import Params

R_co = TypeVar("R_co", bound=ResultData, covariant=True)

Request: TypeAlias = Params | Mapping[str, Any]
"""A request of `Kling.map`: an object such as Kling2(...), or {"model": "kling-2", "prompt": ...}."""

PrepareRequest: TypeAlias = Callable[[Request], tuple[Adapter, Mapping[str, Any]]]

_TAG = re.compile(r"(?s)(.*)#[0-9a-f]{16}\.[0-9]+")


@dataclass(frozen=True)
class Outcome(Generic[R_co]):
    """One job of a batch that has ended.

    Attributes:
        index: Position of the request, from 0; of `resume`, the number of the entry in the journal.
        model: Slug of the model.
        request_id: The gateway's id of the job; None if it gave none.
        result: The result of a job that completed.
        error: The reason why the job did not complete, or why its output could not be stored; then `result`
            is set, too.

    """

    index: int
    model: str
    request_id: str | None
    result: R_co | None
    error: Exception | None


@dataclass(frozen=True)
class Task:
    """One job of a batch; `entry` is its submit in the journal, `error` the reason why it cannot be sent.

    `id` identifies it within the batch; `tag` is what the journal keeps with its submit.
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
        """Return whether the job has to be submitted."""
        return self.error is None and (self.entry is None or self.entry.state == REFUSED)


def make_tasks(
    requests: Iterable[Request], prepare: PrepareRequest, save_to: str | None, tag: str | None
) -> Iterator[Task]:
    """Yield the tasks of a batch without a name; `tag` is kept with each submit."""
    for index, request in enumerate(requests):
        try:
            adapter, body = prepare(request)
        except Exception as error:  # noqa: BLE001  one request that cannot be sent must not stop the others
            yield Task(str(index), index, _model_of(request), {}, error=error)
        else:
            yield Task(str(index), index, adapter.slug, body, adapter, save_to, tag)


def make_named_tasks(
    requests: Iterable[Request],
    prepare: PrepareRequest,
    save_to: str | None,
    name: str,
    entries: Mapping[str, JournalEntry],
) -> Iterator[Task]:
    """Yield the tasks of a named batch; `entries` are its submits in the journal, by tag."""
    counts: Counter[str] = Counter()
    for index, request in enumerate(requests):
        try:
            adapter, body = prepare(request)
            tag = _next_tag(name, adapter.slug, body, counts)
        except Exception as error:  # noqa: BLE001  one request that cannot be sent must not stop the others
            yield Task(str(index), index, _model_of(request), {}, error=error)
        else:
            yield Task(tag, index, adapter.slug, body, adapter, save_to, tag, entries.get(tag))


def request_tags(name: str, requests: Iterable[Params]) -> Iterator[str]:
    """Yield the tags by which the journal finds the requests of a named batch."""
    counts: Counter[str] = Counter()
    for params in requests:
        yield _next_tag(name, params.adapter.slug, dump_set_fields(params), counts)


def batch_name(entry: JournalEntry) -> str | None:
    """Return the name of the batch that a submit belongs to; None if it belongs to none."""
    match = _TAG.fullmatch(entry.tag or "")
    return match[1] if match else None


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits that identify a JSON value, in which local media counts by its content."""
    text = json.dumps(value, sort_keys=True, default=digest_media)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _next_tag(name: str, model: str, body: Mapping[str, Any], counts: Counter[str]) -> str:
    """Return the tag of a request: its content, and how often the same content came before."""
    content = digest([model, body])
    counts[content] += 1
    return f"{name}#{content}.{counts[content] - 1}"


def _model_of(request: object) -> str:
    if isinstance(request, Params):
        return request.adapter.slug
    model = cast("Mapping[str, object]", request).get("model") if isinstance(request, Mapping) else None
    return model if isinstance(model, str) else ""
