"""The parts of activities: their heartbeats, their progress between two tries, and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self, TypeVar

from temporalio import activity
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

    @classmethod
    def read(cls, details: Sequence[Any]) -> Self:
        """Return the progress that an earlier try has reported."""
        if not details:
            return cls()
        return cls(PollProgress(**details[0]["poll"]), details[0]["body"], details[0]["failures"])

    async def report(self) -> None:
        """Report the progress to the server."""
        activity.heartbeat(self)


def make_pending(reason: str, delay: float) -> ApplicationError:
    """Return the error that makes Temporal run an activity again after `delay` seconds."""
    category = ApplicationErrorCategory.BENIGN
    return ApplicationError(
        reason, type="Pending", next_retry_delay=timedelta(seconds=delay), category=category
    )


def make_final(kind: str, reason: str, *details: Any) -> ApplicationError:
    """Return the error of a submit, of which the workflow decides."""
    category = ApplicationErrorCategory.BENIGN
    return ApplicationError(reason, *details, type=kind, non_retryable=True, category=category)


async def _report() -> None:
    activity.heartbeat()


@asynccontextmanager
async def heartbeats(send: Callable[[], Awaitable[None]] = _report) -> AsyncGenerator[None]:
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
