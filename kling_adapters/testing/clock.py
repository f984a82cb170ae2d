"""Clock without waiting."""

from __future__ import annotations

import threading

import anyio.lowlevel


class SimulatedClock:
    """A Clock on which sleeping takes no time: `Kling(clock=SimulatedClock(), ...)`.

    Attributes:
        slept: The length of every sleep, in seconds.

    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Read the simulated time. See `Clock.now`."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Advance the time instead of sleeping. See `Clock.sleep`."""
        with self._lock:
            self.slept.append(seconds)
            self._now += seconds

    async def sleep_async(self, seconds: float) -> None:
        """Advance the time, and let other tasks run. See `Clock.sleep_async`."""
        self.sleep(seconds)
        await anyio.lowlevel.checkpoint()
