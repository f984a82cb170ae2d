"""The inspection problem: expected polls and lag of the times of polls, and the best times, for a known distribution.

The count of polls and the lag, from the end of a job to the poll that finds it, follow exactly from the times of the
polls and the distribution of the duration. The optimum is found by dynamic programming over a grid of ages: the smallest
cost from each age on, of one poll at the best next age, its lag, and what follows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_GRID: Final = 1000
_RARE: Final = 1e-9
"""Probability of a duration beyond the last poll that is computed."""
LOWEST_PRICE: Final = 1.0
HIGHEST_PRICE: Final = 100.0
"""Prices of a second of lag, in polls, between which an optimum is looked for."""


@dataclass(frozen=True)
class LogNormal:
    """A duration in seconds: its mean, and the standard deviation of its logarithm."""

    mean: float
    spread: float

    @property
    def center(self) -> float:
        """The mean of the logarithm."""
        return math.log(self.mean) - self.spread**2 / 2

    def survival(self, age: float) -> float:
        """Return the probability that the duration is longer than `age`."""
        return 1.0 if age <= 0 else _normal_tail((math.log(age) - self.center) / self.spread)

    def mean_beyond(self, age: float) -> float:
        """Return the mean of the duration where it is longer than `age`, and of 0 where it is not."""
        if age <= 0:
            return self.mean
        return self.mean * _normal_tail((math.log(age) - self.center) / self.spread - self.spread)

    def draw(self, source: random.Random) -> float:
        """Return a random duration."""
        return source.lognormvariate(self.center, self.spread)


def _normal_tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


@dataclass(frozen=True)
class Point:
    """Expected polls of a job, and expected seconds from its end to the last poll."""

    polls: float
    lag: float


def evaluate(ages: Iterable[float], duration: LogNormal) -> Point:
    """Return the expectation of polls at these ages."""
    polls = end = 0.0
    survival = 1.0
    for age in ages:
        polls += survival
        rest = duration.survival(age)
        end += age * (survival - rest)
        survival = rest
        if survival < _RARE:
            break
    return Point(polls, end - duration.mean)


def average(points: Sequence[Point]) -> Point:
    """Return the mean of several expectations."""
    count = len(points)
    return Point(sum(point.polls for point in points) / count, sum(point.lag for point in points) / count)


def fixed_ages(interval: float) -> Iterator[float]:
    """Yield the ages of a fixed interval."""
    age = 0.0
    while True:
        yield (age := age + interval)


def optimal_ages(duration: LogNormal, price: float) -> Iterator[float]:
    """Return the ages of the polls with the smallest sum of polls and of lag at this price a second."""
    center, spread = duration.center, duration.spread
    ages = [0.0, *(math.exp(center + spread * (12 * step / _GRID - 6)) for step in range(_GRID + 1))]
    survivals = [duration.survival(age) for age in ages]
    means = [duration.mean_beyond(age) for age in ages]
    costs = [0.0] * len(ages)
    following = [0] * len(ages)
    for start in range(len(ages) - 2, -1, -1):
        smallest, worse = math.inf, 0
        for end in range(start + 1, len(ages)):
            lag = ages[end] * (survivals[start] - survivals[end]) - (means[start] - means[end])
            cost = survivals[start] + price * lag + costs[end]
            if cost < smallest:
                smallest, following[start], worse = cost, end, 0
            elif (worse := worse + 1) > _GRID // 10:
                break
        costs[start] = smallest
    position = 0
    while position < len(ages) - 1:
        position = following[position]
        yield ages[position]


def find_optimum(duration: LogNormal, lag: float) -> float:
    """Return the polls of the optimum that has this lag."""
    low, high = LOWEST_PRICE, HIGHEST_PRICE
    slow = evaluate(optimal_ages(duration, low), duration)
    fast = evaluate(optimal_ages(duration, high), duration)
    assert fast.lag <= lag <= slow.lag, f"no price in reach has a lag of {lag:.2f} s"
    for _ in range(12):
        price = math.sqrt(low * high)
        point = evaluate(optimal_ages(duration, price), duration)
        if point.lag > lag:
            low, slow = price, point
        else:
            high, fast = price, point
    share = (lag - fast.lag) / max(slow.lag - fast.lag, 1e-12)
    return fast.polls + share * (slow.polls - fast.polls)


def find_fixed(duration: LogNormal, lag: float) -> float:
    """Return the polls of the fixed interval that has this lag."""
    point = evaluate(fixed_ages(2 * lag), duration)
    return point.polls * point.lag / lag
