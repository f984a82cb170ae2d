"""Deadline of an exchange. Every network step of the exchange observes it."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token

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

    def activate(self) -> Token[Deadline | None]:
        """Make this the deadline of all network steps of this thread or task, until `deactivate`."""
        return self._current.set(self)

    @classmethod
    def deactivate(cls, token: Token[Deadline | None]) -> None:
        """End what `activate` began."""
        cls._current.reset(token)

    @classmethod
    def limit_step(
        cls, timeout: float | None, error: type[Exception]
    ) -> AbstractContextManager[float | None]:
        """Yield the seconds for a step, at most `timeout`. Raises `error` when the deadline has passed."""
        deadline = cls._current.get()
        return nullcontext(timeout) if deadline is None else _Step(deadline, timeout, error)

    def remaining_seconds(self) -> float:
        """Return the seconds until the end; negative after it."""
        return self._end - time.monotonic()

    def describe_excess(self) -> str:
        """Return the message for an exchange that has reached its deadline."""
        return f"the answer took longer than {format_number(self._seconds)} s"


class _Step:
    """A network step that a deadline limits. A class, because an exchange has many steps."""

    __slots__ = ("_deadline", "_error", "_timeout")

    def __init__(self, deadline: Deadline, timeout: float | None, error: type[Exception]) -> None:
        self._deadline, self._timeout, self._error = deadline, timeout, error

    def __enter__(self) -> float:
        remaining = self._deadline.remaining_seconds()
        if remaining <= 0:
            raise self._error(self._deadline.describe_excess())
        return remaining if self._timeout is None else min(self._timeout, remaining)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and self._deadline.remaining_seconds() <= 0:
            raise self._error(self._deadline.describe_excess()) from None
