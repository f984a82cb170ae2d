"""When to ask next, and how often something may be tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from kling_adapters.forks import ForkSafeLock

FIRST_INTERVAL = 1.0
LONGEST_INTERVAL = 10.0
LONGEST_BACKOFF = 30.0
SHORTEST_DEADLINE = 900.0
DEADLINE_WITHOUT_LATENCY = 1800.0
FIRST_DISTANCE = 0.25
LONGEST_DISTANCE = 15.0


def deadline(latency: float | None) -> float:
    """Seconds to wait for a job unless the caller says otherwise: four times its usual latency, and never under 15 minutes."""
    return DEADLINE_WITHOUT_LATENCY if latency is None else max(SHORTEST_DEADLINE, 4 * latency)


def jitter(seconds: float) -> float:
    """Spread `seconds` by a tenth, so that many jobs do not ask in step."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311  no secret depends on it


def after_rate_limit(reset: float | None, failures: int) -> float:
    """Seconds to wait after so many 429 in a row, until the `reset` the gateway named if it did.

    A little longer, so that not all ask at the same moment; and never less than without a reset, because one that is
    always over already must not become a storm.
    """
    patience = backoff(failures + 1)
    return patience if reset is None else max(patience, reset + random.uniform(0.1, 1.0))  # noqa: S311


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 ... 30."""
    return jitter(min(LONGEST_BACKOFF, 2.0 ** (min(failures, 10) - 1)))


class Budget:
    """What the requests of one key may ask for together, which the gateway does not say but with a 429. For any thread.

    As long as there is none, nobody waits. After one, all wait until the limit ends and then take turns: at twice the
    distance of before, which shrinks with every answer, so that the limit is found and kept.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._distance = 0.0
        self._next_turn = 0.0
        self._limited_at = self._limited_until = float("-inf")

    def is_limited(self, now: float) -> bool:
        """Whether a limit is known that has not ended."""
        return now < self._limited_until

    def turn(self, now: float) -> float:
        """Reserve the next turn and return in how many seconds it comes."""
        with self._lock:
            turn = max(now, self._next_turn)
            self._next_turn = turn + self._distance
            return turn - now

    def answered(self) -> None:
        """Note that a request was not limited."""
        with self._lock:
            self._distance = self._distance * 0.98 if self._distance > 0.01 else 0.0

    def limited(self, sent: float, now: float, reset: float | None) -> None:
        """Note a 429 to a request that was sent at the time `sent`; the limit ends in `reset` seconds, if that was told."""
        with self._lock:
            # Requests that were under way together are one mistake, not many.
            if sent >= self._limited_at:
                self._distance = min(LONGEST_DISTANCE, max(FIRST_DISTANCE, 2 * self._distance))
                self._limited_at = now
            self._limited_until = max(
                self._limited_until, now + (reset if reset is not None else self._distance)
            )
            # The turns that were given away before are void: who has one finds the limit, and takes another.
            self._next_turn = self._limited_until


@dataclass
class Pace:
    """Paces the polls of one job: every second at first, later every tenth of the time it has taken, 10 s at most.

    That finds the end of a job at most a tenth late, in some fifty requests for a five-minute job. A 429 doubles the
    interval for good: the account's limit is not known, so it is found. `polls` counts the requests.
    """

    factor: float = field(default=1.0, init=False)
    polls: int = field(default=0, init=False)

    def interval(self, elapsed: float) -> float:
        """Seconds until the next poll of a job that has been waited for `elapsed` seconds."""
        return jitter(self.factor * min(LONGEST_INTERVAL, max(FIRST_INTERVAL, elapsed / 10)))

    def rate_limited(self, reset: float | None, failures: int) -> float:
        """Seconds to wait after a 429, until the `reset` the gateway named if it did."""
        self.factor = min(self.factor * 2, 16.0)
        return after_rate_limit(reset, failures)


@dataclass
class SubmitRetries:
    """Decides whether a submit that provably started nothing is tried again.

    `rate_limit_budget`: seconds that may be spent waiting for a rate limit; it has a budget of its own because
    the limit ends by itself. Other failures get `attempts` tries in all.
    """

    attempts: int = 4
    rate_limit_budget: float = 300.0
    _failures: int = field(default=0, init=False)
    _limited: int = field(default=0, init=False)

    def after_failure(self) -> float | None:
        """Seconds to wait, or None to give up."""
        self._failures += 1
        return backoff(self._failures) if self._failures < self.attempts else None

    def after_rate_limit(self, reset: float | None) -> float | None:
        """Seconds to wait, or None if that would exceed the budget."""
        self._limited += 1
        delay = after_rate_limit(reset, self._limited)
        self.rate_limit_budget -= delay
        return delay if self.rate_limit_budget >= 0 else None
