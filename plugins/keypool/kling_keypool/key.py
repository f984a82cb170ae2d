"""A key of the pool: its load, and its pause after a refusal. Times are in seconds of the pool's clock."""

from __future__ import annotations

from collections import deque
from typing import Final

from kling_adapters import fingerprint_key

HOUR: Final = 3600.0
"""Seconds."""
_SUBMIT_TIMEOUT: Final = 60.0
"""Seconds after which a submit without an outcome no longer counts as load of its key."""
_INITIAL_PAUSE, _MAX_PAUSE = 1.0, 60.0
"""Seconds that a key pauses after a 429 at least; doubled by each 429 until a submit is accepted."""
# By status: the state of the key, and the seconds that it pauses. A refused submit costs nothing, so the key
# is retried later: its account may have new credits or permissions.
_REFUSALS: Final = {
    401: ("is not valid (401)", HOUR),
    403: ("is not permitted to do this (403)", 600.0),
    406: ("has no credits (406)", 600.0),
}


class PoolKey:
    """A key with its load and refusals; the repr does not show the key."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.last_use = 0  # number of the last `api_key` call that returned this key
        self.paused_until = float("-inf")
        self._pending_submits: deque[float] = deque()  # start times of submits without an outcome
        self._jobs: dict[str, float] = {}  # running jobs with the time of their submit, oldest first
        self._refusal_status = 0
        self._rate_limits = 0  # 429 responses since the last accepted job

    @property
    def is_rate_limited(self) -> bool:
        """True if the reason of the pause is a rate limit."""
        return self._refusal_status == 429

    def load(self, now: float) -> int:
        """Return the number of running jobs and pending submits.

        A job counts for an hour at most: the gateway keeps its record no longer.
        """
        while self._pending_submits and self._pending_submits[0] <= now - _SUBMIT_TIMEOUT:
            self._pending_submits.popleft()
        while self._jobs and (oldest := next(iter(self._jobs.items())))[1] <= now - HOUR:
            del self._jobs[oldest[0]]
        return len(self._pending_submits) + len(self._jobs)

    def start_submit(self, now: float) -> None:
        """Count a submit as load."""
        self._pending_submits.append(now)

    def start_job(self, request_id: str, now: float) -> None:
        """Count a job as load in place of its submit."""
        self._finish_submit()
        self._rate_limits = 0
        self._jobs[request_id] = now

    def finish_job(self, request_id: str) -> None:
        """Remove a job from the load."""
        self._jobs.pop(request_id, None)

    def pause(self, status: int, retry_after: float | None, now: float) -> None:
        """Pause after a refusal. A shorter pause does not replace a longer one."""
        self._finish_submit()
        if status == 429:
            # Concurrent submits meet the same rate limit, so only the first refusal lengthens the pause.
            if self.paused_until <= now:
                self._rate_limits += 1
            pause = min(_MAX_PAUSE, _INITIAL_PAUSE * 2.0 ** min(self._rate_limits - 1, 10))
            seconds = max(pause, retry_after or 0.0)
        else:
            seconds = _REFUSALS[status][1]
        if now + seconds >= self.paused_until:
            self._refusal_status, self.paused_until = status, now + seconds

    def describe_refusal(self, now: float) -> str:
        """Return the reason and the rest of the pause, for a key that is not rate limited."""
        seconds = self.paused_until - now
        return (
            f"{fingerprint_key(self.secret)} {_REFUSALS[self._refusal_status][0]}, retried in {seconds:.0f} s"
        )

    def _finish_submit(self) -> None:
        if self._pending_submits:
            self._pending_submits.popleft()
