"""Runs a flow on scripted outcomes and simulated time, where sockets would add nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kling_adapters import events
from kling_adapters.protocol import effects
from kling_adapters.protocol.messages import Outcome, Request

LIMIT = 10_000
STARTED = 5_000.0
"""What the clock shows at first: no flow may take the time for how long something took."""


class Key:
    """An Auth of one key."""

    def api_key(self) -> str:
        return "SG_scripted"


@dataclass
class Ended:
    """How a flow ended: with a `value` or an `error`, after `sent` requests and `seconds`; what it was about."""

    value: Any = None
    error: BaseException | None = None
    sent: int = 0
    seconds: float = 0.0
    events: list[events.Event] = field(default_factory=list[events.Event])
    requests: list[Request] = field(default_factory=list[Request])


def run(flow: effects.Flow[Any], outcomes: Iterable[Outcome | Any]) -> Ended:
    """Hand each Send and Fetch the next outcome, or what it says to it if it is a function; the flow must end before."""
    ended, scripted = Ended(), iter(outcomes)
    step, outcome = flow.send, None
    for _ in range(LIMIT):
        try:
            effect = step(outcome)
        except StopIteration as stop:
            ended.value = stop.value
            return ended
        except Exception as error:  # noqa: BLE001  the test looks at it
            ended.error = error
            return ended
        try:
            step, outcome = flow.send, _perform(effect, scripted, ended)
        except Exception as error:  # noqa: BLE001  as the drivers do
            step, outcome = flow.throw, error
    raise AssertionError(f"the flow does not end: {ended}")


def _perform(effect: effects.Effect, scripted: Iterator[Any], ended: Ended) -> Any:
    match effect:
        case effects.Send() | effects.Fetch():
            ended.sent += 1
            ended.requests.append(effect.request)
            outcome = next(scripted, None)
            assert outcome is not None, "the script has ended, the flow has not"
            return outcome(effect) if callable(outcome) else outcome
        case effects.Sleep():
            ended.seconds += effect.seconds
        case effects.Now():
            return STARTED + ended.seconds
        case effects.Call():
            return effect.function()
        case effects.Emit():
            ended.events.append(effect.event)
    return None
