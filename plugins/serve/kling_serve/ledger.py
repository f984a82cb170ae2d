"""The prices that are set aside for the jobs of one token."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from kling_adapters import AsyncKling, KlingError, Params
from kling_serve.job import Job
from kling_serve.tokens import Limits

DAY: Final = 86400.0
_FREE_STATES: Final = frozenset({"FAILED", "REFUSED"})


class LimitReached(KlingError):
    """A job would exceed a limit of its token. Nothing was sent."""


class Ledger:
    """The price that is set aside for each job of one token.

    Args:
        limits: The limits.

    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._prices: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._started = time.time()

    async def find_price(self, client: AsyncKling, params: Params) -> float:
        """Return the credits to set aside for a job. Raises LimitReached if its price is unknown."""
        if self._limits.credits_a_day is None and self._limits.credits_in_all is None:
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
        waiting = sum(self._prices[earlier] for earlier in self._waiting)
        for period, cap, start in (
            ("of 24 hours", self._limits.credits_a_day, time.time() - DAY),
            ("since the start", self._limits.credits_in_all, self._started),
        ):
            spent = waiting + sum(self._find_cost(job) for job in jobs.values() if job.entry.created >= start)
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

    def _find_cost(self, job: Job) -> float:
        """Return the cost of a job, or what is set aside for it while that is unknown."""
        if _lacks_cost(job):
            return self._prices.get(job.id, 0.0)
        return 0.0 if job.connection.is_free else job.entry.cost or 0.0

    def list_unpriced(self, jobs: Mapping[str, Job]) -> list[Job]:
        """Return the jobs of an earlier process whose price has to be set aside, because their cost is unknown."""
        if self._limits.credits_a_day is None:
            return []
        start = time.time() - DAY
        recent = [job for job in jobs.values() if job.entry.created >= start]
        return [job for job in recent if _lacks_cost(job) and job.id not in self._prices]

    def set_price(self, handle: str, price: float) -> None:
        """Set a price aside for a job that the journal has."""
        self._prices[handle] = price


def _lacks_cost(job: Job) -> bool:
    """Return whether a job is billed, or may be, but its cost is not known yet."""
    is_billed = not job.connection.is_free and job.entry.state not in _FREE_STATES
    return is_billed and job.entry.cost is None
