"""The parts of activities: their heartbeats and their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

T = TypeVar("T")

HEARTBEAT_SECONDS: Final = 4.0


def make_pending(reason: str, delay: float | None = None) -> ApplicationError:
    """Return the error that makes Temporal run an activity again after `delay` seconds, or as its retry policy says."""
    category = ApplicationErrorCategory.BENIGN
    next_delay = None if delay is None else timedelta(seconds=delay)
    return ApplicationError(reason, type="Pending", next_retry_delay=next_delay, category=category)


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
