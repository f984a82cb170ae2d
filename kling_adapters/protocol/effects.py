"""Effects, which a driver performs for a flow, and flows as generators of effects.

A flow does no I/O and reads no clock: it yields an effect and receives the outcome. A driver performs the effect,
blocking or not, and raises failures inside the flow. Both clients run the same flows, and tests run them with scripted
outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from kling_adapters.events import Event
from kling_adapters.protocol.download import Download
from kling_adapters.protocol.messages import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the outcome is an Answer or a Fault."""

    request: Request


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send a request and stream its response into `download`; the outcome is an Answer without a body, or a Fault."""

    request: Request
    download: Download


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """Read a clock; the outcome is the time in seconds, which never goes back."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function that may block; the outcome is its value.

    Attributes:
        function: The function.
        abandon_on_cancel: Whether a cancelled task leaves the function, which the flow can abort, without waiting for
        it.

    """

    function: Callable[[], Any]
    abandon_on_cancel: bool = False


@dataclass(frozen=True, slots=True)
class Record(Call):
    """Call a method of the journal; the outcome is its value, which is on disk. A driver may group such calls."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Report an event to plugins and to the iterator of `job.events()`."""

    event: Event


Effect: TypeAlias = Send | Fetch | Sleep | Now | Call | Record | Emit
Flow: TypeAlias = Generator[Effect, Any, T]


class Steps(Generic[T]):
    """A flow, step by step.

    Attributes:
        effect: The effect to perform next, unless `done`.
        done: Whether the flow has returned.
        value: The value that the flow returned.

    """

    __slots__ = ("_flow", "done", "effect", "value")

    effect: Effect
    value: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.done = False
        self._advance(partial(next, flow))

    def answer(self, outcome: Any) -> None:
        """Continue with the outcome of the effect."""
        self._advance(partial(self._flow.send, outcome))

    def fail(self, error: BaseException) -> None:
        """Raise the failure of the effect inside the flow, so that it can clean up."""
        self._advance(partial(self._flow.throw, error))

    def _advance(self, step: Callable[[], Effect]) -> None:
        try:
            self.effect = step()
        except StopIteration as end:
            self.done, self.value = True, end.value
