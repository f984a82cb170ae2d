"""The clock of a client, which tests can replace."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time in seconds, for `Kling(clock=...)`."""

    def now(self) -> float:
        """Read the clock.

        Returns:
            The time in seconds, which never goes back.

        """
        ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread.

        Args:
            seconds: The duration in seconds.

        """
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the calling task.

        Args:
            seconds: The duration in seconds.

        """
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
        import anyio  # for asynchronous clients only

        await anyio.sleep(seconds)
