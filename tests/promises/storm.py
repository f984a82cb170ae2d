"""A bad day at the gateway: the jobs, what goes wrong, and a clock that runs faster. `benchmarks/storm.py` has it too."""

from __future__ import annotations

import time
from typing import Any, Final

import anyio
from kling_sandbox import Fault, Sandbox

SEED: Final = 187
"""With this one every fault strikes even the few jobs of `make test`."""
CONCURRENCY: Final = 32
SPEED: Final = 100.0

_SUBMITS, _POLLS, _DOWNLOADS = ("POST", "/v2/*"), ("GET", "/v2/requests/*"), ("GET", "/media/*")
# 10 % of 5xx and 5 % of resets everywhere. Every step has faults of its own: so the nth submit has the same fate,
# however often there were polls meanwhile.
WEATHER: Final = (
    Fault("429", 0.02, *_SUBMITS, burst=3),
    Fault("500", 0.04, *_SUBMITS),
    Fault("502", 0.04, *_SUBMITS),
    Fault("504", 0.02, *_SUBMITS),
    Fault("reset-early", 0.02, *_SUBMITS),
    Fault("reset-late", 0.02, *_SUBMITS),
    Fault("reset", 0.01, *_SUBMITS),
    Fault("429", 0.005, *_POLLS, burst=3),
    Fault("500", 0.04, *_POLLS),
    Fault("502", 0.03, *_POLLS),
    Fault("html", 0.01, *_POLLS),
    Fault("504", 0.02, *_POLLS),
    Fault("reset-late", 0.03, *_POLLS),
    Fault("reset", 0.02, *_POLLS),
    Fault("429", 0.02, *_DOWNLOADS, burst=3),
    Fault("500", 0.05, *_DOWNLOADS),
    Fault("502", 0.05, *_DOWNLOADS),
    Fault("reset", 0.05, *_DOWNLOADS),
    Fault("truncate", 0.2, *_DOWNLOADS),
)

SAFE: Final = ("429", "500", "502")
"""Faults of a submit that say it started nothing."""
CUT: Final = ("504", "reset-early", "reset-late", "reset")
"""Faults of a submit after which its sender, who may have sent all of it, cannot know whether it started a job."""

_SCENES: Final = ("a lighthouse in a storm", "a paper boat in a gutter", "a kite over the dunes")


def requests(count: int) -> list[dict[str, Any]]:
    """Return requests that differ in their `negative_prompt`, which changes nothing of the film: so few are rendered."""
    return [
        {
            "model": "kling-2.5-turbo",
            "prompt": _SCENES[number % len(_SCENES)],
            "duration": 5,
            "negative_prompt": f"job {number}",
        }
        for number in range(count)
    ]


def sandbox() -> Sandbox:
    """Return a gateway that has this day; a job ends at the fourth poll that it hears."""
    return Sandbox(timing="polls:3", faults=WEATHER, seed=SEED, credits=10_000)


class FastClock:
    """A Clock of `SPEED` seconds in one. Jobs that run together sleep together, as they cannot on a simulated one."""

    def now(self) -> float:
        return time.monotonic() * SPEED

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / SPEED)

    async def sleep_async(self, seconds: float) -> None:
        await anyio.sleep(seconds / SPEED)
