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
class FlowResult:
    """Result of a flow: a `value` or an `error`, after `sent` requests and `seconds`, with its events and requests."""

    value: Any = None
    error: BaseException | None = None
    sent: int = 0
    seconds: float = 0.0
    events: list[events.Event] = field(default_factory=list[events.Event])
    requests: list[Request] = field(default_factory=list[Request])


def run(flow: effects.Flow[Any], outcomes: Iterable[Outcome | Any]) -> FlowResult:
    """Run a flow; each Send and Fetch gets the next outcome, or its value if it is a function of the effect."""
    flow_result, scripted = FlowResult(), iter(outcomes)
    step, outcome = flow.send, None
    for _ in range(LIMIT):
        try:
            effect = step(outcome)
        except StopIteration as stop:
            flow_result.value = stop.value
            return flow_result
        except Exception as error:  # noqa: BLE001  the test looks at it
            flow_result.error = error
            return flow_result
        try:
            step, outcome = flow.send, _perform(effect, scripted, flow_result)
        except Exception as error:  # noqa: BLE001  as the drivers do
            step, outcome = flow.throw, error
    raise AssertionError(f"the flow does not end: {flow_result}")


def _perform(effect: effects.Effect, scripted: Iterator[Any], flow_result: FlowResult) -> Any:
    match effect:
        case effects.Send() | effects.Fetch():
            flow_result.sent += 1
            flow_result.requests.append(effect.request)
            outcome = next(scripted, None)
            assert outcome is not None, "the script has ended, the flow has not"
            return outcome(effect) if callable(outcome) else outcome
        case effects.Sleep():
            flow_result.seconds += effect.seconds
        case effects.Now():
            return STARTED + flow_result.seconds
        case effects.Call():
            return effect.function()
        case effects.Emit():
            flow_result.events.append(effect.event)
    return None
