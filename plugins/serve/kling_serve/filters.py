"""Filters of the table of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from kling_serve.job import Job

GROUPS: Final = {
    "running": frozenset({"SUBMITTING", "QUEUED", "PROCESSING", "STORING"}),
    "done": frozenset({"COMPLETED"}),
    "failed": frozenset({"FAILED", "REFUSED", "EXPIRED", "LOST"}),
    "uncertain": frozenset({"UNCERTAIN"}),
}
"""The states that a filter shows, by its name."""


@dataclass(frozen=True)
class Filter:
    """The jobs to show. An empty text shows all.

    Attributes:
        state: The name of a group of states.
        model: The slug of a model.
        gateway: The name of a connection.
        text: A text that is in the prompt, the tag or the request id.

    """

    state: str = ""
    model: str = ""
    gateway: str = ""
    text: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filter:
        """Return the filter of an address."""
        return cls(*(query.get(name, "").strip()[:200] for name in ("state", "model", "gateway", "text")))

    def __str__(self) -> str:
        """Return the filter as the query of an address."""
        return urlencode({name: value for name, value in vars(self).items() if value})

    def accepts(self, job: Job) -> bool:
        """Return whether a job is shown."""
        entry = job.entry
        if self.state and job.state not in GROUPS.get(self.state, ()):
            return False
        if (self.model and entry.model != self.model) or (
            self.gateway and job.connection.name != self.gateway
        ):
            return False
        text = self.text.casefold()
        places = (entry.params.get("prompt"), entry.tag, entry.request_id, entry.model)
        return not text or any(text in str(place).casefold() for place in places if place)


def count_groups(jobs: Iterable[Job]) -> dict[str, int]:
    """Return the number of jobs of each group of states."""
    counts = dict.fromkeys(GROUPS, 0)
    for job in jobs:
        for name, states in GROUPS.items():
            counts[name] += job.state in states
    return counts
