"""The clock of a sandbox, and the time at which its jobs end."""

import threading
import time
from dataclasses import dataclass
from typing import Final, Literal, Self

MAX_ADVANCE: Final = 1_000_000_000
"""Seconds. Without a limit, two steps could make the time infinite."""
DEFAULT_LATENCY: Final = 60.0


class Clock:
    """A monotonic clock that can be advanced."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the seconds since a fixed moment."""
        return time.monotonic() + self._offset

    def advance(self, seconds: float) -> None:
        """Advance the clock. Raises ValueError for negative seconds and for more than MAX_ADVANCE."""
        if not 0 <= seconds <= MAX_ADVANCE:
            raise ValueError(f"advance must be from 0 to {MAX_ADVANCE} seconds, not {seconds}")
        with self._lock:
            self._offset += seconds


@dataclass(frozen=True)
class Timing:
    """The end of a job: `at-once`, after `amount` status polls, or after `amount` times its latency."""

    mode: Literal["at-once", "polls", "latency"]
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `at-once`, `polls:N` or `latency:FACTOR`. Raises ValueError for anything else."""
        match text.partition(":"):
            case ("at-once", "", ""):
                return cls("at-once")
            case ("polls", ":", digits) if digits.isascii() and digits.isdigit():
                return cls("polls", int(digits))
            case ("latency", ":", factor):
                amount = float(factor)
                if 0 <= amount < float("inf"):
                    return cls("latency", amount)
            case _:
                pass
        raise ValueError(f"timing must be at-once, polls:N or latency:FACTOR, not {text!r}")

    def end(self, submitted: float, latency: float | None) -> float | None:
        """Return the time at which a job ends; None if it depends on the number of polls."""
        if self.mode == "polls":
            return None
        return submitted + self.amount * (latency or DEFAULT_LATENCY)
