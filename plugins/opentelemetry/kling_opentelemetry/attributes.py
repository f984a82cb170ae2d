"""Attributes of spans and metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from kling_adapters import events


def model_attributes(event: events.Event) -> dict[str, AttributeValue]:
    """Return the model of an event, if it is known."""
    return {} if event.model is None else {"gen_ai.request.model": event.model}


def job_attributes(event: events.Event) -> dict[str, AttributeValue]:
    """Return the model and the id of the job of an event, as far as they are known."""
    return model_attributes(event) | (
        {} if event.request_id is None else {"kling.request_id": event.request_id}
    )


def param_attributes(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Convert parameters to attributes; lists and objects become JSON."""
    return {
        f"kling.params.{name}": value if isinstance(value, str | bool | int | float) else json.dumps(value)
        for name, value in params.items()
    }
