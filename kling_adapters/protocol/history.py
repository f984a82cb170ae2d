"""Durations of earlier jobs, and the schedules of polls that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        self._schedule: Schedule | None = None
        self._usual = (0.0, math.inf)
        self._unused = 0

    def add(self, duration: float) -> None:
        """Add the duration of a job that ended after the others; one that no job can have is ignored."""
        if _SHORTEST <= duration <= RECORD_LIFETIME:
            self._durations = (*self._durations, duration)[-HISTORY_LENGTH:]
            self._unused += 1
            shortest, longest = self._usual
            if not shortest <= duration <= longest:
                self._schedule = None

    def schedule(self, mean: float | None) -> Schedule:
        """Return the schedule of polls for the next job.

        Args:
            mean: The documented mean of the durations, in seconds; None if there is none.

        """
        if not self._durations:
            return expect_documented(mean)
        schedule = self._schedule
        # One more duration in five hardly changes a schedule, which takes a tenth of a millisecond to make.
        if schedule is None or 5 * self._unused >= len(self._durations):
            self._unused = 0
            self._schedule = schedule = self._make_schedule()
        return schedule

    def _make_schedule(self) -> Schedule:
        durations = self._durations
        self._usual = shortest, longest = _find_usual(durations)
        sides = [(duration > longest) - (duration < shortest) for duration in reversed(durations)]
        alike = _count_equal(sides)
        if sides[0] == 0:
            return expect_like(durations, trusted=alike)
        if alike < _CHANGE:
            return expect_like(durations, trusted=0)
        self._durations = durations[-alike:]
        return expect_like(self._durations, trusted=alike)


def expect_documented(mean: float | None) -> Schedule:
    """Return the schedule for a model without a history."""
    return ScaleFree() if mean is None else expect_mean(mean)


def _find_usual(durations: Sequence[float]) -> tuple[float, float]:
    """Return the shortest and the longest duration that is not a surprise among these."""
    if len(durations) < _FEWEST:
        return 0.0, math.inf
    middle, deviation = measure_normal([math.log(duration) for duration in durations])
    reach = math.exp(_SURPRISE * deviation)
    return math.exp(middle) / reach, math.exp(middle) * reach


def _count_equal(values: Sequence[int]) -> int:
    """Return the number of values at the start that equal the first."""
    return next((index for index, value in enumerate(values) if value != values[0]), len(values))


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
