"""The tags of the requests of a named batch, by which the journal knows them in a later run."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kling_adapters.journal.entries import JournalEntry
from kling_adapters.media.inputs import digest_media
from kling_adapters.schema.adapter import Adapter

_TAG = re.compile(r"(?s)(.*)#[0-9a-f]{16}\.[0-9]+")


class BatchTags:
    """The tags of the requests of a batch, in their order.

    A tag is a digest of the content of a request, and the number of earlier equal requests. A request that was
    submitted before a parameter got another name keeps the tag of that submit, so that it is not paid for again.

    Args:
        name: The name of the batch.
        entries: Its earlier submits by tag.

    """

    def __init__(self, name: str, entries: Mapping[str, JournalEntry]) -> None:
        self._name = name
        self._entries = entries
        self._counts: Counter[str] = Counter()
        self._old_names: dict[str, list[frozenset[str]]] = {}

    def next_tag(self, adapter: Adapter, body: Mapping[str, Any]) -> str:
        """Return the tag of the next request."""
        content = digest([adapter.slug, body])
        number = self._counts[content]
        self._counts[content] += 1
        tag = f"{self._name}#{content}.{number}"
        if tag in self._entries:
            return tag
        for earlier_body in self._iter_earlier_bodies(adapter, body):
            earlier_tag = f"{self._name}#{digest([adapter.slug, earlier_body])}.{number}"
            if earlier_tag in self._entries:
                return earlier_tag
        return tag

    def _iter_earlier_bodies(self, adapter: Adapter, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield a body under each set of old names that the earlier submits have."""
        for old_names in self._find_old_names(adapter):
            old_by_present = {adapter.renamed[old]: old for old in old_names}
            if old_by_present.keys() <= body.keys():
                yield {old_by_present.get(name, name): value for name, value in body.items()}

    def _find_old_names(self, adapter: Adapter) -> Iterable[frozenset[str]]:
        if not adapter.renamed:
            return ()
        if adapter.slug not in self._old_names:
            bodies = [entry.params for entry in self._entries.values() if entry.model == adapter.slug]
            used = (frozenset(adapter.renamed.keys() & body.keys()) for body in bodies)
            self._old_names[adapter.slug] = [names for names in dict.fromkeys(used) if names]
        return self._old_names[adapter.slug]


def batch_name(entry: JournalEntry) -> str | None:
    """Return the name of the batch of a submit; None for a submit outside a named batch."""
    match = _TAG.fullmatch(entry.tag or "")
    return match[1] if match else None


def digest(value: Any) -> str:
    """Return a digest of 16 hexadecimal digits of a JSON value, in which local media counts by its content."""
    text = json.dumps(value, sort_keys=True, default=digest_media)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
