"""Runs many flows at once on one simulated clock, as a driver runs those of a client."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Generic, TypeVar

from kling_adapters.protocol.effects import Call, Effect, Flow, Now, Send, Sleep, Steps
from kling_adapters.protocol.messages import Outcome, Request

T = TypeVar("T")


def run_together(
    flows: Iterable[tuple[float, Flow[T]]],
    answer: Callable[[Request, float], Outcome],
    draw_latency: Callable[[], float] = lambda: 0.0,
) -> list[T | Exception]:
    """Run flows until all have ended, and return the value or the error of each.

    Args:
        flows: Flows, and the time at which each starts, in seconds.
        answer: Answers a request at a time.
        draw_latency: Returns the seconds from a request to its arrival, and from there to its answer.

    """
    together = _Together[T](answer, draw_latency)
    for number, (start, flow) in enumerate(flows):
        together.plan(start, together.start, number, flow)
    while together.queue:
        now, _, act, arguments = heapq.heappop(together.queue)
        act(now, *arguments)
    return [together.outcomes[number] for number in sorted(together.outcomes)]


class _Together(Generic[T]):
    """The flows, and the queue of what is to happen with each."""

    def __init__(
        self, answer: Callable[[Request, float], Outcome], draw_latency: Callable[[], float]
    ) -> None:
        self._answer = answer
        self._draw_latency = draw_latency
        self._turns = count()
        self._steps: dict[int, Steps[T]] = {}
        self.queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.outcomes: dict[int, T | Exception] = {}

    def plan(self, time: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self.queue, (time, next(self._turns), act, arguments))

    def start(self, now: float, number: int, flow: Flow[T]) -> None:
        self._steps[number] = Steps(_start_by_sleep(flow))
        self._proceed(now, number, None)

    def _proceed(self, now: float, number: int, outcome: Any) -> None:
        steps = self._steps[number]
        try:
            steps.answer(outcome)
            while not steps.done and not isinstance(steps.effect, Send | Sleep):
                steps.answer(_perform(steps.effect, now))
        except Exception as error:  # noqa: BLE001  the caller looks at it
            self.outcomes[number] = error
            return
        if steps.done:
            self.outcomes[number] = steps.value
        elif isinstance(steps.effect, Sleep):
            self.plan(now + steps.effect.seconds, self._proceed, number, None)
        elif isinstance(steps.effect, Send):
            self.plan(now + self._draw_latency(), self._reply, number, steps.effect.request)

    def _reply(self, now: float, number: int, request: Request) -> None:
        self.plan(now + self._draw_latency(), self._proceed, number, self._answer(request, now))


def _perform(effect: Effect, now: float) -> Any:
    match effect:
        case Now():
            return now
        case Call():
            return effect.function()
        case _:
            return None


def _start_by_sleep(flow: Flow[T]) -> Flow[T]:
    # The first effect of a flow is taken when it is made.
    yield Sleep(0)
    return (yield from flow)
