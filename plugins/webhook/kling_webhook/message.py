"""What is sent: a message for each event. No parameters and no prompt; see the table in the README."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kling_adapters import Completed, Event, SubmitFailed

TOLD = ("request_id", "model", "reason", "state", "files", "seconds")
"""What is told of an event, if it has it."""


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


def as_message(event: Event) -> Message:
    """Return the message for an event."""
    kind = re.sub(r"\B(?=[A-Z])", "_", type(event).__name__).lower()
    data = {name: getattr(event, name) for name in TOLD if hasattr(event, name)}
    if isinstance(event, SubmitFailed) and event.uncertain:
        kind = "submit_uncertain"
    if isinstance(event, Completed):
        result = event.result
        # A text is a result; other outputs repeat the files, and what else is in them nobody has looked at.
        output = result.output if isinstance(result.output, str) else None
        # The content may be a whole video.
        files = [
            {name: value for name, value in vars(artifact).items() if name != "content"}
            for artifact in result.artifacts
        ]
        data |= {"output": output, "files": files, "metrics": result.metrics}
    payload = {"type": f"kling.job.{kind}", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    return Message(f"msg_{uuid4().hex}", json.loads(json.dumps(payload, default=asdict)))
