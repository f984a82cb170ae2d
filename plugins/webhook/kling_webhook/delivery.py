"""Delivers messages in the background: in order for each job, and no job is held up by another that fails."""

from __future__ import annotations

import atexit
import heapq
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from kling_adapters import Clock
from kling_webhook.deadletters import DeadLetters
from kling_webhook.endpoint import Endpoint, Outcome
from kling_webhook.payload import Message

log = logging.getLogger("kling_webhook")

PAUSES = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Seconds between the attempts for one message; each is shortened by up to half, so that senders do not march in step."""
WORKERS = 4
"""How many messages are under way at once."""
CLOSE_SECONDS = 25.0
"""How long closing takes at most: what calls it waits 30 seconds."""
EXIT_SECONDS = 5.0
"""The same at the end of a process whose client was never closed."""


@dataclass
class _Lane:
    """The messages of one job that are still to be delivered. `attempts` counts those for the first of them."""

    messages: deque[Message]
    attempts: int = 0
    due: float | None = None  # None while the first is being sent


class Delivery:
    """The queue of one client. `clock`: time, for tests; by default that of this machine."""

    def __init__(self, endpoint: Endpoint, dead_letters: DeadLetters, clock: Clock | None = None) -> None:
        self._endpoint = endpoint
        self._dead_letters = dead_letters
        self._clock = clock
        self._changed = threading.Condition()  # guards all that follows
        self._lanes: dict[str, _Lane] = {}
        self._waiting: list[tuple[float, int, str, _Lane]] = []
        self._ties = count()
        self._workers = 0
        self._gone = False

    def add(self, message: Message) -> None:
        """Queue a message. Threads are started when there is work, and end with it."""
        with self._changed:
            if not self._lanes:
                atexit.unregister(self._finish_at_exit)
                atexit.register(self._finish_at_exit)
            if (lane := self._lanes.get(message.job)) is not None:
                lane.messages.append(message)
                return  # its turn comes when those before it are done with
            lane = self._lanes[message.job] = _Lane(deque([message]))
            self._schedule(message.job, lane, 0.0)
            if self._workers < WORKERS:
                self._workers += 1
                threading.Thread(target=self._work, name="kling-webhook", daemon=True).start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Deliver what is queued; what would take longer than `seconds` goes to the dead-letter file."""
        with self._changed:
            deadline = self._now() + seconds
            while self._could_end_by(deadline):
                self._changed.wait(max(0.0, deadline - self._now()))
            rest = [message for lane in self._lanes.values() for message in lane.messages]
            self._lanes.clear()
            self._waiting.clear()
            self._changed.notify_all()
        self._give_up(rest, "the client was closed before it could be delivered")
        self._endpoint.close()
        atexit.unregister(self._finish_at_exit)

    def _finish_at_exit(self) -> None:
        self.close(EXIT_SECONDS)

    def _could_end_by(self, deadline: float) -> bool:
        """Whether waiting is of use: something is being sent, or will be tried again in time."""
        in_time = any(lane.due is None or lane.due < deadline for lane in self._lanes.values())
        return in_time and self._now() < deadline

    def _work(self) -> None:
        while (found := self._next()) is not None:
            job, lane, message = found
            try:
                outcome = Outcome("gone", "it wants no more") if self._gone else self._endpoint.post(message)
            except Exception as error:  # noqa: BLE001  whatever it is, the next message must have its turn
                outcome = Outcome("busy", type(error).__name__)
            self._settle(job, lane, message, outcome)

    def _next(self) -> tuple[str, _Lane, Message] | None:
        """Wait for the next message that is due. None when nothing is left to be tried: the worker ends."""
        with self._changed:
            while self._waiting:
                pause = self._waiting[0][0] - self._now()
                if pause <= 0:
                    _, _, job, lane = heapq.heappop(self._waiting)
                    lane.due = None
                    return job, lane, lane.messages[0]
                self._pause(pause)
            self._workers -= 1
            return None

    def _settle(self, job: str, lane: _Lane, message: Message, outcome: Outcome) -> None:
        """Do what the outcome of an attempt asks for."""
        with self._changed:
            if self._lanes.get(job) is not lane:
                return  # closed meanwhile: the message is in the dead-letter file
            if outcome.kind in {"busy", "unreachable"} and lane.attempts < len(PAUSES):
                log.info("webhook %s: %s; it is tried again", message, outcome.reason)
                pause = PAUSES[lane.attempts] * random.uniform(0.5, 1.0)  # noqa: S311  no secret
                lane.attempts += 1
                self._schedule(job, lane, pause)
                return
            if outcome.kind == "gone" and not self._gone:
                self._gone = True
                log.error(
                    "the webhook receiver %s answered 410: nothing more is sent to it", self._endpoint.origin
                )
            lane.messages.popleft()
        if outcome.kind != "delivered":
            self._give_up([message], outcome.reason)
        with self._changed:
            lane.attempts = 0
            if self._lanes.get(job) is not lane:
                return
            if lane.messages:
                self._schedule(job, lane, 0.0)
            else:
                del self._lanes[job]
                self._changed.notify_all()

    def _schedule(self, job: str, lane: _Lane, pause: float) -> None:
        lane.due = self._now() + pause
        heapq.heappush(self._waiting, (lane.due, next(self._ties), job, lane))
        self._changed.notify_all()

    def _give_up(self, messages: Sequence[Message], reason: str) -> None:
        if not messages:
            return
        for message in messages:
            log.warning("webhook %s was not delivered: %s", message, reason)
        try:
            self._dead_letters.append(messages, reason)
        except OSError as error:
            log.error("the dead-letter file cannot be written, these webhooks are lost: %s", error)  # noqa: TRY400
        else:
            log.warning("kept in %s; `kling webhooks redeliver` sends them", self._dead_letters.path)

    def _now(self) -> float:
        return time.monotonic() if self._clock is None else self._clock.now()

    def _pause(self, seconds: float) -> None:
        """Wait, unless something changes before. The lock is not held meanwhile."""
        if self._clock is None:
            self._changed.wait(seconds)
            return
        self._changed.release()
        try:
            self._clock.sleep(seconds)
        finally:
            self._changed.acquire()
