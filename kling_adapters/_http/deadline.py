"""Deadline of an exchange. Every network step of the exchange observes it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from kling_adapters._text import format_number


class NotConnected(Exception):
    """No connection was made, so nothing was sent."""


class OutOfTime(Exception):
    """The exchange reached its deadline; the request may have been sent."""


class Deadline:
    """The end of the current exchange, `seconds` from now."""

    _current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)

    def __init__(self, seconds: float) -> None:
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """Move the end to `seconds` from now."""
        self._seconds, self._end = seconds, time.monotonic() + seconds

    def shorten(self, seconds: float) -> None:
        """Move the end to `seconds` from now, unless it is earlier already."""
        if time.monotonic() + seconds < self._end:
            self.restart(seconds)

    @contextmanager
    def activate(self) -> Generator[None]:
        """Make this the deadline of all network steps of this thread or task."""
        token = self._current.set(self)
        try:
            yield
        finally:
            self._current.reset(token)

    @classmethod
    def limit_step(
        cls, timeout: float | None, error: type[Exception]
    ) -> AbstractContextManager[float | None]:
        """Yield the seconds for a step, at most `timeout`. Raises `error` when the deadline has passed."""
        deadline = cls._current.get()
        return nullcontext(timeout) if deadline is None else deadline.limit(timeout, error)

    @contextmanager
    def limit(self, timeout: float | None, error: type[Exception]) -> Generator[float]:
        """Limit a step by this deadline."""
        remaining = self._end - time.monotonic()
        message = f"the answer took longer than {format_number(self._seconds)} s"
        if remaining <= 0:
            raise error(message)
        try:
            yield remaining if timeout is None else min(timeout, remaining)
        except Exception:
            if time.monotonic() >= self._end:
                raise error(message) from None
            raise
