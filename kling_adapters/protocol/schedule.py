"""Schedules of polls: most of them where a job is likely to end.

A poll is an inspection of a job whose duration is a random variable (Barlow and Proschan, Mathematical Theory of
Reliability, 1965). It costs one request, and the end of the job is noticed at the next poll, so each second of lag has
a price, too. With n(t) polls a second at the age t, a job that is still running costs n(t) a second, and one that ends
at t is noticed 1 / (2 n(t)) later on average. The sum is smallest where (Keller, Optimum Checking Schedules, 1974)

    n(t) = sqrt(price * hazard(t) / 2).

A schedule is the integral of n, the count of polls until each age. The duration is assumed to be
- without any knowledge, of any scale: a hazard of 1 / (2 t), hence count = sqrt(price * t);
- with a documented mean m only, exponential, which assumes nothing but its mean: a constant hazard of 1 / m, hence a
  fixed interval of sqrt(2 m / price), which a wrong mean makes neither useless nor expensive;
- with earlier durations, log-normal about them, but exponential for a few jobs: one in two after two durations, one in
  626 after fifty. They add about one early poll, and a fixed interval for a job that takes longer than any before. A
  surprise, a duration far from the others, makes the next job exponential again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from kling_adapters.protocol.median import find_median

LAG_PRICE: Final = 10.0
"""Polls that a second of lag is worth: a fixed interval of 8 seconds for a mean of 5 minutes."""
_HALF_PRICE: Final = LAG_PRICE / 2
_FIRST_SHARE: Final = 1 / 16
"""Share of the documented mean before which no poll is worth a request."""
_TRUST: Final = 0.5
"""Square root of the odds that a job is like the only one before; they grow with the square of the count."""
_USUAL_SPREAD: Final = 0.5
_USUAL_WEIGHT: Final = 0.25
"""Standard deviation of the logarithm that is assumed before any duration is known, and its weight in durations."""
_WIDEST_SPREAD: Final = 1.0
_OUTLIER: Final = 3.0
"""Standard deviations beyond which a duration counts as if it were there."""
_MEDIAN_DEVIATIONS: Final = 1.48
"""Standard deviation of a normal distribution, in median deviations."""
_STEP: Final = 0.1
_STEPS: Final = range(-60, 61)
"""Steps of the table of a log-normal duration about its center, in standard deviations."""


class Schedule(Protocol):
    """The count of polls until an age of a job, as a real number, and its inverse."""

    def count(self, age: float) -> float:
        """Return the count of polls until `age`, in seconds."""
        ...

    def age(self, count: float) -> float:
        """Return the age at which the count is reached."""
        ...


class ScaleFree:
    """Schedule of a job about whose duration nothing is known: one poll at 0.1, 0.4, 0.9, 1.6 ... seconds."""

    def count(self, age: float) -> float:
        """See Schedule."""
        return math.sqrt(LAG_PRICE * age)

    def age(self, count: float) -> float:
        """See Schedule."""
        return count * count / LAG_PRICE


@dataclass(frozen=True)
class Table:
    """Schedule by linear interpolation between points, and a constant density after the last."""

    ages: Sequence[float]
    counts: Sequence[float]
    density: float

    def count(self, age: float) -> float:
        """See Schedule."""
        return _interpolate(self.ages, self.counts, age, self.density)

    def age(self, count: float) -> float:
        """See Schedule."""
        return _interpolate(self.counts, self.ages, count, 1 / self.density)


def _interpolate(xs: Sequence[float], ys: Sequence[float], x: float, slope: float) -> float:
    index = bisect_right(xs, x)
    if index < len(xs):
        slope = (ys[index] - ys[index - 1]) / (xs[index] - xs[index - 1])
    return ys[index - 1] + (x - xs[index - 1]) * slope


def expect_mean(mean: float) -> Schedule:
    """Return the schedule for a duration of which only the mean is known, in seconds."""
    return Table((0.0, mean * _FIRST_SHARE), (0.0, 1.0), math.sqrt(_HALF_PRICE / mean))


def expect_like(durations: Sequence[float], trusted: int) -> Schedule:
    """Return the schedule for a duration like earlier ones.

    Args:
        durations: Seconds from submit to end.
        trusted: The number of those since the last surprise.

    """
    center, spread = _summarize([math.log(duration) for duration in durations])
    mean = math.exp(center + spread * spread / 2)
    strange = 1 / (1 + (_TRUST * trusted) ** 2)

    def density(age: float) -> float:
        z = (math.log(age) - center) / spread
        usual_rate = (1 - strange) * math.exp(-z * z / 2) / (spread * age * math.sqrt(math.tau))
        usual_rest = (1 - strange) * math.erfc(z / math.sqrt(2)) / 2
        strange_rest = strange * math.exp(-age / mean)
        hazard = (usual_rate + strange_rest / mean) / (usual_rest + strange_rest)
        return math.sqrt(_HALF_PRICE * hazard)

    ages = [0.0, *(math.exp(center + spread * step * _STEP) for step in _STEPS)]
    counts = [0.0]
    for start, end in pairwise(ages):
        counts.append(counts[-1] + (end - start) * density((start + end) / 2))
    return Table(ages, counts, math.sqrt(_HALF_PRICE / mean))


def _summarize(logarithms: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation to expect of the next one, almost independent of outliers."""
    middle, deviation = measure_normal(logarithms)
    limit = _OUTLIER * deviation
    values = [min(max(value, middle - limit), middle + limit) for value in logarithms]
    count = len(values)
    center = sum(values) / count
    squares = sum((value - center) ** 2 for value in values) + _USUAL_WEIGHT * _USUAL_SPREAD**2
    variance = squares / (count + _USUAL_WEIGHT) * (1 + 1 / count)
    return center, min(_WIDEST_SPREAD, math.sqrt(variance))


def measure_normal(values: Sequence[float]) -> tuple[float, float]:
    """Return the median of values and their standard deviation, which outliers do not change; it is 0.05 at least."""
    middle = find_median(values)
    return middle, max(0.05, _MEDIAN_DEVIATIONS * find_median(abs(value - middle) for value in values))
