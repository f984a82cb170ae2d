"""Limits of the jobs of one token: how many run at a time, and how many credits they may cost."""

from __future__ import annotations

from dataclasses import dataclass

from kling_adapters import KlingError


class LimitReached(KlingError):
    """A job would exceed a limit of its token. Nothing was sent."""


@dataclass(frozen=True)
class Limits:
    """Limits of one token; None for no limit.

    Attributes:
        jobs_in_flight: Jobs that may be unfinished at a time.
        credits_a_day: Credits that the jobs of the last 24 hours may cost.
        credits_in_all: Credits that the jobs since the start of the process may cost.
        unknown_price: Credits to set aside for a job of unknown price; None refuses such jobs if credits are limited.

    """

    jobs_in_flight: int | None = None
    credits_a_day: float | None = None
    credits_in_all: float | None = None
    unknown_price: float | None = None
