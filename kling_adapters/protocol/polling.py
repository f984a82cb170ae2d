"""Intervals between polls, and the default timeout of a wait."""

from __future__ import annotations

from dataclasses import dataclass

from kling_adapters.protocol.retry import jitter

FIRST_INTERVAL = 1.0
LONGEST_INTERVAL = 10.0
SHORTEST_TIMEOUT = 900.0
TIMEOUT_WITHOUT_LATENCY = 1800.0


def default_timeout(latency: float | None) -> float:
    """Return the seconds to wait for a job by default: four times the latency of its model, 15 minutes at least."""
    return TIMEOUT_WITHOUT_LATENCY if latency is None else max(SHORTEST_TIMEOUT, 4 * latency)


def poll_interval(elapsed: float) -> float:
    """Return the seconds until the next poll, `elapsed` seconds after the start of the wait.

    A tenth of the elapsed time, between 1 and 10 seconds: the end of a job is noticed at most a tenth too late, with
    about fifty polls for a job of five minutes.
    """
    return jitter(min(LONGEST_INTERVAL, max(FIRST_INTERVAL, elapsed / 10)))


@dataclass
class PollCounter:
    """Number of requests about one job."""

    polls: int = 0
