"""The clock of a client, which tests can replace."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """Time in seconds, for `Kling(clock=...)`."""

    def now(self) -> float:
        """Return a time in seconds that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Wait for so many seconds."""
        ...


class SystemClock:
    """The monotonic clock of this machine."""

    def now(self) -> float:
        """See Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """See Clock."""
        await anyio.sleep(seconds)
