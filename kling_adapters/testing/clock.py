"""A clock that does not wait."""

from __future__ import annotations

import threading

import anyio.lowlevel


class SimulatedClock:
    """A Clock on which sleeping takes no time but moves it on; `slept` lists every sleep, in seconds.

    kling = Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock())
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """The simulated time."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        with self._lock:
            self.slept.append(seconds)
            self._now += seconds

    async def sleep_async(self, seconds: float) -> None:
        """Move the time on, and let other tasks run."""
        self.sleep(seconds)
        await anyio.lowlevel.checkpoint()
