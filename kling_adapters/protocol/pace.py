"""The pace of a key: the rate of requests that its gateway accepts, learned from answers. Pure; times are in seconds.

There is no pace while refusals look like bad luck (see limit_evidence); each refused request is then repeated alone. An
alarm of that test means a limit, and then
- the pace is what was accepted lately, divided by the share that luck leaves: a gateway accepts requests at exactly the
  rate of its limit while it refuses others, so this is an estimate without bias. It is measured since the last probe
  began, pooled with the average of the last minute in proportion to the time that the pace was trusted;
- the pace is held for a while, and then probes upwards, slowly first, exp((t / T)^2), but never more than a few per
  cent for each accepted request, so that a limit that was lifted is found within a minute, and one that was not
  costs two or three refusals. Each probe that fails doubles the time until the next, up to 22 seconds or 20 requests.
  A probe that is not refused within a doubling of the pace starts a new measurement, and beyond HIGHEST_PACE there is
  no pace any more;
- an alarm before anything was accepted means a window that is used up: all wait 1, 2, 4 ... 16 seconds, and the waits
  count in the average of the window.
A gateway that says when its limit ends needs no test, and the time until then counts in the average.

Slightly less than the estimate is used (_CAUTION), because at the estimate itself the refusals that chance brings would
be taken for luck, the pace corrected for that luck, and so on upwards. The rest of the limit is used by the probes.

Measured in benchmarks/limiter.py. What was tried before: additive increase with multiplicative decrease, on which
random refusals work as if they were a limit (5 % of what is possible); the client-side throttle of Google's SRE book,
which keeps refusals at a tenth of the requests for ever; and an estimate without the minute, which chance led astray.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from kling_adapters.protocol.limit_evidence import Evidence
from kling_adapters.protocol.request_counts import SHORTEST, Average, Count
from kling_adapters.protocol.retry import jitter

HIGHEST_PACE = 100.0
"""Requests a second; a pace that has grown beyond it is dropped."""
_LOWEST_PACE = 0.05
"""Requests a second, fewer than the smallest plan allows, so that a key recovers from an outage soon."""
LONGEST_PAUSE = 16.0
_CAUTION = 0.99
_HOLD_SECONDS, _HOLD_REQUESTS = 22.0, 20.0
_MOST_GROWTH = 0.07
"""Growth of the pace for each accepted request of a probe, at most."""
_POOLING = 0.25
"""Weight of the last minute in an estimate, as a part of the seconds for which the pace was trusted."""


@dataclass
class Pace:
    """The state of a key.

    Attributes:
        rate: Requests a second; None while no limit is known.
        base: The rate at the start of the present measurement.
        trust: Seconds for which the rate is held after an alarm.
        held_until: The time at which probing upwards begins.
        grown_at: The time of the last growth.
        changed_at: The time of the last alarm. Requests sent before it met the same limit.
        limited_until: The time before which nothing is sent.
        next_slot: The time of the next request.
        pauses: Alarms in a row without an accepted request.
        corrections: Alarms in a row while the rate was held.
        refusals: Refusals in a row, of requests that were sent since the last alarm.
        is_fresh: Whether nothing was answered since the last alarm.
        is_probing: Whether the rate grows.
        recent: Accepted requests since the last alarm, the start of the probe, or the doubling of the rate.
        cycle: Accepted requests since the last alarm.
        earlier: The cycle before; while no limit is known, the second before.
        minute: The average of the last minute.
        evidence: The test for limits.

    """

    rate: float | None = None
    base: float = 0.0
    trust: float = 0.0
    held_until: float = 0.0
    grown_at: float = 0.0
    changed_at: float = float("-inf")
    limited_until: float = float("-inf")
    next_slot: float = 0.0
    pauses: int = 0
    corrections: int = 0
    refusals: int = 0
    is_fresh: bool = False
    is_probing: bool = False
    recent: Count = field(default_factory=Count)
    cycle: Count = field(default_factory=Count)
    earlier: Count = field(default_factory=Count)
    minute: Average = field(default_factory=Average)
    evidence: Evidence = field(default_factory=Evidence)

    def add_success(self, sent: float, now: float, *, is_short: bool) -> None:
        """Learn from a request that was not refused; `is_short` says whether requests had to wait for the pace."""
        self.refusals = 0
        self._begin(sent)
        self.minute.add(now)
        if sent < self.changed_at:
            return
        self.evidence.add_success()
        if self.is_fresh:
            self.is_fresh = False
            self.evidence.clear()
        if self.pauses:
            self.pauses = 0
            self._measure_from(now)
        self.recent.number += 1
        self.cycle.number += 1
        if self.rate is None:
            if now - self.recent.since > 1.0:
                self.earlier = self.recent
                self._measure_from(now)
        elif is_short and now > self.held_until:
            self._grow(self.rate, now)

    def add_refusal(self, sent: float, now: float, reset: float | None) -> None:
        """Learn from a refused request; `reset` is the seconds until the limit ends, if the gateway says so."""
        self._begin(sent)
        if reset:
            # A little longer, so that the processes that share a key do not continue at the same moment.
            spread = random.uniform(0.1, 1.0)  # noqa: S311  no secret depends on it
            self.limited_until = max(self.limited_until, now + reset + spread)
        if sent < self.changed_at:
            return
        self.refusals += 1
        is_limit = self.evidence.add_refusal() or self.is_fresh or bool(reset)
        if is_limit and self.rate is not None and self.recent.number == 0:
            self._pause(now, self.rate, has_end=bool(reset))
        elif reset:
            # The wait is a part of a window; for a bucket of tokens it is only the time until the next token.
            is_window = 4 * (self.limited_until - now) > max(self.trust, now - self.cycle.since)
            end = self.limited_until if is_window else now
            self._set_rate(now, end, self._estimate_window(end) if is_window else self._estimate(now))
        elif is_limit:
            self._set_rate(now, now, self._estimate(now))

    def _begin(self, sent: float) -> None:
        """Measure from the first request on. Clocks start anywhere."""
        if self.cycle == Count():
            self._measure_from(sent)

    def _grow(self, rate: float, now: float) -> None:
        if not self.is_probing:
            self.is_probing = True
            self.recent = Count(0, self.held_until)
        spread = (max(SHORTEST, self.trust) / 2) ** 2
        # Answers may be recorded in another order than they came in, and the growth since a later one is none.
        latest = max(now, self.grown_at)
        growth = ((latest - self.held_until) ** 2 - (self.grown_at - self.held_until) ** 2) / spread
        # A pace that was held for a few requests only is not known well, and may grow faster.
        highest_growth = max(_MOST_GROWTH, 0.2 / (1 + self.trust * rate))
        self.rate, self.grown_at = rate * math.exp(min(highest_growth, growth)), latest
        if self.rate > 2 * self.base:
            self.base = self.rate
            self.recent = Count(0, now)
        if self.rate > HIGHEST_PACE:
            self.rate = None
            self.trust /= 4
            self._measure_from(now)

    def _measure_from(self, now: float) -> None:
        self.recent, self.cycle = Count(0, now), Count(0, now)

    def _estimate(self, now: float) -> float:
        if self.rate is None:
            return self._start_minute(now).rate(now)
        pooled = self.trust * _POOLING / float(2 ** min(self.corrections, 10))
        seconds = max(SHORTEST, now - self.recent.since)
        rate = (max(1, self.recent.number) + pooled * self.minute.rate(now)) / (seconds + pooled)
        return max(rate, self.cycle.rate(now)) if self.is_probing else rate

    def _estimate_window(self, end: float) -> float:
        if self.rate is None:
            return self._start_minute(end).rate(end)
        return max(self.recent.rate(end), self.cycle.rate(end))

    def _start_minute(self, end: float) -> Count:
        """Start the average with the requests of the last one or two seconds, and return these."""
        since = self.earlier.since if self.earlier.number else self.recent.since
        count = Count(max(1, self.recent.number + self.earlier.number), since)
        now = min(end, self.minute.at) if self.minute.at else end
        self.minute = Average(count.number, now, min(since, now - SHORTEST))
        self.cycle = Count(count.number, since)
        return count

    def _pause(self, now: float, rate: float, *, has_end: bool) -> None:
        """Stop all requests for a while: nothing was accepted since the last alarm."""
        shortest = 1.0 if self.pauses == 0 else max(1.0, self.trust / 5)
        pause = jitter(min(LONGEST_PAUSE, shortest * float(2 ** min(self.pauses, 10))))
        self.pauses += 1
        if not has_end:
            self.limited_until = max(self.limited_until, now + pause)
        end = self.limited_until
        average = max(_LOWEST_PACE, self.minute.rate(end), self.earlier.rate(end))
        self._hold(now, end, min(rate, average * self._correct_luck()))

    def _set_rate(self, now: float, end: float, accepted: float) -> None:
        """Pace requests at the rate at which they were accepted."""
        if self.is_probing or self.rate is None or self.trust == 0.0:
            self.trust = max(min(120.0, max(SHORTEST, end - self.cycle.since)) / 2, 2 * self.trust)
            self.corrections = 0
        else:
            self.corrections += 1
        self.earlier = self.cycle
        self._hold(now, end, max(_LOWEST_PACE, accepted) * self._correct_luck())

    def _correct_luck(self) -> float:
        return _CAUTION / (1 - self.evidence.luck)

    def _hold(self, now: float, end: float, rate: float) -> None:
        self.rate = self.base = rate
        self.trust = min(max(_HOLD_SECONDS, _HOLD_REQUESTS / rate), self.trust)
        self.held_until = self.grown_at = end + self.trust
        self.changed_at = now
        self.next_slot = end if end > now else now + 1 / rate
        self.is_fresh, self.is_probing = True, False
        self.evidence.clear()
        self._measure_from(end)
