"""The plugin: a queue of messages, delivered in the background and in order per job.

Plugin discovery imports this module, so the delivery modules are imported only if a receiver is configured.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl
from kling_webhook.settings import URL

if TYPE_CHECKING:
    import click

    from kling_adapters import Clock, events
    from kling_webhook.message import Message

log = logging.getLogger("kling_webhook")

RETRY_DELAYS = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Seconds between the attempts for a message; a random factor from 0.5 to 1 spreads the retries of senders."""
CLOSE_SECONDS = 25.0
"""Maximum seconds that closing takes; the client waits 30 seconds."""
MAX_WORKERS = 4
"""Maximum number of concurrent deliveries, of different jobs."""


@dataclass(eq=False)
class _Lane:
    """The queue of a job.

    Attributes:
        job: The job.
        messages: The undelivered messages, oldest first.
        due: The time of the next attempt, in seconds of the clock.
        failures: The number of failed attempts of the first message.
        is_busy: Whether a worker delivers the first message.
        is_closed: Whether `kling_close` has taken the messages.

    """

    job: str
    messages: deque[Message]
    due: float = float("-inf")
    failures: int = 0
    is_busy: bool = False
    is_closed: bool = False


class Webhook:
    """Plugin that posts signed job events to a receiver.

    Args:
        url: The URL of the receiver: https, or http on this machine. None reads KLING_WEBHOOK_URL; without a URL the
            plugin does nothing.
        secret: The signing secrets, `whsec_...`; every message is signed with all of them. None reads
            KLING_WEBHOOK_SECRET.
        dead_letters: The path of the dead-letter file. None reads KLING_WEBHOOK_DEAD_LETTERS; without it, the file is
            in the state folder of the platform.
        clock: The clock; for tests.

    Raises:
        ConfigError: The URL or a secret is invalid. The message contains neither.

    """

    def __init__(
        self,
        url: str | None = None,
        *,
        secret: str | Sequence[str] | None = None,
        dead_letters: str | Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        url = url or os.environ.get(URL, "").strip()
        self._is_enabled = bool(url)
        if url:
            from kling_webhook.deadletters import DeadLetters
            from kling_webhook.endpoint import Endpoint

            self._endpoint, self._dead_letters = Endpoint(url, secret), DeadLetters(dead_letters)
        self._clock = clock
        self._now = clock.now if clock else time.monotonic
        self._reset_queue()

    def _reset_queue(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()  # guards the attributes below
        self._lanes: dict[str, _Lane] = {}
        self._workers = 0
        self._is_waiting = False  # one worker waits for the lane that is due next

    def _reset_after_fork(self) -> None:
        """Drop the queue after a fork: the parent process has the threads and delivers it."""
        if self._process != os.getpid():
            self._reset_queue()

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        """Queue the message for an event.

        Args:
            event: The event of a job.

        """
        if not self._is_enabled:
            return
        from kling_webhook.message import as_message

        self._reset_after_fork()
        message = as_message(event)
        with self._changed:
            lane = self._lanes.setdefault(message.job, _Lane(message.job, deque()))
            lane.messages.append(message)
            atexit.unregister(self.kling_close)
            atexit.register(self.kling_close)
            # A lane with earlier messages has a worker or waits until it is due.
            if len(lane.messages) == 1 and self._workers < MAX_WORKERS:
                self._workers += 1
                # Daemon thread: `kling_close` limits how long the exit of the process waits.
                threading.Thread(target=self._work, name="kling-webhook", daemon=True).start()

    @hookimpl
    def kling_close(self) -> None:
        """Deliver the queue, for 25 seconds at most; write the remaining messages to the dead-letter file."""
        atexit.unregister(self.kling_close)
        self._reset_after_fork()
        deadline = self._now() + CLOSE_SECONDS
        with self._changed:
            # Retries that are due after the deadline are not awaited.
            self._changed.wait_for(
                lambda: all(lane.due > deadline for lane in self._lanes.values()), CLOSE_SECONDS
            )
            undelivered = [message for lane in self._lanes.values() for message in lane.messages]
            for lane in self._lanes.values():
                lane.is_closed = True
            self._lanes.clear()
            self._changed.notify_all()
        if undelivered:
            self._write_dead_letters(undelivered, "the client was closed before the delivery")

    @hookimpl
    def kling_cli(self, app: click.Group) -> None:
        """Add the command `kling webhooks`."""
        from kling_webhook.commands import webhooks

        app.add_command(webhooks)

    def _work(self) -> None:
        """Deliver due messages, until none is due or another worker waits for the next."""
        while (lane := self._take_lane()) is not None:
            message = lane.messages[0]
            failure = self._endpoint.post(message)
            delays = RETRY_DELAYS[lane.failures :] if failure and failure.is_temporary else ()
            if failure and delays:
                log.info("webhook %s: %s; retrying", message, failure.reason)
            elif failure and not lane.is_closed:
                self._write_dead_letters([message], failure.reason)
            with self._changed:
                lane.is_busy = False
                if delays:
                    lane.failures += 1
                    lane.due = self._now() + delays[0] * random.uniform(0.5, 1.0)  # noqa: S311  not a secret
                elif not lane.is_closed:
                    lane.failures = 0
                    lane.messages.popleft()
                    if not lane.messages:
                        del self._lanes[lane.job]
                self._changed.notify_all()

    def _take_lane(self) -> _Lane | None:
        """Wait for a due lane and return it; None ends the worker."""
        with self._changed:
            while True:
                idle = [lane for lane in self._lanes.values() if not lane.is_busy]
                lane = min(idle, key=lambda lane: lane.due, default=None)
                if lane is not None and lane.due <= self._now():
                    lane.is_busy = True
                    return lane
                if lane is None or self._is_waiting:
                    self._workers -= 1
                    return None
                self._wait(lane.due - self._now())

    def _wait(self, seconds: float) -> None:
        self._is_waiting = True
        try:
            if self._clock is None:
                self._changed.wait(seconds)
                return
            self._changed.release()
            try:
                self._clock.sleep(seconds)
            finally:
                self._changed.acquire()
        finally:
            self._is_waiting = False

    def _write_dead_letters(self, messages: Sequence[Message], reason: str) -> None:
        for message in messages:
            log.warning("webhook %s was not delivered: %s", message, reason)
        try:
            self._dead_letters.append(messages, reason)
        except OSError as error:
            log.error("cannot write the dead-letter file; these webhooks are lost: %s", error)  # noqa: TRY400
