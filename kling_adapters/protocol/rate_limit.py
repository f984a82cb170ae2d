"""Rate limiter of one key: the only answer to a 429."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kling_adapters.forks import ForkSafeLock, reset_in_children
from kling_adapters.protocol.pace import Pace
from kling_adapters.protocol.shared_pace import SharedPace

URGENT_IN_A_ROW = 3
"""Urgent requests that are sent before a poll that waits."""
_MARGIN = 1.02
"""Part by which requests are further apart than `rate_limit` says: some take longer to arrive than others."""
_LONGEST_PAUSE = 60.0
"""Seconds after which a request looks at its place in the queue again: those before it may have given up."""
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.4, 16.0
"""Seconds before a refused request is repeated."""


@dataclass(eq=False)
class Turn:
    """A request that waits for its slot.

    Attributes:
        is_urgent: Whether it comes before polls.
        number: Its place among the requests of its kind, once it waits.
        delay: The seconds until its slot, as far as it can be known.

    """

    is_urgent: bool
    number: int | None = None
    delay: float = 0.0


@dataclass
class _Queue:
    """Numbers of requests that began to wait, and that wait no longer."""

    arrivals: int = 0
    departures: int = 0

    @property
    def waiting(self) -> int:
        return self.arrivals - self.departures

    def count_ahead(self, turn: Turn) -> int:
        return self.waiting if turn.number is None else max(0, turn.number - self.departures)


@dataclass(eq=False)
class RateLimiter:
    """Give each request of a key its slot. Safe for threads.

    Requests are not delayed while no limit is known (see pace) and none is given. Otherwise they are spaced evenly.
    Urgent requests, those that submit or collect, come before polls, but one poll comes after every third.

    Attributes:
        rate_limit: Requests a minute that are never exceeded; None if they are only learned.
        shared: The pace in the journal; None for a pace of this limiter alone.
        pace: The pace as far as this limiter knows it.

    """

    rate_limit: float | None = None
    shared: SharedPace | None = None
    pace: Pace = field(default_factory=Pace)
    _is_short: bool = field(default=False, init=False)
    _urgent_in_a_row: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._lock = ForkSafeLock()
        # Not held during a transaction of the journal, because an event loop waits for it.
        self._queue_lock = ForkSafeLock()
        self._urgent, self._polls = _Queue(), _Queue()
        self._is_loaded = self.shared is None
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Forget the requests that wait in the parent."""
        self._urgent, self._polls = _Queue(), _Queue()

    @property
    def spacing(self) -> float | None:
        """The seconds between two requests; None if they are not paced."""
        fixed_spacing = None if self.rate_limit is None else 60 / self.rate_limit * _MARGIN
        learned_spacing = None if self.pace.rate is None else 1 / self.pace.rate
        return max(filter(None, (fixed_spacing, learned_spacing)), default=None)

    @property
    def may_block(self) -> bool:
        """True if the next call may read or write the journal."""
        return self.shared is not None and (not self._is_loaded or self.spacing is not None)

    def claim(self, turn: Turn, now: float) -> float:
        """Take a slot for a request, if there is one.

        Returns:
            0 if the request is to be sent now; otherwise the seconds until the next claim. They are fewer than those
            until its slot if other requests come first, because they may give up, and the pace may grow.

        """
        with self._lock:
            self._load(now)
            pause = self._find_pause(turn, now)
            if turn.number is None:
                self._is_short = pause > 0
            if pause == 0 and self.spacing is not None:
                pause = self._exchange(now, lambda: self._take_slot(turn, now))
            if pause > 0:
                self._wait(turn)
            else:
                self.leave(turn)
            return pause

    def leave(self, turn: Turn) -> None:
        """Give up the place of a request in the queue, if it still has one."""
        with self._queue_lock:
            if turn.number is not None:
                queue = self._urgent if turn.is_urgent else self._polls
                queue.departures = min(queue.arrivals, queue.departures + 1)
                turn.number = None

    def record_success(self, sent: float, now: float) -> None:
        """Record a response other than 429 to a request that was sent at the time `sent`."""
        with self._lock:
            is_short = self._is_short

            def add() -> None:
                self.pace.add_success(sent, now, is_short=is_short)

            if self.pace.rate is None:
                add()
            else:
                self._exchange(now, add)

    def record_limit(self, sent: float, now: float, reset: float | None) -> float:
        """Record a 429 and return the seconds before its request is repeated.

        Args:
            sent: The time at which the request was sent.
            now: The time of the response.
            reset: Seconds until the limit ends according to the gateway; None if unknown.

        """
        with self._lock:
            if self.pace.rate is None:
                self.pace.add_refusal(sent, now, reset)
                if self.pace.rate is not None:
                    # Another process may know the limit already; then its pace replaces this one.
                    self._exchange(now, lambda: None)
            else:
                self._exchange(now, lambda: self.pace.add_refusal(sent, now, reset))
            backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * float(2 ** min(self.pace.refusals - 1, 10)))
            backoff *= random.uniform(0.5, 1.5)  # noqa: S311  no secret depends on it
            return max(backoff, self.pace.limited_until - now)

    def _find_pause(self, turn: Turn, now: float) -> float:
        """Return the seconds until the request tries again, halfway to its slot, and set its delay."""
        spacing = self.spacing
        if spacing is None:
            turn.delay = pause = self.pace.limited_until - now
        else:
            ahead = self._count_ahead(turn)
            due = max(self.pace.limited_until, self.pace.next_slot) - now
            turn.delay, pause = due + ahead * spacing, due + min(_LONGEST_PAUSE, (ahead + 1) // 2 * spacing)
        return pause if pause > 1e-9 else 0.0

    def _count_ahead(self, turn: Turn) -> int:
        """Return the number of requests whose slots come before the one of this request."""
        position = (self._urgent if turn.is_urgent else self._polls).count_ahead(turn)
        if turn.is_urgent:
            return position + min(self._polls.waiting, (self._urgent_in_a_row + position) // URGENT_IN_A_ROW)
        return position + max(
            0, min(self._urgent.waiting, URGENT_IN_A_ROW * (position + 1) - self._urgent_in_a_row)
        )

    def _take_slot(self, turn: Turn, now: float) -> float:
        """Take the slot unless another process was faster; return the seconds until the next try then."""
        pause, spacing = self._find_pause(turn, now), self.spacing
        if pause == 0 and spacing is not None:
            # A request that woke up late does not delay all later ones, unless the limit is never to be exceeded.
            late = 0.0 if self.rate_limit else spacing
            self.pace.next_slot = max(self.pace.next_slot, now - late) + spacing
            self._urgent_in_a_row = min(URGENT_IN_A_ROW, self._urgent_in_a_row + 1) if turn.is_urgent else 0
        return pause

    def _wait(self, turn: Turn) -> None:
        with self._queue_lock:
            if turn.number is None:
                queue = self._urgent if turn.is_urgent else self._polls
                turn.number = queue.arrivals
                queue.arrivals += 1

    def _load(self, now: float) -> None:
        """Read the pace that other processes know, once."""
        if self.shared is not None and not self._is_loaded:
            self.pace = self.shared.load(self.pace, now)
        self._is_loaded = True

    def _exchange(self, now: float, operate: Callable[[], float | None]) -> float:
        """Change the pace that all processes share."""
        if self.shared is None:
            return operate() or 0.0

        def update(pace: Pace) -> float:
            self.pace = pace
            return operate() or 0.0

        return self.shared.exchange(self.pace, now, update)
