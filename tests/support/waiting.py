"""Waiting in real time for a thread, a process or a server."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 60.0
"""Long for a busy machine; a test that passes waits for a fraction of it."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true, a minute at most."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition is still false after a minute"
        time.sleep(0.01)
