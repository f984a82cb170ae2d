"""The parts of activities: their heartbeats, their progress between two tries, and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.converter import value_to_type
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from kling_adapters.engine import PollProgress

T = TypeVar("T")

HEARTBEAT_SECONDS: Final = 4.0


@dataclass
class Progress:
    """Progress of the wait for a job and of storing its output, which the server keeps between two tries.

    Attributes:
        poll: The progress of the wait.
        body: The gateway's answer to a completed job.
        failures: Failures of storing its output.

    """

    poll: PollProgress = field(default_factory=PollProgress)
    body: Mapping[str, Any] | None = None
    failures: int = 0

    async def report(self) -> None:
        """Report the progress to the server."""
        activity.heartbeat(self)


def read_progress() -> Progress:
    """Return the progress that an earlier try of this activity has reported."""
    details = activity.info().heartbeat_details
    return value_to_type(Progress, details[0]) if details else Progress()


def make_pending(reason: str, delay: float | None = None) -> ApplicationError:
    """Return the error that makes Temporal run an activity again after `delay` seconds, or as its retry policy says."""
    category = ApplicationErrorCategory.BENIGN
    next_delay = None if delay is None else timedelta(seconds=delay)
    return ApplicationError(reason, type="Pending", next_retry_delay=next_delay, category=category)


def make_final(kind: str, reason: str, *details: Any) -> ApplicationError:
    """Return the error of a submit, of which the workflow decides."""
    category = ApplicationErrorCategory.BENIGN
    return ApplicationError(reason, *details, type=kind, non_retryable=True, category=category)


@asynccontextmanager
async def heartbeats(send: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Send heartbeats inside the block, so that the step of a lost worker is soon another's."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await send()
            except Exception as error:  # noqa: BLE001  the step goes on, and its end is reported
                activity.logger.info("a heartbeat failed: %s", error)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()


async def shield(call: Awaitable[T]) -> T:
    """Await a call to its end, even if the activity is cancelled: a submit that is cut off may have been paid for."""
    task = asyncio.ensure_future(call)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()
