"""The rate limiter against simulated gateways, beside clients that merely retry, and the throttle of Google's SRE book.

A limit is a token bucket that is refilled evenly or, where the name says so, a fixed window of one minute. Sixteen and thirty-two workers send as fast as the limiter lets them, for an hour or ten minutes of simulated time, with
requests of 0.2 to 0.4 s (see gateway_limits). Every figure is the worse of both numbers of workers, each the median of
three seeds. Possible is what as many workers get done without a limiter, or what the limit allows, without the random
refusals in both cases. The others run for ten minutes with sixteen workers, so the tokens that a bucket has at the start
weigh more in their figures. Refusals are counted from the first minute on where the gateway says when its limit ends: the
first requests of all workers are under way before the first answer.

A halved limit is found when the requests of the next 20 s are at most 1.3 times those that it allows; a lifted one when,
in five seconds, 90 % of what is possible without it is accepted. A given limit is compared with the most requests that
arrived in any sixty seconds.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.gateway_limits import MEAN, Bucket, Gateway, Policy, Trace, Window, simulate
from benchmarks.policies import Limiter, RetryOnly, SreThrottle
from benchmarks.ratios import Ratio

WORKERS: Final = (16, 32)
SEEDS: Final = (1, 2, 3)
HOUR: Final = 3600.0
MINUTES: Final = 600.0
PLANS: Final = ((5.0, 60.0, 0.3), (50.0, 60.0, 0.1), (120.0, 60.0, 0.1))
"""Requests, the seconds in which they are allowed, and the bar of refusals for each success."""


Figure = Callable[[Trace, int], float]


def measure() -> Iterator[Ratio]:
    """Measure how much of what is possible the limiter reaches, and how many requests are refused."""
    for percent in (1, 3, 5):
        luck = percent / 100
        name = f"limiter: {percent} % random 429, of what is possible"
        yield _compare(name, lambda luck=luck: Gateway(None, luck), MINUTES, _make_share(luck), 0.9)  # type: ignore[misc]
    for count, seconds, bar in PLANS:
        yield from _measure_plan(Bucket, count, seconds, bar)
    for count, seconds, bar in PLANS:
        yield from _measure_plan(Window, count, seconds, bar)
    yield from _measure_fast_limit()
    for name, bar, find, changed in (
        ("halved", 30.0, _find_calm, Bucket(25, 60)),
        ("lifted", 60.0, _find_full_speed, None),
    ):
        yield _measure_change(name, bar, find, changed)
    yield from _measure_given_limit()


def _measure_plan(limit: type[Bucket | Window], count: float, seconds: float, bar: float) -> Iterator[Ratio]:
    plan = f"{count:.0f} a minute{' in fixed windows' if limit is Window else ''}"
    used, refusals = _make_use(count / seconds), _make_refusals()

    def make(luck: float = 0.0, *, sends_reset: bool = False) -> Gateway:
        return Gateway(limit(count, seconds), luck, sends_reset)

    yield _compare(f"limiter: {plan}, used", make, HOUR, used, 0.95)
    yield _compare(f"limiter: {plan}, 429 a success", make, HOUR, refusals, bar, is_upper_limit=True)
    name = f"limiter: {plan} with a reset header, 429 a success"
    later = _make_refusals(60.0)
    yield _compare(name, lambda: make(sends_reset=True), HOUR, later, 0.05, is_upper_limit=True)
    yield _compare(f"limiter: {plan} and 5 % random 429, used", lambda: make(0.05), HOUR, used, 0.85)


def _measure_fast_limit() -> Iterator[Ratio]:
    def make() -> Gateway:
        return Gateway(Bucket(10, 1))

    yield _compare("limiter: 10 a second, used", make, MINUTES, _make_use(10), 0.95)
    name = "limiter: 10 a second, refused share"
    yield _compare(
        name, make, MINUTES, lambda trace, _: trace.refused_share(0, MINUTES), 0.05, is_upper_limit=True
    )


def _measure_change(
    name: str, bar: float, find: Callable[[Trace, float, int], float], changed: Bucket | None
) -> Ratio:
    starts = [600.0 + 11 * step for step in range(4)]
    times = [
        find(
            _run(
                Limiter(), Gateway(Bucket(50, 60), change=start, changed=_copy(changed)), start + 120, workers
            ),
            start,
            workers,
        )
        for workers in WORKERS
        for start in starts
    ]
    detail = f"s until it is found, at most; median {median(times):.0f} s"
    return Ratio(f"limiter: 50 a minute, {name}", max(times), bar, is_upper_limit=True, detail=detail)


def _measure_given_limit() -> Iterator[Ratio]:
    for count in (5.0, 50.0):
        traces = [_run(Limiter(count), Gateway(Bucket(count, 60)), HOUR, workers) for workers in WORKERS]
        highest_count = max(_find_highest_count(trace) for trace in traces)
        refused = max(trace.count(0, HOUR, accepted=False) for trace in traces)
        detail = f"{highest_count} requests in a minute, {refused} refused"
        yield Ratio(
            f"limiter: rate_limit={count:.0f}, most a minute",
            highest_count / count,
            1.0,
            is_upper_limit=True,
            detail=detail,
        )
        used = min(_make_use(count / 60)(trace, 0) for trace in traces)
        yield Ratio(
            f"limiter: rate_limit={count:.0f}, used", used, 0.95, is_upper_limit=False, detail=f"{used:.1%}"
        )


def _compare(
    name: str,
    make: Callable[[], Gateway],
    seconds: float,
    read: Figure,
    bar: float,
    *,
    is_upper_limit: bool = False,
) -> Ratio:
    """Return a row for the limiter, with the figures of the others as its detail."""
    worst = max if is_upper_limit else min
    value = worst(
        median(read(_run(Limiter(), make(), seconds, workers, seed), workers) for seed in SEEDS)
        for workers in WORKERS
    )
    peers = [
        f"{title} {read(_run(policy(), make(), min(seconds, MINUTES), WORKERS[0]), WORKERS[0]):.2f}"
        for title, policy in (("retry only", RetryOnly), ("SRE throttle", SreThrottle))
    ]
    return Ratio(name, value, bar, is_upper_limit, "; ".join(peers))


def _run(policy: Policy, gateway: Gateway, seconds: float, workers: int, seed: int = 1) -> Trace:
    random.seed(seed)
    return simulate(policy, gateway, seconds, workers=workers, seed=seed)


def _make_share(luck: float) -> Figure:
    def read(trace: Trace, workers: int) -> float:
        end = trace.end
        return trace.count(0, end, accepted=True) / (end * workers / MEAN * (1 - luck))

    return read


def _make_use(rate: float) -> Figure:
    return lambda trace, _: trace.count(0, trace.end, accepted=True) / (rate * trace.end)


def _make_refusals(start: float = 0.0) -> Figure:
    return lambda trace, _: trace.refusals_per_success(start, trace.end)


def _find_calm(trace: Trace, start: float, _: int) -> float:
    highest_count = 1.3 * 20 * 25 / 60
    return next(
        (step for step in range(100) if trace.count_all(start + step, start + step + 20) <= highest_count),
        100.0,
    )


def _find_full_speed(trace: Trace, start: float, workers: int) -> float:
    least = 0.9 * 5 * workers / MEAN
    ends = (
        step for step in range(5, 120) if trace.count(start + step - 5, start + step, accepted=True) >= least
    )
    return next(ends, 120.0)


def _find_highest_count(trace: Trace) -> int:
    """Return the largest number of requests that arrived within sixty seconds."""
    recent: deque[float] = deque()
    highest_count = 0
    for time, _, _ in sorted(trace.arrivals):
        recent.append(time)
        while recent[0] <= time - 60:
            recent.popleft()
        highest_count = max(highest_count, len(recent))
    return highest_count


def _copy(limit: Bucket | None) -> Bucket | None:
    """Return a new bucket without tokens: a full one would hide the change for a while."""
    if limit is None:
        return None
    copy = Bucket(limit.count, limit.seconds)
    copy.tokens = 0.0
    return copy


def draw(folder: Path) -> None:
    """Draw the requests of a minute under a limit that is halved, with and without the limiter, into `limiter.svg`."""
    from matplotlib.figure import Figure as Picture

    from benchmarks.pictures import NOT_REACHED, REACHED, save_picture

    picture = Picture(figsize=(9, 3.6))
    starts = [30.0 * step for step in range(40)]
    policies: tuple[Policy, Policy] = (Limiter(), RetryOnly())
    for axes, title, policy in zip(
        picture.subplots(1, 2),
        ("the limiter", "repeating each refused request"),
        policies,
        strict=True,
    ):
        gateway = Gateway(Bucket(50, 60), change=600, changed=Bucket(25, 60))
        trace = _run(policy, gateway, starts[-1] + 30, WORKERS[0])
        for label, accepted, colour, style in (
            ("accepted", True, REACHED, "-"),
            ("refused", False, NOT_REACHED, "--"),
        ):
            counts = [2 * trace.count(start, start + 30, accepted=accepted) for start in starts]
            axes.plot([start / 60 for start in starts], counts, style, color=colour, label=label)
        axes.step([0, 10, 20], [50, 25, 25], "k:", where="post", label="limit")
        axes.set(title=title, xlabel="minutes", yscale="symlog", ylim=(0, 5000))
        axes.set_yticks(
            (0, 1, 5, 25, 50, 200, 1000, 5000), ("0", "1", "5", "25", "50", "200", "1,000", "5,000")
        )
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    picture.axes[0].set_ylabel("requests a minute")
    picture.axes[0].legend(fontsize=8)
    save_picture(picture, folder / "limiter.svg")
