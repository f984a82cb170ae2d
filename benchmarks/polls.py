"""Polls and lag of the schedules of polls, against fixed intervals and the optimum.

No requests, and no measured time: a job has a log-normal duration with a mean of five minutes, and the expected polls and
lag follow from the ages at which it is polled (benchmarks/inspection.py, which also has the optimum). The schedules are
those of the package, jitter included, averaged over random histories with a fixed seed.

Two schedules with different lags are compared at equal lag: with the optimum at the price of a second of lag that gives
it the lag of the other, and with the fixed interval that has this lag.

Rows: after 50 jobs, against the optimum; and with a documented mean that is wrong by up to a factor of five, against
fixed intervals, at equal lag and at the cost of both (polls, and 10 for a second of lag), where the fixed interval is
the best for the documented mean.

The last rows are of jobs that wait at once (benchmarks/waiting_jobs.py): their polls and pages of the request history,
against the polls without the history, and the lag in the same way. A history that is late, down or useless is compared too:
it must cost next to nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from statistics import mean as average_seconds
from typing import Final

from benchmarks.inspection import (
    LogNormal,
    Point,
    average,
    evaluate,
    find_fixed,
    find_optimum,
    fixed_ages,
    optimal_ages,
)
from benchmarks.ratios import Ratio
from benchmarks.waiting_jobs import HistoryDelays, WaitingJobs
from kling_adapters.protocol.history import History
from kling_adapters.protocol.polling import first_interval, next_interval
from kling_adapters.protocol.schedule import LAG_PRICE, ScaleFree, Schedule, expect_mean

MEAN: Final = 300.0
SPREADS: Final = (0.1, 0.2, 0.3, 0.5)
ERRORS: Final = (1 / 5, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 5.0)
HISTORY: Final = 50
REPEATS: Final = 60
SEED: Final = 14
CROWDS: Final = ((20, 0.5), (100, 0.25), (1000, 0.25))
"""Jobs that wait at once, and the bar of their requests against those without the history."""
USELESS: Final = {
    "its ends 20 s late": HistoryDelays(ends=20),
    "its ends two hours late": HistoryDelays(ends=7200),
    "its rows two hours late": HistoryDelays(rows=7200),
    "down": HistoryDelays(is_down=True),
}


def poll_ages(schedule: Schedule) -> Iterator[float]:
    """Yield the ages at which a wait polls a job that it has submitted."""
    age = first_interval(schedule, 0.0)
    while True:
        yield age
        age += next_interval(schedule, age)


def tenth_ages() -> Iterator[float]:
    """Yield the ages of the schedule of version 0.1: at once, then a tenth of the age, from 1 to 10 seconds."""
    age = 0.0
    while True:
        yield age
        age += min(10.0, max(1.0, age / 10))


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


def find_cost(point: Point) -> float:
    """Return the polls, and the lag at the price of the package."""
    return point.polls + LAG_PRICE * point.lag


def measure() -> Iterator[Ratio]:
    """Yield the ratios of polls."""
    yield from measure_histories()
    yield from measure_errors()
    yield from measure_crowds()


def measure_histories() -> Iterator[Ratio]:
    """Yield the ratios after a history of durations."""
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


def wait_for_jobs(
    count: int,
    *,
    uses_history: bool = True,
    delays: HistoryDelays | None = None,
    rate_limit: float | None = None,
    mean: float = MEAN,
) -> WaitingJobs:
    """Return jobs that were waited for together."""
    duration, source = LogNormal(mean, SPREADS[2]), random.Random(SEED)
    durations = [duration.draw(source) for _ in range(count)]
    jobs = WaitingJobs(durations, mean, uses_history, delays or HistoryDelays(), rate_limit=rate_limit)
    jobs.run(SEED)
    return jobs


def measure_crowds() -> Iterator[Ratio]:
    """Yield the ratios of jobs that wait at once."""
    for count, bar in CROWDS:
        alone, jobs = wait_for_jobs(count, uses_history=False), wait_for_jobs(count)
        yield _compare_requests(f"{count:,} jobs at once", jobs, alone, bar)
        yield _compare_lags(f"{count:,} jobs at once", jobs, alone, 1.1)
    for title, delays in USELESS.items():
        jobs = wait_for_jobs(count, delays=delays)
        yield _compare_requests(f"{count:,} jobs, history {title}", jobs, alone, 1.02)
        yield _compare_lags(f"{count:,} jobs, history {title}", jobs, alone, 1.25)
    alone, jobs = wait_for_jobs(100, uses_history=False, rate_limit=50), wait_for_jobs(100, rate_limit=50)
    yield _compare_lags("100 jobs at 50 requests a minute", jobs, alone, 0.5)


def _compare_requests(title: str, jobs: WaitingJobs, alone: WaitingJobs, bar: float) -> Ratio:
    detail = f"{jobs.requests_per_job:.1f} against {alone.requests_per_job:.1f} a job"
    value = jobs.requests_per_job / alone.requests_per_job
    return Ratio(
        f"requests of {title}, against none of the history", value, bar, is_upper_limit=True, detail=detail
    )


def _compare_lags(title: str, jobs: WaitingJobs, alone: WaitingJobs, bar: float) -> Ratio:
    detail = f"{average_seconds(jobs.lags):.1f} against {average_seconds(alone.lags):.1f} s, {max(jobs.lags):.0f} against {max(alone.lags):.0f} s at worst"
    value = average_seconds(jobs.lags) / average_seconds(alone.lags)
    return Ratio(
        f"lag of {title}, against none of the history", value, bar, is_upper_limit=True, detail=detail
    )


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
            cost, sane_cost = find_cost(point), find_cost(sane)
            costs.append((cost / sane_cost, f"{cost:.1f} polls, fixed {sane_cost:.1f}; {where}"))
    for name, ratios in (("polls at equal lag", lags), ("cost of polls and lag", costs)):
        worst, detail = max(ratios)
        title = f"{name}, documented time wrong by up to 5, against a fixed interval, at worst"
        yield Ratio(title, worst, 1.0, is_upper_limit=True, detail=detail)


def draw(folder: Path) -> None:
    """Draw the polls and the lag of all schedules into `polls.svg`."""
    from matplotlib.figure import Figure

    from benchmarks.pictures import save_picture

    figure = Figure(figsize=(9, 4))
    for axes, spread in zip(figure.subplots(1, 2, sharey=True), (0.1, 0.3), strict=True):
        duration = LogNormal(MEAN, spread)
        lags = [0.8 * 1.15**step for step in range(18)]
        axes.plot(lags, [find_fixed(duration, lag) for lag in lags], color="#888888", label="fixed interval")
        optima = [evaluate(optimal_ages(duration, 1.4**step), duration) for step in range(-2, 13)]
        axes.plot([point.lag for point in optima], [point.polls for point in optima], "k--", label="optimum")
        for label, marker, colour, point in list_points(duration):
            axes.plot(point.lag, point.polls, marker, color=colour, label=label, markersize=8)
        axes.set(xscale="log", yscale="log", title=f"log-spread {spread}", xlabel="mean lag in seconds")
        axes.set_xticks((1, 2, 5, 10), ("1", "2", "5", "10"))
        axes.set_yticks((5, 10, 20, 50, 100), ("5", "10", "20", "50", "100"))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("polls of a job of 5 minutes")
    figure.axes[1].legend(fontsize=8, loc="lower left")
    save_picture(figure, folder / "polls.svg")
    draw_times(folder)


def draw_times(folder: Path) -> None:
    """Draw the times of polls of one job, by what is known of its duration, into `poll_times.svg`."""
    from matplotlib.figure import Figure

    from benchmarks.pictures import save_picture

    duration, history, source = LogNormal(MEAN, 0.2), History(), random.Random(SEED)
    for _ in range(HISTORY):
        history.add(duration.draw(source))
    schedules = (
        (f"{HISTORY} earlier jobs", history.schedule(None)),
        ("a documented mean", expect_mean(MEAN)),
        ("nothing", ScaleFree()),
    )
    random.seed(SEED)
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    ages = [float(age) for age in range(1, 480, 2)]
    heights = [_density(duration, age) for age in ages]
    axes.fill_between(
        ages, [2.2 * height / max(heights) for height in heights], color="#cccccc", label="durations of jobs"
    )
    for row, (label, schedule) in enumerate(schedules):
        polls = list(takewhile(lambda age: age < 480, poll_ages(schedule)))
        axes.plot(polls, [2.0 - row] * len(polls), "|", markersize=14, color="#4477aa")
        axes.text(-8, 2.0 - row, label, ha="right", va="center")
    axes.set(
        xlim=(0, 480), ylim=(-0.5, 2.6), xlabel="age of the job in seconds; each mark is a poll", yticks=()
    )
    axes.legend(fontsize=8, loc="upper right")
    save_picture(figure, folder / "poll_times.svg")


def _density(duration: LogNormal, age: float) -> float:
    z = (math.log(age) - duration.center) / duration.spread
    return math.exp(-z * z / 2) / age


def list_points(duration: LogNormal) -> Iterator[tuple[str, str, str, Point]]:
    """Yield the label, marker, colour and expectation of each schedule."""
    yield "a tenth of the age (0.1)", "X", "#ee6677", evaluate(tenth_ages(), duration)
    yield "nothing known", "D", "#ccbb44", simulate(duration, lambda _: ScaleFree())
    yield "documented time", "s", "#228833", simulate_latency(duration)
    yield "after 5 jobs", "^", "#66ccee", simulate_history(duration, 5)
    yield f"after {HISTORY} jobs", "o", "#4477aa", simulate_history(duration)


if __name__ == "__main__":
    for ratio in measure():
        print(
            f"{ratio.value:.3f} {'ok' if ratio.is_reached else 'NOT REACHED'}  {ratio.name}: {ratio.detail}"
        )
