"""Log records of job events, by the logger `kling_adapters`."""

from __future__ import annotations

import logging

from kling_adapters._text import format_number
from kling_adapters.events import (
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)
from kling_adapters.hookspecs import hookimpl

log = logging.getLogger("kling_adapters")


@hookimpl
def kling_event(event: Event) -> None:
    """Log an event: a failure as a warning, any other as information."""
    job = f"{event.model or 'job'} {event.request_id}"
    match event:
        case SubmitFailed():
            log.warning("submit of %s failed: %s", event.model, event.reason)
        case Submitted():
            log.info("%s submitted", job)
        case StateChanged():
            log.info("%s is %s", job, event.state)
        case Completed():
            cost = event.result.metrics.cost
            log.info(
                "%s completed; %s",
                job,
                "cost unknown" if cost is None else f"{format_number(cost)} credits",
            )
        case Failed():
            log.warning("%s failed: %s", job, event.reason)
        case Expired():
            log.warning("%s has expired: the gateway no longer has it", job)
        case Stored():
            log.info("%s stored as %s", job, ", ".join(file.url for file in event.files))
