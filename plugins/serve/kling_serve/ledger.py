"""The prices that are set aside for the jobs of one token."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from kling_adapters import AsyncKling, Params
from kling_serve.job import Job
from kling_serve.limits import LimitReached, Limits

DAY: Final = 86400.0
_FREE_STATES: Final = frozenset({"FAILED", "REFUSED"})


class Ledger:
    """The price that is set aside for each job of one token.

    Args:
        limits: The limits.

    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._caps = {
            "of 24 hours": (limits.credits_a_day, DAY),
            "since the start": (limits.credits_in_all, float("inf")),
        }
        self._prices: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._started = time.time()

    @property
    def has_cap(self) -> bool:
        """True if credits are limited."""
        return any(cap is not None for cap, _ in self._caps.values())

    async def find_price(self, client: AsyncKling, params: Params) -> float:
        """Return the credits to set aside for a job. Raises LimitReached if its price is unknown."""
        if not self.has_cap:
            return 0.0
        estimate = await client.estimate(params)
        price = self._limits.unknown_price if estimate.high is None else estimate.high
        if price is None:
            raise LimitReached(
                f"the price of this {estimate.model} job is unknown, and credits are limited here. "
                "Use a model with a known price, or have unknown_price set beside the limit. Nothing was sent"
            )
        return price

    def reserve(self, handle: str, price: float, jobs: Mapping[str, Job]) -> None:
        """Set a price aside for a job that the journal does not have yet. Raises LimitReached.

        Args:
            handle: The id of the job.
            price: Its price, in credits.
            jobs: The jobs of the token in the journal, by id.

        """
        self._waiting -= jobs.keys()
        self._waiting.discard(handle)
        running = sum(job.is_unfinished and job.state != "UNCERTAIN" for job in jobs.values()) + len(
            self._waiting
        )
        limit = self._limits.jobs_in_flight
        if limit is not None and running >= limit:
            raise LimitReached(
                f"{running} jobs of this token are running; its limit is {limit}. Wait for one to end. Nothing was sent"
            )
        for period, (cap, seconds) in self._caps.items():
            start = max(time.time() - seconds, self._started if seconds > DAY else 0.0)
            spent = self._count(job for job in jobs.values() if job.entry.created >= start)
            if cap is not None and spent + price > cap:
                raise LimitReached(
                    f"this job may cost {price:g} credits; of the {cap:g} credits {period}, {spent:g} are spent or "
                    "set aside for other jobs. Nothing was sent"
                )
        self._prices[handle] = price
        self._waiting.add(handle)

    def release(self, handle: str) -> None:
        """Forget a job whose submit has sent nothing."""
        self._waiting.discard(handle)

    def _count(self, jobs: Iterable[Job]) -> float:
        """Return the credits of jobs, and of those that the journal does not have yet."""
        return sum(map(self._find_cost, jobs)) + sum(self._prices[handle] for handle in self._waiting)

    def _find_cost(self, job: Job) -> float:
        """Return the cost of a job, or what is set aside for it while that is unknown."""
        if job.entry.cost is not None and not job.connection.is_free:
            return job.entry.cost
        return (
            0.0
            if job.connection.is_free or job.entry.state in _FREE_STATES
            else self._prices.get(job.id, 0.0)
        )

    def list_unpriced(self, jobs: Mapping[str, Job]) -> list[Job]:
        """Return the jobs of an earlier process whose price has to be set aside, because their cost is unknown."""
        if self._limits.credits_a_day is None:
            return []
        start = time.time() - DAY
        return [
            job
            for job in jobs.values()
            if job.entry.created >= start
            and job.entry.cost is None
            and not job.connection.is_free
            and job.entry.state not in _FREE_STATES
            and job.id not in self._prices
        ]

    def set_price(self, handle: str, price: float) -> None:
        """Set a price aside for a job that the journal has."""
        self._prices[handle] = price
