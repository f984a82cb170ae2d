"""Delays of the request history."""

import itertools
from collections.abc import Sequence


class HistoryDelays:
    """The delays after which requests are in the history, in seconds of the sandbox's clock.

    Args:
        delay: The delay of every job, or a series of delays for the jobs in turn, which starts again at its end.

    Raises:
        ValueError: There is no delay, or one is negative.

    """

    def __init__(self, delay: float | Sequence[float] = 0.0) -> None:
        delays = tuple(delay) if isinstance(delay, Sequence) else (delay,)
        if not delays or not all(0 <= seconds < float("inf") for seconds in delays):
            raise ValueError(f"history_delay must be seconds, 0 or more, or a series of them, not {delay!r}")
        self._turns = itertools.cycle(delays)

    def next(self) -> float:
        """Return the delay of the next job."""
        return next(self._turns)
