"""Adaptive rate limiter of one key: the only answer to a 429."""

from __future__ import annotations

import random

from kling_adapters.forks import ForkSafeLock
from kling_adapters.protocol.retry import backoff

INITIAL_SPACING = 0.25
LONGEST_SPACING = 15.0
"""Seconds between two requests of a key after its first and after many rate limits."""
_RECOVERY = 0.98


class RateLimiter:
    """Reserve a slot for each request of a key. Safe for threads.

    The gateway does not publish its limit, so requests are unlimited until a 429. Then all requests of the key wait
    until the limit ends, and are spaced. Each 429 doubles the spacing and each other response reduces it, so that it
    adapts to the limit.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._spacing = 0.0
        self._next_slot = 0.0
        self._limits_in_a_row = 0
        self._limited_at = self._limited_until = float("-inf")

    def is_limited(self, now: float) -> bool:
        """Return whether a known limit has not ended at `now`."""
        return now < self._limited_until

    def reserve_slot(self, now: float) -> float:
        """Reserve the next slot and return the seconds until it comes."""
        with self._lock:
            slot = max(now, self._next_slot)
            self._next_slot = slot + self._spacing
            return slot - now

    def record_success(self) -> None:
        """Record a response other than 429."""
        with self._lock:
            self._limits_in_a_row = 0
            self._spacing = self._spacing * _RECOVERY if self._spacing > 0.01 else 0.0

    def record_limit(self, sent: float, now: float, reset: float | None) -> float:
        """Record a 429 and return the seconds for which the key is limited.

        Args:
            sent: The time at which the request was sent.
            now: The time of the response.
            reset: Seconds until the limit ends according to the gateway; None if unknown.

        """
        with self._lock:
            # Requests in flight at the same time met the same limit.
            if sent >= self._limited_at:
                self._spacing = min(LONGEST_SPACING, max(INITIAL_SPACING, 2 * self._spacing))
                self._limits_in_a_row += 1
                self._limited_at = now
            self._limited_until = max(self._limited_until, now + self._limit_duration(reset))
            # Earlier reservations are void: their requests find the limit and reserve another slot.
            self._next_slot = self._limited_until
            return self._limited_until - now

    def _limit_duration(self, reset: float | None) -> float:
        # Never less than without a reset: a reset in the past must not cause a storm of requests.
        shortest = backoff(self._limits_in_a_row + 1)
        if reset is None:
            return shortest
        # A little longer, so that the processes that share a key do not continue at the same moment.
        return max(shortest, reset + random.uniform(0.1, 1.0))  # noqa: S311  no secret depends on it
