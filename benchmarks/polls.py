"""Polls and lag of the schedules of polls, against fixed intervals and the optimum.

No requests, and no measured time: a job has a log-normal duration with a mean of five minutes, and the expected count of
polls and the expected lag, from the end of the job to the poll that finds it, follow exactly from the times of the polls.
The schedules are those of the package, jitter included, averaged over random histories with a fixed seed.

The optimum is that of the inspection problem for the true distribution, by dynamic programming over a grid of ages: the
smallest cost from each age on, of one poll at the best next age, its lag, and what follows. Two schedules with different
lags are compared at equal lag: with the optimum at the price of a second of lag that gives it the lag of the other, and
with the fixed interval that has this lag.

Rows: after 50 jobs, against the optimum; and with a documented mean that is wrong by up to a factor of five, against
fixed intervals, at equal lag and at the cost of both (polls, and 10 for a second of lag), where the fixed interval is
the best for the documented mean.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.ratios import Ratio
from kling_adapters.protocol.history import History
from kling_adapters.protocol.polling import first_interval, next_interval
from kling_adapters.protocol.schedule import LAG_PRICE, Schedule, expect_mean

MEAN: Final = 300.0
SPREADS: Final = (0.1, 0.2, 0.3, 0.5)
ERRORS: Final = (1 / 5, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 5.0)
HISTORY: Final = 50
REPEATS: Final = 60
SEED: Final = 14
_GRID: Final = 1000
_RARE: Final = 1e-9
"""Probability of a duration beyond the last poll that is computed."""


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

    @property
    def cost(self) -> float:
        """The polls, and the lag at the price of the package."""
        return self.polls + LAG_PRICE * self.lag


def evaluate(ages: Iterator[float], duration: LogNormal) -> Point:
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


def poll_ages(schedule: Schedule) -> Iterator[float]:
    """Yield the ages at which a wait polls a job that it has submitted."""
    age = first_interval(schedule, 0.0)
    while True:
        yield age
        age += next_interval(schedule, age)


def fixed_ages(interval: float) -> Iterator[float]:
    """Yield the ages of a fixed interval."""
    age = 0.0
    while True:
        yield (age := age + interval)


def tenth_ages() -> Iterator[float]:
    """Yield the ages of the schedule of version 0.1: at once, then a tenth of the age, from 1 to 10 seconds."""
    age = 0.0
    while True:
        yield age
        age += min(10.0, max(1.0, age / 10))


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
    low, high = LAG_PRICE / 8, LAG_PRICE * 8
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


def simulate(duration: LogNormal, make_schedule: Callable[[random.Random], Schedule]) -> Point:
    """Return the expectation of random schedules, with the jitter of each poll."""
    source = random.Random(SEED)
    random.seed(SEED)
    return average([evaluate(poll_ages(make_schedule(source)), duration) for _ in range(REPEATS)])


def simulate_history(duration: LogNormal, count: int = HISTORY, scale: float = 1.0) -> Point:
    """Return the expectation after some jobs, whose durations are `scale` times those of the next."""

    def make_schedule(source: random.Random) -> Schedule:
        history = History()
        for _ in range(count):
            history.add(scale * duration.draw(source))
        return history.schedule(None)

    return simulate(duration, make_schedule)


def simulate_latency(duration: LogNormal, mean: float = MEAN) -> Point:
    """Return the expectation without earlier jobs, by a documented mean."""
    return simulate(duration, lambda _: expect_mean(mean))


def measure() -> Iterator[Ratio]:
    """Yield the ratios of polls."""
    for spread in SPREADS:
        duration = LogNormal(MEAN, spread)
        point = simulate_history(duration)
        optimum, fixed = find_optimum(duration, point.lag), find_fixed(duration, point.lag)
        detail = (
            f"{point.polls:.1f} polls and {point.lag:.1f} s of lag; the optimum is {optimum:.1f}, "
            f"{optimum / fixed:.2f} of the {fixed:.1f} of a fixed interval"
        )
        name = f"polls at equal lag after {HISTORY} jobs, log-spread {spread}, against the optimum"
        yield Ratio(name, point.polls / optimum, 1.1, is_upper_limit=True, detail=detail)
    yield from measure_errors()


def measure_errors() -> Iterator[Ratio]:
    """Yield the ratios for documented means that are wrong."""
    lags: list[tuple[float, str]] = []
    costs: list[tuple[float, str]] = []
    for error in ERRORS:
        for spread in SPREADS:
            duration = LogNormal(MEAN * error, spread)
            point = simulate_latency(duration)
            fixed = find_fixed(duration, point.lag)
            where = f"jobs of {duration.mean:.0f} s, log-spread {spread}"
            lags.append((point.polls / fixed, f"{point.polls:.1f} polls, fixed {fixed:.1f}; {where}"))
            sane = evaluate(fixed_ages(math.sqrt(2 * MEAN / LAG_PRICE)), duration)
            costs.append((point.cost / sane.cost, f"{point.cost:.1f} polls, fixed {sane.cost:.1f}; {where}"))
    for name, ratios in (("polls at equal lag", lags), ("cost of polls and lag", costs)):
        worst, detail = max(ratios)
        title = f"{name}, documented time wrong by up to 5, against a fixed interval, at worst"
        yield Ratio(title, worst, 1.0, is_upper_limit=True, detail=detail)


if __name__ == "__main__":
    for ratio in measure():
        print(
            f"{ratio.value:.3f} {'ok' if ratio.is_reached else 'NOT REACHED'}  {ratio.name}: {ratio.detail}"
        )
