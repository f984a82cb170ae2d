"""Intervals between polls by a schedule, and the default timeout of a wait."""

from __future__ import annotations

from dataclasses import dataclass

from kling_adapters.models._gateway import RECORD_LIFETIME
from kling_adapters.protocol.retry import jitter
from kling_adapters.protocol.schedule import Schedule

SHORTEST_INTERVAL = 1.0
LONGEST_INTERVAL = RECORD_LIFETIME / 12
"""Seconds without a poll at most, so that the gateway still has the record of a job that ended after the last one."""
SHORTEST_TIMEOUT = 900.0
TIMEOUT_WITHOUT_LATENCY = 1800.0


def default_timeout(latency: float | None) -> float:
    """Return the seconds to wait for a job by default: four times the latency of its model, 15 minutes at least."""
    return TIMEOUT_WITHOUT_LATENCY if latency is None else max(SHORTEST_TIMEOUT, 4 * latency)


def first_interval(schedule: Schedule, age: float) -> float:
    """Return the seconds until the first poll of a wait for a job of this age; 0 if it is due in a second or less."""
    interval = schedule.age(jitter(1.0)) - age
    return 0.0 if interval <= SHORTEST_INTERVAL else min(LONGEST_INTERVAL, interval)


def next_interval(schedule: Schedule, age: float) -> float:
    """Return the seconds until the next poll of a job that was running at this age."""
    interval = schedule.age(schedule.count(age) + jitter(1.0)) - age
    return min(LONGEST_INTERVAL, max(jitter(SHORTEST_INTERVAL), interval))


@dataclass(slots=True)
class PollCounter:
    """Number of requests about one job."""

    polls: int = 0
