"""A bad day at the gateway: the jobs, what goes wrong, and a clock that runs faster. `benchmarks/storm.py` has it too."""

from __future__ import annotations

import random
import time
from typing import Any, Final

import anyio
from kling_sandbox import Fault, Faults, Sandbox

SEED: Final = 187
"""With this one every fault strikes even the few jobs of `make test`."""
CONCURRENCY: Final = 32
SPEED: Final = 100.0
LONGEST_USUAL_DELAY: Final = 90.0
"""Seconds after which the request history has all rows but one in a hundred."""
LONG_DELAY: Final = 600.0
"""Seconds after which it has the others."""

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

STARTED: Final = tuple(kind for kind in CUT if kind != "reset-early")
"""Those of them that start a job."""

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


def sandbox(history_delays: list[float] | None = None) -> Sandbox:
    """Return a gateway that has this day; a job ends at the fourth poll that it hears.

    Args:
        history_delays: Seconds from the submit of each job to its row in the request history, which become as much
            shorter as the clock of the client is faster; None for rows that are there at once.

    """
    delays = [delay / SPEED for delay in history_delays or [0.0]]
    return Sandbox(timing="polls:3", faults=WEATHER, seed=SEED, credits=10_000, history_delay=delays)


def late_rows(count: int, longest: float = LONG_DELAY) -> list[float]:
    """Return the delays of the rows of `count` jobs: 0 to 90 s, and `longest` for one in a hundred, rounded up.

    Those are rows of submits that were cut off: others are not looked for. All runs have the same, because the nth
    submit has the same fate in each.
    """
    chance, faults = random.Random(SEED), Faults(WEATHER, SEED)
    delays: list[float] = []
    lost: list[int] = []
    while len(delays) < count:
        fault = faults.strike("POST", "/v2/any")
        if fault is None or fault.kind in STARTED:
            if fault is not None:
                lost.append(len(delays))
            delays.append(chance.uniform(0.0, LONGEST_USUAL_DELAY))
    for number in chance.sample(lost, -(-count // 100)):
        delays[number] = longest
    return delays


class FastClock:
    """A Clock of `SPEED` seconds in one. Jobs that run together sleep together, as they cannot on a simulated one."""

    def now(self) -> float:
        return time.monotonic() * SPEED

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / SPEED)

    async def sleep_async(self, seconds: float) -> None:
        await anyio.sleep(seconds / SPEED)
