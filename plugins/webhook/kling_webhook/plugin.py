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
from dataclasses import dataclass, field
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


@dataclass
class _Lane:
    """The messages of one job that are not settled. The first is tried when it is `due`."""

    messages: deque[Message]
    due: float = 0.0
    closed: threading.Event = field(default_factory=threading.Event)


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
        self._changed = threading.Condition()  # guards the lanes
        self._lanes: dict[str, _Lane] = {}

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Queue the event. A job has a thread of its own while it has messages."""
        if not self._is_on:
            return
        message = as_message(event)
        with self._changed:
            if message.job in self._lanes:
                self._lanes[message.job].messages.append(message)
                return
            self._lanes[message.job] = lane = _Lane(deque([message]))
            atexit.unregister(self.kling_close)
            atexit.register(self.kling_close)
            # A daemon: closing decides how long the end of the process waits.
            threading.Thread(target=self._work, args=(message.job, lane), daemon=True).start()

    @hookimpl
    def kling_close(self) -> None:
        """Deliver what is queued; what cannot be delivered in time goes to the dead-letter file."""
        atexit.unregister(self.kling_close)
        deadline = self._now() + SECONDS
        with self._changed:
            # What is due later is not waited for.
            self._changed.wait_for(lambda: all(each.due > deadline for each in self._lanes.values()), SECONDS)
            rest = [message for lane in self._lanes.values() for message in lane.messages]
            for lane in self._lanes.values():
                lane.closed.set()
            self._lanes.clear()
        if rest:
            self._give_up(rest, "the client was closed before it could be delivered")

    @hookimpl
    def kling_cli(self, app: click.Group) -> None:
        """Add `kling webhooks`."""
        from kling_webhook.commands import webhooks

        app.add_command(webhooks)

    def _work(self, job: str, lane: _Lane) -> None:
        """Deliver the messages of a job until there are none, or closing takes what is left."""
        pauses = iter(PAUSES)
        while not lane.closed.is_set():
            message = lane.messages[0]
            failure = self._endpoint.post(message)
            if failure and failure.may_pass and (pause := next(pauses, None)):
                log.info("webhook %s: %s; it is tried again", message, failure.reason)
                self._wait(lane, pause * random.uniform(0.5, 1.0))  # noqa: S311  no secret
                continue
            if failure and not lane.closed.is_set():
                self._give_up([message], failure.reason)
            pauses = iter(PAUSES)
            with self._changed:
                if not lane.closed.is_set():
                    lane.messages.popleft()
                    if not lane.messages:
                        del self._lanes[job]
                        self._changed.notify_all()
                        return

    def _wait(self, lane: _Lane, seconds: float) -> None:
        with self._changed:
            lane.due = self._now() + seconds
            self._changed.notify_all()
        if self._clock:
            self._clock.sleep(seconds)
        else:
            lane.closed.wait(seconds)

    def _give_up(self, messages: Sequence[Message], reason: str) -> None:
        for message in messages:
            log.warning("webhook %s was not delivered: %s", message, reason)
        try:
            self._dead_letters.append(messages, reason)
        except OSError as error:
            log.error("the dead-letter file cannot be written, these webhooks are lost: %s", error)  # noqa: TRY400
