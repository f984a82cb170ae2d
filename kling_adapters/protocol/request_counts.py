"""Counts of accepted requests, from which a rate is estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

SHORTEST = 0.3
"""Seconds, about the time of a request: no count is divided by less."""
_MINUTE = 60.0


@dataclass
class Count:
    """Requests that were accepted since a time."""

    number: int = 0
    since: float = 0.0

    def rate(self, end: float) -> float:
        """Return the requests a second until `end`."""
        return self.number / max(SHORTEST, end - self.since)


@dataclass
class Average:
    """Accepted requests of about the last minute: each counts less with its age."""

    weight: float = 0.0
    at: float = 0.0
    since: float = 0.0

    def add(self, now: float) -> None:
        """Count an accepted request."""
        self.weight, self.at = self._fade(now) + 1, now

    def rate(self, now: float) -> float:
        """Return the requests a second, corrected for the time before `since`."""
        share = 1 - math.exp(-max(SHORTEST, now - self.since) / _MINUTE)
        return self._fade(now) / _MINUTE / share

    def _fade(self, now: float) -> float:
        return self.weight * math.exp(-max(0.0, now - self.at) / _MINUTE)
