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
_CHANGE: Final = 3
"""Durations in a row beyond the usual ones, after which the earlier ones do not count: the model has changed."""
_BEYOND: Final = 4.0
"""Standard deviations from the median to a duration that is not usual."""


class History:
    """Durations of the last jobs of one model, in seconds. Any thread can use it."""

    def __init__(self) -> None:
        self._durations: tuple[float, ...] = ()
        self._unused = 0
        self._schedule: Schedule | None = None

    def add(self, duration: float) -> None:
        """Add the duration of a job that ended after the others; one that no job can have is ignored."""
        if _SHORTEST <= duration <= RECORD_LIFETIME:
            self._durations = _forget_past((*self._durations, duration)[-HISTORY_LENGTH:])
            self._unused += 1

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
            self._schedule = expect_like(durations)
        return self._schedule


def expect_documented(mean: float | None) -> Schedule:
    """Return the schedule for a model without a history."""
    return ScaleFree() if mean is None else expect_mean(mean)


def _forget_past(durations: tuple[float, ...]) -> tuple[float, ...]:
    """Return the last durations only, if all of them lie beyond the earlier ones, on one side."""
    earlier, last = durations[:-_CHANGE], durations[-_CHANGE:]
    if len(earlier) < 2 * _CHANGE:
        return durations
    middle, spread = measure_normal([math.log(duration) for duration in earlier])
    shifts = [(math.log(duration) - middle) / spread for duration in last]
    has_changed = min(shifts) > _BEYOND or max(shifts) < -_BEYOND
    return last if has_changed else durations


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
