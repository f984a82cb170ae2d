"""The rate limiter of this package, and others to compare it with, as policies of a simulation."""

from __future__ import annotations

import random
from collections import deque
from typing import Final

from kling_adapters.protocol.rate_limit import RateLimiter, Turn

SRE_FACTOR: Final = 1.1
SRE_SECONDS: Final = 120.0


class Limiter:
    """The limiter of this package."""

    def __init__(self, rate_limit: float | None = None) -> None:
        self.limiter = RateLimiter(rate_limit)

    def enter(self, *, is_urgent: bool) -> Turn:
        """See Policy."""
        return Turn(is_urgent)

    def claim(self, place: object, now: float) -> float:
        """See Policy."""
        assert isinstance(place, Turn)
        return self.limiter.claim(place, now)

    def record(self, sent: float, now: float, *, accepted: bool, reset: float | None) -> float:
        """See Policy."""
        if not accepted:
            return self.limiter.record_limit(sent, now, reset)
        self.limiter.record_success(sent, now)
        return 0.0


class RetryOnly:
    """A client that repeats each refused request by itself."""

    def enter(self, *, is_urgent: bool) -> object:
        """See Policy."""
        return is_urgent

    def claim(self, place: object, now: float) -> float:
        """See Policy."""
        return 0.0

    def record(self, sent: float, now: float, *, accepted: bool, reset: float | None) -> float:
        """See Policy."""
        return 0.0 if accepted else max(random.uniform(0.2, 0.6), reset or 0.0)


class SreThrottle(RetryOnly):
    """The client-side throttle of the SRE book, "Handling Overload": requests up to a multiple of those accepted."""

    def __init__(self) -> None:
        self.requests: deque[float] = deque()
        self.accepted: deque[float] = deque()

    def claim(self, place: object, now: float) -> float:
        """See Policy."""
        for times in (self.requests, self.accepted):
            while times and times[0] < now - SRE_SECONDS:
                times.popleft()
        excess = len(self.requests) - SRE_FACTOR * len(self.accepted)
        if random.random() >= excess / (len(self.requests) + 1):
            return 0.0
        self.requests.append(now)
        return random.uniform(0.2, 0.6)

    def record(self, sent: float, now: float, *, accepted: bool, reset: float | None) -> float:
        """See Policy."""
        # With its answer: otherwise the first requests of all workers would count as refused.
        self.requests.append(now)
        if accepted:
            self.accepted.append(now)
        return super().record(sent, now, accepted=accepted, reset=reset)
