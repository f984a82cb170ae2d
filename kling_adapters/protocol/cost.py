"""The cap on the cost of a batch, from the costs of earlier jobs: a price is known when its job has ended."""

from __future__ import annotations

from collections.abc import Iterable

from kling_adapters import errors
from kling_adapters.journal.entries import REFUSED, JournalEntry


class CostCap:
    """Credits that a batch may spend.

    It reserves the highest known cost of the model for each job that may still be billed. Jobs are identified
    by the ids of their tasks.
    """

    def __init__(self, limit: float, entries: Iterable[JournalEntry]) -> None:
        self._limit = limit
        self._spent = 0.0
        self._model_of_open: dict[str, str] = {}
        self._highest: dict[str, float] = {}
        for entry in entries:
            if entry.cost is not None:
                self._learn(entry.model, entry.cost)

    def admits(self, model: str) -> bool:
        """Return whether one more job is within the cap. While a cost is unknown, only one job may run."""
        open_models = self._model_of_open.values()
        if any(open_model not in self._highest for open_model in open_models):
            return False
        total = self._spent + sum(self._highest[open_model] for open_model in open_models)
        if model not in self._highest:
            return total < self._limit
        return total + self._highest[model] <= self._limit

    def reserve(self, task_id: str, model: str) -> None:
        """Reserve the cost of a job."""
        self._model_of_open[task_id] = model

    def add_earlier(self, task_id: str, entry: JournalEntry) -> None:
        """Count a job of an earlier run of the batch."""
        if entry.cost is not None:
            self._spent += entry.cost
        elif entry.state not in (REFUSED, "FAILED"):
            self.reserve(task_id, entry.model)

    def settle(
        self, task_id: str, cost: float | None, request_id: str | None, error: Exception | None
    ) -> None:
        """Count the cost of an ended job. One that may be billed at an unknown cost stays reserved."""
        if task_id not in self._model_of_open:
            return
        if cost is not None:
            self._spent += cost
            self._learn(self._model_of_open.pop(task_id), cost)
        elif _is_free(request_id, error):
            del self._model_of_open[task_id]

    def _learn(self, model: str, cost: float) -> None:
        self._highest[model] = max(cost, self._highest.get(model, cost))


def _is_free(request_id: str | None, error: Exception | None) -> bool:
    if isinstance(error, errors.JobFailed):
        return True
    is_refused = isinstance(error, errors.KlingError) and not isinstance(error, errors.SubmitUncertain)
    return request_id is None and is_refused
