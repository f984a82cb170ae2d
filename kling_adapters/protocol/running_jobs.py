"""Jobs of one key that wait for their end, and the times at which the request history listed them as running."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from kling_adapters.forks import ForkSafeLock, reset_in_children
from kling_adapters.models._gateway import HISTORY_MAX_PER_PAGE
from kling_adapters.protocol.rate_limit import RateLimiter

FEWEST_JOBS: Final = 5
"""Waiting jobs for which a listing is worth a request."""
POLLS_PER_PAGE: Final = 4
"""Polls that were due since the last listing, and jobs that it named, for each of its pages."""
PAUSE: Final = 60.0
"""Seconds without a listing after one that failed or named too few of the jobs."""
_MOST_ENDED: Final = 1000


class RunningJobs:
    """The waiting jobs of one key, and the listings of running jobs in the history. Any thread can use it.

    A listing is a few pages, each of which is true as of the time of its request.

    Attributes:
        limiter: The rate limiter of the key.
        is_queued: Whether a listing waits for the slot of its first request.
        is_listing: Whether a listing reads its pages.

    """

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self._lock = ForkSafeLock()
        self._started = self._resume_at = -math.inf
        self._due_polls = 0
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Forget the jobs that wait in the parent, and its listing."""
        self._listed = dict[str, float]()
        self._ended = dict[str, float]()
        self.is_queued = self.is_listing = False

    def __len__(self) -> int:
        """Return the number of jobs."""
        return len(self._listed)

    @property
    def most_pages(self) -> int:
        """The pages of a listing at most: other clients of the account may have as many jobs as this one."""
        return 2 * self._count_pages()

    def join(self, request_id: str) -> None:
        """Add a job."""
        with self._lock:
            self._listed.setdefault(request_id, -math.inf)

    def leave(self, request_id: str, ended: float | None = None) -> None:
        """Remove a job; `ended` is the time at which the job itself was said to have ended, if it was."""
        with self._lock:
            if self._listed.pop(request_id, None) is not None and ended is not None:
                self._ended[request_id] = ended
                if len(self._ended) > _MOST_ENDED:
                    del self._ended[next(iter(self._ended))]

    def find(self, request_id: str) -> float:
        """Return the last time at which a job was listed as running; minus infinity if it never was."""
        return self._listed.get(request_id, -math.inf)

    def count_spared(self) -> None:
        """Count a poll that a listing has spared."""
        with self._lock:
            self._due_polls += 1

    def begin(self, running: float, now: float) -> bool:
        """Count a poll that is due, of a job last known to be running at the time `running`, and begin a listing.

        Returns:
            False if the job has to be asked itself: a listing since then does not name it, another one is under way, or
            none is worth its requests.

        """
        with self._lock:
            self._due_polls += 1
            is_worth = (
                len(self._listed) >= FEWEST_JOBS and self._due_polls >= POLLS_PER_PAGE * self._count_pages()
            )
            is_under_way = self.is_queued or self.is_listing
            if not is_worth or is_under_way or self._started > running or now < self._resume_at:
                return False
            self.is_queued, self._due_polls = True, 0
            return True

    def start(self, now: float) -> None:
        """Note the time of the first request of the listing."""
        with self._lock:
            self.is_queued, self.is_listing, self._started = False, True, now

    def list_page(self, request_ids: Iterable[str], requested: float) -> bool:
        """Note the running jobs of a page.

        Returns:
            False if the history is late, and not to be used any more: it lists a job that had ended before.

        """
        with self._lock:
            for request_id in request_ids:
                if request_id in self._listed:
                    self._listed[request_id] = requested
                elif self._ended.get(request_id, math.inf) < requested:
                    self._resume_at = math.inf
                    return False
        return True

    def finish(self, pages: int, now: float, *, is_refused: bool) -> None:
        """End a listing.

        Args:
            pages: The pages that were read.
            now: The time.
            is_refused: Whether the history would refuse the same request again.

        """
        with self._lock:
            count = 0 if self.is_queued else sum(listed >= self._started for listed in self._listed.values())
            if is_refused:
                self._resume_at = math.inf
            elif count < POLLS_PER_PAGE * max(1, pages):
                self._resume_at = max(self._resume_at, now + PAUSE)
            # The others were compared with this listing.
            self._ended = {job: ended for job, ended in self._ended.items() if ended >= self._started}
            self.is_queued = self.is_listing = False

    def _count_pages(self) -> int:
        return max(1, -(-len(self._listed) // HISTORY_MAX_PER_PAGE))
