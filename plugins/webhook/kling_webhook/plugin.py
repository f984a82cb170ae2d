"""The plugin: queues messages and delivers them in the background, in order for each job.

Imported whenever plugins are looked for, so it imports what delivers only if there is a receiver.
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

from kling_adapters import Clock, Event
from kling_adapters.hookspecs import hookimpl
from kling_webhook.message import Message, as_message

if TYPE_CHECKING:
    import click

log = logging.getLogger("kling_webhook")

URL = "KLING_WEBHOOK_URL"
PAUSES = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Seconds between the attempts for one message; each is shortened by up to half, so that senders do not march in step."""
SECONDS = 25.0
"""How long closing takes at most: what calls it waits 30 seconds."""


WORKERS = 4
"""How many messages are under way at once, each of another job."""


@dataclass(eq=False)
class _Lane:
    """The messages of one job that are not settled. The first is tried when it is `due`."""

    job: str
    messages: deque[Message]
    due: float = float("-inf")
    failures: int = 0
    is_busy: bool = False
    is_closed: bool = False


class Webhook:
    """Posts every event of every job to one receiver, signed.

    `url`: https, or http on this machine. `secret`: as receivers are given it, `whsec_...`; several while one replaces
    another, and each message is signed with all of them. `dead_letters`: the file for what could not be delivered.
    What is not given is taken from the environment (see the README); without a URL the plugin does nothing.
    `clock`: time, for tests. Raises ConfigError for a URL or a secret that cannot be used, and never shows it.
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
        self._is_on = bool(url)
        if url:
            from kling_webhook.deadletters import DeadLetters
            from kling_webhook.endpoint import Endpoint

            self._endpoint, self._dead_letters = Endpoint(url, secret), DeadLetters(dead_letters)
        self._clock = clock
        self._now = clock.now if clock else time.monotonic
        self._start_empty()

    def _start_empty(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()  # guards all that follows
        self._lanes: dict[str, _Lane] = {}
        self._workers = 0
        self._is_waiting = False  # one worker, for the lane that is due next

    def _leave_to_parent(self) -> None:
        """After a fork, leave what is queued to the parent, whose threads are not here."""
        if self._process != os.getpid():
            self._start_empty()

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Queue the event."""
        if not self._is_on:
            return
        self._leave_to_parent()
        message = as_message(event)
        with self._changed:
            lane = self._lanes.setdefault(message.job, _Lane(message.job, deque()))
            lane.messages.append(message)
            atexit.unregister(self.kling_close)
            atexit.register(self.kling_close)
            # A lane that has messages already has a worker, or waits until it is due.
            if len(lane.messages) == 1 and self._workers < WORKERS:
                self._workers += 1
                # A daemon: closing decides how long the end of the process waits.
                threading.Thread(target=self._work, name="kling-webhook", daemon=True).start()

    @hookimpl
    def kling_close(self) -> None:
        """Deliver what is queued; what cannot be delivered in time goes to the dead-letter file."""
        atexit.unregister(self.kling_close)
        self._leave_to_parent()
        deadline = self._now() + SECONDS
        with self._changed:
            # What is due later is not waited for.
            self._changed.wait_for(lambda: all(each.due > deadline for each in self._lanes.values()), SECONDS)
            rest = [message for lane in self._lanes.values() for message in lane.messages]
            for lane in self._lanes.values():
                lane.is_closed = True
            self._lanes.clear()
            self._changed.notify_all()
        if rest:
            self._give_up(rest, "the client was closed before it could be delivered")

    @hookimpl
    def kling_cli(self, app: click.Group) -> None:
        """Add `kling webhooks`."""
        from kling_webhook.commands import webhooks

        app.add_command(webhooks)

    def _work(self) -> None:
        """Deliver messages, one at a time, until none is left or another worker waits for those that are due later."""
        while (lane := self._take_lane()) is not None:
            message = lane.messages[0]
            failure = self._endpoint.post(message)
            pauses = PAUSES[lane.failures :] if failure and failure.may_pass else ()
            if failure and pauses:
                log.info("webhook %s: %s; it is tried again", message, failure.reason)
            elif failure and not lane.is_closed:
                self._give_up([message], failure.reason)
            with self._changed:
                lane.is_busy = False
                if pauses:
                    lane.failures += 1
                    lane.due = self._now() + pauses[0] * random.uniform(0.5, 1.0)  # noqa: S311  no secret
                elif not lane.is_closed:
                    lane.failures = 0
                    lane.messages.popleft()
                    if not lane.messages:
                        del self._lanes[lane.job]
                self._changed.notify_all()

    def _take_lane(self) -> _Lane | None:
        """Return a lane that is due, after a wait if need be; None ends the worker."""
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

    def _give_up(self, messages: Sequence[Message], reason: str) -> None:
        for message in messages:
            log.warning("webhook %s was not delivered: %s", message, reason)
        try:
            self._dead_letters.append(messages, reason)
        except OSError as error:
            log.error("the dead-letter file cannot be written, these webhooks are lost: %s", error)  # noqa: TRY400
