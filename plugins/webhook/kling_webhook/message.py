"""Webhook messages for job events, without parameters and prompts. The README lists their fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kling_adapters import events

FIELDS = ("request_id", "model", "reason", "state", "files", "seconds")
"""Attributes of events that a message contains, if the event has them."""


@dataclass(frozen=True)
class Message:
    """A webhook message.

    Attributes:
        id: The id, equal in all attempts, so that a receiver can detect duplicates.
        payload: The body of the request.

    """

    id: str
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def job(self) -> str:
        """The job whose messages must arrive in order; the message id if it has no job."""
        return self.payload["data"]["request_id"] or self.id

    def __str__(self) -> str:
        return f"{self.id} {self.payload['type']} {self.payload['data']['request_id']}"


def as_message(event: events.Event) -> Message:
    """Create the message for an event.

    Args:
        event: The event of a job.

    Returns:
        The message, with a new id.

    """
    kind = re.sub(r"\B(?=[A-Z])", "_", type(event).__name__).lower()
    data = {name: getattr(event, name) for name in FIELDS if hasattr(event, name)}
    if isinstance(event, events.SubmitFailed) and event.uncertain:
        kind = "submit_uncertain"
    if isinstance(event, events.Completed):
        result = event.result
        # Only text output is sent: other outputs repeat the files and may contain unknown data.
        output = result.output if isinstance(result.output, str) else None
        # The content may be a complete video.
        files = [
            {name: value for name, value in vars(artifact).items() if name != "content"}
            for artifact in result.artifacts
        ]
        data |= {"output": output, "files": files, "metrics": result.metrics}
    payload = {"type": f"kling.job.{kind}", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    return Message(f"msg_{uuid4().hex}", json.loads(json.dumps(payload, default=asdict)))
