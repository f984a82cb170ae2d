"""Log records of job events, by the logger `kling_adapters`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kling_adapters._text import format_number
from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    from kling_adapters import events

log = logging.getLogger("kling_adapters")


@hookimpl
def kling_event(event: events.Event) -> None:
    """Log an event: a failure as a warning, any other as information."""
    from kling_adapters import events  # plugin discovery imports this module

    job = f"{event.model or 'job'} {event.request_id}"
    match event:
        case events.SubmitFailed():
            log.warning("submit of %s failed: %s", event.model, event.reason)
        case events.Submitted():
            log.info("%s submitted", job)
        case events.StateChanged():
            log.info("%s is %s", job, event.state)
        case events.Completed():
            cost = event.result.metrics.cost
            log.info(
                "%s completed; %s",
                job,
                "cost unknown" if cost is None else f"{format_number(cost)} credits",
            )
        case events.Failed():
            log.warning("%s failed: %s", job, event.reason)
        case events.Expired():
            log.warning("%s has expired: the gateway no longer has it", job)
        case events.Stored():
            log.info("%s stored as %s", job, ", ".join(file.url for file in event.files))
