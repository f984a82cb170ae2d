"""What is sent: a message for each event. No parameters and no prompt; see the table in the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kling_adapters import (
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)


@dataclass(frozen=True)
class Message:
    """One webhook. `id` stays the same however often it is sent, so that a receiver can tell a repetition."""

    id: str
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def type(self) -> str:
        """What happened, as in `kling.job.completed`."""
        return str(self.payload["type"])

    @property
    def request_id(self) -> str | None:
        """The job; None for a submit that came to nothing."""
        found: str | None = self.payload["data"]["request_id"]
        return found

    @property
    def job(self) -> str:
        """What must arrive in order: the messages of a job. One that belongs to no job stands alone."""
        return self.request_id or self.id

    @property
    def body(self) -> str:
        """What is signed and sent."""
        return json.dumps(self.payload, separators=(",", ":"))

    def __str__(self) -> str:
        return " ".join(filter(None, (self.id, self.type, self.request_id)))


def as_message(event: Event) -> Message | None:
    """Return the message for an event; None for one that this version does not know."""
    more: dict[str, Any] = {}
    match event:
        case SubmitFailed():
            kind = "submit_uncertain" if event.uncertain else "submit_failed"
            more = {"reason": event.reason}
        case Submitted():
            kind, more = "submitted", {"seconds": event.seconds}
        case StateChanged():
            kind, more = "state_changed", {"state": event.state}
        case Completed(result=result):
            # A text is a result; other outputs repeat the files, and what else is in them nobody has looked at.
            output = result.output if isinstance(result.output, str) else None
            files = [asdict(artifact) for artifact in result.artifacts]
            more = {"output": output, "files": files, "metrics": asdict(result.metrics)}
            kind = "completed"
        case Failed():
            kind, more = "failed", {"reason": event.reason}
        case Expired():
            kind = "expired"
        case Stored():
            kind = "stored"
            more = {"files": [asdict(file) for file in event.files], "seconds": event.seconds}
        case _:
            return None
    about = {"request_id": event.request_id, "model": event.model}
    timestamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    payload = {"type": f"kling.job.{kind}", "timestamp": timestamp, "data": {**about, **more}}
    return Message(f"msg_{uuid4().hex}", payload)
