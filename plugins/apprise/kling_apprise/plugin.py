"""The plugin: event selection, the services, and a worker thread that sends notifications.

Plugin discovery imports this module, so the other modules are imported only if a service is configured.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kling_adapters import ConfigError
from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    from kling_adapters.events import Event
    from kling_apprise.service import Service
    from kling_apprise.text import Text

URLS = "KLING_APPRISE_URLS"
EVENTS = "KLING_APPRISE_EVENTS"
NAMES = {
    "SubmitFailed": "submit_failed",
    "Submitted": "submitted",
    "StateChanged": "state_changed",
    "Completed": "completed",
    "Failed": "failed",
    "Expired": "expired",
    "Stored": "stored",
}
"""The classes of events, and the names that select them."""
DEFAULT_EVENTS = ("submit_failed", "completed", "failed", "expired")
CLOSE_SECONDS = 25.0
"""Maximum seconds to send queued notifications on close; the client waits 30 seconds."""
EXIT_SECONDS = 5.0
"""Maximum seconds to send them at the exit of a process that did not close its client."""


class Apprise:
    """Plugin that sends notifications about jobs to Apprise URLs.

    Args:
        urls: The Apprise URLs. None reads KLING_APPRISE_URLS and KLING_APPRISE_URLS_FILE; without a URL the
            plugin does nothing.
        events: The names of the events to send, such as `completed`. None reads KLING_APPRISE_EVENTS; empty
            selects `submit_failed`, `completed`, `failed` and `expired`.

    Raises:
        ConfigError: Apprise does not support a URL (the message gives its position and scheme), or an event
            name is unknown.

    """

    def __init__(self, urls: Sequence[str] | None = None, *, events: Sequence[str] | None = None) -> None:
        urls = _read_configured_urls() if urls is None else urls
        self._events = frozenset(
            os.environ.get(EVENTS, "").replace(",", " ").split() if events is None else events
        )
        self._events = self._events or frozenset(DEFAULT_EVENTS)
        if unknown := sorted(self._events - set(NAMES.values())):
            raise ConfigError(f"unknown event {', '.join(unknown)}; expected: {', '.join(NAMES.values())}")
        self._services: list[Service] = []
        if urls:
            from kling_apprise.service import Service  # imported late: Apprise takes a tenth of a second

            self._services = [Service(url, number) for number, url in enumerate(urls, 1)]
        self._changed = threading.Condition()  # guards the attributes below
        self._queue: deque[Text] = deque()
        self._is_working = False

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Queue a notification if the event is selected.

        Args:
            event: The event of a job.

        """
        if not self._services or NAMES.get(type(event).__name__) not in self._events:
            return
        from kling_apprise.text import as_text

        with self._changed:
            self._queue.append(as_text(event))
            if not self._is_working:
                self._is_working = True
                atexit.unregister(self._drain_at_exit)
                atexit.register(self._drain_at_exit)
                threading.Thread(target=self._work, name="kling-apprise", daemon=True).start()

    @hookimpl
    def kling_close(self) -> None:
        """Wait until the queued notifications are sent, for 25 seconds at most."""
        self._drain(CLOSE_SECONDS)
        atexit.unregister(self._drain_at_exit)

    def _drain_at_exit(self) -> None:
        self._drain(EXIT_SECONDS)

    def _drain(self, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_working, seconds):
                from kling_apprise.service import log

                log.error("%d notifications were not sent: the client was closed", len(self._queue) + 1)
                self._queue.clear()

    def _work(self) -> None:
        """Send the queued notifications until the queue is empty."""
        while True:
            with self._changed:
                if not self._queue:
                    self._is_working = False
                    self._changed.notify_all()
                    return
                text = self._queue.popleft()
            for service in self._services:
                service.send(text)


def _read_configured_urls() -> list[str]:
    urls = os.environ.get(URLS, "").split()
    file = os.environ.get(f"{URLS}_FILE", "").strip()
    if urls or not file:
        return urls
    try:
        return Path(file).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{URLS}_FILE cannot be read: {type(error).__name__}. Set it to a readable text file"
        ) from None
