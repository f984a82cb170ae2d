"""When the request history is searched for the jobs of uncertain submits."""

from __future__ import annotations

import time
from typing import Final

from kling_serve.job import Job

SEARCH_SECONDS: Final = 600.0
"""Seconds in which the job of an uncertain submit is likely to be listed in the request history."""
_LISTED_SECONDS: Final = 3 * 3600.0
"""Seconds after which the request history lists every job; see docs/journal.md."""
_LATE_SEARCH_INTERVAL: Final = 300.0
"""Seconds between two searches for jobs that are listed late."""
_SEARCH_INTERVAL: Final = 30.0
"""Seconds between two searches for jobs that are likely to be listed."""


def is_searched(job: Job) -> bool:
    """Return whether the job of an uncertain submit is likely to be found still, so that it counts as running."""
    return job.is_uncertain and time.time() < job.entry.created + SEARCH_SECONDS


def is_search_due(job: Job) -> bool:
    """Return whether the history may list the job of an uncertain submit by now."""
    if not job.is_uncertain or job.entry.looked is None:
        return job.is_uncertain
    now = time.time()
    interval = _SEARCH_INTERVAL if now < job.entry.created + SEARCH_SECONDS else _LATE_SEARCH_INTERVAL
    return now < job.entry.created + _LISTED_SECONDS and now >= job.entry.looked.time + interval
