"""An estimate of the progress of a job, from the durations of earlier jobs of its model.

The polls of a job follow the same durations; see `kling_adapters.protocol.schedule`. What is documented about a model
is a fact about the documented gateway only, so jobs of the sandbox have an estimate after the first one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

from kling_serve.job import Job
from kling_serve.models import Models

_MAX_JOBS: Final = 50
"""Earlier jobs that count, as for the polls."""


@dataclass(frozen=True)
class Expectation:
    """The usual duration of a job, in seconds.

    Attributes:
        usual: The median.
        low: The duration that one in ten jobs falls short of.
        high: The duration that one in ten jobs exceeds.
        jobs: The number of earlier jobs; 0 for the duration on the page of the model.

    """

    usual: float
    low: float
    high: float
    jobs: int


def expect_duration(job: Job, jobs: Iterable[Job], models: Models) -> Expectation | None:
    """Return the usual duration of a job; None if nothing is known about it.

    Args:
        job: The job.
        jobs: All jobs, the oldest first.
        models: The models, whose pages have a duration if there were no jobs.

    """
    durations = [
        duration
        for earlier in jobs
        if earlier.entry.model == job.entry.model and earlier.entry.gateway == job.entry.gateway
        if (duration := earlier.duration) is not None
    ][-_MAX_JOBS:]
    if not durations:
        model = models.get(job.entry.model)
        documented = None if model is None or job.connection.is_free else model.entry.latency
        return None if documented is None else Expectation(documented, documented, documented, 0)
    if len(durations) == 1:
        return Expectation(durations[0], durations[0], durations[0], 1)
    tenths = quantiles(durations, n=10, method="inclusive")
    return Expectation(median(durations), tenths[0], tenths[-1], len(durations))
