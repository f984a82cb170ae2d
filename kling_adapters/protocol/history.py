"""Durations of earlier jobs, and the schedules of polls that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from kling_adapters.models._gateway import RECORD_LIFETIME
from kling_adapters.protocol.schedule import ScaleFree, Schedule, expect_like, expect_mean, measure_normal

HISTORY_LENGTH: Final = 50
"""Durations that are kept of a model. More would hardly change a schedule."""
_SHORTEST: Final = 0.001
_SURPRISE: Final = 4.0
"""Standard deviations from the median to a duration that is a surprise."""
_FEWEST: Final = 9
"""Durations of which one can be a surprise."""
_CHANGE: Final = 3
"""Surprises in a row after which the earlier durations do not count: the model has changed."""


class History:
    """Durations of the last jobs of one model, in seconds. Any thread can use it."""

    def __init__(self) -> None:
        self._durations: tuple[float, ...] = ()
        self._trusted = 0
        self._unused = 0
        self._schedule: Schedule | None = None

    def add(self, duration: float) -> None:
        """Add the duration of a job that ended after the others; one that no job can have is ignored."""
        if _SHORTEST <= duration <= RECORD_LIFETIME:
            durations = (*self._durations, duration)[-HISTORY_LENGTH:]
            surprises = _count_surprises(durations)
            if surprises >= _CHANGE:
                durations, self._trusted = durations[-surprises:], surprises
            else:
                self._trusted = 0 if surprises else min(self._trusted + 1, len(durations))
            self._durations = durations
            self._unused += HISTORY_LENGTH if surprises else 1

    def schedule(self, mean: float | None) -> Schedule:
        """Return the schedule of polls for the next job.

        Args:
            mean: The documented mean of the durations, in seconds; None if there is none.

        """
        durations = self._durations
        if not durations:
            return expect_documented(mean)
        # A schedule takes a tenth of a millisecond to make, and one more duration in fifty does not change it.
        if self._schedule is None or 10 * self._unused >= len(durations):
            self._unused = 0
            self._schedule = expect_like(durations, self._trusted)
        return self._schedule


def expect_documented(mean: float | None) -> Schedule:
    """Return the schedule for a model without a history."""
    return ScaleFree() if mean is None else expect_mean(mean)


def _count_surprises(durations: tuple[float, ...]) -> int:
    """Return the number of last durations that all lie far from the others, on one side."""
    if len(durations) < _FEWEST:
        return 0
    logarithms = [math.log(duration) for duration in durations]
    middle, deviation = measure_normal(logarithms)
    side = math.copysign(_SURPRISE * deviation, logarithms[-1] - middle)
    usual = (index for index, value in enumerate(reversed(logarithms)) if (value - middle) / side <= 1)
    return next(usual)


@dataclass
class Histories:
    """The history of each model, for one client."""

    _histories: dict[str, History] = field(default_factory=dict[str, History])

    def find(self, model: str) -> History | None:
        """Return the history of a model; None if it has not been opened."""
        return self._histories.get(model)

    def open(self, model: str) -> History:
        """Return the history of a model, an empty one if there is none yet."""
        return self._histories.setdefault(model, History())
