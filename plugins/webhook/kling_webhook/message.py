"""What is sent: a message for each event. No parameters and no prompt; see the table in the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kling_adapters import Completed, Event, Expired, Failed, StateChanged, Stored, SubmitFailed, Submitted

# The name of each event, and what is told of it beside its job and model.
_TOLD: Mapping[type[Event], tuple[str, ...]] = {
    SubmitFailed: ("submit_failed", "reason"),
    Submitted: ("submitted", "seconds"),
    StateChanged: ("state_changed", "state"),
    Completed: ("completed",),
    Failed: ("failed", "reason"),
    Expired: ("expired",),
    Stored: ("stored", "files", "seconds"),
}


@dataclass(frozen=True)
class Message:
    """One webhook. `id` stays the same however often it is sent, so that a receiver can tell a repetition."""

    id: str
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def job(self) -> str:
        """What must arrive in order: the messages of a job. One that belongs to no job stands alone."""
        return self.payload["data"]["request_id"] or self.id

    def __str__(self) -> str:
        return f"{self.id} {self.payload['type']} {self.payload['data']['request_id']}"


def as_message(event: Event) -> Message | None:
    """Return the message for an event; None for one that this version does not know."""
    if type(event) not in _TOLD:
        return None
    kind, *names = _TOLD[type(event)]
    data = {name: getattr(event, name) for name in ("request_id", "model", *names)}
    if isinstance(event, SubmitFailed) and event.uncertain:
        kind = "submit_uncertain"
    if isinstance(event, Completed):
        result = event.result
        # A text is a result; other outputs repeat the files, and what else is in them nobody has looked at.
        output = result.output if isinstance(result.output, str) else None
        data |= {"output": output, "files": result.artifacts, "metrics": result.metrics}
    payload = {"type": f"kling.job.{kind}", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    return Message(f"msg_{uuid4().hex}", json.loads(json.dumps(payload, default=asdict)))
