"""What a flow can ask of its driver, and the flow itself as a generator of such effects."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from kling_adapters.events import Event
from kling_adapters.protocol import wire
from kling_adapters.protocol.download import Download

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send a request; the outcome is an Answer or a Fault."""

    request: wire.Request


@dataclass(frozen=True)
class Fetch:
    """Send a request and stream the body of its answer into `download`; the outcome is the Answer without body, or a Fault."""

    request: wire.Request
    download: Download


@dataclass(frozen=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Now:
    """The outcome is the time in seconds, from a clock that only goes forward."""


@dataclass(frozen=True)
class Call:
    """Call a function that may block; the outcome is what it returns.

    `is_left`: a cancelled task does not wait for it, because the flow has a way to stop it.
    """

    function: Callable[[], Any]
    is_left: bool = False


@dataclass(frozen=True)
class Emit:
    """Tell plugins, and whoever follows the job, what happened."""

    event: Event


Effect: TypeAlias = Send | Fetch | Sleep | Now | Call | Emit
Flow: TypeAlias = Generator[Effect, Any, T]


class Steps(Generic[T]):
    """A flow, step by step: `effect` is what it wants next, until it is `done` and has its `value`."""

    effect: Effect
    value: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.done = False
        self._take(partial(next, flow))

    def answer(self, outcome: Any) -> None:
        """Hand the flow what its effect came to."""
        self._take(partial(self._flow.send, outcome))

    def fail(self, error: BaseException) -> None:
        """Raise inside the flow what its effect raised, so that it can clean up."""
        self._take(partial(self._flow.throw, error))

    def _take(self, step: Callable[[], Effect]) -> None:
        try:
            self.effect = step()
        except StopIteration as end:
            self.done, self.value = True, end.value
