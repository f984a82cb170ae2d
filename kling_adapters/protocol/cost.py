"""The cap on the cost of a batch: no job is submitted that could exceed it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kling_adapters import errors
from kling_adapters.journal.entries import REFUSED, JournalEntry
from kling_adapters.protocol.prices import Prices

_ROUNDING: Final = 1e-9
"""Rounding errors of sums of costs."""


@dataclass
class _OpenJob:
    """A job that may still be billed, and the credits that are set aside for it; infinite if its price is unknown."""

    model: str
    params: Mapping[str, Any]
    reserve: float


class CostCap:
    """Credits that a batch may spend.

    It sets aside the upper estimate of each job that may still be billed. Jobs are identified by the ids of their
    tasks.

    Args:
        limit: The most credits that all jobs may cost together.
        prices: Prices at the gateway, to which the costs of ended jobs are added.
        allowance: Upper estimate in credits of a job whose price is unknown; None if no such job may be submitted.

    """

    def __init__(self, limit: float, prices: Prices, allowance: float | None) -> None:
        self._limit = limit
        self._prices = prices
        self._allowance = allowance
        self._spent = 0.0
        self._open: dict[str, _OpenJob] = {}

    def admits(self, model: str, params: Mapping[str, Any]) -> bool:
        """Return whether one more job is within the cap."""
        reserved = sum(job.reserve for job in self._open.values())
        total = self._spent + reserved + self._find_upper(model, params)
        return total <= self._limit * (1 + _ROUNDING)

    def is_unknown(self, model: str, params: Mapping[str, Any]) -> bool:
        """Return whether a job may not be submitted because its price is unknown and there is no allowance."""
        return math.isinf(self._find_upper(model, params))

    @property
    def stop_reason(self) -> str:
        """The reason for which nothing more is submitted once a job is not admitted."""
        if any(math.isinf(job.reserve) for job in self._open.values()):
            return (
                "a job of unknown price may still be billed, so max_cost could be exceeded. Pass allow_unknown_cost, the "
                "most that it may cost"
            )
        return "max_cost could be exceeded"

    def has_open_jobs(self, model: str) -> bool:
        """Return whether a job of this model may still show its price."""
        return any(job.model == model for job in self._open.values())

    def reserve(self, task_id: str, model: str, params: Mapping[str, Any]) -> None:
        """Set aside the cost of a job."""
        self._open[task_id] = _OpenJob(model, params, self._find_upper(model, params))

    def add_earlier(self, task_id: str, entry: JournalEntry) -> None:
        """Count a job of an earlier run of the batch."""
        if entry.cost is not None:
            self._spent += max(entry.cost, 0.0)
        elif entry.state not in (REFUSED, "FAILED"):
            self.reserve(task_id, entry.model, entry.params)

    def settle(
        self, task_id: str, cost: float | None, request_id: str | None, error: Exception | None
    ) -> None:
        """Count the cost of an ended job. One that may be billed at an unknown cost stays reserved."""
        job = self._open.get(task_id)
        if job is None:
            return
        if cost is not None:
            del self._open[task_id]
            self._spent += max(cost, 0.0)
            self._prices.add(job.model, job.params, cost)
            self._raise_reserves(job.model)
        elif _is_free(request_id, error):
            del self._open[task_id]

    def _find_upper(self, model: str, params: Mapping[str, Any]) -> float:
        high = self._prices.estimate(model, params).high
        if high is not None:
            return high
        return math.inf if self._allowance is None else self._allowance

    def _raise_reserves(self, model: str) -> None:
        """Set aside more for open jobs of a model whose jobs have cost more than they were expected to."""
        for job in self._open.values():
            if job.model == model:
                upper = self._find_upper(model, job.params)
                job.reserve = upper if math.isinf(job.reserve) else max(job.reserve, upper)


def _is_free(request_id: str | None, error: Exception | None) -> bool:
    if isinstance(error, errors.JobFailed):
        return True
    is_refused = isinstance(error, errors.KlingError) and not isinstance(error, errors.SubmitUncertain)
    return request_id is None and is_refused
