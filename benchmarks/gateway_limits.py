"""Simulated gateways with rate limits, and workers that send to them as fast as a policy lets them.

Discrete events, no real time: an hour of sixteen workers takes a second or two. Everything random comes from one seed.
A request takes 0.2 to 0.4 seconds; the gateway decides when it arrives, after a random part of that.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

SHORTEST, LONGEST = 0.2, 0.4
"""Seconds of a request."""
MEAN = (SHORTEST + LONGEST) / 2


class Limit(Protocol):
    """A rule by which a gateway accepts or refuses."""

    def take(self, now: float) -> float | None:
        """Count a request; return None to accept it, or the seconds until the limit ends."""
        ...


@dataclass
class Bucket:
    """Tokens that come back evenly; a full bucket holds those of `seconds`."""

    count: float
    seconds: float
    tokens: float = field(init=False)
    since: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.count

    def take(self, now: float) -> float | None:
        """See Limit."""
        rate = self.count / self.seconds
        self.tokens = min(self.count, self.tokens + rate * (now - (self.since or now)))
        self.since = now
        if self.tokens >= 1:
            self.tokens -= 1
            return None
        return (1 - self.tokens) / rate


@dataclass
class Window:
    """A limit of `count` requests in each window of `seconds`."""

    count: float
    seconds: float
    used: int = 0
    number: int = -1

    def take(self, now: float) -> float | None:
        """See Limit."""
        number = int((now + 0.4 * self.seconds) // self.seconds)
        if number != self.number:
            self.number, self.used = number, 0
        if self.used < self.count:
            self.used += 1
            return None
        return self.seconds - (now + 0.4 * self.seconds) % self.seconds


@dataclass
class Gateway:
    """A gateway with a limit that may change, and bad luck that is independent of the load.

    Attributes:
        limit: The limit; None for no limit.
        luck: The share of requests that are refused at random, before the limit counts them.
        sends_reset: Whether a refusal by the limit says when it ends, in whole seconds.
        change: The time at which `changed` replaces the limit.
        changed: The limit after that; None for no limit.

    """

    limit: Limit | None
    luck: float = 0.0
    sends_reset: bool = False
    change: float = float("inf")
    changed: Limit | None = None

    def answer(self, now: float, draw: float) -> tuple[bool, float | None]:
        """Return whether a request is accepted, and the seconds of the reset header."""
        if draw < self.luck:
            return False, None
        limit = self.limit if now < self.change else self.changed
        wait = None if limit is None else limit.take(now)
        if wait is None:
            return True, None
        return False, float(int(wait) + 1) if self.sends_reset else None


class Policy(Protocol):
    """Decides when requests are sent."""

    def enter(self, *, is_urgent: bool) -> object:
        """Return a place in the queue."""
        ...

    def claim(self, place: object, now: float) -> float:
        """Return the seconds to wait before the next call; 0 to send now."""
        ...

    def record(self, sent: float, now: float, *, accepted: bool, reset: float | None) -> float:
        """Learn from an answer; return the seconds that a refused request waits."""
        ...


@dataclass
class Trace:
    """The requests of a simulation.

    Attributes:
        end: The seconds that were simulated.
        arrivals: The time at which each request arrived, and whether it was accepted and urgent.

    """

    end: float = 0.0
    arrivals: list[tuple[float, bool, bool]] = field(default_factory=list[tuple[float, bool, bool]])

    def count(self, start: float, end: float, *, accepted: bool) -> int:
        """Return the number of accepted or refused requests between two times."""
        return sum(start <= time < end and kind == accepted for time, kind, _ in self.arrivals)

    def count_all(self, start: float, end: float) -> int:
        """Return the number of requests between two times."""
        return sum(start <= time < end for time, _, _ in self.arrivals)

    def refused_share(self, start: float, end: float) -> float:
        """Return the refused share of the requests between two times."""
        refused = self.count(start, end, accepted=False)
        return refused / max(1, refused + self.count(start, end, accepted=True))

    def refusals_per_success(self, start: float, end: float) -> float:
        """Return the number of refusals for each success between two times."""
        return self.count(start, end, accepted=False) / max(1, self.count(start, end, accepted=True))


def simulate(
    policy: Policy,
    gateway: Gateway,
    seconds: float,
    *,
    workers: int = 16,
    seed: int = 1,
    is_urgent: Callable[[int], bool] = lambda _: False,
) -> Trace:
    """Let workers send requests without a pause, each repeated until it is accepted."""
    draws = random.Random(seed)
    trace = Trace(seconds)
    order = iter(range(10**12))
    events: list[tuple[float, int, Callable[[float], None]]] = []

    def schedule(time: float, action: Callable[[float], None]) -> None:
        heapq.heappush(events, (time, next(order), action))

    def start(number: int, now: float) -> None:
        wait_for_slot(number, policy.enter(is_urgent=is_urgent(number)), now)

    def wait_for_slot(number: int, place: object, now: float) -> None:
        if delay := policy.claim(place, now):
            schedule(now + delay, lambda now: wait_for_slot(number, place, now))
            return
        duration = draws.uniform(SHORTEST, LONGEST)
        schedule(now + duration * draws.random(), lambda time: arrive(number, now, now + duration, time))

    def arrive(number: int, sent: float, end: float, now: float) -> None:
        accepted, reset = gateway.answer(now, draws.random())
        trace.arrivals.append((now, accepted, is_urgent(number)))
        schedule(end, lambda time: finish(number, sent, time, accepted, reset))

    def finish(number: int, sent: float, now: float, accepted: bool, reset: float | None) -> None:
        delay = policy.record(sent, now, accepted=accepted, reset=reset)
        if delay:
            schedule(now + delay, lambda time: start(number, time))
        else:
            start(number, now)

    for number in range(workers):
        schedule(0.001 * number, lambda now, number=number: start(number, now))  # type: ignore[misc]
    while events and events[0][0] < seconds:
        now, _, action = heapq.heappop(events)
        action(now)
    return trace
